package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// RoiAttr holds the attributes of ONNX RoiAlign.
type RoiAttr struct {
	Height, Width int     // of the result
	Samples       int     // places along each axis of a bin; 0: as many as the bin has elements, rounded up
	Scale         float64 // from the coordinates of the regions to those of x
	HalfPixel     bool    // coordinate 0 is the outer edge of the first element, not its centre
	Max           bool    // the largest weighted element near a place instead of the mean over places
}

// maxRoiSamples bounds RoiAttr.Samples, whose square each bin takes.
const maxRoiSamples = 64

// roiChannels are the channels of x of which a part of the derivative takes care.
const roiChannels = 16

// roiAlign has the operands x, rois and batch. A part is a region.
type roiAlign struct {
	base
	attr             RoiAttr
	n, c, h, w, rois int
}

// RoiAlign cuts regions out of x (N, C, H, W) and gives each the same size, as (R, C, Height, Width): He et al. 2017, Mask R-CNN,
// section 3. rois (R, 4) has the corners x1, y1, x2, y2 of each region, batch (R), int64, the sample that it is of. With Max the elements
// around a place count times their weights of interpolation, as ONNX defines it. It is differentiable in x, not in rois, as in
// PyTorch.
func RoiAlign(x, rois, batch *gorgonia.Node, a RoiAttr) (*gorgonia.Node, error) {
	sx, sr, sb := x.Shape(), rois.Shape(), batch.Shape()
	if len(sx) != 4 || len(sr) != 2 || sr[1] != 4 || len(sb) != 1 || sb[0] != sr[0] {
		return nil, fmt.Errorf("ops: RoiAlign: x, rois and batch have shapes %v, %v and %v; (N, C, H, W), (R, 4) and (R) are needed", sx, sr, sb)
	}
	if err := noneEmpty("RoiAlign", sx, sr); err != nil {
		return nil, err
	}
	if err := needFloat("RoiAlign", x, rois); err != nil {
		return nil, err
	}
	if err := needInts("RoiAlign", batch); err != nil {
		return nil, err
	}
	if a.Height < 1 || a.Width < 1 || a.Samples < 0 || a.Samples > maxRoiSamples {
		return nil, fmt.Errorf("ops: RoiAlign: a result of %d by %d elements of %d samples each way; at least one element and at most %d samples are needed",
			a.Height, a.Width, a.Samples, maxRoiSamples)
	}
	out := tensor.Shape{sr[0], sx[1], a.Height, a.Width}
	return apply(&roiAlign{base{name: "RoiAlign", out: out, fixed: []int{1}}, a, sx[0], sx[1], sx[2], sx[3], sr[0]}, x, rois, batch)
}

func (o *roiAlign) Phases() []int { return []int{o.rois} }

func (o *roiAlign) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		return roiAlignPart(o, part, out.F64, in[0].F64, in[1].F64, in[2].I64)
	}
	return roiAlignPart(o, part, out.F32, in[0].F32, in[1].F32, in[2].I64)
}

// A roiAxis is how a region is sampled along one axis: bins of so many elements, each with count places.
type roiAxis struct {
	start, bin float64
	count      float64
	size       int // of x
}

// A roiTap is a place on an axis between two elements.
type roiTap struct {
	low, high     int
	atLow, atHigh float64 // weights
}

// regionOf returns how region r is sampled, and the sample that it is of.
func regionOf[T kernels.Float](o *roiAlign, r int, rois []T, batch []int64) (y, x roiAxis, n int, err error) {
	if b := batch[r]; b < 0 || b >= int64(o.n) {
		return y, x, 0, fmt.Errorf("region %d is of sample %d; there are %d", r, b, o.n)
	}
	shift := 0.0
	if o.attr.HalfPixel {
		shift = 0.5
	}
	var at [4]float64
	for i := range at {
		at[i] = float64(rois[r*4+i])*o.attr.Scale - shift
		if math.IsNaN(at[i]) || math.Abs(at[i]) > 1<<40 {
			return y, x, 0, fmt.Errorf("region %d has the corners %v", r, rois[r*4:r*4+4])
		}
	}
	return o.axis(at[1], at[3], o.attr.Height, o.h), o.axis(at[0], at[2], o.attr.Width, o.w), int(batch[r]), nil
}

func (o *roiAlign) axis(from, to float64, bins, size int) roiAxis {
	length := to - from
	if !o.attr.HalfPixel {
		length = max(length, 1)
	}
	a := roiAxis{start: from, bin: length / float64(bins), count: float64(o.attr.Samples), size: size}
	if o.attr.Samples == 0 {
		a.count = max(0, math.Ceil(a.bin))
	}
	return a
}

// inside returns the places of a bin that may lie in x, as numbers from first to the one before last.
func (a *roiAxis) inside(bin int) (first, last int) {
	lo, hi := 0.0, a.count
	if step := a.bin / a.count; step > 0 {
		start := a.start + float64(bin)*a.bin
		lo = max(lo, math.Floor((-1-start)/step-1))
		hi = min(hi, math.Ceil((float64(a.size)-start)/step+1))
	}
	return int(min(lo, a.count)), int(max(hi, 0))
}

// tap returns place i of a bin; ok is false outside of x.
func (a *roiAxis) tap(bin, i int) (t roiTap, ok bool) {
	v := a.start + float64(bin)*a.bin + (float64(i)+0.5)*a.bin/a.count
	if v < -1 || v > float64(a.size) {
		return t, false
	}
	v = max(v, 0)
	low := int(v)
	if low >= a.size-1 {
		return roiTap{a.size - 1, a.size - 1, 1, 0}, true
	}
	f := v - float64(low)
	return roiTap{low, low + 1, 1 - f, f}, true
}

