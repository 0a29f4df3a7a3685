package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// ReduceSum returns the sum over the given axes, which may count from the end; none means all. Reduced axes
// stay with one element if keepDims, else they go.
func ReduceSum(x *gorgonia.Node, axes []int, keepDims bool) (*gorgonia.Node, error) {
	return reduceAxes("ReduceSum", x, axes, keepDims, false)
}

// ReduceMean is ReduceSum divided by the number of elements that each sum has.
func ReduceMean(x *gorgonia.Node, axes []int, keepDims bool) (*gorgonia.Node, error) {
	return reduceAxes("ReduceMean", x, axes, keepDims, true)
}

func reduceAxes(name string, x *gorgonia.Node, axes []int, keepDims, mean bool) (*gorgonia.Node, error) {
	if err := needFloat(name, x); err != nil {
		return nil, err
	}
	over, out, count, err := reducedShape(x.Shape(), axes, keepDims)
	if err != nil {
		return nil, fmt.Errorf("ops: %s: %w", name, err)
	}
	factor := 1.0
	if mean {
		factor = 1 / float64(count)
	}
	if count == 1 {
		return Reshape(x, out)
	}
	return reduced(name, x, over, out, factor)
}

// reducedShape says which axes go, what shape is left, and how many elements each output has.
func reducedShape(shape, axes []int, keepDims bool) (over []bool, out tensor.Shape, count int, err error) {
	over = make([]bool, len(shape))
	for _, a := range axes {
		k, err := axisOf(a, len(shape))
		if err != nil {
			return nil, nil, 0, err
		}
		if over[k] {
			return nil, nil, 0, fmt.Errorf("axis %d is named twice", k)
		}
		over[k] = true
	}
	out, count = tensor.Shape{}, 1
	for i, n := range shape {
		over[i] = over[i] || len(axes) == 0
		switch {
		case !over[i]:
			out = append(out, n)
			continue
		case keepDims:
			out = append(out, 1)
		}
		count *= n
	}
	return over, out, count, nil
}

// reduce sums x over some axes and multiplies by factor. Sums are accumulated in float64. The work is cut
// by outputs; where these are few, the elements of a sum are cut into slices too, whose partial sums a
// second phase adds in order.
type reduce struct {
	base
	over   []bool
	factor float64

	// The nest of loops: rows are the outputs (or, if the last axis is kept, groups of width neighbours),
	// each is the sum over terms. A sum has count elements.
	rows, terms []dim
	width       int // outputs that are neighbours in x; 1 if the last axis is reduced
	count       int

	piece    int // most outputs of a unit
	units    int // rows times pieces of a row's width
	group    int // units of a part
	slices   int // of the elements of a sum
	sliceLen int
}

const (
	reduceWidth  = 8 * kernels.Tile // most neighbouring outputs of a unit, which goes through memory row by row
	reduceSlices = 32               // most slices of a sum
)

// pieceOf is how many neighbouring outputs a unit has at most. Of few rows, such as those of a batch, it is less than of many, so that
// no sum is sliced, and the columns of a part are mostly those of BatchNorm's parts: a processor's own cache has them.
func pieceOf(count int) int {
	if whole := chunk / max(1, count) / kernels.Tile * kernels.Tile; whole >= 2*kernels.Tile {
		return min(whole, reduceWidth)
	}
	return reduceWidth
}

// reduced builds the operator; out must have as many elements as x has without the axes that over names.
func reduced(name string, x *gorgonia.Node, over []bool, out tensor.Shape, factor float64) (*gorgonia.Node, error) {
	o := &reduce{base: base{name: name, out: out.Clone()}, over: over, factor: factor, width: 1, count: 1}
	var rows, terms []dim
	st := strides(x.Shape())
	for i, n := range x.Shape() {
		if d := (dim{n, st[i], st[i]}); over[i] {
			terms = append(terms, d)
			o.count *= n
		} else {
			rows = append(rows, d)
		}
	}
	var err error
	if o.rows, err = collapse(rows); err == nil {
		o.terms, err = collapse(terms)
	}
	if err != nil {
		return nil, fmt.Errorf("ops: %s: shape %v: %w", name, x.Shape(), err)
	}
	outputs := len0(out)
	if last := len(o.rows) - 1; outputs > 0 && o.count > 0 && o.rows[last].n > 1 && o.rows[last].a == 1 {
		o.width = o.rows[last].n
		o.rows = o.rows[:last]
	}
	o.piece = pieceOf(o.count)
	o.units = steps(o.rows) * ceilDiv(o.width, o.piece)
	parts := chunks(outputs * o.count)
	o.slices = 1
	if o.units > 0 && o.units < parts {
		o.slices = min(ceilDiv(parts, o.units), max(o.count, 1), reduceSlices)
	}
	o.sliceLen = (o.count + o.slices - 1) / o.slices
	if o.sliceLen > 0 {
		o.slices = (o.count + o.sliceLen - 1) / o.sliceLen
	}
	groups := max(1, parts/o.slices)
	o.group = max(1, (o.units+groups-1)/groups)
	return apply(o, x)
}

