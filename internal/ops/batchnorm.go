package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// BatchNorm returns (x-mean)/sqrt(variance+eps)*scale + bias, a number a channel each (ONNX
// BatchNormalization for inference). x is (N, C) or (N, C, ...). It is differentiable in x, scale and bias.
func BatchNorm(x, scale, bias, mean, variance *gorgonia.Node, eps float64) (*gorgonia.Node, error) {
	if err := checkNorm(x, eps, scale, bias, mean, variance); err != nil {
		return nil, err
	}
	return normalised(x, scale, bias, mean, variance, eps, false)
}

// BatchNormTrain is BatchNorm with the mean and the biased variance of the batch itself, which stats holds
// as shape (2, C). The derivative includes that they depend on x; stats has none.
func BatchNormTrain(x, scale, bias *gorgonia.Node, eps float64) (y, stats *gorgonia.Node, err error) {
	if err := checkNorm(x, eps, scale, bias); err != nil {
		return nil, nil, err
	}
	c := x.Shape()[1]
	s := &batchStats{base: base{name: "BatchStats", out: tensor.Shape{2, c}, fixed: []int{0}}, channels: channelsOf(x.Shape())}
	if stats, err = apply(s, x); err != nil {
		return nil, nil, err
	}
	mean, err := viewOf(stats, 0, tensor.Shape{c})
	if err != nil {
		return nil, nil, err
	}
	variance, err := viewOf(stats, c, tensor.Shape{c})
	if err != nil {
		return nil, nil, err
	}
	y, err = normalised(x, scale, bias, mean, variance, eps, true)
	return y, stats, err
}

func checkNorm(x *gorgonia.Node, eps float64, params ...*gorgonia.Node) error {
	if len(x.Shape()) < 2 {
		return fmt.Errorf("ops: BatchNorm: x has shape %v; (N, C) or (N, C, ...) is needed", x.Shape())
	}
	if !(eps >= 0) || math.IsInf(eps, 0) {
		return fmt.Errorf("ops: BatchNorm: epsilon %v is not a number of 0 or more", eps)
	}
	if err := needFloat("BatchNorm", append([]*gorgonia.Node{x}, params...)...); err != nil {
		return err
	}
	c := x.Shape()[1]
	for i, p := range params {
		if !sameShape(p.Shape(), []int{c}) {
			what := [...]string{"scale", "bias", "mean", "variance"}[i]
			return fmt.Errorf("ops: BatchNorm: %s has shape %v; (%d) is needed, a number for each channel of %v", what, p.Shape(), c, x.Shape())
		}
	}
	return nil
}

// channels is a tensor seen as n samples of c channels of s elements.
//
// Sums over a channel are cut into slices of samples and blocks of channels, such that a part reads memory in its
// order where it can. Where a channel has one element a sample, its elements are not neighbours, and a loop takes
// kernels.Tile channels at a time.
type channels struct{ n, c, s int }

func channelsOf(shape tensor.Shape) channels {
	return channels{shape[0], shape[1], len0(shape[2:])}
}

func (d channels) count() int { return d.n * d.s }

// sliceLen is the number of samples of a slice: those of a chunk of all channels, and enough for the merging of slices
// to cost little beside their sums.
func (d channels) sliceLen() int {
	const least = 1 << 10 // elements of a channel
	return max(1, min(d.n, max(ceilDiv(chunk, max(1, d.c*d.s)), ceilDiv(least, max(1, d.s)))))
}

func (d channels) slices() int { return max(1, ceilDiv(d.n, d.sliceLen())) }

// block is the number of channels of a part: whole tiles, where loops take channels by tiles.
func (d channels) block() int {
	block := chunk / max(1, d.sliceLen()*d.s)
	if d.s == 1 && block > kernels.Tile {
		block -= block % kernels.Tile
	}
	return max(1, min(d.c, block))
}

