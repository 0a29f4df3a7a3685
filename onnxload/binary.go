package onnxload

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// pairwiseOperators are the operators of two or more operands that broadcast.
func pairwiseOperators() map[string]operator {
	of2 := func(graph func(*nodeCtx) error) operator {
		return operator{inputs: 2, most: 2, graph: graph, fold: true}
	}
	many := func(graph func(*nodeCtx) error) operator {
		return operator{inputs: 1, most: -1, graph: graph, fold: true}
	}
	return map[string]operator{
		"Add": of2(add), "Sub": of2(arithmetic("Sub")), "Mul": of2(arithmetic("Mul")), "Div": of2(arithmetic("Div")),
		"Mod": of2(mod), "Pow": of2(pow),
		"Sum": many(variadic("Add")), "Max": many(variadic("Max")), "Min": many(variadic("Min")), "Mean": many(mean),

		"Equal":          of2(comparison("Equal", false, true, false)),
		"Less":           of2(comparison("Less", true, false, false)),
		"LessOrEqual":    of2(comparison("LessOrEqual", true, true, false)),
		"Greater":        of2(comparison("Greater", false, false, true)),
		"GreaterOrEqual": of2(comparison("GreaterOrEqual", false, true, true)),

		"And": of2(bitwise("And")), "Or": of2(bitwise("Or")), "Xor": of2(bitwise("Xor")),
		"BitwiseAnd": of2(bitwise("And")), "BitwiseOr": of2(bitwise("Or")), "BitwiseXor": of2(bitwise("Xor")),
		"BitShift": of2(bitShift),

		"Where": {inputs: 3, most: 3, graph: where, fold: true, elem: func(c *nodeCtx) (int32, error) { return c.elemOf(1), nil }},
	}
}

// operands returns inputs a and b of one type, prepared to broadcast by NumPy's rule.
func (c *nodeCtx) operands(a, b int) (x, y *gorgonia.Node, err error) {
	if x, err = c.any(a); err != nil {
		return nil, nil, err
	}
	if y, err = c.any(b); err != nil {
		return nil, nil, err
	}
	if x.Dtype() != y.Dtype() || x.Dtype() == tensor.Int64 && c.elemOf(a) != c.elemOf(b) {
		return nil, nil, fmt.Errorf("operands of types %s and %s", onnxpb.TypeName(c.elemOf(a)), onnxpb.TypeName(c.elemOf(b)))
	}
	y, err = c.aligned(x, y)
	return x, y, err
}

// aligned prepares y to broadcast with x, and checks that the result is bearable.
func (c *nodeCtx) aligned(x, y *gorgonia.Node) (*gorgonia.Node, error) {
	if c.opset < 7 && len(c.in) == 2 {
		var err error
		if y, err = legacyBroadcast(c, x, y); err != nil {
			return nil, err
		}
	}
	return y, c.bearable(x.Shape(), y.Shape())
}

// bearable checks that tensors of two shapes broadcast to one that is not too large.
func (c *nodeCtx) bearable(a, b []int) error {
	s, err := broadcastShape(a, b)
	if err != nil {
		return err
	}
	if _, ok := elements(s, c.b.opts.MaxElements); !ok {
		return fmt.Errorf("its output of shape %v has more than %d elements", s, c.b.opts.MaxElements)
	}
	return nil
}

// arithmetic is Add, Sub, Mul or Div.
func arithmetic(name string) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		x, y, err := c.operands(0, 1)
		if err != nil {
			return err
		}
		z, err := calculate(name, c.elemOf(0), x, y)
		return c.setAs(0, c.elemOf(0), z, err)
	}
}

// calculate applies an arithmetic operator to operands of one type.
func calculate(name string, elem int32, x, y *gorgonia.Node) (*gorgonia.Node, error) {
	if x.Dtype() == tensor.Int64 {
		return ops.Ints(name, x, y, func(a, b int64) (int64, error) { return integer(name, elem, a, b) })
	}
	switch name {
	case "Add":
		return ops.Add(x, y)
	case "Sub":
		return ops.Sub(x, y)
	case "Mul":
		return ops.Mul(x, y)
	}
	return ops.Div(x, y)
}