func (o *reduce) groups() int { return (o.units + o.group - 1) / o.group }

func (o *reduce) Phases() []int {
	if o.count == 0 || len0(o.out) == 0 {
		return []int{1}
	}
	if o.slices == 1 {
		return []int{o.groups()}
	}
	return []int{o.groups() * o.slices, chunks(len0(o.out))}
}

func (o *reduce) Scratch() (shared, worker int) {
	if o.slices > 1 {
		shared = o.slices * len0(o.out)
	}
	return shared, 0
}

func (o *reduce) Run(env *Env, _, phase, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		reducePart(o, phase, part, out.F64, in[0].F64, env.Shared.F64)
	} else {
		reducePart(o, phase, part, out.F32, in[0].F32, env.Shared.F32)
	}
	return nil
}

func reducePart[T kernels.Float](o *reduce, phase, part int, y, x, partial []T) {
	switch {
	case o.count == 0 || len(y) == 0: // the sum of nothing is 0, the mean of nothing is not a number
		v := T(0)
		if math.IsInf(o.factor, 0) {
			v = T(math.NaN())
		}
		kernels.Fill(y, v)
	case phase == 1:
		from, to := span(len(y), chunks(len(y)), part)
		for i := from; i < to; i++ {
			y[i] = T(kernels.SumStrided(partial[i:], o.slices, len(y)) * o.factor)
		}
	case o.slices == 1:
		reduceSlice(o, part, 0, y, x, o.factor)
	default:
		s := part / o.groups()
		reduceSlice(o, part%o.groups(), s, partial[s*len(y):(s+1)*len(y)], x, 1)
	}
}

// reduceSlice sums elements of slice s for the units of group g.
func reduceSlice[T kernels.Float](o *reduce, g, s int, y, x []T, factor float64) {
	pieces := ceilDiv(o.width, o.piece)
	first, last := s*o.sliceLen, min((s+1)*o.sliceLen, o.count)
	var row cursor
	unit := g * o.group
	row.seek(o.rows, unit/pieces)
	for ; unit < min((g+1)*o.group, o.units); unit++ {
		from := unit % pieces * o.piece
		to := min(from+o.piece, o.width)
		at := unit/pieces*o.width + from
		if o.width > 1 {
			sumColumns(o.terms, first, last, y[at:at+to-from], x[row.a+from:], factor)
		} else {
			y[at] = T(sumTerms(o.terms, first, last, x[row.a:]) * factor)
		}
		if to == o.width {
			row.next(o.rows)
		}
	}
}

// eachRun calls f for terms [first, last) of the nest dims, for the terms of the innermost dimension at once: n of them, the first
// at element at, stride apart.
func eachRun(dims []dim, first, last int, f func(at, n, stride int)) {
	outer, inner := dims[:len(dims)-1], dims[len(dims)-1]
	var c cursor
	c.seek(outer, first/inner.n)
	for skip := first % inner.n; first < last; skip = 0 {
		n := min(inner.n-skip, last-first)
		f(c.a+skip*inner.a, n, inner.a)
		first += n
		c.next(outer)
	}
}

// sumTerms returns the sum of terms [first, last) of the nest dims.
func sumTerms[T kernels.Float](dims []dim, first, last int, x []T) float64 {
	var runs kernels.Sums
	var sum float64
	eachRun(dims, first, last, func(at, n, stride int) {
		if stride == 1 {
			kernels.AddSum(&runs, x[at:at+n])
		} else {
			sum += kernels.SumStrided(x[at:], n, stride)
		}
	})
	return sum + runs.Total()
}

// sumColumns sets y to factor times the sums of terms [first, last) of the nest dims, for each of len(y)
// neighbours, at most reduceWidth.
func sumColumns[T kernels.Float](dims []dim, first, last int, y, x []T, factor float64) {
	var sums [reduceWidth / kernels.Tile][kernels.Tile]float64
	eachRun(dims, first, last, func(at, n, stride int) {
		for k := 0; k < len(y); k += kernels.Tile {
			kernels.SumRows(&sums[k/kernels.Tile], x[at+k:], stride, n, len(y)-k)
		}
	})
	for i := range y {
		y[i] = T(sums[i/kernels.Tile][i%kernels.Tile] * factor)
	}
}

func (o *reduce) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := scaled(dy, o.factor)
	if err != nil {
		return nil, err
	}
	keep := in[0].Shape().Clone()
	for i := range keep {
		if o.over[i] {
			keep[i] = 1
		}
	}
	if dx, err = Reshape(dx, keep); err != nil {
		return nil, err
	}
	dx, err = Expand(dx, in[0].Shape())
	return gorgonia.Nodes{dx}, err
}
