package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// GridAttr holds the attributes of ONNX GridSample: Mode "linear", "nearest" or "cubic", Padding "zeros", "border" or
// "reflection" for places outside, and whether -1 and 1 are the centres of the outermost elements or their outer edges.
type GridAttr struct {
	Mode, Padding string
	AlignCorners  bool
}

// maxGridAxes bounds the spatial axes of GridSample: a cubic place has 4^axes taps.
const maxGridAxes = 4

// gridSample has the operands x and grid. A part is some places of one sample.
type gridSample struct {
	base
	attr        GridAttr
	n, c        int
	size        []int // spatial axes of x
	area, count int   // their product; places in the result
}

// GridSample returns x (N, C, d1, ..., dr) at the places that grid (N, o1, ..., or, r) names, as (N, C, o1, ..., or). The last
// axis of grid has coordinates from -1 to 1, of the last spatial axis first. It is differentiable in x and in grid; in the mode
// nearest the derivative by grid is 0, for the result is constant between two elements.
func GridSample(x, grid *gorgonia.Node, a GridAttr) (*gorgonia.Node, error) {
	sx, sg := x.Shape(), grid.Shape()
	rank := len(sx) - 2
	if rank < 1 || rank > maxGridAxes || len(sg) != len(sx) || sg[len(sg)-1] != rank || sg[0] != sx[0] {
		return nil, fmt.Errorf("ops: GridSample: x and grid have shapes %v and %v; (N, C, spatial...) of up to %d axes and (N, places..., axes) are needed", sx, sg, maxGridAxes)
	}
	if err := noneEmpty("GridSample", sx, sg); err != nil {
		return nil, err
	}
	if err := needFloat("GridSample", x, grid); err != nil {
		return nil, err
	}
	switch a.Mode {
	case "linear", "nearest", "cubic":
	default:
		return nil, fmt.Errorf("ops: GridSample: mode %q is unknown; linear, nearest and cubic are known", a.Mode)
	}
	switch a.Padding {
	case "zeros", "border", "reflection":
	default:
		return nil, fmt.Errorf("ops: GridSample: padding %q is unknown; zeros, border and reflection are known", a.Padding)
	}
	out := append(tensor.Shape{sx[0], sx[1]}, sg[1:len(sg)-1]...)
	return apply(&gridSample{base{name: "GridSample", out: out}, a, sx[0], sx[1], sx[2:], len0(sx[2:]), len0(out[2:])}, x, grid)
}

func (o *gridSample) perSample() int { return chunks(o.c * o.count) }
func (o *gridSample) Phases() []int  { return []int{o.n * o.perSample()} }

func (o *gridSample) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	n := part / o.perSample()
	from, to := span(o.count, o.perSample(), part%o.perSample())
	if out.F64 != nil {
		gridSamplePart(o, n, from, to, out.F64, in[0].F64, in[1].F64)
	} else {
		gridSamplePart(o, n, from, to, out.F32, in[0].F32, in[1].F32)
	}
	return nil
}

func gridSamplePart[T kernels.Float](o *gridSample, n, from, to int, y, x, grid []T) {
	var p gridPlace
	for k := from; k < to; k++ {
		locate(o, &p, grid[(n*o.count+k)*len(o.size):])
		for c := range o.c {
			y[(n*o.c+c)*o.count+k] = T(gridSum(&p, o.size, x[(n*o.c+c)*o.area:], 0, 0))
		}
	}
}

// A gridPlace is where one element of the result is taken from: along each axis some taps, indices with weights, of which -1 is
// outside, and how the weights change with the coordinate of the grid.
type gridPlace struct {
	taps   [maxGridAxes]int
	index  [maxGridAxes][4]int
	weight [maxGridAxes][4]float64
	slope  [maxGridAxes][4]float64
}

// gridSum returns the weighted sum of the elements of a plane at a place, over the axes from d on.
func gridSum[T kernels.Float](p *gridPlace, size []int, plane []T, d, at int) float64 {
	if d == len(size) {
		return float64(plane[at])
	}
	var sum float64
	for k := range p.taps[d] {
		if i := p.index[d][k]; i >= 0 {
			sum += p.weight[d][k] * gridSum(p, size, plane, d+1, at*size[d]+i)
		}
	}
	return sum
}

// gridAdd adds g to the elements of a plane at a place by their weights.
func gridAdd[T kernels.Float](p *gridPlace, size []int, plane []T, d, at int, g float64) {
	if d == len(size) {
		plane[at] += T(g)
		return
	}
	for k := range p.taps[d] {
		if i := p.index[d][k]; i >= 0 {
			gridAdd(p, size, plane, d+1, at*size[d]+i, g*p.weight[d][k])
		}
	}
}

func locate[T kernels.Float](o *gridSample, p *gridPlace, grid []T) {
	rank := len(o.size)
	for d, n := range o.size {
		p.locate(o.attr, d, n, float64(grid[rank-1-d]))
	}
}

