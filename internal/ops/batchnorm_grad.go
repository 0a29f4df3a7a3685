package ops

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// normParamsGrad computes, from x, mean, variance and dy, and y if that is rectified, [dscale; dbias] as shape (2, C):
// dbias = sum(dy), dscale = sum(dy*(x-mean))/sqrt(variance+eps).
type normParamsGrad struct {
	base
	channels
	eps float64
	rectified
}

func (o *normParamsGrad) Phases() []int                 { return o.sumPhases() }
func (o *normParamsGrad) Scratch() (shared, worker int) { return 2 * o.c * o.slices(), o.worker() }

func (o *normParamsGrad) Run(env *Env, worker, phase, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		normParamsPart(o, phase, part, out, in, env.Shared.F64, env.Worker[worker].F64)
	} else {
		normParamsPart(o, phase, part, out, in, env.Shared.F32, env.Worker[worker].F32)
	}
	return nil
}

func normParamsPart[T kernels.Float](o *normParamsGrad, phase, part int, out *Buf, in []*Buf, partial, worker []T) {
	variance := floats[T](in[2])
	if phase == 1 {
		c0, c1 := o.merged(part)
		mergeParamsGrad(o, c0, c1, floats[T](out), variance, partial)
		return
	}
	slice, n0, n1, c0, c1 := o.part(part)
	sliceParamsGrad(o, n0, n1, c0, c1, in, partial[2*o.c*slice:], worker)
	if o.slices() == 1 {
		mergeParamsGrad(o, c0, c1, floats[T](out), variance, partial)
	}
}

// sliceParamsGrad leaves in partial the sums over the samples [n0, n1) for the channels [c0, c1).
func sliceParamsGrad[T kernels.Float](o *normParamsGrad, n0, n1, c0, c1 int, in []*Buf, partial, worker []T) {
	x, mean, dy := floats[T](in[0]), floats[T](in[1]), floats[T](in[3])
	var sum, dot [kernels.Tile]float64
	for c := c0; c < c1; {
		w := 1
		if o.s == 1 {
			w = min(kernels.Tile, c1-c)
			sum, dot = [kernels.Tile]float64{}, [kernels.Tile]float64{}
			if at := n0*o.c + c; n0 < n1 && o.relu {
				y := floats[T](in[4])
				kernels.DotRectifiedRows(&sum, &dot, x[at:], dy[at:], y[at:], o.c, n1-n0, mean[c:c+w], T(o.dropScale()))
			} else if n0 < n1 {
				kernels.DotCentredRows(&sum, &dot, x[at:], dy[at:], o.c, n1-n0, mean[c:c+w])
			}
		} else {
			var s kernels.Sums
			for n := n0; n < n1; n++ {
				for from, end := (n*o.c+c)*o.s, (n*o.c+c+1)*o.s; from < end; {
					_, k := o.run(from, end)
					kernels.AddDotCentred(&s, x[from:from+k], gradient(&o.rectified, in[3:], worker, from, k), mean[c])
					from += k
				}
			}
			sum[0], dot[0] = s.Totals()
		}
		dots, sums := partial[c:c+w], partial[o.c+c:o.c+c+w]
		for i := range w {
			dots[i], sums[i] = T(dot[i]), T(sum[i])
		}
		c += w
	}
}

// mergeParamsGrad adds up the slices' sum(dy*(x-mean)) and sum(dy) of the channels [c0, c1).
func mergeParamsGrad[T kernels.Float](o *normParamsGrad, c0, c1 int, params, variance, partial []T) {
	slices := o.slices()
	for c := c0; c < c1; c++ {
		dot := kernels.SumStrided(partial[c:], slices, 2*o.c)
		params[c] = T(dot / math.Sqrt(float64(variance[c])+o.eps))
		params[o.c+c] = T(kernels.SumStrided(partial[o.c+c:], slices, 2*o.c))
	}
}

// normGrad computes dx from x, scale, mean, variance, [dscale; dbias] and dy, and y if that is rectified. With r = 1/sqrt(variance+eps) it
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
	rectified
}

func (o *normGrad) InPlace() []int { return []int{5, 0} }
func (o *normGrad) Phases() []int  { return o.elementPhases() }
func (o *normGrad) Scratch() (shared, worker int) {
	if o.train && o.s == 1 {
		return 3 * o.c, 0
	}
	return 3 * o.c, o.worker()
}

func (o *normGrad) Run(env *Env, worker, phase, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		normGradPart(o, phase, part, out, in, env.Shared.F64, env.Worker[worker].F64)
	} else {
		normGradPart(o, phase, part, out, in, env.Shared.F32, env.Worker[worker].F32)
	}
	return nil
}

func normGradPart[T kernels.Float](o *normGrad, phase, part int, out *Buf, in []*Buf, factors, worker []T) {
	if phase == 0 {
		gradFactors(o.channels, o.eps, o.train, in, factors, 0, o.c)
		return
	}
	x, mean, dx := floats[T](in[0]), floats[T](in[2]), floats[T](out)
	a, b, k := factors[:o.c], factors[o.c:2*o.c], factors[2*o.c:3*o.c]
	if o.s == 1 {
		n0, n1, c0, c1 := o.rows(part)
		if o.byColumns() {
			gradFactors(o.channels, o.eps, o.train, in, factors, c0, c1)
		}
		if o.train && n0 < n1 {
			at := n0*o.c + c0
			dy, y := floats[T](in[5])[at:], []T(nil)
			if o.relu {
				y = floats[T](in[6])[at:]
			}
			kernels.NormaliseGradRows(dx[at:], x[at:], dy, y, o.c, n1-n0, mean[c0:c1], a[c0:c1], b[c0:c1], k[c0:c1], T(o.dropScale()))
			return
		}
		for n := n0; n < n1; n++ {
			for c := c0; c < c1; c += inCache {
				at, cols := n*o.c+c, min(inCache, c1-c)
				kernels.Mul(dx[at:at+cols], gradient(&o.rectified, in[5:], worker, at, cols), a[c:c+cols])
			}
		}
		return
	}
	for from, to := o.cut(part); from < to; {
		c, n := o.run(from, to)
		end := from + n
		g := gradient(&o.rectified, in[5:], worker, from, n)
		if o.train {
			kernels.NormaliseGrad(dx[from:end], x[from:end], g, mean[c], a[c], b[c], k[c])
		} else {
			kernels.MulScalar(dx[from:end], g, a[c])
		}
		from = end
	}
}

// gradFactors sets factors of the channels [c0, c1) to a, b and c of kernels.NormaliseGrad, from operands like those of normGrad.
func gradFactors[T kernels.Float](d channels, eps float64, train bool, in []*Buf, factors []T, c0, c1 int) {
	scale, variance, params := floats[T](in[1]), floats[T](in[3]), floats[T](in[4])
	scale, variance = scale[c0:c1], variance[c0:c1]
	a, b, k := factors[c0:c1], factors[d.c+c0:d.c+c1], factors[2*d.c+c0:2*d.c+c1]
	dscale, dbias := params[c0:c1], params[d.c+c0:d.c+c1]
	m := float64(max(1, d.count()))
	for i, v := range variance {
		r := 1 / math.Sqrt(float64(v)+eps)
		a[i], b[i], k[i] = T(float64(scale[i])*r), 0, 0
		if train {
			b[i], k[i] = T(float64(dbias[i])/m), T(float64(dscale[i])*r/m)
		}
	}
}
