package ops

import (
	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// FLOPs returns the floating-point operations of a run of op in matrix products, convolutions and recurrent
// networks: two for each product of elements that the definition of the operator has, whatever the algorithm.
// It is 0 for all other operators, whose time is that of memory.
func FLOPs(op gorgonia.Op) float64 {
	switch o := op.(type) {
	case *gemm:
		return gemmFLOPs(&o.g, 1)
	case *product:
		return gemmFLOPs(&o.g, 1)
	case *matmul:
		return gemmFLOPs(&o.g, len(o.atA))
	case *conv:
		return convFLOPs(&o.c)
	case *convGradX:
		return convFLOPs(&o.c)
	case *convGradW:
		return convFLOPs(&o.c)
	case *sequenceForward:
		return o.recurrentFLOPs() + o.inputFLOPs()
	case *gatherGrad:
		if o.input != nil {
			return 2 * o.input.inputFLOPs() // those of dX and of dW
		}
	case *sequenceBackward:
		if o.table > 0 && o.summed {
			return o.recurrentFLOPs() + 2*o.inputFLOPs()
		}
		return o.recurrentFLOPs()
	}
	return 0
}

func gemmFLOPs(g *kernels.Gemm, count int) float64 {
	return 2 * float64(g.M) * float64(g.N) * float64(g.K) * float64(count)
}

func convFLOPs(c *kernels.Conv) float64 {
	return 2 * float64(c.N*c.M) * float64(c.OH*c.OW) * float64(c.C/c.Groups*c.KH*c.KW)
}

// inputFLOPs are those of the product of the input with W at all steps. Where it is looked up, the product of the table
// with W has counted its own.
func (s *sequence) inputFLOPs() float64 {
	return 2 * float64(s.d*(s.t*s.n-s.table)) * float64(s.g*s.h*s.i)
}

// recurrentFLOPs are those of the products with R at all steps.
func (s *sequence) recurrentFLOPs() float64 {
	return 2 * float64(s.d*s.t*s.n) * float64(s.g*s.h*s.h)
}
