package onnxload

import (
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// integerOperators are products and convolutions of quantized numbers, for inference. They are computed in float64,
// which holds every sum of fewer than 2^21 products of 16-bit numbers exactly.
func integerOperators() map[string]operator {
	return map[string]operator{
		"MatMulInteger": {inputs: 2, most: 4, graph: inferenceOnly(matMulInteger)},
		"ConvInteger":   {inputs: 2, most: 4, graph: inferenceOnly(convInteger)},
		"QLinearMatMul": {inputs: 8, most: 8, graph: inferenceOnly(qlinearMatMul)},
		"QLinearConv":   {inputs: 8, most: 9, graph: inferenceOnly(qlinearConv)},
	}
}

func matMulInteger(c *nodeCtx) error {
	a, err := c.centred(0, 2, column)
	if err != nil {
		return err
	}
	b, err := c.centred(1, 3, nil)
	if err != nil {
		return err
	}
	y, err := ops.MatMul(a, b)
	if err == nil {
		y, err = ops.Convert(y, tensor.Int64)
	}
	return c.setAs(0, elemINT32, y, err)
}

// column makes a vector one number a row.
func column(z *gorgonia.Node) (*gorgonia.Node, error) {
	if z.Dims() != 1 || z.Shape()[0] == 1 {
		return z, nil
	}
	return ops.Reshape(z, []int{z.Shape()[0], 1})
}

func convInteger(c *nodeCtx) error {
	x, err := c.centred(0, 2, nil)
	if err != nil {
		return err
	}
	w, err := c.centred(1, 3, c.perFilter(1))
	if err != nil {
		return err
	}
	y, err := c.convolved(x, w)
	if err == nil {
		y, err = ops.Convert(y, tensor.Int64)
	}
	return c.setAs(0, elemINT32, y, err)
}

// qlinearMatMul is the product of a and b that their scales and zero points stand for, quantized.
func qlinearMatMul(c *nodeCtx) error {
	a, err := c.centred(0, 2, column)
	if err != nil {
		return err
	}
	b, err := c.centred(3, 5, nil)
	if err != nil {
		return err
	}
	y, err := ops.MatMul(a, b)
	if err != nil {
		return err
	}
	scaleA, err := c.wide(1)
	if err == nil {
		scaleA, err = column(scaleA)
	}
	if err != nil {
		return err
	}
	scaleB, err := c.wide(4)
	if err != nil {
		return err
	}
	if y, err = ops.Mul(y, scaleA); err == nil {
		y, err = ops.Mul(y, scaleB)
	}
	if err != nil {
		return err
	}
	return c.requantized(y, 6, 7)
}

func qlinearConv(c *nodeCtx) error {
	x, err := c.centred(0, 2, nil)
	if err != nil {
		return err
	}
	w, err := c.centred(3, 5, c.perFilter(3))
	if err != nil {
		return err
	}
	y, err := c.convolved(x, w)
	if err != nil {
		return err
	}
	perChannel := func(n *gorgonia.Node) (*gorgonia.Node, error) {
		if product(n.Shape()) == 1 {
			return ops.Reshape(n, []int{})
		}
		return ops.Reshape(n, append(slices.Clone([]int(n.Shape())), slices.Repeat([]int{1}, x.Dims()-2)...))
	}
	if c.has(8) {
		bias, err := c.wide(8)
		if err == nil {
			bias, err = perChannel(bias)
		}
		if err == nil {
			y, err = ops.Add(y, bias)
		}
		if err != nil {
			return err
		}
	}
	for _, i := range []int{1, 4} {
		scale, err := c.wide(i)
		if err == nil {
			scale, err = perChannel(scale)
		}
		if err == nil {
			y, err = ops.Mul(y, scale)
		}
		if err != nil {
			return err
		}
	}
	return c.requantized(y, 6, 7)
}

// perFilter makes a vector one number a filter of the weights in input i.
func (c *nodeCtx) perFilter(i int) func(*gorgonia.Node) (*gorgonia.Node, error) {
	return func(z *gorgonia.Node) (*gorgonia.Node, error) {
		shape, err := c.in[i].dims()
		if err != nil || product(z.Shape()) == 1 || len(shape) == 0 {
			return ops.Reshape(z, []int{})
		}
		return ops.Reshape(z, append([]int{product(z.Shape())}, slices.Repeat([]int{1}, len(shape)-1)...))
	}
}

// convolved applies Conv with the node's attributes.
func (c *nodeCtx) convolved(x, w *gorgonia.Node) (*gorgonia.Node, error) {
	own := *c
	own.in = []*value{{name: c.in[0].name, elem: elemDOUBLE, node: x, shape: x.Shape()}, {name: c.in[1].name, elem: elemDOUBLE, node: w, shape: w.Shape()}}
	own.out = []*value{{name: c.n.Output[0]}}
	if err := conv(&own); err != nil {
		return nil, err
	}
	return own.out[0].node, nil
}

// centred returns input i as float64 minus the zero point in input zero, if that is present.
func (c *nodeCtx) centred(i, zero int, arrange func(*gorgonia.Node) (*gorgonia.Node, error)) (*gorgonia.Node, error) {
	x, err := c.wide(i)
	if err != nil || !c.has(zero) {
		return x, err
	}
	z, err := c.wide(zero)
	if err == nil && arrange != nil {
		z, err = arrange(z)
	}
	if err != nil {
		return nil, err
	}
	return ops.Sub(x, z)
}

// wide returns input i as a node of float64 that is not trained.
func (c *nodeCtx) wide(i int) (*gorgonia.Node, error) {
	n, err := c.fixed(i)
	if err != nil {
		return nil, err
	}
	return ops.Convert(n, tensor.Float64)
}

// requantized sets output 0 to y, a number of float64, at the scale and zero point of two inputs.
func (c *nodeCtx) requantized(y *gorgonia.Node, scale, zero int) error {
	elem := c.elemOf(zero)
	if !onnxpb.IsInt(elem) || bitsOf(elem) > 16 {
		return unsupportedf("a quantization to %s", onnxpb.TypeName(elem))
	}
	s, err := c.wide(scale)
	if err != nil {
		return err
	}
	z, err := c.wide(zero)
	if err != nil {
		return err
	}
	y, err = quantized(y, s, z, elem)
	return c.setAs(0, elem, y, err)
}
