package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// maxIndices finds the places of the maxima of MaxPool. A part is some planes.
type maxIndices struct {
	base
	axes    spatial
	columns bool
	planes  int
}

// MaxPoolIndices returns, as int64, where in x the maximum of each window of MaxPool is: the first, or the last NaN if
// there is one. Counting goes through x in row-major order; with columnMajor, the first spatial axis varies fastest
// within a plane (ONNX storage_order 1).
func MaxPoolIndices(x *gorgonia.Node, a PoolAttr, columnMajor bool) (*gorgonia.Node, error) {
	y, err := MaxPool(x, a) // checks everything; the node is not used
	if err != nil {
		return nil, err
	}
	s, err := newSpatial("MaxPoolIndices", x.Shape()[2:], a.Kernel, a.Strides, a.Dilations, a.Pads, a.CeilMode)
	if err != nil {
		return nil, err
	}
	if len(s) > maxDims {
		return nil, fmt.Errorf("ops: MaxPoolIndices: %d spatial axes; at most %d are supported", len(s), maxDims)
	}
	o := &maxIndices{base{name: "MaxPoolIndices", out: y.Shape().Clone(), dt: tensor.Int64, fixed: []int{0}}, s, columnMajor, x.Shape()[0] * x.Shape()[1]}
	return apply(o, x)
}

func (o *maxIndices) perPart() int  { return max(1, chunk/len0(o.in[0][2:])) }
func (o *maxIndices) Phases() []int { return []int{ceilDiv(o.planes, o.perPart())} }

func (o *maxIndices) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	for p := part * o.perPart(); p < min((part+1)*o.perPart(), o.planes); p++ {
		if in[0].F64 != nil {
			maxIndicesPlane(o, p, out.I64, in[0].F64)
		} else {
			maxIndicesPlane(o, p, out.I64, in[0].F32)
		}
	}
	return nil
}

func maxIndicesPlane[T kernels.Float](o *maxIndices, plane int, y []int64, x []T) {
	size, windows := len0(o.in[0][2:]), len0(o.out[2:])
	x = x[plane*size:][:size]
	var place, tap [maxDims]int
	rank := len(o.axes)
	for k := range windows {
		at, best, seen := -1, T(math.Inf(-1)), false
		clear(tap[:rank])
		for more := true; more; more = o.axes.next(&tap, kernelOf) {
			i, inside := 0, true
			for d, w := range o.axes {
				p := place[d]*w.stride + tap[d]*w.dilation - w.before
				inside = inside && p >= 0 && p < w.size
				i = i*w.size + p
			}
			if !inside {
				continue
			}
			if v := x[i]; !seen || v > best || v != v {
				at, best, seen = i, v, true
			}
		}
		if o.columns && at >= 0 {
			at = o.columnMajor(at)
		}
		y[plane*windows+k] = int64(plane*size + at)
		o.axes.next(&place, outOf)
	}
}

// columnMajor turns a row-major index in a plane into a column-major one.
func (o *maxIndices) columnMajor(i int) int {
	size := len0(o.in[0][2:])
	at := 0
	for d := len(o.axes) - 1; d >= 0; d-- {
		n := o.axes[d].size
		size /= n
		at += i % n * size
		i /= n
	}
	return at
}

func kernelOf(w window) int { return w.kernel }
func outOf(w window) int    { return w.out }

// next moves a place in a nest of loops, one for each axis and as long as n says, on by one step; false after the last.
func (s spatial) next(at *[maxDims]int, n func(window) int) bool {
	for d := len(s) - 1; d >= 0; d-- {
		if at[d]++; at[d] < n(s[d]) {
			return true
		}
		at[d] = 0
	}
	return false
}

// unpool writes every element of x to the place in the result that an index names; the rest is 0.
type unpool struct{ base }

// MaxUnpool returns a tensor of the given shape that holds the elements of x at the places of indices (int64, shape of
// x) in row-major order, and 0 elsewhere. Where two name one place, the later stays.
func MaxUnpool(x, indices *gorgonia.Node, shape []int) (*gorgonia.Node, error) {
	if err := needFloat("MaxUnpool", x); err != nil {
		return nil, err
	}
	if indices.Dtype() != tensor.Int64 || !sameShape(indices.Shape(), x.Shape()) {
		return nil, fmt.Errorf("ops: MaxUnpool: indices of type %v and shape %v; int64 of shape %v is needed", indices.Dtype(), indices.Shape(), x.Shape())
	}
	if err := needSizes("MaxUnpool", shape); err != nil {
		return nil, err
	}
	return apply(&unpool{base{name: "MaxUnpool", out: append(tensor.Shape{}, shape...)}}, x, indices)
}

func (o *unpool) Phases() []int { return []int{1} }

func (o *unpool) Run(_ *Env, _, _, _ int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		return unpoolPart(out.F64, in[0].F64, in[1].I64)
	}
	return unpoolPart(out.F32, in[0].F32, in[1].I64)
}

func unpoolPart[T kernels.Float](y, x []T, indices []int64) error {
	clear(y)
	for i, v := range x {
		at := indices[i]
		if at < 0 || at >= int64(len(y)) {
			return fmt.Errorf("index %d is outside of the result's %d elements", at, len(y))
		}
		y[at] = v
	}
	return nil
}

func (o *unpool) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := apply(&unpoolGrad{base{name: "MaxUnpoolGrad", out: in[0].Shape(), dt: dy.Dtype()}}, dy, in[1])
	return gorgonia.Nodes{dx, nil}, err
}

// unpoolGrad picks the elements of dy at the indices. Where two name one place, the later has its derivative.
type unpoolGrad struct{ base }

func (o *unpoolGrad) Phases() []int { return []int{1} }

func (o *unpoolGrad) Scratch() (shared, worker int) { return len0(o.in[0]), 0 }

func (o *unpoolGrad) Run(env *Env, _, _, _ int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		return unpoolGradPart(out.F64, in[0].F64, in[1].I64, env.Shared.F64)
	}
	return unpoolGradPart(out.F32, in[0].F32, in[1].I64, env.Shared.F32)
}

func unpoolGradPart[T kernels.Float](dx, dy []T, indices []int64, left []T) error {
	copy(left, dy)
	for i := len(indices) - 1; i >= 0; i-- {
		at := indices[i]
		if at < 0 || at >= int64(len(dy)) {
			return fmt.Errorf("index %d is outside of the result's %d elements", at, len(dy))
		}
		dx[i], left[at] = left[at], 0
	}
	return nil
}