// integer is an operator on two integers of the type. Division cuts off the fraction, as in the type's own
// arithmetic; the caller wraps the result around.
func integer(name string, elem int32, a, b int64) (int64, error) {
	switch name {
	case "Add":
		return a + b, nil
	case "Sub":
		return a - b, nil
	case "Mul":
		return a * b, nil
	}
	switch {
	case b == 0:
		return 0, fmt.Errorf("an integer division by zero")
	case elem == elemUINT64:
		return int64(uint64(a) / uint64(b)), nil
	}
	return a / b, nil
}

// variadic folds an operator from left to right over any number of operands.
func variadic(name string) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		y, err := c.folded(name)
		return c.setAs(0, c.elemOf(0), y, err)
	}
}

func (c *nodeCtx) folded(name string) (*gorgonia.Node, error) {
	elem := c.elemOf(0)
	y, err := c.any(0)
	for i := 1; i < len(c.in) && err == nil; i++ {
		var x *gorgonia.Node
		if x, err = c.any(i); err != nil {
			break
		}
		if c.elemOf(i) != elem && x.Dtype() != y.Dtype() {
			return nil, fmt.Errorf("operands of types %s and %s", onnxpb.TypeName(elem), onnxpb.TypeName(c.elemOf(i)))
		}
		if err = c.bearable(y.Shape(), x.Shape()); err != nil {
			break
		}
		if name == "Add" {
			y, err = calculate(name, elem, y, x)
			continue
		}
		if x, _, err = ordered(x, elem); err != nil {
			break
		}
		var back func(*gorgonia.Node) (*gorgonia.Node, error)
		if y, back, err = ordered(y, elem); err != nil {
			break
		}
		if y, err = extremum(name, y, x); err == nil {
			y, err = back(y)
		}
	}
	return y, err
}

// extremum is Max or Min of operands of one type.
func extremum(name string, x, y *gorgonia.Node) (*gorgonia.Node, error) {
	switch {
	case x.Dtype() == tensor.Int64 && name == "Max":
		return ops.Ints(name, x, y, func(a, b int64) (int64, error) { return max(a, b), nil })
	case x.Dtype() == tensor.Int64:
		return ops.Ints(name, x, y, func(a, b int64) (int64, error) { return min(a, b), nil })
	case name == "Max":
		return ops.Max(x, y)
	}
	return ops.Min(x, y)
}

// mean is Mean: the sum of its operands divided by their number.
func mean(c *nodeCtx) error {
	y, err := c.folded("Add")
	if err == nil {
		y, err = ops.Scale(y, 1/float64(len(c.in)))
	}
	return c.set(0, y, err)
}

func comparison(name string, less, equal, greater bool) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		x, y, err := c.operands(0, 1)
		if err != nil {
			return err
		}
		if x, _, err = ordered(x, c.elemOf(0)); err != nil {
			return err
		}
		if y, _, err = ordered(y, c.elemOf(0)); err != nil {
			return err
		}
		z, err := ops.Compare(name, x, y, less, equal, greater)
		return c.setAs(0, elemBOOL, z, err)
	}
}

// bitwise is a logical operator, on bools or on the bits of integers.
func bitwise(name string) func(*nodeCtx) error {
	f := map[string]func(a, b int64) (int64, error){
		"And": func(a, b int64) (int64, error) { return a & b, nil },
		"Or":  func(a, b int64) (int64, error) { return a | b, nil },
		"Xor": func(a, b int64) (int64, error) { return a ^ b, nil },
	}[name]
	return func(c *nodeCtx) error {
		x, y, err := c.operands(0, 1)
		if err != nil {
			return err
		}
		z, err := ops.Ints(c.n.GetOpType(), x, y, f)
		return c.setAs(0, c.elemOf(0), z, err)
	}
}

