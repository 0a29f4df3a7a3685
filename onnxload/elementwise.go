package onnxload

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// elementwiseOperators are the operators of one operand that work on each element by itself.
func elementwiseOperators() map[string]operator {
	table := map[string]operator{
		"Relu":    relu(numeric(ops.Relu, func(_ int32, v int64) int64 { return max(v, 0) })),
		"Neg":     numeric(ops.Neg, func(_ int32, v int64) int64 { return -v }),
		"Abs":     numeric(ops.Abs, absInt),
		"Sign":    numeric(curve("Sign"), signInt),
		"Sigmoid": floating(ops.Sigmoid),
		"Tanh":    floating(ops.Tanh),
		"Exp":     floating(ops.Exp),
		"Log":     floating(ops.Log),
		"Erf":     floating(ops.Erf),
		"Sqrt":    floating(ops.Sqrt), "Reciprocal": floating(ops.Reciprocal),
		"Softplus": floating(ops.Softplus),

		"LeakyRelu":       shaped(ops.LeakyRelu, "alpha", 0.01),
		"Elu":             shaped(ops.Elu, "alpha", 1),
		"Celu":            shaped(ops.Celu, "alpha", 1),
		"ThresholdedRelu": shaped(ops.ThresholdedRelu, "alpha", 1),
		"Swish":           shaped(ops.Swish, "alpha", 1),
		"SwiGLU":          {inputs: 2, most: 2, graph: swiGLU},
		"Selu":            shaped2(ops.Selu, "alpha", 1.67326319217681884765625, "gamma", 1.05070102214813232421875),
		"HardSigmoid":     shaped2(ops.HardSigmoid, "alpha", 0.2, "beta", 0.5),
		"Shrink":          shaped2(ops.Shrink, "bias", 0, "lambd", 0.5),
		"Gelu":            {inputs: 1, most: 1, graph: gelu, fold: true},
		"PRelu":           {inputs: 2, most: 2, graph: prelu, fold: true},
		"Clip":            {inputs: 1, most: 3, graph: clip, fold: true},

		"Identity": {inputs: 1, most: 1, graph: identity, fold: true},
		"Cast":     {inputs: 1, most: 1, graph: castTo(castAttr), fold: true, elem: castAttr},
		"CastLike": {inputs: 2, most: 2, graph: castTo(castLikeElem), fold: true, elem: castLikeElem},

		"BitCast": {inputs: 1, most: 1, graph: bitCast, fold: true, elem: castAttr},

		"IsNaN":      {inputs: 1, most: 1, graph: test(math.IsNaN), fold: true},
		"IsInf":      {inputs: 1, most: 1, graph: isInf, fold: true},
		"Not":        ints1(func(v int64) int64 { return 1 - v }),
		"BitwiseNot": ints1(func(v int64) int64 { return ^v }),
	}
	for _, name := range []string{"Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh",
		"Floor", "Ceil", "Round", "Softsign", "HardSwish", "Mish"} {
		table[name] = floating(curve(name))
	}
	return table
}

func curve(name string) func(*gorgonia.Node) (*gorgonia.Node, error) {
	return func(x *gorgonia.Node) (*gorgonia.Node, error) { return ops.Curve(name, x) }
}

// floating is an operator on floats only.
func floating(f func(*gorgonia.Node) (*gorgonia.Node, error)) operator {
	return operator{inputs: 1, most: 1, graph: unary(f), fold: true}
}

// numeric is an operator on floats or integers of a type.
func numeric(f func(*gorgonia.Node) (*gorgonia.Node, error), g func(elem int32, v int64) int64) operator {
	return operator{inputs: 1, most: 1, fold: true, graph: func(c *nodeCtx) error {
		x, err := c.any(0)
		if err != nil {
			return err
		}
		elem := c.elemOf(0)
		if x.Dtype() != tensor.Int64 {
			y, err := f(x)
			return c.setAs(0, elem, y, err)
		}
		y, err := ops.MapInts(c.n.GetOpType(), x, func(v int64) int64 { return g(elem, v) })
		return c.setAs(0, elem, y, err)
	}}
}

// relu is Relu: what it gives of a normalisation that nobody else reads is computed together with that.
func relu(plain operator) operator {
	alone := plain.graph
	plain.graph = func(c *nodeCtx) error {
		if x, err := c.any(0); err == nil && c.onlyReader() {
			if y, ok, err := ops.NormRelu(x); ok || err != nil {
				return c.setAs(0, c.elemOf(0), y, err)
			}
		}
		return alone(c)
	}
	return plain
}

// ints1 is an operator on integers or bools.
func ints1(f func(int64) int64) operator {
	return operator{inputs: 1, most: 1, fold: true, graph: func(c *nodeCtx) error {
		x, err := c.any(0)
		if err != nil {
			return err
		}
		y, err := ops.MapInts(c.n.GetOpType(), x, f)
		return c.setAs(0, c.elemOf(0), y, err)
	}}
}

func absInt(elem int32, v int64) int64 {
	if elem == elemUINT64 {
		return v
	}
	return max(v, -v)
}

func signInt(elem int32, v int64) int64 {
	switch {
	case v == 0:
		return 0
	case v < 0 && elem != elemUINT64:
		return -1
	}
	return 1
}

// shaped is an operator with one number as an attribute.
func shaped(f func(*gorgonia.Node, float64) (*gorgonia.Node, error), name string, def float64) operator {
	return operator{inputs: 1, most: 1, fold: true, graph: func(c *nodeCtx) error {
		a, err := c.float(name, def)
		if err != nil {
			return err
		}
		x, err := c.data(0)
		if err != nil {
			return err
		}
		y, err := f(x, a)
		return c.set(0, y, err)
	}}
}

