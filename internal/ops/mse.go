package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// MSE returns the mean over all elements of (y-targets)^2 as a scalar. targets has y's shape and type, and no
// derivative. weights, unless nil, has a factor for each sample, an index of the first axis.
func MSE(y, targets, weights *gorgonia.Node) (*gorgonia.Node, error) {
	if err := needFloat("MSE", y, targets); err != nil {
		return nil, err
	}
	if !sameShape(y.Shape(), targets.Shape()) {
		return nil, fmt.Errorf("ops: MSE: targets have shape %v, the values %v; they must be the same", targets.Shape(), y.Shape())
	}
	o := &mse{base{name: "MSE", out: tensor.ScalarShape(), fixed: []int{1}}, len0(y.Shape())}
	if weights == nil {
		return apply(o, y, targets)
	}
	if len(y.Shape()) == 0 {
		return nil, fmt.Errorf("ops: MSE: weights of samples for a scalar")
	}
	if err := checkWeights("MSE", y, weights); err != nil {
		return nil, err
	}
	o.fixed = []int{1, 2}
	return apply(o, y, targets, weights)
}

// samples calls f with the ranges of elements in [from, to) that belong to one sample each, and its weight.
func samples[T kernels.Float](in []*Buf, from, to, n int, f func(from, to int, weight float64)) {
	if len(in) < 3 {
		f(from, to, 1)
		return
	}
	w := floats[T](in[2])
	size := n / len(w)
	for from < to {
		s := from / size
		end := min(to, (s+1)*size)
		f(from, end, float64(w[s]))
		from = end
	}
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
		msePart(phase, part, out.F64, in[0].F64, in[1].F64, in, env.Shared.F64)
	} else {
		msePart(phase, part, out.F32, in[0].F32, in[1].F32, in, env.Shared.F32)
	}
	return nil
}

func msePart[T kernels.Float](phase, part int, out, y, t []T, in []*Buf, partial []T) {
	parts := chunks(len(y))
	if phase == 1 {
		out[0] = T(kernels.Sum(partial[:parts]) / float64(len(y)))
		return
	}
	from, to := span(len(y), parts, part)
	var sum float64
	samples[T](in, from, to, len(y), func(from, to int, weight float64) {
		sum += weight * kernels.SquaredError(y[from:to], t[from:to])
	})
	partial[part] = T(sum)
}

func (o *mse) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	operands := append(append(gorgonia.Nodes{}, in...), dy)
	dx, err := apply(&mseGrad{base{name: "MSEGrad", out: in[0].Shape()}}, operands...)
	return append(gorgonia.Nodes{dx}, make(gorgonia.Nodes, len(in)-1)...), err
}

// mseGrad has the operands y, targets, weights if there are any, and the derivative of the loss, a scalar.
type mseGrad struct{ base }

func (o *mseGrad) Phases() []int  { return []int{chunks(len0(o.out))} }
func (o *mseGrad) InPlace() []int { return []int{0} }

func (o *mseGrad) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	n := len0(o.out)
	from, to := span(n, chunks(n), part)
	if o.dt == tensor.Float64 {
		mseGradPart[float64](from, to, n, out, in)
	} else {
		mseGradPart[float32](from, to, n, out, in)
	}
	return nil
}

func mseGradPart[T kernels.Float](from, to, n int, out *Buf, in []*Buf) {
	dx, y, t := floats[T](out), floats[T](in[0]), floats[T](in[1])
	scale := 2 / float64(n) * float64(floats[T](in[len(in)-1])[0])
	samples[T](in[:len(in)-1], from, to, n, func(from, to int, weight float64) {
		kernels.SquaredErrorGrad(dx[from:to], y[from:to], t[from:to], weight*scale)
	})
}
