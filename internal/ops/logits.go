package ops

import (
	"slices"

	"gorgonia.org/gorgonia"
)

// nearlyOne is how close to 0 and 1 the bounds of a Clip of probabilities must come to be passed over.
const nearlyOne = 1e-3

// A trail leads from an output back over operators that only reorder its elements, or clip probabilities where they are 0
// and 1 within nearlyOne.
type trail struct {
	n       *gorgonia.Node   // where it has come to
	passed  []*gorgonia.Node // what was passed, the last operator first
	clipped bool
}

// back goes over one operator, if it is such a one. It returns how an axis of the result is one of the operand: -1 if it is none.
func (t *trail) back() (axis func(int) int, ok bool) {
	in := childrenOf(t.n)
	if len(in) == 0 {
		return nil, false
	}
	operand := in[0]
	from, to := t.n.Shape(), operand.Shape()
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
		if o.clip == nil || o.clip[0] > nearlyOne || o.clip[1] < 1-nearlyOne {
			return nil, false
		}
		t.clipped = true
		axis = func(a int) int { return a }
	default:
		return nil, false
	}
	t.passed = append(t.passed, t.n)
	t.n = operand
	return axis, true
}

// again puts x in the order of the output that the trail comes from, without the clipping.
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

// softmax follows the trail of y to a Softmax or LogSoftmax along axis, and returns its name; "" if there is none.
func softmax(y *gorgonia.Node, axis int) (t *trail, name string) {
	t = &trail{n: y}
	for axis >= 0 && axis < t.n.Dims() {
		if o, ok := t.n.Op().(*along); ok && !o.derivative && o.columns == columnsOf(t.n.Shape(), axis) &&
			(o.name == "Softmax" || o.name == "LogSoftmax" && !t.clipped) {
			return t, o.name
		}
		next, ok := t.back()
		if !ok {
			break
		}
		axis = next(axis)
	}
	return t, ""
}

// EndsIn returns "Softmax" or "LogSoftmax" if y is that along axis, which is not negative; else "". Operators may follow
// that only reorder its elements and keep the axis (Reshape, Transpose), and a Clip to bounds within 0.001 of 0 and 1.
func EndsIn(y *gorgonia.Node, axis int) string {
	_, name := softmax(y, axis)
	return name
}

// Logits returns what EndsIn's Softmax or LogSoftmax reads, in y's shape and order, and which of the two it is; y itself and no
// name if there is none.
func Logits(y *gorgonia.Node, axis int) (x *gorgonia.Node, name string, err error) {
	t, name := softmax(y, axis)
	if name == "" {
		return y, "", nil
	}
	x, err = t.again(childrenOf(t.n)[0])
	return x, name, err
}

// sigmoid follows the trail of y to a Sigmoid.
func sigmoid(y *gorgonia.Node) (t *trail, ok bool) {
	for t = (&trail{n: y}); ; {
		if o, ok := t.n.Op().(*unary); ok && o.name == "Sigmoid" {
			return t, true
		}
		if _, ok := t.back(); !ok {
			return t, false
		}
	}
}

// EndsInSigmoid tells whether y is a Sigmoid; the operators that EndsIn allows may follow.
func EndsInSigmoid(y *gorgonia.Node) bool {
	_, ok := sigmoid(y)
	return ok
}

// BinaryLogits returns what EndsInSigmoid's Sigmoid reads, in y's shape and order, or y itself if there is none.
func BinaryLogits(y *gorgonia.Node) (x *gorgonia.Node, err error) {
	t, ok := sigmoid(y)
	if !ok {
		return y, nil
	}
	return t.again(childrenOf(t.n)[0])
}

// Squashed returns the name of the Softmax, LogSoftmax or Sigmoid from which y comes by operators that take each element by
// itself, reorder them or leave some out; "" if there is none.
func Squashed(y *gorgonia.Node) string {
	for n := y; ; n = childrenOf(n)[0] {
		switch o := n.Op().(type) {
		case *along:
			if o.derivative {
				return ""
			}
			return o.name
		case *unary:
			switch o.name {
			case "Sigmoid":
				return o.name
			case "Log": // scores again
				return ""
			}
		case *view, *region:
		default:
			return ""
		}
	}
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
