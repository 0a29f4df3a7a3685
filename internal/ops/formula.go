package ops

import (
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Softmax and Sigmoid that are written out as formulas, as people do who have the formula before them.

// softmaxFormula returns x and the axes of the sum if y is exp(x)/sum(exp(x)) or, as logs tells, x-log(sum(exp(x))); else nil. The
// sum is a ReduceSum that was given its axes back, or one of ReduceLogSum and ReduceLogSumExp; the quotient may be a product with the
// reciprocal.
func softmaxFormula(y *gorgonia.Node) (x *gorgonia.Node, over []bool, logs bool) {
	in := childrenOf(y)
	switch binaryName(y) {
	case "Div":
		x, over = expOverSum(in[0], in[1])
		return x, over, false
	case "Mul":
		for i, n := range in {
			if d := reciprocalOf(n); d != nil {
				if x, over = expOverSum(in[1-i], d); x != nil {
					return x, over, false
				}
			}
		}
	case "Sub":
		if s, over := sumOf(in[1], in[0].Shape()); s != nil && logSumExp(s, in[0]) {
			return in[0], over, true
		}
	}
	return nil, nil, false
}

// expOverSum returns x and the axes of the sum if e is exp(x), and d their sum.
func expOverSum(e, d *gorgonia.Node) (x *gorgonia.Node, over []bool) {
	if unaryName(e) != "Exp" {
		return nil, nil
	}
	s, over := sumOf(d, e.Shape())
	if o, ok := opOf[*reduce](s); !ok || o.factor != 1 || !alike(childrenOf(s)[0], e) {
		return nil, nil
	}
	return childrenOf(e)[0], over
}

// logSumExp tells whether s is log(sum(exp(x))).
func logSumExp(s, x *gorgonia.Node) bool {
	inner := childrenOf(s)[0]
	switch o := s.Op().(type) {
	case *unary: // Log of a ReduceSum
		inner = childrenOf(inner)[0]
	case *aggregate:
		if o.name == "ReduceLogSumExp" {
			return alike(inner, x)
		}
		if o.name != "ReduceLogSum" {
			return false
		}
	default:
		return false
	}
	return unaryName(inner) == "Exp" && alike(childrenOf(inner)[0], x)
}

// negligible is the most that may be added to a sum of exponentials, against a division by 0.
const negligible = 1e-5

// sumOf returns the ReduceSum, its Log, or the other reduction that d is, of a tensor of the given shape, and the axes that it is over. The axes must
// have come back with one element each, or with all by an Expand, so that d is broadcast along them. It is nil if d is nothing of that kind.
func sumOf(d *gorgonia.Node, shape tensor.Shape) (s *gorgonia.Node, over []bool) {
	if o, ok := opOf[*region](d); ok && o.name == "Expand" && sameShape(d.Shape(), shape) {
		d = childrenOf(d)[0]
	}
	if in := childrenOf(d); binaryName(d) == "Add" && sameShape(in[0].Shape(), d.Shape()) {
		if v, ok := number(in[1]); ok && v >= 0 && v <= negligible {
			d = in[0]
		}
	}
	kept := d.Shape() // with the axes of the sum as 1
	for s = d; ; s = childrenOf(s)[0] {
		if _, ok := s.Op().(*view); !ok || len0(childrenOf(s)[0].Shape()) != len0(s.Shape()) {
			break
		}
	}
	r := s
	if unaryName(s) == "Log" {
		r = childrenOf(s)[0]
	}
	switch o := r.Op().(type) {
	case *reduce:
		if o.factor != 1 {
			return nil, nil
		}
		over = o.over
	case *aggregate:
		over = o.over
	default:
		return nil, nil
	}
	if !sameShape(childrenOf(r)[0].Shape(), shape) {
		return nil, nil
	}
	want := shape.Clone()
	for a := range want {
		if over[a] {
			want[a] = 1
		}
	}
	if lack := len(want) - len(kept); lack < 0 || !sameShape(want[lack:], kept) || len0(want[:lack]) != 1 {
		return nil, nil
	}
	return s, over
}

// reciprocalOf returns x if n is 1/x, else nil.
func reciprocalOf(n *gorgonia.Node) *gorgonia.Node {
	in := childrenOf(n)
	if unaryName(n) == "Reciprocal" || binaryName(n) == "Div" && isNumber(in[0], 1) {
		return in[len(in)-1]
	}
	return nil
}

// sigmoidFormula returns x if y is 1/(1+exp(-x)), or -x and minus where no operator gives x; nil if it is something else.
func sigmoidFormula(y *gorgonia.Node) (x *gorgonia.Node, minus bool) {
	d := reciprocalOf(y)
	if d == nil || binaryName(d) != "Add" {
		return nil, false
	}
	in := childrenOf(d)
	for i, e := range in {
		if unaryName(e) != "Exp" || !isNumber(in[1-i], 1) || !sameShape(e.Shape(), y.Shape()) {
			continue
		}
		x = childrenOf(e)[0]
		if unaryName(x) == "Neg" {
			return childrenOf(x)[0], false
		}
		return x, true
	}
	return nil, false
}

// withoutShift returns a if x is a-b and b is the same along an axis, as the greatest element is, which no softmax along that depends on; else x.
func withoutShift(x *gorgonia.Node, axis int) *gorgonia.Node {
	if binaryName(x) != "Sub" {
		return x
	}
	in := childrenOf(x)
	a, b := in[0], in[1]
	if o, ok := opOf[*region](b); ok && o.name == "Expand" && sameShape(b.Shape(), x.Shape()) {
		b = childrenOf(b)[0]
	}
	at := axis - (x.Dims() - b.Dims())
	if !sameShape(a.Shape(), x.Shape()) || at >= 0 && b.Shape()[at] != 1 {
		return x
	}
	return a
}

// alike tells whether two nodes give the same numbers: they are one, or the same operators of those that occur in a softmax.
func alike(a, b *gorgonia.Node) bool { return alikeTo(a, b, 8) }

func alikeTo(a, b *gorgonia.Node, depth int) bool {
	if a == b {
		return true
	}
	if depth == 0 || !sameShape(a.Shape(), b.Shape()) {
		return false
	}
	switch o := a.Op().(type) {
	case nil: // numbers of the program's text
		v, ok := number(a)
		return ok && isNumber(b, v)
	case *unary:
		if o.name != "Exp" && o.name != "Neg" || unaryName(b) != o.name {
			return false
		}
	case *binary:
		if binaryName(b) != o.name {
			return false
		}
	case *aggregate:
		if p, ok := b.Op().(*aggregate); !ok || o.name != p.name || o.name != "ReduceMax" || !slices.Equal(o.over, p.over) {
			return false
		}
	case *view:
		if p, ok := b.Op().(*view); !ok || o.offset != p.offset {
			return false
		}
	default:
		return false
	}
	bs := childrenOf(b)
	for i, c := range childrenOf(a) {
		if !alikeTo(c, bs[i], depth-1) {
			return false
		}
	}
	return true
}

// opOf returns the operator of n, if n is not nil and the operator is a T.
func opOf[T gorgonia.Op](n *gorgonia.Node) (op T, ok bool) {
	if n != nil {
		op, ok = n.Op().(T)
	}
	return op, ok
}

// unaryName is the name of a unary operator, binaryName of a binary one; "" of others.
func unaryName(n *gorgonia.Node) string {
	if o, ok := opOf[*unary](n); ok {
		return o.name
	}
	return ""
}

func binaryName(n *gorgonia.Node) string {
	if o, ok := opOf[*binary](n); ok {
		return o.name
	}
	return ""
}

// number returns the one number of a constant of one float.
func number(n *gorgonia.Node) (v float64, ok bool) {
	if n.Op() != nil || n.Value() == nil || len0(n.Shape()) != 1 {
		return 0, false
	}
	b, err := FromValue(n.Value())
	switch {
	case err != nil:
		return 0, false
	case b.F64 != nil:
		return b.F64[0], true
	case b.F32 != nil:
		return float64(b.F32[0]), true
	}
	return 0, false
}

func isNumber(n *gorgonia.Node, want float64) bool {
	v, ok := number(n)
	return ok && v == want
}