func (d channels) blocks() int { return ceilDiv(d.c, d.block()) }

// mergedAtOnce is about the number of channels whose slices one part merges.
const mergedAtOnce = 256

// sumPhases are those of sums over every channel: of slices, and of merging them where there are several.
func (d channels) sumPhases() []int {
	if d.slices() == 1 {
		return []int{d.blocks()}
	}
	return []int{d.slices() * d.blocks(), ceilDiv(d.c, mergedAtOnce)}
}

// merged returns the channels that a part of the second of these phases merges.
func (d channels) merged(part int) (c0, c1 int) {
	return part * mergedAtOnce, min((part+1)*mergedAtOnce, d.c)
}

// part returns the slice and its samples, and the channels, that a part of slices*blocks has.
func (d channels) part(i int) (slice, n0, n1, c0, c1 int) {
	slice = i / d.blocks()
	c0 = i % d.blocks() * d.block()
	return slice, slice * d.sliceLen(), min((slice+1)*d.sliceLen(), d.n), c0, min(c0+d.block(), d.c)
}

// batchStats computes the mean and the biased variance of every channel.
//
// A slice sums x-k and its square in float64, k being the slice's first element. Since k is one of the m
// elements, (k-mean)^2 is at most m times the variance, so the cancellation in sum((x-k)^2) - m*(k-mean)^2
// costs at most a factor m+1 of float64's precision, whatever the mean. The slices are merged in order by
// Chan, Golub and LeVeque's update.
type batchStats struct {
	base
	channels
}

func (o *batchStats) Phases() []int { return o.sumPhases() }

// A slice of several leaves for each channel k, mean-k and the variance.
func (o *batchStats) Scratch() (shared, worker int) {
	if slices := o.slices(); slices > 1 {
		shared = 3 * o.c * slices
	}
	return shared, 0
}

func (o *batchStats) Run(env *Env, _, phase, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		batchStatsPart(o, phase, part, out.F64, in[0].F64, env.Shared.F64)
	} else {
		batchStatsPart(o, phase, part, out.F32, in[0].F32, env.Shared.F32)
	}
	return nil
}

func batchStatsPart[T kernels.Float](o *batchStats, phase, part int, y, x, partial []T) {
	if phase == 1 {
		c0, c1 := o.merged(part)
		mergeStats(o, c0, c1, y, partial)
		return
	}
	slice, n0, n1, c0, c1 := o.part(part)
	switch m := float64((n1 - n0) * o.s); {
	case m > 0:
		sliceStats(o, n0, n1, c0, c1, m, x, y, partial[3*o.c*slice:])
	case o.slices() == 1:
		clear(y[c0:c1])
		clear(y[o.c+c0 : o.c+c1])
	}
}

// sliceStats leaves in partial what the samples [n0, n1), m elements a channel, give for the channels [c0, c1), or in y if they
// are all samples.
func sliceStats[T kernels.Float](o *batchStats, n0, n1, c0, c1 int, m float64, x, y, partial []T) {
	whole := o.slices() == 1
	var sum, square [kernels.Tile]float64
	for c := c0; c < c1; {
		w := 1
		if o.s == 1 {
			w = min(kernels.Tile, c1-c)
			sum, square = [kernels.Tile]float64{}, [kernels.Tile]float64{}
			kernels.MomentsRows(&sum, &square, x[n0*o.c+c:], o.c, n1-n0, x[n0*o.c+c:][:w])
		} else {
			var s kernels.Sums
			k := float64(x[(n0*o.c+c)*o.s])
			for n := n0; n < n1; n++ {
				kernels.AddMoments(&s, x[(n*o.c+c)*o.s:][:o.s], k)
			}
			sum[0], square[0] = s.Totals()
		}
		first, means, variances := x[(n0*o.c+c)*o.s:], y[c:c+w], y[o.c+c:o.c+c+w]
		for i := range w {
			k, delta := first[i*o.s], sum[i]/m
			variance := max(0, square[i]-float64(delta*sum[i])) / m
			if whole {
				means[i], variances[i] = T(float64(k)+delta), T(variance)
			} else {
				p := partial[3*(c+i):][:3]
				p[0], p[1], p[2] = k, T(delta), T(variance)
			}
		}
		c += w
	}
}

