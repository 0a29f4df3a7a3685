package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// rows is a tensor seen as rows of n elements, each of which is normalised on its own. A row is made of channels of inner
// elements; the channels of period rows that follow each other have scales of their own. Layer normalisation has
// rows of n channels of one element that all have the same scales; group normalisation rows of n/inner channels.
type rows struct {
	count, n      int
	inner, period int
	centred       bool
	eps           float64
}

// params is the number of scales.
func (r rows) params() int { return r.period * r.channels() }

func (r rows) channels() int { return r.n / r.inner }

// LayerNorm normalises x over its axes from axis on to mean 0 and variance 1, then multiplies by scale and adds bias, which
// have the shape of those axes; bias may be nil (ONNX LayerNormalization). eps is added to the variance.
func LayerNorm(x, scale, bias *gorgonia.Node, axis int, eps float64) (*gorgonia.Node, error) {
	return layerNorm("LayerNorm", x, scale, bias, axis, eps, true)
}

// RMSNorm divides x by the root of its mean square over its axes from axis on and multiplies by scale (ONNX RMSNormalization).
func RMSNorm(x, scale *gorgonia.Node, axis int, eps float64) (*gorgonia.Node, error) {
	return layerNorm("RMSNorm", x, scale, nil, axis, eps, false)
}

func layerNorm(name string, x, scale, bias *gorgonia.Node, axis int, eps float64, centred bool) (*gorgonia.Node, error) {
	shape := x.Shape()
	axis, err := axisOf(axis, len(shape))
	if err != nil {
		return nil, fmt.Errorf("ops: %s: %w", name, err)
	}
	n := len0(shape[axis:])
	r := rows{count: len0(shape[:axis]), n: n, inner: 1, period: 1, centred: centred, eps: eps}
	return normaliseRows(name, r, x, scale, bias, shape[axis:])
}

// GroupNorm normalises the channels of x (N, C, ...) in groups of C/groups, then multiplies each channel by its scale
// and adds its bias, both of shape (C) (ONNX GroupNormalization; with as many groups as channels InstanceNormalization).
func GroupNorm(x, scale, bias *gorgonia.Node, groups int, eps float64) (*gorgonia.Node, error) {
	shape := x.Shape()
	if len(shape) < 2 || groups < 1 || shape[1]%groups != 0 {
		return nil, fmt.Errorf("ops: GroupNorm: x of shape %v can't be cut into %d groups of channels", shape, groups)
	}
	inner := len0(shape[2:])
	r := rows{count: shape[0] * groups, n: shape[1] / groups * inner, inner: inner, period: groups, centred: true, eps: eps}
	return normaliseRows("GroupNorm", r, x, scale, bias, shape[1:2])
}

func normaliseRows(name string, r rows, x, scale, bias *gorgonia.Node, params tensor.Shape) (*gorgonia.Node, error) {
	if err := noneEmpty(name, x.Shape()); err != nil {
		return nil, err
	}
	if !(r.eps >= 0) || math.IsInf(r.eps, 0) {
		return nil, fmt.Errorf("ops: %s: epsilon %v is not a number of 0 or more", name, r.eps)
	}
	operands := []*gorgonia.Node{x, scale}
	if bias != nil {
		operands = append(operands, bias)
	}
	if err := needFloat(name, operands...); err != nil {
		return nil, err
	}
	for i, p := range operands[1:] {
		if !sameShape(p.Shape(), params) {
			return nil, fmt.Errorf("ops: %s: %s has shape %v; x of shape %v needs %v", name, [...]string{"scale", "bias"}[i], p.Shape(), x.Shape(), params)
		}
	}
	return apply(&rowNorm{base{name: name, out: x.Shape()}, r}, operands...)
}

// rowNorm has the operands x, scale and, if there are three, bias.
type rowNorm struct {
	base
	rows
}

func (o *rowNorm) perPart() int   { return max(1, chunk/o.n) }
func (o *rowNorm) Phases() []int  { return []int{ceilDiv(o.count, o.perPart())} }
func (o *rowNorm) InPlace() []int { return []int{0} }

func (o *rowNorm) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		rowNormPart[float64](o, part, out, in)
	} else {
		rowNormPart[float32](o, part, out, in)
	}
	return nil
}

func rowNormPart[T kernels.Float](o *rowNorm, part int, out *Buf, in []*Buf) {
	x, scale, y := floats[T](in[0]), floats[T](in[1]), floats[T](out)
	var bias []T
	if len(in) == 3 {
		bias = floats[T](in[2])
	}
	for r := part * o.perPart(); r < min((part+1)*o.perPart(), o.count); r++ {
		row, to := x[r*o.n:][:o.n], y[r*o.n:][:o.n]
		mean, a := kernels.RowStats(row, o.centred, o.eps)
		first := r % o.period * o.channels()
		if o.inner == 1 {
			b := bias
			if b != nil {
				b = b[first:]
			}
			kernels.NormaliseScaled(to, row, T(mean), T(a), scale[first:], b)
			continue
		}
		for c := range o.channels() {
			var b T
			if bias != nil {
				b = bias[first+c]
			}
			at, end := c*o.inner, (c+1)*o.inner
			kernels.Normalise(to[at:end], row[at:end], T(mean), T(a)*scale[first+c], b)
		}
	}
}

