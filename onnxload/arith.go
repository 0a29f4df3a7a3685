package onnxload

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// add is Add. A vector of weights that is added to a product with weights is the bias of a linear layer.
func add(c *nodeCtx) error {
	for i := range 2 {
		bias, product := c.in[i], c.in[1-i]
		if bias.constant() && len(bias.roots) > 0 && product.fanIn > 0 {
			if s, err := bias.dims(); err == nil && len(s) == 1 {
				if _, err := c.weight(i, role{kind: roleBias, fanIn: product.fanIn}); err != nil {
					return err
				}
			}
		}
	}
	return binary(ops.Add)(c)
}

// binary is the graph function of an operator of two operands that broadcast.
func binary(f func(a, b *gorgonia.Node) (*gorgonia.Node, error)) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		a, err := c.data(0)
		if err != nil {
			return err
		}
		b, err := c.data(1)
		if err != nil {
			return err
		}
		if c.opset < 7 {
			if b, err = legacyBroadcast(c, a, b); err != nil {
				return err
			}
		}
		if s, err := broadcastShape(a.Shape(), b.Shape()); err != nil {
			return err
		} else if _, ok := elements(s, c.b.opts.MaxElements); !ok {
			return fmt.Errorf("its output of shape %v has more than %d elements", s, c.b.opts.MaxElements)
		}
		y, err := f(a, b)
		return c.set(0, y, err)
	}
}

// legacyBroadcast gives b trailing dimensions of 1, so that NumPy's rule puts it where attributes broadcast and
// axis say. Before opset 7 nothing broadcast without them.
func legacyBroadcast(c *nodeCtx, a, b *gorgonia.Node) (*gorgonia.Node, error) {
	on, err := c.bool("broadcast", false)
	if err != nil {
		return nil, err
	}
	if !on && !slices.Equal(a.Shape(), b.Shape()) {
		return nil, fmt.Errorf("shapes %v and %v differ, and attribute broadcast is not set (opset below 7)", a.Shape(), b.Shape())
	}
	if !on || c.attr("axis") == nil {
		return b, nil
	}
	at, err := c.int("axis", 0)
	if err != nil {
		return nil, err
	}
	if at, err = axis(at, a.Dims(), a.Dims()+1); err != nil {
		return nil, err
	}
	shape := slices.Clone([]int(b.Shape()))
	for len(shape)+at < a.Dims() {
		shape = append(shape, 1)
	}
	return ops.Reshape(b, shape)
}

// sum is Sum: the sum of any number of operands.
func sum(c *nodeCtx) error {
	var xs []*gorgonia.Node
	var shape []int
	for i := range c.in {
		x, err := c.data(i)
		if err != nil {
			return err
		}
		if shape, err = broadcastShape(shape, x.Shape()); err != nil {
			return err
		}
		xs = append(xs, x)
	}
	if len(xs) == 1 {
		return c.set(0, xs[0], nil)
	}
	y, err := ops.Sum(xs...)
	return c.set(0, y, err)
}

// hostUnary applies f to every number. On integers and bools f must give integers.
func hostUnary(f func(float64) float64) func(*nodeCtx) (*host, error) {
	return func(c *nodeCtx) (*host, error) {
		x, err := c.constant(0)
		if err != nil {
			return nil, err
		}
		y, err := c.b.newHost(x.elem, x.shape)
		if err != nil {
			return nil, err
		}
		for k := range y.f {
			y.f[k] = round(y.elem, f(x.f[k]))
		}
		for k := range y.i {
			y.i[k] = int64(f(float64(x.i[k])))
		}
		return y, nil
	}
}

// hostBinary computes an operator of two operands that broadcast.
func hostBinary(name string) func(*nodeCtx) (*host, error) {
	return func(c *nodeCtx) (*host, error) {
		a, err := c.constant(0)
		if err != nil {
			return nil, err
		}
		b, err := c.constant(1)
		if err != nil {
			return nil, err
		}
		if (a.f == nil) != (b.f == nil) {
			return nil, fmt.Errorf("operands of types %s and %s", onnxpb.TypeName(a.elem), onnxpb.TypeName(b.elem))
		}
		shape, err := broadcastShape(a.shape, b.shape)
		if err != nil {
			return nil, err
		}
		if fmod, err := c.bool("fmod", false); err != nil {
			return nil, err
		} else if name == "Mod" && (fmod || a.f != nil) {
			return nil, unsupportedf("the remainder with the sign of the dividend (fmod) is not supported")
		}
		elem := a.elem
		if isComparison(name) {
			elem = elemBOOL
		}
		y, err := c.b.newHost(elem, shape)
		if err != nil {
			return nil, err
		}
		walk(shape, [][]int{broadcastStrides(a.shape, shape), broadcastStrides(b.shape, shape)}, func(k int, at []int) {
			if err != nil {
				return
			}
			switch {
			case elem == elemBOOL:
				y.i[k] = boolInt(compare(name, a.at(at[0]), b.at(at[1])))
			case y.f != nil:
				y.f[k] = round(elem, floatArith(name, a.f[at[0]], b.f[at[1]]))
			default:
				y.i[k], err = intArith(name, a.i[at[0]], b.i[at[1]])
			}
		})
		return y, err
	}
}

func isComparison(name string) bool {
	switch name {
	case "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or":
		return true
	}
	return false
}

func compare(name string, a, b float64) bool {
	switch name {
	case "Equal":
		return a == b
	case "Greater":
		return a > b
	case "GreaterOrEqual":
		return a >= b
	case "Less":
		return a < b
	case "LessOrEqual":
		return a <= b
	case "And":
		return a != 0 && b != 0
	}
	return a != 0 || b != 0
}

func floatArith(name string, a, b float64) float64 {
	switch name {
	case "Add":
		return a + b
	case "Sub":
		return a - b
	case "Mul":
		return a * b
	}
	return a / b
}

func intArith(name string, a, b int64) (int64, error) {
	switch name {
	case "Add":
		return a + b, nil
	case "Sub":
		return a - b, nil
	case "Mul":
		return a * b, nil
	}
	if b == 0 {
		return 0, fmt.Errorf("a division by zero in shape arithmetic")
	}
	if name == "Div" {
		return a / b, nil
	}
	r := a % b // Mod takes the sign of the divisor
	if r != 0 && (r < 0) != (b < 0) {
		r += b
	}
	return r, nil
}

// hostWhere is Where on three constants.
func hostWhere(c *nodeCtx) (*host, error) {
	var in [3]*host
	shape := []int{}
	for i := range in {
		h, err := c.constant(i)
		if err != nil {
			return nil, err
		}
		if shape, err = broadcastShape(shape, h.shape); err != nil {
			return nil, err
		}
		in[i] = h
	}
	if in[1].elem != in[2].elem {
		return nil, fmt.Errorf("operands of types %s and %s", onnxpb.TypeName(in[1].elem), onnxpb.TypeName(in[2].elem))
	}
	y, err := c.b.newHost(in[1].elem, shape)
	if err != nil {
		return nil, err
	}
	strides := [][]int{broadcastStrides(in[0].shape, shape), broadcastStrides(in[1].shape, shape), broadcastStrides(in[2].shape, shape)}
	walk(shape, strides, func(k int, at []int) {
		if in[0].at(at[0]) != 0 {
			y.take(k, in[1], at[1])
		} else {
			y.take(k, in[2], at[2])
		}
	})
	return y, nil
}
