package onnxload

import (
	"slices"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// A role is what a weight is for, which decides its default initialisation and whether it decays.
type role struct {
	kind  roleKind
	fanIn int // inputs that each output sums over
}

type roleKind int

const (
	roleOther  roleKind = iota // an operand of arithmetic: keeps the file's numbers
	roleWeight                 // of Conv, Gemm, MatMul
	roleBias                   // of the same
	roleScale                  // of normalisation
	roleShift
	roleTable // rows that Gather picks: an embedding
	roleSlope // of PRelu
)

// decay tells whether a weight of this role and rank should decay: matrices and filters, not biases and
// what normalises.
func (r role) decay(rank int) bool {
	return r.kind == roleWeight || (r.kind == roleOther || r.kind == roleTable) && rank >= 2
}

// neutral tells whether input i is a scale of ones or a shift of zeros that the exporter wrote because the operator wants one and the
// layer has none, or the zeros, in the place of a weight, that a state starts with. PyTorch's exporter makes an InstanceNormalization
// with such Constants, and a Mul and an Add with the layer's weights, of GroupNorm: trained too, they would be a second scale and shift,
// and every step another than PyTorch's. It makes a Constant of torch.zeros where the batch is fixed, and a cell multiplies that with its
// weights. Only Constants are taken for that, as weights may start so, and only in files whose other numbers are initializers: in others
// Constants are the weights.
func (c *nodeCtx) neutral(i int, kind roleKind) bool {
	if !c.has(i) || c.in[i].src == nil || kind != roleScale && kind != roleShift && kind != roleWeight {
		return false
	}
	s := c.in[i].src
	if s.constant < 0 || s.attribute != "" || !slices.ContainsFunc(c.b.model.proto.Graph.Initializer, func(t *onnxpb.TensorProto) bool {
		return onnxpb.IsFloat(t.GetDataType()) && len(t.GetDims()) > 0
	}) {
		return false
	}
	want := float32(0)
	if kind == roleScale {
		want = 1
	}
	x, err := s.tensor.Floats()
	return err == nil && !slices.ContainsFunc(x, func(v float32) bool { return v != want })
}

// setRole gives the weights that go into input i their role, unless another operator has.
func (c *nodeCtx) setRole(i int, r role) {
	for _, s := range c.in[i].roots {
		if s.role.kind == roleOther && r.kind != roleOther {
			s.role, s.op = r, c.n.GetOpType()
		}
	}
}
