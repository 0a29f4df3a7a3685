package ops

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// normParamsGrad computes, from x, mean, variance and dy, [dscale; dbias] as shape (2, C):
// dbias = sum(dy), dscale = sum(dy*(x-mean))/sqrt(variance+eps).
type normParamsGrad struct {
	base
	channels
	eps float64
}

func (o *normParamsGrad) Phases() []int                 { return o.sumPhases() }
func (o *normParamsGrad) Scratch() (shared, worker int) { return 2 * o.c * o.slices(), 0 }

func (o *normParamsGrad) Run(env *Env, _, phase, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		normParamsPart[float64](o, phase, part, out, in, env.Shared.F64)
	} else {
		normParamsPart[float32](o, phase, part, out, in, env.Shared.F32)
	}
	return nil
}

func normParamsPart[T kernels.Float](o *normParamsGrad, phase, part int, out *Buf, in []*Buf, partial []T) {
	x, mean, variance, dy := floats[T](in[0]), floats[T](in[1]), floats[T](in[2]), floats[T](in[3])
	if phase == 1 {
		c0, c1 := o.merged(part)
		mergeParamsGrad(o, c0, c1, floats[T](out), variance, partial)
		return
	}
	slice, n0, n1, c0, c1 := o.part(part)
	sliceParamsGrad(o, n0, n1, c0, c1, x, mean, dy, partial[2*o.c*slice:])
	if o.slices() == 1 {
		mergeParamsGrad(o, c0, c1, floats[T](out), variance, partial)
	}
}

// sliceParamsGrad leaves in partial the sums over the samples [n0, n1) for the channels [c0, c1).
func sliceParamsGrad[T kernels.Float](o *normParamsGrad, n0, n1, c0, c1 int, x, mean, dy, partial []T) {
	var sum, dot [kernels.Tile]float64
	for c := c0; c < c1; {
		w := 1
		if o.s == 1 {
			w = min(kernels.Tile, c1-c)
			sum, dot = [kernels.Tile]float64{}, [kernels.Tile]float64{}
			if n0 < n1 {
				kernels.DotCentredRows(&sum, &dot, x[n0*o.c+c:], dy[n0*o.c+c:], o.c, n1-n0, mean[c:c+w])
			}
		} else {
			var s kernels.Sums
			for n := n0; n < n1; n++ {
				at := (n*o.c + c) * o.s
				kernels.AddDotCentred(&s, x[at:at+o.s], dy[at:at+o.s], mean[c])
			}
			sum[0], dot[0] = s.Totals()
		}
		for i := range w {
			partial[c+i], partial[o.c+c+i] = T(dot[i]), T(sum[i])
		}
		c += w
	}
}

// mergeParamsGrad adds up the slices' sum(dy*(x-mean)) and sum(dy) of the channels [c0, c1).
func mergeParamsGrad[T kernels.Float](o *normParamsGrad, c0, c1 int, params, variance, partial []T) {
	for c := c0; c < c1; c++ {
		dot := kernels.SumStrided(partial[c:], o.slices(), 2*o.c)
		params[c] = T(dot / math.Sqrt(float64(variance[c])+o.eps))
		params[o.c+c] = T(kernels.SumStrided(partial[o.c+c:], o.slices(), 2*o.c))
	}
}

// normGrad computes dx from x, scale, mean, variance, [dscale; dbias] and dy. With r = 1/sqrt(variance+eps) it
// is scale*r*dy where mean and variance are constants, and
//
//	scale*r*(dy - dbias/m - (x-mean)*r*dscale/m)
//
// where they are those of the m elements of the channel.
type normGrad struct {
	base
	channels
	eps   float64
	train bool
}

func (o *normGrad) InPlace() []int                { return []int{5, 0} }
func (o *normGrad) Phases() []int                 { return []int{1, o.channels.parts()} }
func (o *normGrad) Scratch() (shared, worker int) { return 3 * o.c, 0 }

func (o *normGrad) Run(env *Env, _, phase, part int, out *Buf, in []*Buf) error {
	switch {
	case phase == 1:
		from, to := o.cut(part)
		return o.elements(env, from, to, out, in)
	case o.dt == tensor.Float64:
		gradFactors(o.channels, o.eps, o.train, in[1].F64, in[3].F64, in[4].F64, env.Shared.F64)
	default:
		gradFactors(o.channels, o.eps, o.train, in[1].F32, in[3].F32, in[4].F32, env.Shared.F32)
	}
	return nil
}

// gradFactors sets shared to the factors a, b and c of kernels.NormaliseGrad.
func gradFactors[T kernels.Float](d channels, eps float64, train bool, scale, variance, params, shared []T) {
	a, b, k := shared[:d.c], shared[d.c:2*d.c], shared[2*d.c:3*d.c]
	m := float64(max(1, d.count()))
	for c := range d.c {
		r := 1 / math.Sqrt(float64(variance[c])+eps)
		a[c], b[c], k[c] = T(float64(scale[c])*r), 0, 0
		if train {
			b[c] = T(float64(params[d.c+c]) / m)
			k[c] = T(float64(params[c]) * r / m)
		}
	}
}

func (o *normGrad) elements(env *Env, from, to int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		normGradRange(o, from, to, out, in, env.Shared.F64)
	} else {
		normGradRange(o, from, to, out, in, env.Shared.F32)
	}
	return nil
}

func normGradRange[T kernels.Float](o *normGrad, from, to int, out *Buf, in []*Buf, shared []T) {
	x, mean, dy, dx := floats[T](in[0]), floats[T](in[2]), floats[T](in[5]), floats[T](out)
	a, b, k := shared[:o.c], shared[o.c:2*o.c], shared[2*o.c:3*o.c]
	for from < to {
		c, n := o.run(from, to)
		end := from + n
		switch {
		case o.s == 1 && o.train:
			kernels.NormaliseGradRow(dx[from:end], x[from:end], dy[from:end], mean[c:c+n], a[c:c+n], b[c:c+n], k[c:c+n])
		case o.s == 1:
			kernels.Mul(dx[from:end], dy[from:end], a[c:c+n])
		case o.train:
			kernels.NormaliseGrad(dx[from:end], x[from:end], dy[from:end], mean[c], a[c], b[c], k[c])
		default:
			kernels.MulScalar(dx[from:end], dy[from:end], a[c])
		}
		from = end
	}
}
