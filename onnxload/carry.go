package onnxload

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// carry gives a recurrent node that begins with zeros initial states from outside, if the graph is to carry states,
// and has it compute the last ones. A direction that starts at the end of a window knows no window before; a body
// of a loop is no node of its own.
func (c *nodeCtx) carry(r *ops.Recurrent, cells bool) []State {
	if !c.b.opts.Carry || c.scope != nil || c.scratch != nil || r.Direction != "forward" || r.H0 != nil || r.C0 != nil || r.Lens != nil {
		return nil
	}
	x, w := r.X.Shape(), r.R.Shape()
	if len(x) != 3 || len(w) != 3 {
		return nil // the operator will say so
	}
	state := func(what string) (State, *gorgonia.Node) {
		name := fmt.Sprintf("%s.%s", shownName(c.n, c.index), what)
		in := c.b.input(c.b.unique(name), c.b.opts.Dtype, []int{w[0], x[1], w[2]})
		return State{Name: name, In: in}, in
	}
	var states []State
	h, in := state("initial_h")
	r.H0, r.Want[1], states = in, true, append(states, h)
	if cells {
		s, in := state("initial_c")
		r.C0, r.Want[2], states = in, true, append(states, s)
	}
	return states
}

// pairStates makes states of the inputs and outputs that the file has for them: an input of floats beside one of
// integers, and the first output besides the trained one that has its shape and is not taken yet.
func (n *Net) pairStates() {
	integers := false
	for _, in := range n.Inputs {
		integers = integers || in.Dtype() == tensor.Int64
	}
	if !integers {
		return
	}
	taken := make([]bool, len(n.Outputs))
	var others gorgonia.Nodes
	for _, in := range n.Inputs {
		pair := -1
		for k := 0; k < len(n.Outputs) && pair < 0 && in.Dtype() != tensor.Int64; k++ {
			if k != n.Output() && !taken[k] && n.Outputs[k].Dtype() == in.Dtype() && n.Outputs[k].Shape().Eq(in.Shape()) {
				pair = k
			}
		}
		if pair < 0 {
			others = append(others, in)
			continue
		}
		taken[pair] = true
		n.States = append(n.States, State{Name: in.Name(), In: in, Out: n.Outputs[pair]})
	}
	n.Inputs = others
}
