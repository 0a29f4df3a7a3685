package ops

import (
	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// LSTM returns the outputs of a long short-term memory, nil where not wanted (ONNX LSTM). The gates are in the
// order i, o, f, c; with the default activations
//
//	i, o, f = sigmoid(W x + R h + b)   g = tanh(W x + R h + b)   c' = f*c + i*g   h' = o*tanh(c')
//
// With peepholes P*c is added to the arguments of i and f, and P*c' to that of o.
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

func lstmStep[T kernels.Float](o *sequenceForward, v *stepView[T], packed, own []T) {
	v.multiply(o, 0, 4, v.before, packed, own)
	for r := range v.n1 - v.n0 {
		c, before := v.row(v.cell, r), v.row(v.cellBefore, r)
		if !v.active(r) {
			copy(c, before)
			clear(v.row(v.tanh, r))
			continue
		}
		if !o.plain {
			lstmCellOf(o.sequence, v, r)
			continue
		}
		kernels.LSTMStep(v.gates[r*v.m+v.h0:], v.addend(r)[v.h0:], v.h, before, c, v.row(v.tanh, r), v.row(v.after, r))
	}
}

// lstmCellOf is a row of lstmStep for any activations, with peepholes and coupled gates.
func lstmCellOf[T kernels.Float](s *sequence, v *stepView[T], r int) {
	bias := v.addend(r)
	c, before := v.row(v.cell, r), v.row(v.cellBefore, r)
	i, o, f, g := v.gate(r, lstmI), v.gate(r, lstmO), v.gate(r, lstmF), v.gate(r, lstmG)
	for k, gate := range [][]T{lstmI: i, lstmO: o, lstmF: f, lstmG: g} {
		kernels.Add(gate, gate, v.biasOf(bias, k))
	}
	if v.peephole != nil {
		kernels.MulAdd(i, v.biasOf(v.peephole, lstmI), before)
		kernels.MulAdd(f, v.biasOf(v.peephole, lstmF), before)
	}
	kernels.Activate(v.f, i, i)
	if s.coupled {
		kernels.ScalarSub(f, 1, i)
	} else {
		kernels.Activate(v.f, f, f)
	}
	kernels.Activate(v.g, g, g)
	kernels.LSTMCell(c, before, i, f, g)
	if v.peephole != nil {
		kernels.MulAdd(o, v.biasOf(v.peephole, lstmO), c)
	}
	kernels.Activate(v.f, o, o)
	t := v.row(v.tanh, r)
	kernels.Activate(v.act, t, c)
	kernels.Mul(v.row(v.after, r), o, t)
}

// biasOf returns the block's part of a vector with h elements a gate.
func (v *stepView[T]) biasOf(bias []T, gate int) []T { return bias[gate*v.h+v.h0 : gate*v.h+v.h1] }

// lstmBack is the derivative of lstmStep: from that by h' (dh, used up) and by c' (dc, becomes that by c) to that by the
// arguments of the gates (da).
func lstmBack[T kernels.Float](s *sequence, v *stepView[T], r int, da, dh, dc []T) {
	t, before := v.row(v.tanh, r), v.row(v.cellBefore, r)
	if s.plain {
		kernels.LSTMGrad(da[r*v.m+v.h0:], v.gates[r*v.m+v.h0:], v.h, dc, dh, t, before)
		return
	}
	dI, dO, dF, dG := v.cutGate(da, r, lstmI), v.cutGate(da, r, lstmO), v.cutGate(da, r, lstmF), v.cutGate(da, r, lstmG)
	i, o, f, g := v.gate(r, lstmI), v.gate(r, lstmO), v.gate(r, lstmF), v.gate(r, lstmG)
	kernels.Mul(dO, dh, t)
	kernels.ActivateGrad(v.f, dO, o, dO)
	kernels.Mul(dh, dh, o)
	kernels.ActivateGrad(v.act, dh, t, dh)
	kernels.Add(dc, dc, dh)
	if v.peephole != nil {
		kernels.MulAdd(dc, dO, v.biasOf(v.peephole, lstmO))
	}
	kernels.Mul(dI, dc, g)
	kernels.Mul(dF, dc, before)
	kernels.Mul(dG, dc, i)
	if s.coupled {
		kernels.Sub(dI, dI, dF)
		clear(dF)
	} else {
		kernels.ActivateGrad(v.f, dF, f, dF)
	}
	kernels.ActivateGrad(v.f, dI, i, dI)
	kernels.ActivateGrad(v.g, dG, g, dG)
	kernels.Mul(dc, dc, f)
	if v.peephole != nil {
		kernels.MulAdd(dc, dI, v.biasOf(v.peephole, lstmI))
		kernels.MulAdd(dc, dF, v.biasOf(v.peephole, lstmF))
	}
}
