package ops

import (
	"math"
	"slices"

	"gorgonia.org/gorgonia"
)

// nearlyOne is how close to 0 and 1 the bounds of a Clip of probabilities must come to be passed over.
const nearlyOne = 1e-3

// A trail leads from an output back over operators that only reorder its elements, clip probabilities where they are 0 and 1 within
// nearlyOne, round them to numbers of 16 bits, or take the logarithm or the exponential of each.
type trail struct {
	n      *gorgonia.Node   // where it has come to
	passed []*gorgonia.Node // what was passed, the last operator first
	lo, hi float64          // bounds of what n gives, of the Clips that were passed
	logs   int              // logarithms that were passed, less the exponentials
}

func newTrail(y *gorgonia.Node) *trail { return &trail{n: y, lo: math.Inf(-1), hi: math.Inf(1)} }

// back goes over one operator, if it is such a one. It returns how an axis of the result is one of the operand: -1 if it is none.
func (t *trail) back() (axis func(int) int, ok bool) {
	in := childrenOf(t.n)
	if len(in) == 0 {
		return nil, false
	}
	operand := in[0]
	from, to := t.n.Shape(), operand.Shape()
	axis = func(a int) int { return a }
	switch o := t.n.Op().(type) {
	case *view:
		if len0(from) != len0(to) {
			return nil, false
		}
		axis = func(a int) int { // the one with as many numbers before it, along it and behind it
			for b := range to {
				if columnsOf(to, b) == columnsOf(from, a) {
					return b
				}
			}
			return -1
		}
	case *region:
		if o.perm == nil || o.name != "Transpose" {
			return nil, false
		}
		axis = func(a int) int { return o.perm[a] }
	case *unary:
		switch {
		case o.clip != nil:
			t.lo, t.hi = max(t.lo, o.clip[0]), min(t.hi, o.clip[1])
		case o.name == "Log":
			t.lo, t.hi = math.Exp(t.lo), math.Exp(t.hi)
			t.logs++
		case o.name == "Exp":
			t.lo, t.hi = math.Log(max(t.lo, 0)), math.Log(max(t.hi, 0))
			t.logs--
		case o.name == "Round16":
		default:
			return nil, false
		}
	default:
		return nil, false
	}
	t.passed = append(t.passed, t.n)
	t.n = operand
	return axis, true
}

// narrow tells whether the Clips that were passed change probabilities, or their logarithms if logs.
func (t *trail) narrow(logs bool) bool { return narrow(t.lo, t.hi, logs) }

func narrow(lo, hi float64, logs bool) bool {
	if logs {
		return lo > math.Log(nearlyOne) || hi < math.Log(1-nearlyOne)
	}
	return lo > nearlyOne || hi < 1-nearlyOne
}

// again puts x in the order of the output that the trail comes from, without what it did to each element.
func (t *trail) again(x *gorgonia.Node) (y *gorgonia.Node, err error) {
	for _, n := range slices.Backward(t.passed) {
		switch o := n.Op().(type) {
		case *view:
			x, err = Reshape(x, n.Shape())
		case *region:
			x, err = Transpose(x, o.perm)
		}
		if err != nil {
			return nil, err
		}
	}
	return x, nil
}

// softmax follows the trail of y to a softmax along axis. It returns the logits in the order that they have there, and what y is:
// Softmax or LogSoftmax; "" if there is none.
func softmax(y *gorgonia.Node, axis int) (t *trail, x *gorgonia.Node, name string) {
	t = newTrail(y)
	for axis >= 0 && axis < t.n.Dims() {
		if x, logs := softmaxOf(t.n, axis); x != nil && !t.narrow(logs) {
			switch {
			case !logs && t.logs == 0 || logs && t.logs == -1:
				return t, x, "Softmax"
			case logs && t.logs == 0 || !logs && t.logs == 1:
				return t, x, "LogSoftmax"
			}
		}
		next, ok := t.back()
		if !ok {
			break
		}
		axis = next(axis)
	}
	return t, nil, ""
}