func (o *rowNorm) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	size := len0(o.out)
	g := &rowNormGrad{base{name: o.name + "Grad", out: tensor.Shape{size + 2*o.params()}}, o.rows}
	packed, err := apply(g, dy, in[0], in[1])
	if err != nil {
		return nil, err
	}
	var grads gorgonia.Nodes
	at := 0
	for _, operand := range in {
		d, err := viewOf(packed, at, operand.Shape())
		if err != nil {
			return nil, err
		}
		grads = append(grads, d)
		at += len0(operand.Shape())
	}
	return grads, nil
}

// rowNormGrad has the operands dy, x and scale. Its result is dx, then dscale, then dbias. Every slice of the rows adds
// up its part of dscale and dbias in shared memory; a second phase adds the slices in order.
//
// With xhat = (x-mean)*a and g = dy*scale, dx = a*(g - mean(g) - xhat*mean(g*xhat)), without mean(g) if rows are not centred.
type rowNormGrad struct {
	base
	rows
}

// maxSlices bounds the partial sums.
const maxSlices = 32

func (o *rowNormGrad) sliceLen() int {
	return max(ceilDiv(o.count, maxSlices), min(o.count, ceilDiv(chunk, o.n)))
}

func (o *rowNormGrad) slices() int { return ceilDiv(o.count, o.sliceLen()) }

func (o *rowNormGrad) Phases() []int { return []int{o.slices(), chunks(2 * o.params())} }

func (o *rowNormGrad) Scratch() (shared, worker int) { return o.slices() * 2 * o.params(), 0 }

func (o *rowNormGrad) Run(env *Env, _, phase, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		rowNormGradPart[float64](o, phase, part, out, in, env.Shared.F64)
	} else {
		rowNormGradPart[float32](o, phase, part, out, in, env.Shared.F32)
	}
	return nil
}

func rowNormGradPart[T kernels.Float](o *rowNormGrad, phase, part int, out *Buf, in []*Buf, partial []T) {
	p := o.params()
	dx := floats[T](out)
	if phase == 1 {
		from, to := span(2*p, chunks(2*p), part)
		for i := from; i < to; i++ {
			dx[o.count*o.n+i] = T(kernels.SumStrided(partial[i:], o.slices(), 2*p))
		}
		return
	}
	dy, x, scale := floats[T](in[0]), floats[T](in[1]), floats[T](in[2])
	dscale, dbias := partial[part*2*p:][:p], partial[part*2*p+p:][:p]
	clear(dscale)
	clear(dbias)
	for r := part * o.sliceLen(); r < min((part+1)*o.sliceLen(), o.count); r++ {
		first := r % o.period * o.channels()
		at, end := r*o.n, (r+1)*o.n
		rowNormGradRow(o, dx[at:end], x[at:end], dy[at:end], scale[first:], dscale[first:], dbias[first:])
	}
}

func rowNormGradRow[T kernels.Float](o *rowNormGrad, dx, x, dy, scale, dscale, dbias []T) {
	mean, a := kernels.RowStats(x, o.centred, o.eps)
	var sum, dot float64
	if o.inner == 1 {
		sum, dot = kernels.NormaliseScaledSums(x, dy, scale, T(mean), T(a), dscale, dbias)
	} else {
		for c := range o.channels() {
			at, end := c*o.inner, (c+1)*o.inner
			s, d := kernels.DotCentred(x[at:end], dy[at:end], T(mean))
			sum += s * float64(scale[c])
			dot += d * float64(scale[c])
			dscale[c] += T(d * a)
			dbias[c] += T(s)
		}
	}
	n := float64(o.n)
	if !o.centred {
		sum = 0
	}
	b, c := sum/n, dot*a*a/n
	if o.inner == 1 {
		kernels.NormaliseScaledGrad(dx, x, dy, scale, T(mean), T(a), T(b), T(c))
		return
	}
	for k := range o.channels() {
		at, end := k*o.inner, (k+1)*o.inner
		s := float64(scale[k])
		if s == 0 {
			for i := at; i < end; i++ {
				dx[i] = T(-a * (b + (float64(x[i])-mean)*c))
			}
			continue
		}
		kernels.NormaliseGrad(dx[at:end], x[at:end], dy[at:end], T(mean), T(a*s), T(b/s), T(c/s))
	}
}