// shaped2 is an operator with two.
func shaped2(f func(*gorgonia.Node, float64, float64) (*gorgonia.Node, error), name string, def float64, name2 string, def2 float64) operator {
	return operator{inputs: 1, most: 1, fold: true, graph: func(c *nodeCtx) error {
		a, err := c.float(name, def)
		if err != nil {
			return err
		}
		b, err := c.float(name2, def2)
		if err != nil {
			return err
		}
		x, err := c.data(0)
		if err != nil {
			return err
		}
		y, err := f(x, a, b)
		return c.set(0, y, err)
	}}
}

func gelu(c *nodeCtx) error {
	how, err := c.string("approximate", "none")
	if err != nil {
		return err
	}
	name := map[string]string{"none": "Gelu", "tanh": "GeluTanh"}[how]
	if name == "" {
		return fmt.Errorf("its attribute \"approximate\" is %q; none and tanh are known", how)
	}
	return unary(curve(name))(c)
}

// test is an operator that asks something of every float.
func test(f func(float64) bool) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		x, err := c.data(0)
		if err != nil {
			return err
		}
		y, err := ops.Test(c.n.GetOpType(), x, f)
		return c.setAs(0, elemBOOL, y, err)
	}
}

func isInf(c *nodeCtx) error {
	below, err := c.bool("detect_negative", true)
	if err != nil {
		return err
	}
	above, err := c.bool("detect_positive", true)
	if err != nil {
		return err
	}
	return test(func(x float64) bool { return above && math.IsInf(x, 1) || below && math.IsInf(x, -1) })(c)
}

// prelu is PRelu. Its slope broadcasts to x; before opset 7 a vector of slopes is one a channel.
func prelu(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	slope, err := c.node(1, true)
	if err != nil {
		return err
	}
	c.setRole(1, role{kind: roleSlope})
	if c.opset < 7 && slope.Dims() == 1 && x.Dims() > 1 && slope.Shape()[0] > 1 {
		shape := make([]int, x.Dims()-1)
		for i := range shape {
			shape[i] = 1
		}
		shape[0] = slope.Shape()[0]
		if slope, err = ops.Reshape(slope, shape); err != nil {
			return err
		}
	}
	if x.Dtype() == tensor.Int64 {
		elem := c.elemOf(0)
		y, err := ops.Ints("PRelu", x, slope, func(v, s int64) (int64, error) {
			if v >= 0 || elem == elemUINT64 {
				return v, nil
			}
			return v * s, nil
		})
		return c.setAs(0, elem, y, err)
	}
	if s, err := broadcastShape(x.Shape(), slope.Shape()); err != nil || product(s) != product(x.Shape()) {
		return fmt.Errorf("a slope of shape %v for an input of shape %v", slope.Shape(), x.Shape())
	}
	y, err := ops.PRelu(x, slope)
	return c.set(0, y, err)
}

// clip is Clip. Its bounds are attributes before opset 11, then optional inputs, mostly constants.
func clip(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	if x.Dtype() == tensor.Int64 || c.has(1) && !c.in[1].constant() || c.has(2) && !c.in[2].constant() {
		return clipInputs(c, x)
	}
	lo, hi := math.Inf(-1), math.Inf(1)
	if c.opset < 11 {
		if lo, err = c.float("min", lo); err != nil {
			return err
		}
		if hi, err = c.float("max", hi); err != nil {
			return err
		}
	}
	if c.has(1) {
		if lo, err = c.scalar(1); err != nil {
			return err
		}
	}
	if c.has(2) {
		if hi, err = c.scalar(2); err != nil {
			return err
		}
	}
	y, err := ops.Clip(x, lo, hi)
	return c.set(0, y, err)
}

// clipInputs is Clip of integers, or with bounds that are computed.
func clipInputs(c *nodeCtx, x *gorgonia.Node) error {
	elem := c.elemOf(0)
	y, back, err := ordered(x, elem)
	for i, name := range []string{"Max", "Min"} {
		if err != nil || !c.has(1+i) {
			continue
		}
		var bound *gorgonia.Node
		if bound, err = c.any(1 + i); err != nil {
			break
		}
		if product(bound.Shape()) != 1 || bound.Dtype() != x.Dtype() {
			return fmt.Errorf("its input %d has shape %v and type %s; it must be one number of type %s", 1+i, bound.Shape(),
				onnxpb.TypeName(c.elemOf(1+i)), onnxpb.TypeName(elem))
		}
		if bound, err = ops.Reshape(bound, []int{}); err != nil {
			break
		}
		if bound, _, err = ordered(bound, elem); err == nil {
			y, err = extremum(name, y, bound)
		}
	}
	if err == nil {
		y, err = back(y)
	}
	return c.setAs(0, elem, y, err)
}

// swiGLU is SwiGLU (opset 28): the second input times Swish of the first, which is of the same shape.
func swiGLU(c *nodeCtx) error {
	a, err := c.data(0)
	if err != nil {
		return err
	}
	b, err := c.data(1)
	if err != nil {
		return err
	}
	if !slices.Equal(a.Shape(), b.Shape()) {
		return fmt.Errorf("a gate of shape %v for values of shape %v", a.Shape(), b.Shape())
	}
	alpha, err := c.float("alpha", 1)
	if err != nil {
		return err
	}
	if a, err = ops.Swish(a, alpha); err != nil {
		return err
	}
	y, err := ops.Mul(a, b)
	return c.set(0, y, err)
}
