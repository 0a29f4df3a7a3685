package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// columns is a tensor seen as outer x n x inner, the middle being the axis that an operator works along.
// Work is cut into units of at most kernels.Tile neighbouring columns.
type columns struct{ outer, n, inner int }

func columnsOf(shape tensor.Shape, axis int) columns {
	return columns{len0(shape[:axis]), shape[axis], len0(shape[axis+1:])}
}

func (c columns) tiles() int { return ceilDiv(c.inner, kernels.Tile) }

// group is the number of units of a part. An exponential takes as long as several elements of a simple loop, and so do the
// logarithm or the division that each column has besides. Losses of given logarithms are cut alike.
func (c columns) group() int { return max(1, chunk/8/((c.n+8)*max(1, min(c.inner, kernels.Tile)))) }

func (c columns) parts() int { return max(1, ceilDiv(c.outer*c.tiles(), c.group())) }

// units returns the range of units of a part.
func (c columns) units(part int) (from, to int) {
	return part * c.group(), min((part+1)*c.group(), c.outer*c.tiles())
}

// unit returns where the first column of a unit starts, the number of its first column among all
// outer*inner, and how many columns it has.
func (c columns) unit(u int) (offset, first, width int) {
	outer, i := u/c.tiles(), u%c.tiles()*kernels.Tile
	return outer*c.n*c.inner + i, outer*c.inner + i, min(kernels.Tile, c.inner-i)
}

// along runs a loop of package kernels on every column; the loop gets n, the stride and the number of
// columns.
type along struct {
	base
	columns
	f32        func(y, x []float32, n, stride, columns int)
	f64        func(y, x []float64, n, stride, columns int)
	g32        func(dx, y, dy []float32, n, stride, columns int)
	g64        func(dx, y, dy []float64, n, stride, columns int)
	derivative bool // f is not used, operands are y and dy
}

// Softmax returns exp(x)/sum(exp(x)), the sum along one axis, which may count from the end.
func Softmax(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
	return alongAxis(x, axis, &along{base: base{name: "Softmax"},
		f32: kernels.Softmax[float32], f64: kernels.Softmax[float64],
		g32: kernels.SoftmaxGrad[float32], g64: kernels.SoftmaxGrad[float64]})
}

// LogSoftmax returns the logarithm of Softmax.
func LogSoftmax(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
	return alongAxis(x, axis, &along{base: base{name: "LogSoftmax"},
		f32: kernels.LogSoftmax[float32], f64: kernels.LogSoftmax[float64],
		g32: kernels.LogSoftmaxGrad[float32], g64: kernels.LogSoftmaxGrad[float64]})
}

func alongAxis(x *gorgonia.Node, axis int, o *along) (*gorgonia.Node, error) {
	if err := needFloat(o.name, x); err != nil {
		return nil, err
	}
	axis, err := axisOf(axis, len(x.Shape()))
	if err != nil {
		return nil, fmt.Errorf("ops: %s: %w", o.name, err)
	}
	o.out = x.Shape()
	o.columns = columnsOf(o.out, axis)
	return apply(o, x)
}

func (o *along) Phases() []int { return []int{o.parts()} }

func (o *along) InPlace() []int {
	if o.derivative {
		return []int{1, 0}
	}
	return []int{0}
}

func (o *along) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if o.n == 0 {
		return nil
	}
	from, to := o.units(part)
	for u := from; u < to; u++ {
		at, _, width := o.unit(u)
		switch {
		case o.derivative && o.dt == tensor.Float64:
			o.g64(out.F64[at:], in[0].F64[at:], in[1].F64[at:], o.n, o.inner, width)
		case o.derivative:
			o.g32(out.F32[at:], in[0].F32[at:], in[1].F32[at:], o.n, o.inner, width)
		case o.dt == tensor.Float64:
			o.f64(out.F64[at:], in[0].F64[at:], o.n, o.inner, width)
		default:
			o.f32(out.F32[at:], in[0].F32[at:], o.n, o.inner, width)
		}
	}
	return nil
}

func (o *along) SymDiff(_ gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.derivative {
		return o.base.SymDiff(nil, y, dy)
	}
	g := &along{base: base{name: o.name + "Grad", out: o.out}, columns: o.columns, g32: o.g32, g64: o.g64, derivative: true}
	dx, err := apply(g, y, dy)
	return gorgonia.Nodes{dx}, err
}
