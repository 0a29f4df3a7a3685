package onnxload

import (
	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// gemm is Gemm: alpha*A*B + beta*C, with A and B transposed if asked.
func gemm(c *nodeCtx) error {
	alpha, err := c.float("alpha", 1)
	if err != nil {
		return err
	}
	beta, err := c.float("beta", 1)
	if err != nil {
		return err
	}
	transA, err := c.bool("transA", false)
	if err != nil {
		return err
	}
	transB, err := c.bool("transB", false)
	if err != nil {
		return err
	}
	a, err := c.operand(0, !c.neutral(0, roleWeight))
	if err != nil {
		return err
	}
	b, err := c.operand(1, true)
	if err != nil {
		return err
	}
	fanIn := 0
	if s := a.Shape(); len(s) == 2 {
		fanIn = s[1]
		if transA {
			fanIn = s[0]
		}
	}
	c.setRole(0, role{kind: roleWeight, fanIn: fanIn})
	c.setRole(1, role{kind: roleWeight, fanIn: fanIn})
	var bias *gorgonia.Node
	if c.has(2) {
		if bias, err = c.weight(2, role{kind: roleBias, fanIn: fanIn}); err != nil {
			return err
		}
	}
	y, err := ops.Gemm(a, b, bias, alpha, beta, transA, transB)
	return c.set(0, y, err)
}

// matMul is MatMul. Linear layers on inputs of rank 3 reach it, with their bias in an Add behind it.
func matMul(c *nodeCtx) error {
	a, err := c.operand(0, !c.neutral(0, roleWeight))
	if err != nil {
		return err
	}
	b, err := c.operand(1, true)
	if err != nil {
		return err
	}
	fanIn := 0
	if s := a.Shape(); len(s) > 0 {
		fanIn = s[len(s)-1]
	}
	c.setRole(0, role{kind: roleWeight, fanIn: fanIn})
	c.setRole(1, role{kind: roleWeight, fanIn: fanIn})
	y, err := ops.MatMul(a, b)
	if err := c.set(0, y, err); err != nil {
		return err
	}
	if c.out[0] != nil && len(c.in[0].roots)+len(c.in[1].roots) > 0 {
		c.out[0].fanIn = fanIn
	}
	return nil
}

// einsum is Einsum.
func einsum(c *nodeCtx) error {
	equation, err := c.string("equation", "")
	if err != nil {
		return err
	}
	var xs []*gorgonia.Node
	for i := range c.in {
		x, err := c.data(i)
		if err != nil {
			return err
		}
		xs = append(xs, x)
	}
	y, err := ops.Einsum(equation, xs...)
	return c.set(0, y, err)
}
