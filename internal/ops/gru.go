package ops

import (
	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// GRU returns the outputs of a gated recurrent unit, nil where not wanted (ONNX GRU). The gates are in the order
// z, r, h, the last here called n; with the default activations
//
//	z, r = sigmoid(W x + R h + b)   n = tanh(W x + R (r*h) + b)   h' = (1-z)*n + z*h
//
// or with LinearBeforeReset, as PyTorch has it, n = tanh(W x + b + r*(R h + b')).
func GRU(r Recurrent) (y, yh *gorgonia.Node, err error) {
	kind := gruCell
	if r.LinearBeforeReset {
		kind = gruLinear
	}
	out, err := r.outputs("GRU", kind)
	return out[0], out[1], err
}

// Gates of a GRU.
const (
	gruZ = iota
	gruR
	gruN
)

// gruGates is the first stage: z, r and r*h.
func gruGates[T kernels.Float](o *sequenceForward, v *stepView[T], packed, own []T) {
	v.multiply(o, gruZ, gruN, v.before, packed, own)
	for r := range v.n1 - v.n0 {
		v.sigmoids(r)
		kernels.Mul(v.row(v.mixed, r), v.gate(r, gruR), v.row(v.before, r))
	}
}

// gruStep is the second stage.
func gruStep[T kernels.Float](o *sequenceForward, v *stepView[T], packed, own []T) {
	v.multiply(o, gruN, gruN+1, v.mixed, packed, own)
	for r := range v.n1 - v.n0 {
		v.gruState(r)
	}
}

// gruLinearStep has biasR under r, nil for none.
func gruLinearStep[T kernels.Float](o *sequenceForward, v *stepView[T], packed, biasR, own []T) {
	v.multiply(o, gruZ, gruN, v.before, packed, own)
	kernels.MulPacked(&o.recur, gruN, gruN+1, v.n1-v.n0, v.h0, v.h1, v.before, v.h, packed, v.mixed[v.h0:], v.h, v.h, false, nil, own)
	for r := range v.n1 - v.n0 {
		v.sigmoids(r)
		q := v.row(v.mixed, r)
		if biasR != nil {
			kernels.Add(q, q, biasR[v.h0:v.h1])
		}
		if n := v.gate(r, gruN); o.table > 0 {
			kernels.Mul(n, v.gate(r, gruR), q)
		} else {
			kernels.MulAdd(n, v.gate(r, gruR), q)
		}
		v.gruState(r)
	}
}

// sigmoids computes z and r of a row from the products.
func (v *stepView[T]) sigmoids(r int) {
	bias := v.addend(r)
	for k := gruZ; k <= gruR; k++ {
		g := v.gate(r, k)
		kernels.Add(g, g, v.biasOf(bias, k))
		kernels.Activate(v.f, g, g)
	}
}

// gruState computes n and h' of a row.
func (v *stepView[T]) gruState(r int) {
	n := v.gate(r, gruN)
	kernels.Add(n, n, v.biasOf(v.addend(r), gruN))
	kernels.Activate(v.g, n, n)
	kernels.GRUCell(v.row(v.after, r), v.gate(r, gruZ), n, v.row(v.before, r))
}

// gruBack is the derivative of gruStep but for what goes through R, and of gruLinearStep: from that by h' (dh,
// becomes the part of that by h that goes through z) to that by the arguments of the gates: da, and daR as R's
// product sees it.
func gruBack[T kernels.Float](s *sequence, v *stepView[T], r int, da, daR, dh []T) {
	dz, dn := v.cutGate(da, r, gruZ), v.cutGate(da, r, gruN)
	z, n, before := v.gate(r, gruZ), v.gate(r, gruN), v.row(v.before, r)
	if s.plain {
		kernels.GRUCellGrad(dz, dn, dh, z, n, before)
	} else {
		kernels.Sub(dz, before, n)
		kernels.Mul(dz, dz, dh)
		kernels.ActivateGrad(v.f, dz, z, dz)
		kernels.Mul(dn, dh, z)
		kernels.Sub(dn, dh, dn)
		kernels.ActivateGrad(v.g, dn, n, dn)
		kernels.Mul(dh, dh, z)
	}
	if s.kind == gruLinear {
		dr := v.cutGate(da, r, gruR)
		gruResetGrad(s, v, r, dr, v.cutGate(daR, r, gruN), dn, v.row(v.mixed, r))
		copy(v.cutGate(daR, r, gruZ), dz)
		copy(v.cutGate(daR, r, gruR), dr)
	}
}

// gruBackReset is the derivative of the product r*h of gruGates: d is that by it. It adds to dh.
func gruBackReset[T kernels.Float](s *sequence, v *stepView[T], r int, da, d, dh []T) {
	gruResetGrad(s, v, r, v.cutGate(da, r, gruR), d, d, v.row(v.before, r))
	kernels.Add(dh, dh, d)
}

// gruResetGrad is the derivative of a product r*q with d by it: dR by the gate's argument and dq by q, which may
// be d.
func gruResetGrad[T kernels.Float](s *sequence, v *stepView[T], r int, dR, dq, d, q []T) {
	gate := v.gate(r, gruR)
	if s.plain {
		kernels.GRUResetGrad(dR, dq, d, gate, q)
		return
	}
	kernels.Mul(dR, d, q)
	kernels.ActivateGrad(v.f, dR, gate, dR)
	kernels.Mul(dq, d, gate)
}
