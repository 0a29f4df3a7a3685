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
	return lossOfElements(&elementLoss{base: base{name: "MSE"}, scale: 2,
		f32: kernels.SquaredError[float32], f64: kernels.SquaredError[float64],
		g32: kernels.SquaredErrorGrad[float32], g64: kernels.SquaredErrorGrad[float64]}, y, targets, weights)
}

// BinaryCrossEntropy returns the mean over all elements of -t log(p) - (1-t) log(1-p), p being the sigmoid of the logits
// and t the target, from 0 to 1. It is computed from the logits, so that it stays finite where p is rounded to 0
// or 1. Shapes, types and weights are as for MSE.
func BinaryCrossEntropy(logits, targets, weights *gorgonia.Node) (*gorgonia.Node, error) {
	return lossOfElements(&elementLoss{base: base{name: "BinaryCrossEntropy"}, scale: 1,
		f32: kernels.LogisticError[float32], f64: kernels.LogisticError[float64],
		g32: kernels.LogisticErrorGrad[float32], g64: kernels.LogisticErrorGrad[float64]}, logits, targets, weights)
}

// An elementLoss is the mean of a loss of each element by itself.
type elementLoss struct {
	base
	n     int
	scale float64 // of the derivative: scale/n times what g32 and g64 give
	f32   func(y, t []float32) float64
	f64   func(y, t []float64) float64
	g32   func(dx, y, t []float32, g float64)
	g64   func(dx, y, t []float64, g float64)
}

func lossOfElements(o *elementLoss, y, targets, weights *gorgonia.Node) (*gorgonia.Node, error) {
	if err := needFloat(o.name, y, targets); err != nil {
		return nil, err
	}
	if !sameShape(y.Shape(), targets.Shape()) {
		return nil, fmt.Errorf("ops: %s: targets have shape %v, the values %v; they must be the same", o.name, targets.Shape(), y.Shape())
	}
	o.out, o.fixed, o.n = tensor.ScalarShape(), []int{1}, len0(y.Shape())
	if weights == nil {
		return apply(o, y, targets)
	}
	if len(y.Shape()) == 0 {
		return nil, fmt.Errorf("ops: %s: weights of samples for a scalar", o.name)
	}
	if err := checkWeights(o.name, y, weights); err != nil {
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

// The first phase sums over each part, the second adds the parts in order.
func (o *elementLoss) Phases() []int                 { return []int{chunks(o.n), 1} }
func (o *elementLoss) Scratch() (shared, worker int) { return chunks(o.n), 0 }

func (o *elementLoss) Run(env *Env, _, phase, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		elementLossPart(o.f64, phase, part, out.F64, in[0].F64, in[1].F64, in, env.Shared.F64)
	} else {
		elementLossPart(o.f32, phase, part, out.F32, in[0].F32, in[1].F32, in, env.Shared.F32)
	}
	return nil
}

func elementLossPart[T kernels.Float](f func(y, t []T) float64, phase, part int, out, y, t []T, in []*Buf, partial []T) {
	parts := chunks(len(y))
	if phase == 1 {
		out[0] = T(kernels.Sum(partial[:parts]) / float64(len(y)))
		return
	}
	from, to := span(len(y), parts, part)
	var sum float64
	samples[T](in, from, to, len(y), func(from, to int, weight float64) {
		sum += weight * f(y[from:to], t[from:to])
	})
	partial[part] = T(sum)
}

func (o *elementLoss) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	g := &elementLossGrad{base{name: o.name + "Grad", out: in[0].Shape()}, o.scale, o.g32, o.g64}
	dx, err := apply(g, append(append(gorgonia.Nodes{}, in...), dy)...)
	return append(gorgonia.Nodes{dx}, make(gorgonia.Nodes, len(in)-1)...), err
}

// elementLossGrad has the operands y, targets, weights if there are any, and the derivative of the loss, a scalar.
type elementLossGrad struct {
	base
	scale float64
	g32   func(dx, y, t []float32, g float64)
	g64   func(dx, y, t []float64, g float64)
}

func (o *elementLossGrad) Phases() []int  { return []int{chunks(len0(o.out))} }
func (o *elementLossGrad) InPlace() []int { return []int{0} }

func (o *elementLossGrad) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		elementLossGradPart(o.g64, o.scale, part, out, in)
	} else {
		elementLossGradPart(o.g32, o.scale, part, out, in)
	}
	return nil
}

func elementLossGradPart[T kernels.Float](f func(dx, y, t []T, g float64), scale float64, part int, out *Buf, in []*Buf) {
	dx, y, t := floats[T](out), floats[T](in[0]), floats[T](in[1])
	n := len(dx)
	from, to := span(n, chunks(n), part)
	g := scale / float64(n) * float64(floats[T](in[len(in)-1])[0])
	samples[T](in[:len(in)-1], from, to, n, func(from, to int, weight float64) {
		f(dx[from:to], y[from:to], t[from:to], weight*g)
	})
}