// mergeStats merges the slices of the channels [c0, c1).
func mergeStats[T kernels.Float](o *batchStats, c0, c1 int, y, partial []T) {
	slices, length := o.slices(), o.sliceLen()
	for c := c0; c < c1; c++ {
		var count, mean, m2 float64
		for s := range slices {
			p := partial[3*(o.c*s+c):][:3]
			m := float64((min((s+1)*length, o.n) - s*length) * o.s)
			if m == 0 {
				continue
			}
			d := float64(p[0]) + float64(p[1]) - mean
			count += m
			mean += float64(d * m / count)
			m2 += float64(float64(p[2])*m) + float64(d*d*(m*(count-m)/count))
		}
		y[c] = T(mean)
		y[o.c+c] = T(m2 / max(count, 1))
	}
}

// normalise has the operands x, scale, bias, mean, variance.
type normalise struct {
	base
	channels
	eps   float64
	train bool // mean and variance are x's own
	rectified
}

func normalised(x, scale, bias, mean, variance *gorgonia.Node, eps float64, train bool) (*gorgonia.Node, error) {
	o := &normalise{base{name: normName(train), out: x.Shape(), fixed: []int{3, 4}}, channelsOf(x.Shape()), eps, train, rectified{}}
	return apply(o, x, scale, bias, mean, variance)
}

func normName(train bool) string {
	if train {
		return "BatchNormTrain"
	}
	return "BatchNorm"
}

func (o *normalise) InPlace() []int { return []int{0} }
func (o *normalise) draws() bool    { return o.drop != nil }

// The first phase computes scale/sqrt(variance+eps) for every channel, unless each part does for its own.
func (o *normalise) Phases() []int                 { return o.elementPhases() }
func (o *normalise) Scratch() (shared, worker int) { return o.c, 0 }

// elementPhases are those of a loop over elements after one phase for what it needs of every channel.
func (d channels) elementPhases() []int {
	if d.byColumns() {
		return []int{0, d.blocks()}
	}
	runs, group := d.runs()
	return []int{1, max(1, ceilDiv(runs, group))}
}

// byColumns tells whether a loop over elements is cut by channels, as sums are, where a channel has one element a sample: the
// parts find what the sums, or a product cut by columns, have left in a processor's own cache. That takes long enough pieces of rows.
func (d channels) byColumns() bool {
	return d.s == 1 && d.slices() == 1 && d.block() >= min(d.c, kernels.Tile)
}

// runs cuts a loop by groups of whole runs of a channel, of s elements; of whole samples where s is 1.
func (d channels) runs() (runs, group int) {
	if d.s == 1 {
		return d.n, max(1, chunk/max(1, d.c))
	}
	return d.n * d.c, max(1, chunk/max(1, d.s))
}

// rows returns the samples and the channels of a part of a loop, where s is 1.
func (d channels) rows(part int) (n0, n1, c0, c1 int) {
	if d.byColumns() {
		_, n0, n1, c0, c1 = d.part(part)
		return n0, n1, c0, c1
	}
	runs, group := d.runs()
	return part * group, min((part+1)*group, runs), 0, d.c
}

// cut returns the elements of a part, where s is not 1.
func (d channels) cut(part int) (from, to int) {
	runs, group := d.runs()
	return part * group * d.s, min((part+1)*group, runs) * d.s
}

// run returns the channel of element from, and how many elements up to before to are of that channel. A run stays in a cache.
func (d channels) run(from, to int) (channel, n int) {
	return from / d.s % d.c, min(d.s-from%d.s, to-from, inCache)
}

