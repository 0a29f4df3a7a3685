package ops

import "gorgonia.org/gorgonia"

// A Squash is a Softmax, LogSoftmax, Sigmoid, HardSigmoid or Cast of integers from which a tensor comes without a layer between.
type Squash struct {
	Name string // "" for none
	Node *gorgonia.Node
	// Log tells that the tensor is a logarithm of what is squashed.
	Log bool
}

// Squashed returns what y comes from by operators that take each element by itself, reorder, choose, join or average elements, or calculate with
// constants or others of the kind. Numbers of the data, of weights and of layers of weights make it another tensor.
func Squashed(y *gorgonia.Node) Squash { return squashes{}.of(y) }

// squashes remembers what was found, as values are read more than once.
type squashes map[*gorgonia.Node]Squash

func (m squashes) of(n *gorgonia.Node) Squash {
	s, ok := m[n]
	if !ok {
		s = m.find(n)
		m[n] = s
	}
	return s
}

func (m squashes) find(n *gorgonia.Node) Squash {
	in := childrenOf(n)
	if x, _, logs := softmaxFormula(n); x != nil {
		return Squash{"Softmax", n, logs}
	}
	if x, _ := sigmoidOf(n); x != nil {
		return Squash{"Sigmoid", n, false}
	}
	switch o := n.Op().(type) {
	case *along:
		if !o.derivative && (o.name == "Softmax" || o.name == "LogSoftmax") {
			return Squash{o.name, n, o.name == "LogSoftmax"}
		}
	case *unary:
		if o.name == "HardSigmoid" {
			return Squash{o.name, n, false}
		}
		s := m.of(in[0])
		switch {
		case o.name == "Log" && s.Log: // no logarithm of anything known
			return Squash{}
		case o.name == "Log":
			s.Log = true
		case o.clip != nil:
			s.Log = s.Log && !narrow(o.clip[0], o.clip[1], true)
		case o.name != "Scale" && o.name != "Round16":
			s.Log = false
		}
		return s
	case *view, *region, *reduce, *resample, *pool, *gather, *take:
		return m.of(in[0])
	case *aggregate:
		s := m.of(in[0])
		s.Log = s.Log || o.name == "ReduceLogSum"
		return s
	case *zip:
		if len(in) == 1 && !isFloat(in[0].Dtype()) {
			return Squash{"Cast of integers", n, false}
		}
		return m.all(in)
	case *concat:
		return m.all(in)
	case *binary:
		s := m.all(in)
		s.Log = s.Log && !(o.name == "Sub" && isConstant(in[0])) // whose order it turns round
		return s
	}
	return Squash{}
}

// all is what several operands come from, if all that are not constants come from something.
func (m squashes) all(in []*gorgonia.Node) (s Squash) {
	for _, n := range in {
		if isConstant(n) || !isFloat(n.Dtype()) { // integers say what to choose
			continue
		}
		switch t := m.of(n); {
		case t.Name == "":
			return Squash{}
		case s.Name == "":
			s = t
		default:
			s.Log = s.Log && t.Log
		}
	}
	return s
}

// isConstant tells whether n is a constant that perhaps is arranged in another way.
func isConstant(n *gorgonia.Node) bool {
	for {
		switch n.Op().(type) {
		case nil:
			return n.Value() != nil
		case *view, *region:
			n = childrenOf(n)[0]
		default:
			return false
		}
	}
}
