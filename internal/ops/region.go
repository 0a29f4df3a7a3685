package ops

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// region copies a box of elements: out[to + sum(i_k*b_k)] = in[from + sum(i_k*a_k)] for all indices below
// the n_k of dims (a_k, b_k), and value in every element of out that the box leaves. Transpose, Slice, Pad,
// Expand and the derivatives of these are regions. Integer tensors may be copied too.
type region struct {
	base
	from, to int
	dims     []dim
	value    float64
	covers   bool  // every element of out is written
	perm     []int // of a Transpose
	grad     func(dy *gorgonia.Node) (*gorgonia.Node, error)

	// The two innermost loops run in blocks of rows x columns; the outer ones and the blocks are the units.
	rows, columns int
	units, group  int
}

// newRegion applies a region; dims is in any order in which out is written at most once an element. A copy
// of neighbouring elements in their order is a view.
func newRegion(name string, x *gorgonia.Node, out tensor.Shape, from, to int, dims []dim, value float64,
	grad func(dy *gorgonia.Node) (*gorgonia.Node, error)) (*gorgonia.Node, error) {
	merged, err := collapse(dims)
	if err != nil {
		return nil, fmt.Errorf("ops: %s: shape %v: %w", name, x.Shape(), err)
	}
	n, size := steps(merged), len0(out)
	o := &region{base: base{name: name, out: out.Clone()}, from: from, to: to, value: value, covers: n == size, grad: grad}
	if o.covers && n > 0 && to == 0 && len(merged) == 1 && merged[0].a == 1 && merged[0].b == 1 {
		return apply(&view{base{name: name, out: out.Clone()}, from, grad}, x)
	}
	o.dims = order(merged)
	rows, columns := o.dims[len(o.dims)-2].n, o.dims[len(o.dims)-1].n
	if n > 0 {
		const block = 32 // rows of a block, a multiple of the blocks of kernels.Copy2D
		o.columns = min(columns, chunk)
		o.rows = min(rows, max(1, chunk/o.columns))
		if o.rows > block {
			o.rows -= o.rows % block
		}
		o.units = n / (rows * columns) * ceilDiv(rows, o.rows) * ceilDiv(columns, o.columns)
		o.group = max(1, chunk/(o.rows*o.columns))
	}
	return apply(o, x)
}

// order sorts the loops so that writing goes through memory in order, and puts the loop in which reading
// does next to the innermost, so that Copy2D can work in blocks. There are at least two loops after it.
func order(dims []dim) []dim {
	dims = slices.Clone(dims)
	slices.SortStableFunc(dims, func(x, y dim) int { return abs(y.b) - abs(x.b) })
	last := len(dims) - 1
	for i := range last {
		if abs(dims[i].a) == 1 && abs(dims[last].a) != 1 {
			d := dims[i]
			dims = slices.Insert(slices.Delete(dims, i, i+1), last-1, d)
			break
		}
	}
	if last == 0 {
		dims = []dim{{n: 1}, dims[0]}
	}
	return dims
}

func (o *region) Phases() []int {
	copies := max(1, ceilDiv(o.units, max(1, o.group)))
	if o.covers {
		return []int{copies}
	}
	return []int{chunks(len0(o.out)), copies}
}

func (o *region) Run(_ *Env, _, phase, part int, out *Buf, in []*Buf) error {
	switch o.dt {
	case tensor.Float64:
		regionPart(o, phase, part, out.F64, in[0].F64)
	case tensor.Float32:
		regionPart(o, phase, part, out.F32, in[0].F32)
	default:
		regionPart(o, phase, part, out.I64, in[0].I64)
	}
	return nil
}

func regionPart[T kernels.Elem](o *region, phase, part int, y, x []T) {
	if phase == 0 && !o.covers {
		from, to := span(len(y), chunks(len(y)), part)
		kernels.Fill(y[from:to], T(o.value))
		return
	}
	if o.units == 0 {
		return
	}
	k := len(o.dims) - 2
	outer, row, column := o.dims[:k], o.dims[k], o.dims[k+1]
	down, across := ceilDiv(row.n, o.rows), ceilDiv(column.n, o.columns)
	unit := part * o.group
	var c cursor
	c.seek(outer, unit/(down*across))
	for ; unit < min((part+1)*o.group, o.units); unit++ {
		i, j := unit/across%down*o.rows, unit%across*o.columns
		kernels.Copy2D(y, x,
			o.to+c.b+i*row.b+j*column.b, o.from+c.a+i*row.a+j*column.a,
			min(o.rows, row.n-i), min(o.columns, column.n-j), row.b, column.b, row.a, column.a)
		if (unit+1)%(down*across) == 0 {
			c.next(outer)
		}
	}
}

func (o *region) SymDiff(_ gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := o.grad(dy)
	return gorgonia.Nodes{dx}, err
}

// box applies a region that reads each element at most once. Its derivative is the region with the roles of
// the two tensors exchanged.
func box(name string, x *gorgonia.Node, out tensor.Shape, from, to int, dims []dim, value float64) (*gorgonia.Node, error) {
	shape := x.Shape()
	return newRegion(name, x, out, from, to, dims, value, func(dy *gorgonia.Node) (*gorgonia.Node, error) {
		back := make([]dim, len(dims))
		for i, d := range dims {
			back[i] = dim{d.n, d.b, d.a}
		}
		return box(name+"Grad", dy, shape, to, from, back, 0)
	})
}

// view is a contiguous range of its operand in another shape.
type view struct {
	base
	offset int
	grad   func(dy *gorgonia.Node) (*gorgonia.Node, error)
}

// viewOf returns the elements of x from offset on, as many as shape wants.
func viewOf(x *gorgonia.Node, offset int, shape tensor.Shape) (*gorgonia.Node, error) {
	n := len0(shape)
	if offset < 0 || offset+n > len0(x.Shape()) {
		return nil, fmt.Errorf("ops: View: %d elements from %d on are outside of shape %v", n, offset, x.Shape())
	}
	whole := x.Shape()
	return apply(&view{base{name: "View", out: shape.Clone()}, offset, func(dy *gorgonia.Node) (*gorgonia.Node, error) {
		if n == len0(whole) {
			return Reshape(dy, whole)
		}
		return box("ViewGrad", dy, whole, 0, offset, []dim{{n, 1, 1}}, 0)
	}}, x)
}

func (o *view) View() (operand, offset int) { return 0, o.offset }
func (o *view) Phases() []int               { return nil }

func (o *view) Run(*Env, int, int, int, *Buf, []*Buf) error {
	return fmt.Errorf("a view has nothing to run")
}

func (o *view) SymDiff(_ gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := o.grad(dy)
	return gorgonia.Nodes{dx}, err
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

func abs(a int) int { return max(a, -a) }
