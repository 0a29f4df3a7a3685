package ops

import (
	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// LSTM returns the outputs of a long short-term memory, nil where not wanted (ONNX LSTM with the default
// activations, without peepholes). The gates are in the order i, o, f, c:
//
//	i, o, f = sigmoid(W x + R h + b)   g = tanh(W x + R h + b)   c' = f*c + i*g   h' = o*tanh(c')
func LSTM(r Recurrent) (y, yh, yc *gorgonia.Node, err error) {
	out, err := r.outputs("LSTM", lstmCell)
	return out[0], out[1], out[2], err
}

// Gates of an LSTM.
const (
	lstmI = iota
	lstmO
	lstmF
	lstmG
)

func lstmStep[T kernels.Float](o *sequenceForward, v *stepView[T], packed, bias, own []T) {
	v.multiply(o, 0, 4, v.before, packed, own)
	whole := v.h1-v.h0 == v.h
	for r := range v.n1 - v.n0 {
		c, before := v.row(v.cell, r), v.row(v.cellBefore, r)
		if !v.active(r) {
			copy(c, before)
			clear(v.row(v.tanh, r))
			continue
		}
		if whole {
			all := at(v.gates, r*v.m, v.m)
			kernels.Add(all, all, bias)
			kernels.Sigmoid(all[:lstmG*v.h], all[:lstmG*v.h])
		} else {
			for k := range lstmG + 1 {
				g := v.gate(r, k)
				kernels.Add(g, g, bias[k*v.h+v.h0:k*v.h+v.h1])
				if k != lstmG {
					kernels.Sigmoid(g, g)
				}
			}
		}
		g, t := v.gate(r, lstmG), v.row(v.tanh, r)
		kernels.Tanh(g, g)
		kernels.LSTMCell(c, before, v.gate(r, lstmI), v.gate(r, lstmF), g)
		kernels.Tanh(t, c)
		kernels.Mul(v.row(v.after, r), v.gate(r, lstmO), t)
	}
}

// lstmBack is the derivative of lstmStep: from that by h' (dh) and by c' (dc, becomes that by c) to that by the
// arguments of the gates (da).
func lstmBack[T kernels.Float](v *stepView[T], r int, da, dh, dc []T) {
	kernels.LSTMCellGrad(v.cutGate(da, r, lstmI), v.cutGate(da, r, lstmO), v.cutGate(da, r, lstmF), v.cutGate(da, r, lstmG), dc, dh,
		v.gate(r, lstmI), v.gate(r, lstmO), v.gate(r, lstmF), v.gate(r, lstmG), v.row(v.tanh, r), v.row(v.cellBefore, r))
	clear(dh)
}
