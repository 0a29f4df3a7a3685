package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// take picks elements along one axis by fixed indices: y[o, j, i] = x[o, index[j], i], the axes before and
// after being one each.
type take struct {
	base
	axis        int
	index       []int
	n, m, inner int // size of the axis in x and in y; elements of one index
	rows, group int // outer*m rows of inner elements; rows of a part
}

// Take returns the elements of x at the given indices of an axis, repetitions allowed (ONNX Gather with
// constant indices of one dimension).
func Take(x *gorgonia.Node, axis int, index []int) (*gorgonia.Node, error) {
	shape := x.Shape()
	axis, err := axisOf(axis, len(shape))
	if err != nil {
		return nil, fmt.Errorf("ops: Take: %w", err)
	}
	for _, i := range index {
		if i < 0 || i >= shape[axis] {
			return nil, fmt.Errorf("ops: Take: index %d is outside of axis %d of shape %v", i, axis, shape)
		}
	}
	out := shape.Clone()
	out[axis] = len(index)
	o := &take{base: base{name: "Take", out: out}, axis: axis, index: index, n: shape[axis], m: len(index), inner: len0(shape[axis+1:])}
	o.rows = len0(shape[:axis]) * o.m
	o.group = max(1, chunk/max(1, o.inner))
	return apply(o, x)
}

func (o *take) Phases() []int { return []int{max(1, ceilDiv(o.rows, o.group))} }

func (o *take) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	switch o.dt {
	case tensor.Float64:
		takePart(o, part, out.F64, in[0].F64)
	case tensor.Float32:
		takePart(o, part, out.F32, in[0].F32)
	default:
		takePart(o, part, out.I64, in[0].I64)
	}
	return nil
}

func takePart[T kernels.Elem](o *take, part int, y, x []T) {
	for r := part * o.group; r < min((part+1)*o.group, o.rows); r++ {
		from := (r/o.m*o.n + o.index[r%o.m]) * o.inner
		if o.inner == 1 {
			y[r] = x[from]
		} else {
			copy(y[r*o.inner:(r+1)*o.inner], x[from:])
		}
	}
}

func (o *take) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	g := &takeGrad{base: base{name: "TakeGrad", out: in[0].Shape()}, m: o.m, inner: o.inner}
	g.first = make([]int, o.n+1)
	for _, i := range o.index {
		g.first[i+1]++
	}
	for i := range o.n {
		g.first[i+1] += g.first[i]
	}
	next := append([]int(nil), g.first...)
	g.source = make([]int, o.m)
	for j, i := range o.index {
		g.source[next[i]] = j
		next[i]++
	}
	g.rows = len0(in[0].Shape()[:o.axis]) * o.n
	g.group = max(1, chunk/max(1, o.inner))
	dx, err := apply(g, dy)
	return gorgonia.Nodes{dx}, err
}

// takeGrad sums the derivatives of all places that an element was taken to: those of element k of the axis
// are source[first[k]:first[k+1]], in ascending order.
type takeGrad struct {
	base
	first, source []int
	m, inner      int
	rows, group   int
}

func (o *takeGrad) Phases() []int { return []int{max(1, ceilDiv(o.rows, o.group))} }

func (o *takeGrad) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		takeGradPart(o, part, out.F64, in[0].F64)
	} else {
		takeGradPart(o, part, out.F32, in[0].F32)
	}
	return nil
}

func takeGradPart[T kernels.Float](o *takeGrad, part int, dx, dy []T) {
	n := len(o.first) - 1
	for r := part * o.group; r < min((part+1)*o.group, o.rows); r++ {
		row := dx[r*o.inner : (r+1)*o.inner]
		outer, k := r/n, r%n
		clear(row)
		for _, j := range o.source[o.first[k]:o.first[k+1]] {
			at := (outer*o.m + j) * o.inner
			if o.inner == 1 {
				row[0] += dy[at]
				continue
			}
			kernels.Add(row, row, dy[at:at+o.inner])
		}
	}
}