func bitShift(c *nodeCtx) error {
	way, err := c.string("direction", "")
	if err != nil {
		return err
	}
	if way != "LEFT" && way != "RIGHT" {
		return fmt.Errorf("its attribute \"direction\" is %q; it must be LEFT or RIGHT", way)
	}
	x, y, err := c.operands(0, 1)
	if err != nil {
		return err
	}
	elem := c.elemOf(0)
	bits := int64(bitsOf(elem))
	z, err := ops.Ints("BitShift", x, y, func(a, b int64) (int64, error) {
		switch far := uint64(b) >= uint64(bits); {
		case way == "LEFT" && far:
			return 0, nil
		case way == "LEFT":
			return int64(uint64(a) << b), nil
		case elem == elemUINT64 && far:
			return 0, nil
		case elem == elemUINT64:
			return int64(uint64(a) >> b), nil
		case far: // the sign is all that is left
			b = 63
		}
		return a >> b, nil
	})
	return c.setAs(0, elem, z, err)
}

func bitsOf(elem int32) int { return (&onnxpb.TensorProto{DataType: &elem}).Bits() }

// mod is Mod: with fmod the remainder has the sign of the dividend, else that of the divisor.
func mod(c *nodeCtx) error {
	fmod, err := c.bool("fmod", false)
	if err != nil {
		return err
	}
	x, y, err := c.operands(0, 1)
	if err != nil {
		return err
	}
	elem := c.elemOf(0)
	if x.Dtype() != tensor.Int64 {
		z, err := ops.Mod(x, y, !fmod)
		return c.setAs(0, elem, z, err)
	}
	z, err := ops.Ints("Mod", x, y, func(a, b int64) (int64, error) {
		if b == 0 {
			return 0, fmt.Errorf("an integer division by zero")
		}
		if elem == elemUINT64 {
			return int64(uint64(a) % uint64(b)), nil
		}
		r := a % b
		if !fmod && r != 0 && (r < 0) != (b < 0) {
			r += b
		}
		return r, nil
	})
	return c.setAs(0, elem, z, err)
}

// pow is Pow: the result is of the base's type. An exponent that is one number is a constant, not a weight.
func pow(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	elem, isInt := c.elemOf(0), x.Dtype() == tensor.Int64
	if c.has(1) && c.in[1].constant() && !isInt && c.scratch == nil {
		if s, err := c.in[1].dims(); err == nil && product(s) == 1 && len(s) <= x.Dims() {
			p, err := c.scalar(1)
			if err != nil {
				return err
			}
			y, err := ops.PowConst(x, p)
			return c.setAs(0, elem, y, err)
		}
	}
	y, err := c.any(1)
	if err != nil {
		return err
	}
	if y, err = c.aligned(x, y); err != nil {
		return err
	}
	if isInt && y.Dtype() == tensor.Int64 {
		z, err := ops.Ints("Pow", x, y, intPow)
		return c.setAs(0, elem, z, err)
	}
	floats := c.floatType()
	if isInt { // in float64, whose integers go further
		floats = tensor.Float64
		if x, err = castNode(x, elem, elemDOUBLE, floats); err != nil {
			return err
		}
	}
	if y.Dtype() == tensor.Int64 {
		y, err = castNode(y, c.elemOf(1), elemDOUBLE, floats)
	} else {
		y, err = ops.Convert(y, floats)
	}
	if err != nil {
		return err
	}
	z, err := ops.Pow(x, y)
	if err == nil && isInt {
		z, err = castNode(z, elemDOUBLE, elem, floats)
	}
	return c.setAs(0, elem, z, err)
}

// intPow is a to the power of b, modulo 2^64. A negative power is 0 unless a is 1 or -1.
func intPow(a, b int64) (int64, error) {
	if b < 0 {
		switch a {
		case 0:
			return 0, fmt.Errorf("0 to the power of %d", b)
		case 1:
			return 1, nil
		case -1:
			return 1 - 2*(b&1), nil
		}
		return 0, nil
	}
	r := int64(1)
	for ; b > 0; b >>= 1 {
		if b&1 != 0 {
			r *= a
		}
		a *= a
	}
	return r, nil
}

// where is Where: the second operand where the first holds, else the third.
func where(c *nodeCtx) error {
	cond, err := c.any(0)
	if err != nil {
		return err
	}
	x, y, err := c.operands(1, 2)
	if err != nil {
		return err
	}
	s, err := broadcastShape(x.Shape(), y.Shape())
	if err != nil {
		return err
	}
	if err := c.bearable(cond.Shape(), s); err != nil {
		return err
	}
	z, err := ops.Where(cond, x, y)
	return c.setAs(0, c.elemOf(1), z, err)
}
