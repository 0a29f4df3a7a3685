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

func (o *stockAdd) Phases() []int  { return []int{chunks(len0(o.out))} }
func (o *stockAdd) InPlace() []int { return []int{0, 1} }

func (o *stockAdd) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		stockAddPart(floats[float64](out), floats[float64](in[0]), floats[float64](in[1]), part)
	} else {
		stockAddPart(floats[float32](out), floats[float32](in[0]), floats[float32](in[1]), part)
	}
	return nil
}

func stockAddPart[T kernels.Float](z, x, y []T, part int) {
	from, to := span(len(z), chunks(len(z)), part)
	z, x, y = z[from:to], x[from:to], y[from:to]
	for i := range z {
		z[i] = x[i] + y[i]
	}
}
