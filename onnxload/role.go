package onnxload

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

// setRole gives the weights that go into input i their role, unless another operator has.
func (c *nodeCtx) setRole(i int, r role) {
	for _, s := range c.in[i].roots {
		if s.role.kind == roleOther && r.kind != roleOther {
			s.role, s.op = r, c.n.GetOpType()
		}
	}
}
