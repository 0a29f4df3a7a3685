package ops

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// stockAdd computes what Gorgonia's own elementwise sum does.
type stockAdd struct{ base }

// StockAdd returns an operator that computes n, which is Gorgonia's sum of two nodes of n's shape. It is
// for running only and is in no graph.
func StockAdd(n *gorgonia.Node) Op {
	s := n.Shape()
	o := &stockAdd{base{name: "Add", out: s, dt: n.Dtype(), in: []tensor.Shape{s, s}, inDt: []tensor.Dtype{n.Dtype(), n.Dtype()}}}
	o.self = o
	return o
}

// Name is the name of what a node computes.
func Name(n *gorgonia.Node) string {
	op := n.Op()
	if op == nil {
		return n.Name() // an input
	}
	if name := op.String(); name != "+ false" { // Gorgonia's sum where derivatives meet
		return name
	}
	return "Add"
}

func (o *stockAdd) Phases() []int  { return []int{chunks(len0(o.out))} }
func (o *stockAdd) InPlace() []int { return []int{0, 1} }

func (o *stockAdd) Run(env *Env, _, _, part int, out *Buf, in []*Buf) error {
	n := len0(o.out)
	from, to := span(n, chunks(n), part)
	return o.elements(env, from, to, out, in)
}

func (o *stockAdd) elements(_ *Env, from, to int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		kernels.Add(out.F64[from:to], in[0].F64[from:to], in[1].F64[from:to])
	} else {
		kernels.Add(out.F32[from:to], in[0].F32[from:to], in[1].F32[from:to])
	}
	return nil
}
