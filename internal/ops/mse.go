package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// MSE returns the mean over all elements of (y-targets)^2 as a scalar. targets has y's shape and type, and no
// derivative.
func MSE(y, targets *gorgonia.Node) (*gorgonia.Node, error) {
	if err := needFloat("MSE", y, targets); err != nil {
		return nil, err
	}
	if !sameShape(y.Shape(), targets.Shape()) {
		return nil, fmt.Errorf("ops: MSE: targets have shape %v, the values %v; they must be the same", targets.Shape(), y.Shape())
	}
	return apply(&mse{base{name: "MSE", out: tensor.ScalarShape(), fixed: []int{1}}, len0(y.Shape())}, y, targets)
}

type mse struct {
	base
	n int
}

// The first phase sums over each part, the second adds the parts in order.
func (o *mse) Phases() []int                 { return []int{chunks(o.n), 1} }
func (o *mse) Scratch() (shared, worker int) { return chunks(o.n), 0 }

func (o *mse) Run(env *Env, _, phase, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		msePart(phase, part, out.F64, in[0].F64, in[1].F64, env.Shared.F64)
	} else {
		msePart(phase, part, out.F32, in[0].F32, in[1].F32, env.Shared.F32)
	}
	return nil
}

func msePart[T kernels.Float](phase, part int, out, y, t, partial []T) {
	parts := chunks(len(y))
	if phase == 1 {
		out[0] = T(kernels.Sum(partial[:parts]) / float64(len(y)))
		return
	}
	from, to := span(len(y), parts, part)
	partial[part] = T(kernels.SquaredError(y[from:to], t[from:to]))
}

func (o *mse) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := apply(&mseGrad{base{name: "MSEGrad", out: in[0].Shape()}}, in[0], in[1], dy)
	return gorgonia.Nodes{dx, nil}, err
}

// mseGrad has the operands y, targets and the derivative of the loss, a scalar.
type mseGrad struct{ base }

func (o *mseGrad) Phases() []int  { return []int{chunks(len0(o.out))} }
func (o *mseGrad) InPlace() []int { return []int{0} }

func (o *mseGrad) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	n := len0(o.out)
	from, to := span(n, chunks(n), part)
	scale := 2 / float64(n)
	if o.dt == tensor.Float64 {
		kernels.SquaredErrorGrad(out.F64[from:to], in[0].F64[from:to], in[1].F64[from:to], scale*in[2].F64[0])
	} else {
		kernels.SquaredErrorGrad(out.F32[from:to], in[0].F32[from:to], in[1].F32[from:to], scale*float64(in[2].F32[0]))
	}
	return nil
}