// A roiPlace is four elements of a plane with weights.
type roiPlace struct {
	at     [4]int
	weight [4]float64
}

// places calls f for every place of a bin inside of x. It tells whether there are others.
func (o *roiAlign) places(y, x *roiAxis, by, bx int, f func(p *roiPlace)) (outside bool) {
	fromY, toY := y.inside(by)
	fromX, toX := x.inside(bx)
	count := 0
	for i := fromY; i < toY; i++ {
		v, ok := y.tap(by, i)
		if !ok {
			continue
		}
		for j := fromX; j < toX; j++ {
			h, ok := x.tap(bx, j)
			if !ok {
				continue
			}
			count++
			f(&roiPlace{
				[4]int{v.low*o.w + h.low, v.low*o.w + h.high, v.high*o.w + h.low, v.high*o.w + h.high},
				[4]float64{v.atLow * h.atLow, v.atLow * h.atHigh, v.atHigh * h.atLow, v.atHigh * h.atHigh},
			})
		}
	}
	return float64(count) < y.count*x.count
}

func roiAlignPart[T kernels.Float](o *roiAlign, r int, out, in, rois []T, batch []int64) error {
	y, x, n, err := regionOf(o, r, rois, batch)
	if err != nil {
		return err
	}
	area, bins := o.h*o.w, o.attr.Height*o.attr.Width
	share := 1 / max(y.count*x.count, 1)
	in = in[n*o.c*area:][:o.c*area]
	out = out[r*o.c*bins:][:o.c*bins]
	clear(out)
	for k := range bins {
		by, bx := k/o.attr.Width, k%o.attr.Width
		if o.attr.Max {
			for c := range o.c {
				best, _, _ := roiBest(o, &y, &x, by, bx, in[c*area:][:area])
				out[c*bins+k] = T(best)
			}
			continue
		}
		o.places(&y, &x, by, bx, func(p *roiPlace) {
			for c := range o.c {
				for i, at := range p.at {
					out[c*bins+k] += T(p.weight[i] * share * float64(in[c*area+at]))
				}
			}
		})
	}
	return nil
}

// roiBest returns the largest weighted element of a bin, the first of equal ones, and where it is and its weight; at is -1 for the 0 that
// places outside of x count.
func roiBest[T kernels.Float](o *roiAlign, y, x *roiAxis, by, bx int, plane []T) (best float64, at int, weight float64) {
	best, at = math.Inf(-1), -1
	outside := o.places(y, x, by, bx, func(p *roiPlace) {
		for i, k := range p.at {
			if v := p.weight[i] * float64(plane[k]); v > best || v != v {
				best, at, weight = v, k, p.weight[i]
			}
		}
	})
	if outside && best < 0 || at < 0 {
		return 0, -1, 0
	}
	return best, at, weight
}

func (o *roiAlign) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := apply(&roiAlignGrad{base{name: "RoiAlignGrad", out: in[0].Shape()}, o}, dy, in[0], in[1], in[2])
	return gorgonia.Nodes{dx, nil, nil}, err
}

// roiAlignGrad is the derivative by x; its operands are dy, x, rois and batch. A part is some channels of a sample.
type roiAlignGrad struct {
	base
	of *roiAlign
}

func (o *roiAlignGrad) blocks() int { return ceilDiv(o.of.c, roiChannels) }

func (o *roiAlignGrad) Phases() []int { return []int{o.of.n * o.blocks()} }

func (o *roiAlignGrad) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	n, from := part/o.blocks(), part%o.blocks()*roiChannels
	to := min(from+roiChannels, o.of.c)
	if out.F64 != nil {
		return roiGradPart(o.of, n, from, to, out.F64, in[0].F64, in[1].F64, in[2].F64, in[3].I64)
	}
	return roiGradPart(o.of, n, from, to, out.F32, in[0].F32, in[1].F32, in[2].F32, in[3].I64)
}

func roiGradPart[T kernels.Float](o *roiAlign, n, from, to int, dx, dy, in, rois []T, batch []int64) error {
	area, bins := o.h*o.w, o.attr.Height*o.attr.Width
	dx = dx[n*o.c*area:][:o.c*area]
	in = in[n*o.c*area:][:o.c*area]
	clear(dx[from*area : to*area])
	for r := range o.rois {
		y, x, of, err := regionOf(o, r, rois, batch)
		if err != nil {
			return err
		}
		if of != n {
			continue
		}
		share := 1 / max(y.count*x.count, 1)
		for k := range bins {
			by, bx := k/o.attr.Width, k%o.attr.Width
			if o.attr.Max {
				for c := from; c < to; c++ {
					if _, at, weight := roiBest(o, &y, &x, by, bx, in[c*area:][:area]); at >= 0 {
						dx[c*area+at] += T(weight * float64(dy[(r*o.c+c)*bins+k]))
					}
				}
				continue
			}
			o.places(&y, &x, by, bx, func(p *roiPlace) {
				for c := from; c < to; c++ {
					for i, at := range p.at {
						dx[c*area+at] += T(p.weight[i] * share * float64(dy[(r*o.c+c)*bins+k]))
					}
				}
			})
		}
	}
	return nil
}
