package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// A Tap is a term of a weighted sum: an index along an axis, and its weight.
type Tap struct {
	Index  int
	Weight float64
}

// resample multiplies x along an axis with a sparse matrix. The taps of element i of the result are
// index[first[i]:first[i+1]].
type resample struct {
	base
	axis        int
	first       []int
	index       []int
	weight      []float64
	add         []float64 // to every element of the result, nil for 0
	n, inner    int
	rows, group int
}

// Resample returns y[..., i, ...] = add[i] + the sum of weight*x[..., index, ...] over the taps of row i; add may be nil. The
// interpolations of ONNX Resize are such sums along one axis after the other.
func Resample(x *gorgonia.Node, axis int, rows [][]Tap, add []float64) (*gorgonia.Node, error) {
	shape := x.Shape()
	axis, err := axisOf(axis, len(shape))
	if err != nil {
		return nil, fmt.Errorf("ops: Resample: %w", err)
	}
	if err := needFloat("Resample", x); err != nil {
		return nil, err
	}
	if len(rows) == 0 || add != nil && len(add) != len(rows) {
		return nil, fmt.Errorf("ops: Resample: %d rows and %d summands", len(rows), len(add))
	}
	for _, row := range rows {
		for _, t := range row {
			if t.Index < 0 || t.Index >= shape[axis] {
				return nil, fmt.Errorf("ops: Resample: index %d is outside of axis %d of shape %v", t.Index, axis, shape)
			}
		}
	}
	return newResample("Resample", x, axis, rows, add)
}

func newResample(name string, x *gorgonia.Node, axis int, rows [][]Tap, add []float64) (*gorgonia.Node, error) {
	shape := x.Shape()
	out := shape.Clone()
	out[axis] = len(rows)
	o := &resample{base: base{name: name, out: out}, axis: axis, first: []int{0}, add: add, n: shape[axis], inner: len0(shape[axis+1:])}
	for _, row := range rows {
		for _, t := range row {
			o.index, o.weight = append(o.index, t.Index), append(o.weight, t.Weight)
		}
		o.first = append(o.first, len(o.index))
	}
	o.rows = len0(shape[:axis]) * len(rows)
	o.group = max(1, chunk/max(1, o.inner*max(1, len(o.index)/len(rows))))
	return apply(o, x)
}

func (o *resample) Phases() []int { return []int{max(1, ceilDiv(o.rows, o.group))} }

func (o *resample) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		resamplePart(o, part, out.F64, in[0].F64)
	} else {
		resamplePart(o, part, out.F32, in[0].F32)
	}
	return nil
}

func resamplePart[T kernels.Float](o *resample, part int, y, x []T) {
	m := len(o.first) - 1
	for r := part * o.group; r < min((part+1)*o.group, o.rows); r++ {
		row := y[r*o.inner:][:o.inner]
		i := r % m
		from := x[r/m*o.n*o.inner:]
		first := T(0)
		if o.add != nil {
			first = T(o.add[i])
		}
		kernels.Fill(row, first)
		for k := o.first[i]; k < o.first[i+1]; k++ {
			w := T(o.weight[k])
			for j, v := range from[o.index[k]*o.inner:][:o.inner] {
				row[j] += T(w * v)
			}
		}
	}
}

// The derivative is the product with the transposed matrix.
func (o *resample) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	rows := make([][]Tap, o.n)
	for i := range len(o.first) - 1 {
		for k := o.first[i]; k < o.first[i+1]; k++ {
			rows[o.index[k]] = append(rows[o.index[k]], Tap{i, o.weight[k]})
		}
	}
	dx, err := newResample("ResampleGrad", dy, o.axis, rows, nil)
	return gorgonia.Nodes{dx}, err
}