// eachTile calls f for the parts of a rectangle of samples and channels that stay in a first-level cache.
func eachTile(n0, n1, c0, c1 int, f func(n, rows, c, cols int)) {
	const width = 2 * kernels.Tile
	for c := c0; c < c1; c += width {
		for n := n0; n < n1; n += inCache / width {
			f(n, min(inCache/width, n1-n), c, min(width, c1-c))
		}
	}
}

func (o *normalise) Run(env *Env, _, phase, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		normalisePart(o, env, phase, part, out, in, env.Shared.F64)
	} else {
		normalisePart(o, env, phase, part, out, in, env.Shared.F32)
	}
	return nil
}

func normalisePart[T kernels.Float](o *normalise, env *Env, phase, part int, out *Buf, in []*Buf, a []T) {
	x, scale, bias, mean, variance, y := floats[T](in[0]), floats[T](in[1]), floats[T](in[2]), floats[T](in[3]), floats[T](in[4]), floats[T](out)
	if phase == 0 {
		scaleFactors(o.eps, scale, variance, a)
		return
	}
	drop := o.dropOf(env)
	if o.s == 1 {
		n0, n1, c0, c1 := o.rows(part)
		if o.byColumns() {
			scaleFactors(o.eps, scale[c0:c1], variance[c0:c1], a[c0:c1])
		}
		eachTile(n0, n1, c0, c1, func(n, rows, c, cols int) {
			at, end := n*o.c+c, c+cols
			kernels.NormaliseRows(y[at:], x[at:], o.c, rows, mean[c:end], a[c:end], bias[c:end], o.relu)
			if o.drop != nil {
				kernels.DropoutRows(&drop, y[at:], y[at:], at, o.c, rows, cols)
			}
		})
		return
	}
	for from, to := o.cut(part); from < to; {
		c, n := o.run(from, to)
		end := from + n
		kernels.Normalise(y[from:end], x[from:end], mean[c], a[c], bias[c])
		finish(&o.rectified, &drop, y, from, end)
		from = end
	}
}

// scaleFactors sets a to scale/sqrt(variance+eps).
func scaleFactors[T kernels.Float](eps float64, scale, variance, a []T) {
	for c, v := range variance {
		a[c] = T(float64(scale[c]) / math.Sqrt(float64(v)+eps))
	}
}

func (o *normalise) SymDiff(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	x, scale, mean, variance := in[0], in[1], in[3], in[4]
	if !o.relu {
		y = nil
	}
	params, dscale, dbias, err := normParams(o, x, mean, variance, dy, y)
	if err != nil {
		return nil, err
	}
	d := &normGrad{base{name: o.name + "Grad", out: x.Shape()}, o.channels, o.eps, o.train, o.rectified}
	dx, err := apply(d, withResult(y, x, scale, mean, variance, params, dy)...)
	return gorgonia.Nodes{dx, dscale, dbias, nil, nil}, err
}

// normParams returns the derivatives by scale and bias, together as shape (2, C) and apart. y is nil where the result is not
// rectified.
func normParams(o *normalise, x, mean, variance, dy, y *gorgonia.Node) (params, dscale, dbias *gorgonia.Node, err error) {
	p := &normParamsGrad{base{name: o.name + "ParamsGrad", out: tensor.Shape{2, o.c}}, o.channels, o.eps, o.rectified}
	if params, err = apply(p, withResult(y, x, mean, variance, dy)...); err != nil {
		return
	}
	if dscale, err = viewOf(params, 0, tensor.Shape{o.c}); err != nil {
		return
	}
	dbias, err = viewOf(params, o.c, tensor.Shape{o.c})
	return
}

// withResult returns the operands, and y after them unless it is nil.
func withResult(y *gorgonia.Node, operands ...*gorgonia.Node) []*gorgonia.Node {
	if y == nil {
		return operands
	}
	return append(operands, y)
}
