package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// gather picks elements along one axis by indices that are data: y[o, j, i] = x[o, index[j], i], the axes
// before and after, and those of the index, being one each. Operands are x and the index.
type gather struct {
	base
	axis        int
	outer       int
	n, m, inner int // size of the axis; number of indices; elements of one index
	group       int // indices of a part
}

// Gather returns the elements of x (of any type) at the indices (int64) along an axis: the shape of the result
// is that of x with the axis replaced by the shape of index. Negative indices count from the end; one outside
// is an error of the run (ONNX Gather, opset 13). With axis 0 and x a table of rows it is an embedding.
//
// The derivative by x adds up the rows of equal indices in the order of the index, whatever the number of
// threads.
func Gather(x, index *gorgonia.Node, axis int) (*gorgonia.Node, error) {
	shape := x.Shape()
	axis, err := axisOf(axis, len(shape))
	if err != nil {
		return nil, fmt.Errorf("ops: Gather: %w", err)
	}
	if index.Dtype() != tensor.Int64 {
		return nil, fmt.Errorf("ops: Gather: the index has elements of type %v; int64 is needed", index.Dtype())
	}
	out := append(append(shape[:axis:axis].Clone(), index.Shape()...), shape[axis+1:]...)
	o := &gather{
		base: base{name: "Gather", out: out}, axis: axis,
		outer: len0(shape[:axis]), n: shape[axis], m: len0(index.Shape()), inner: len0(shape[axis+1:]),
	}
	o.group = max(1, min(o.m, chunk/max(1, o.inner)))
	return apply(o, x, index)
}

func (o *gather) Phases() []int { return []int{o.outer * ceilDiv(o.m, o.group)} }

func (o *gather) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	index := in[1].I64
	var bad int
	switch o.dt {
	case tensor.Float64:
		bad = gatherPart(o, part, out.F64, in[0].F64, index)
	case tensor.Float32:
		bad = gatherPart(o, part, out.F32, in[0].F32, index)
	default:
		bad = gatherPart(o, part, out.I64, in[0].I64, index)
	}
	return o.check(bad, index)
}

func gatherPart[T kernels.Elem](o *gather, part int, y, x []T, index []int64) (bad int) {
	across := ceilDiv(o.m, o.group)
	outer, j := part/across, part%across*o.group
	x = x[outer*o.n*o.inner : (outer+1)*o.n*o.inner]
	bad = kernels.Gather(y[(outer*o.m+j)*o.inner:], x, index[j:min(j+o.group, o.m)], o.n, o.inner)
	if bad >= 0 {
		bad += j
	}
	return bad
}

// check returns the error of index number bad, nil if that is negative.
func (o *gather) check(bad int, index []int64) error {
	if bad < 0 {
		return nil
	}
	return fmt.Errorf("index %d, number %d of %d, is outside of axis %d of shape %v: indices are %d to %d",
		index[bad], bad, o.m, o.axis, o.in[0], -o.n, o.n-1)
}

func (o *gather) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := apply(newGatherGrad("GatherGrad", in[0].Shape(), o), dy, in[1])
	return gorgonia.Nodes{dx, nil}, err
}

// gatherGrad adds up rows. A part has a block of columns, so that it can go through the index in order and
// nobody else writes where it does; and, where the table is much longer than the index, so that setting it to
// zero is most of the work, a block of its rows.
type gatherGrad struct {
	base
	gather        *gather
	input         *sequence // that the table holds the input's products of; nil for none
	rows, columns int       // number of blocks
}

func newGatherGrad(name string, out tensor.Shape, o *gather) *gatherGrad {
	g := &gatherGrad{base: base{name: name, out: out}, gather: o}
	g.columns = max(1, min(o.inner/gatherColumns, gatherBlocks))
	g.rows = max(1, min(o.n/max(1, gatherSparse*o.m), gatherBlocks))
	return g
}

const (
	gatherColumns = 32 // fewest columns of a block
	gatherBlocks  = 8  // most blocks
	gatherSparse  = 4  // rows for each index from which the table is cut into blocks of rows
)

func (o *gatherGrad) Phases() []int { return []int{o.gather.outer * o.rows * o.columns} }

func (o *gatherGrad) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	var bad int
	if o.dt == tensor.Float64 {
		bad = gatherGradPart(o, part, out.F64, in[0].F64, in[1].I64)
	} else {
		bad = gatherGradPart(o, part, out.F32, in[0].F32, in[1].I64)
	}
	if bad >= 0 {
		return o.gather.check(bad, in[1].I64)
	}
	return nil
}

func gatherGradPart[T kernels.Float](o *gatherGrad, part int, dx, dy []T, index []int64) (bad int) {
	g := o.gather
	outer, block := part/(o.rows*o.columns), part%(o.rows*o.columns)
	r0, r1 := span(g.n, o.rows, block/o.columns)
	c0, c1 := span(g.inner, o.columns, block%o.columns)
	dx = dx[outer*g.n*g.inner : (outer+1)*g.n*g.inner]
	return kernels.ScatterAdd(dx, dy[outer*g.m*g.inner:(outer+1)*g.m*g.inner], index, g.n, g.inner, r0, r1, c0, c1)
}
