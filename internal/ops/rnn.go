package ops

import (
	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// RNN returns the outputs of a simple recurrent network, nil where not wanted (ONNX RNN); with the default
// activation
//
//	h' = tanh(W x + R h + b)
func RNN(r Recurrent) (y, yh *gorgonia.Node, err error) {
	out, err := r.outputs("RNN", rnnCell)
	return out[0], out[1], err
}

func rnnStep[T kernels.Float](o *sequenceForward, v *stepView[T], packed, own []T) {
	v.multiply(o, 0, 1, v.before, packed, own)
	for r := range v.n1 - v.n0 {
		g := v.gate(r, 0)
		kernels.Add(g, g, v.addend(r)[v.h0:v.h1])
		kernels.Activate(v.f, v.row(v.after, r), g)
	}
}

// rnnBack is the derivative of rnnStep.
func rnnBack[T kernels.Float](v *stepView[T], r int, da, dh []T) {
	kernels.ActivateGrad(v.f, v.cutGate(da, r, 0), v.row(v.after, r), dh)
}
