package ops

import "github.com/onnx-entropy/onnx-entropy/internal/kernels"

// A product whose right operand stays from run to run packs it in a first phase, into Env.Kept.

// packs tells whether that pays: a product of few rows reads the operand once, and as well where it lies.
func packs(g *kernels.Gemm, right bool) bool {
	const few = 24
	return right && (g.TransB || g.M > few) && !g.PackB
}

func packedPhases(g *kernels.Gemm, phases []int) []int {
	if !g.PackB {
		return phases
	}
	return append([]int{g.PackBParts()}, phases...)
}

func packedOperand(g *kernels.Gemm) (phases, kept int, operands []int) {
	if !g.PackB {
		return 0, 0, nil
	}
	return 1, g.PackedB(), []int{1}
}

// packPhase returns the phase of the product that a phase is; packed says that it was that of packing, which is done.
func packPhase(g *kernels.Gemm, env *Env, phase, part int, right *Buf) (of int, packed bool) {
	switch {
	case !g.PackB:
		return phase, false
	case phase > 0:
		return phase - 1, false
	case right.F64 != nil:
		kernels.PackBPart(g, part, env.Kept.F64, right.F64)
	default:
		kernels.PackBPart(g, part, env.Kept.F32, right.F32)
	}
	return 0, true
}

// right returns the right operand as the product wants it.
func right[T kernels.Float](g *kernels.Gemm, env *Env, in []*Buf) []T {
	if g.PackB {
		return floats[T](&env.Kept)
	}
	return floats[T](in[1])
}