// softmaxOf returns what n is the softmax of along axis, and whether n is its logarithm; nil if n is neither.
func softmaxOf(n *gorgonia.Node, axis int) (x *gorgonia.Node, logs bool) {
	if o, ok := n.Op().(*along); ok && !o.derivative && o.columns == columnsOf(n.Shape(), axis) {
		if logs = o.name == "LogSoftmax"; logs || o.name == "Softmax" {
			return childrenOf(n)[0], logs
		}
		return nil, false
	}
	x, over, logs := softmaxFormula(n)
	if x == nil {
		return nil, false
	}
	for a, reduced := range over {
		if reduced != (a == axis) {
			return nil, false
		}
	}
	return withoutShift(x, axis), logs
}

// EndsIn returns "Softmax" or "LogSoftmax" if y is that along axis, which is not negative; else "". It may be one operator or made of
// several: exp(x)/sum(exp(x)), x-log(sum(exp(x))), with any number that is the same along axis taken from x. Operators may follow that
// only reorder its elements and keep the axis (Reshape, Transpose), a Log or Exp, and a Clip to bounds within 0.001 of 0 and 1.
func EndsIn(y *gorgonia.Node, axis int) string {
	_, _, name := softmax(y, axis)
	return name
}

// Logits returns what EndsIn's Softmax or LogSoftmax reads, in y's shape and order, and which of the two y is; y itself and no
// name if there is none.
func Logits(y *gorgonia.Node, axis int) (x *gorgonia.Node, name string, err error) {
	t, x, name := softmax(y, axis)
	if name == "" {
		return y, "", nil
	}
	x, err = t.again(x)
	return x, name, err
}

// sigmoid follows the trail of y to a Sigmoid, of x or, if minus, of -x.
func sigmoid(y *gorgonia.Node) (t *trail, x *gorgonia.Node, minus bool) {
	for t = newTrail(y); ; {
		if x, minus = sigmoidOf(t.n); x != nil {
			if t.logs != 0 || t.narrow(false) {
				return t, nil, false
			}
			return t, x, minus
		}
		if _, ok := t.back(); !ok {
			return t, nil, false
		}
	}
}

// sigmoidOf returns x if n is the Sigmoid of x or, if minus, of -x; else nil.
func sigmoidOf(n *gorgonia.Node) (x *gorgonia.Node, minus bool) {
	if o, ok := n.Op().(*unary); ok && o.name == "Sigmoid" {
		return childrenOf(n)[0], false
	}
	return sigmoidFormula(n)
}

// EndsInSigmoid tells whether y is a Sigmoid, one operator or 1/(1+exp(-x)); operators may follow that only reorder its elements, and a Clip
// to bounds within 0.001 of 0 and 1.
func EndsInSigmoid(y *gorgonia.Node) bool {
	_, x, _ := sigmoid(y)
	return x != nil
}

// BinaryLogits returns what EndsInSigmoid's Sigmoid reads, in y's shape and order, or y itself if there is none.
func BinaryLogits(y *gorgonia.Node) (x *gorgonia.Node, err error) {
	t, x, minus := sigmoid(y)
	if x == nil {
		return y, nil
	}
	if minus {
		if x, err = Neg(x); err != nil {
			return nil, err
		}
	}
	return t.again(x)
}

// Scores returns what a loss of this package is computed from, and whether it is BinaryCrossEntropy; nil for another node.
func Scores(loss *gorgonia.Node) (x *gorgonia.Node, binary bool) {
	switch o := loss.Op().(type) {
	case *classes:
		return childrenOf(loss)[0], false
	case *elementLoss:
		return childrenOf(loss)[0], o.name == "BinaryCrossEntropy"
	}
	return nil, false
}

// OutputOrder puts dx, the derivative of loss by its Scores, into the order of the output that the loss was made for.
func OutputOrder(loss, dx *gorgonia.Node) (*gorgonia.Node, error) {
	o, ok := loss.Op().(*classes)
	if !ok || o.from.perm == nil {
		return dx, nil
	}
	return Transpose(dx, append(slices.Clone(o.from.perm), len(o.from.perm)))
}