// locate sets the taps of axis d, of n elements, for the coordinate v.
func (p *gridPlace) locate(a GridAttr, d, n int, v float64) {
	size := float64(n)
	x, slope := ((v+1)*size-1)/2, size/2
	lo, hi := -0.5, size-0.5 // where a mirror stands
	if a.AlignCorners {
		x, slope = (v+1)/2*(size-1), (size-1)/2
		lo, hi = 0, size-1
	}
	if math.IsNaN(x) || math.IsInf(x, 0) || math.Abs(x) > 1<<52 {
		x, slope = -1, 0 // as in PyTorch
	}
	if a.Mode == "nearest" {
		x = math.RoundToEven(x)
	}
	if a.Mode != "cubic" && a.Padding != "zeros" {
		x, slope = foldInside(a, x, slope, lo, hi, size)
	}
	base := math.Floor(x)
	f := x - base
	switch a.Mode {
	case "nearest":
		p.taps[d] = 1
		p.weight[d][0], p.slope[d][0] = 1, 0
	case "linear":
		p.taps[d] = 2
		p.weight[d][0], p.weight[d][1] = 1-f, f
		p.slope[d][0], p.slope[d][1] = -slope, slope
	default:
		p.taps[d] = 4
		base--
		for k := range 4 {
			w, change := keys(f + 1 - float64(k))
			p.weight[d][k], p.slope[d][k] = w, slope*change
		}
	}
	for k := range p.taps[d] {
		i := base + float64(k)
		if a.Mode == "cubic" && a.Padding != "zeros" {
			i, _ = foldInside(a, i, 0, lo, hi, size)
		}
		if p.index[d][k] = -1; i >= 0 && i < size {
			p.index[d][k] = int(i)
		}
	}
}

// foldInside brings a coordinate inside, by reflection where that is asked for and then to the nearest element.
func foldInside(a GridAttr, x, slope, lo, hi, size float64) (folded, change float64) {
	if a.Padding == "reflection" {
		if hi == lo {
			return 0, 0
		}
		r := math.Mod(math.Abs(x-lo), 2*(hi-lo))
		if x < lo {
			slope = -slope
		}
		if r > hi-lo {
			r, slope = 2*(hi-lo)-r, -slope
		}
		x = lo + r
	}
	if x <= 0 || x >= size-1 {
		slope = 0
	}
	return min(max(x, 0), size-1), slope
}

// keys is the cubic convolution kernel with a = -0.75 (Keys 1981, equation 4), and its derivative.
func keys(x float64) (w, slope float64) {
	const a = -0.75
	d := math.Abs(x)
	switch {
	case d <= 1:
		w, slope = ((a+2)*d-(a+3))*d*d+1, (3*(a+2)*d-2*(a+3))*d
	case d < 2:
		w, slope = ((a*d-5*a)*d+8*a)*d-4*a, (3*a*d-10*a)*d+8*a
	}
	if x < 0 {
		slope = -slope
	}
	return w, slope
}

func (o *gridSample) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := apply(&gridGradX{base{name: "GridSampleGradX", out: in[0].Shape()}, o}, dy, in[1])
	if err != nil {
		return nil, err
	}
	dg, err := apply(&gridGradGrid{base{name: "GridSampleGradGrid", out: in[1].Shape()}, o}, dy, in[0], in[1])
	return gorgonia.Nodes{dx, dg}, err
}

// gridGradX is the derivative by x; its operands are dy and grid. A part is a sample.
type gridGradX struct {
	base
	of *gridSample
}

func (o *gridGradX) Phases() []int { return []int{o.of.n} }

func (o *gridGradX) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		gridGradXPart(o.of, part, out.F64, in[0].F64, in[1].F64)
	} else {
		gridGradXPart(o.of, part, out.F32, in[0].F32, in[1].F32)
	}
	return nil
}

func gridGradXPart[T kernels.Float](o *gridSample, n int, dx, dy, grid []T) {
	clear(dx[n*o.c*o.area:][:o.c*o.area])
	var p gridPlace
	for k := range o.count {
		locate(o, &p, grid[(n*o.count+k)*len(o.size):])
		for c := range o.c {
			gridAdd(&p, o.size, dx[(n*o.c+c)*o.area:], 0, 0, float64(dy[(n*o.c+c)*o.count+k]))
		}
	}
}

// gridGradGrid is the derivative by the grid; its operands are dy, x and grid.
type gridGradGrid struct {
	base
	of *gridSample
}

func (o *gridGradGrid) Phases() []int { return []int{o.of.n * o.of.perSample()} }

func (o *gridGradGrid) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	n := part / o.of.perSample()
	from, to := span(o.of.count, o.of.perSample(), part%o.of.perSample())
	if out.F64 != nil {
		gridGradGridPart(o.of, n, from, to, out.F64, in[0].F64, in[1].F64, in[2].F64)
	} else {
		gridGradGridPart(o.of, n, from, to, out.F32, in[0].F32, in[1].F32, in[2].F32)
	}
	return nil
}

func gridGradGridPart[T kernels.Float](o *gridSample, n, from, to int, dg, dy, x, grid []T) {
	rank := len(o.size)
	var p gridPlace
	for k := from; k < to; k++ {
		at := (n*o.count + k) * rank
		locate(o, &p, grid[at:])
		for d := range rank {
			// The slopes of axis d take the place of its weights.
			p.weight[d], p.slope[d] = p.slope[d], p.weight[d]
			var sum float64
			for c := range o.c {
				sum += float64(dy[(n*o.c+c)*o.count+k]) * gridSum(&p, o.size, x[(n*o.c+c)*o.area:], 0, 0)
			}
			dg[at+rank-1-d] = T(sum)
			p.weight[d], p.slope[d] = p.slope[d], p.weight[d]
		}
	}
}
