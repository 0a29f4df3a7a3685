package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// aggregate reduces axes by a formula: an accumulator of two float64, or one int64, runs over the elements of each
// output in row-major order. ReduceSum and ReduceMean of floats have reduce, which is faster.
type aggregate struct {
	base
	over        []bool
	rows, terms []dim
	count       int // elements of an output
	group       int // outputs of a part
	f           floatFold
	i           intFold
	grad        func(x, y, dy *gorgonia.Node) (*gorgonia.Node, error) // y and dy have the reduced axes with one element
}

type floatFold struct {
	start  [2]float64
	step   func(acc *[2]float64, v float64)
	finish func(acc [2]float64) float64
}

type intFold struct {
	start int64
	step  func(acc, v int64) int64
}

func first(acc [2]float64) float64 { return acc[0] }

// ReduceMax returns the greatest element over the given axes, which may count from the end; none means all. NaN wins.
// Elements that are equally great share the derivative, as in PyTorch's amax.
func ReduceMax(x *gorgonia.Node, axes []int, keepDims bool) (*gorgonia.Node, error) {
	return aggregated("ReduceMax", x, axes, keepDims, floatFold{[2]float64{math.Inf(-1)},
		func(acc *[2]float64, v float64) { acc[0] = max(acc[0], v) }, first}, shared)
}

// ReduceMin is ReduceMax for the least element.
func ReduceMin(x *gorgonia.Node, axes []int, keepDims bool) (*gorgonia.Node, error) {
	return aggregated("ReduceMin", x, axes, keepDims, floatFold{[2]float64{math.Inf(1)},
		func(acc *[2]float64, v float64) { acc[0] = min(acc[0], v) }, first}, shared)
}

// ReduceProd returns the product.
func ReduceProd(x *gorgonia.Node, axes []int, keepDims bool) (*gorgonia.Node, error) {
	return aggregated("ReduceProd", x, axes, keepDims, floatFold{[2]float64{1},
		func(acc *[2]float64, v float64) { acc[0] *= v }, first}, prodGrad)
}

// ReduceL1 returns the sum of the absolute values.
func ReduceL1(x *gorgonia.Node, axes []int, keepDims bool) (*gorgonia.Node, error) {
	return aggregated("ReduceL1", x, axes, keepDims, floatFold{[2]float64{},
		func(acc *[2]float64, v float64) { acc[0] += math.Abs(v) }, first},
		func(x, _, dy *gorgonia.Node) (*gorgonia.Node, error) {
			return zipFloats("ReduceL1Grad", func(dy, x, _ float64) float64 { return dy * sign(x) }, nil, dy, x)
		})
}

// ReduceL2 returns the Euclidean norm. Where it is 0 the derivative is 0, as in PyTorch.
func ReduceL2(x *gorgonia.Node, axes []int, keepDims bool) (*gorgonia.Node, error) {
	return aggregated("ReduceL2", x, axes, keepDims, floatFold{[2]float64{},
		func(acc *[2]float64, v float64) { acc[0] += v * v }, func(acc [2]float64) float64 { return math.Sqrt(acc[0]) }},
		func(x, y, dy *gorgonia.Node) (*gorgonia.Node, error) {
			return zipFloats("ReduceL2Grad", func(dy, x, y float64) float64 {
				if y == 0 {
					return 0
				}
				return dy * x / y
			}, nil, dy, x, y)
		})
}

// ReduceSumSquare returns the sum of the squares.
func ReduceSumSquare(x *gorgonia.Node, axes []int, keepDims bool) (*gorgonia.Node, error) {
	return aggregated("ReduceSumSquare", x, axes, keepDims, floatFold{[2]float64{},
		func(acc *[2]float64, v float64) { acc[0] += v * v }, first},
		func(x, _, dy *gorgonia.Node) (*gorgonia.Node, error) {
			return zipFloats("ReduceSumSquareGrad", func(dy, x, _ float64) float64 { return 2 * dy * x }, nil, dy, x)
		})
}

// ReduceLogSum returns the logarithm of the sum.
func ReduceLogSum(x *gorgonia.Node, axes []int, keepDims bool) (*gorgonia.Node, error) {
	return aggregated("ReduceLogSum", x, axes, keepDims, floatFold{[2]float64{},
		func(acc *[2]float64, v float64) { acc[0] += v }, func(acc [2]float64) float64 { return math.Log(acc[0]) }},
		func(x, y, dy *gorgonia.Node) (*gorgonia.Node, error) {
			return zipFloats("ReduceLogSumGrad", func(dy, _, y float64) float64 { return dy * math.Exp(-y) }, nil, dy, x, y)
		})
}

// ReduceLogSumExp returns log(sum(exp(x))), computed with the greatest element taken out: the accumulator is that
// element m and the sum of exp(x-m).
func ReduceLogSumExp(x *gorgonia.Node, axes []int, keepDims bool) (*gorgonia.Node, error) {
	step := func(acc *[2]float64, v float64) {
		switch m := acc[0]; {
		case v == m && math.IsInf(v, 1):
			acc[1]++
		case v > m || v != v:
			acc[0], acc[1] = v, acc[1]*math.Exp(m-v)+1
		case !math.IsInf(v, -1):
			acc[1] += math.Exp(v - m)
		}
	}
	return aggregated("ReduceLogSumExp", x, axes, keepDims,
		floatFold{[2]float64{math.Inf(-1), 0}, step, func(acc [2]float64) float64 { return acc[0] + math.Log(acc[1]) }},
		func(x, y, dy *gorgonia.Node) (*gorgonia.Node, error) {
			return zipFloats("ReduceLogSumExpGrad", func(dy, x, y float64) float64 {
				if math.IsInf(x, -1) {
					return 0
				}
				return dy * math.Exp(x-y)
			}, nil, dy, x, y)
		})
}

// ReduceInts folds step over axes of an int64 tensor, from start on.
func ReduceInts(name string, x *gorgonia.Node, axes []int, keepDims bool, start int64, step func(acc, v int64) int64) (*gorgonia.Node, error) {
	if err := needInts(name, x); err != nil {
		return nil, err
	}
	o, err := newAggregate(name, x, axes, keepDims)
	if err != nil {
		return nil, err
	}
	o.i = intFold{start, step}
	return apply(o, x)
}

func aggregated(name string, x *gorgonia.Node, axes []int, keepDims bool, f floatFold,
	grad func(x, y, dy *gorgonia.Node) (*gorgonia.Node, error)) (*gorgonia.Node, error) {
	if err := needFloat(name, x); err != nil {
		return nil, err
	}
	o, err := newAggregate(name, x, axes, keepDims)
	if err != nil {
		return nil, err
	}
	o.f, o.grad = f, grad
	return apply(o, x)
}

func newAggregate(name string, x *gorgonia.Node, axes []int, keepDims bool) (*aggregate, error) {
	shape := x.Shape()
	over, out, _, err := reducedShape(shape, axes, keepDims)
	if err != nil {
		return nil, fmt.Errorf("ops: %s: %w", name, err)
	}
	o := &aggregate{base: base{name: name, out: out}, over: over, count: 1}
	var rows, terms []dim
	st := strides(shape)
	for i, n := range shape {
		if d := (dim{n, st[i], 0}); over[i] {
			terms = append(terms, d)
			o.count *= n
		} else {
			rows = append(rows, d)
		}
	}
	if o.rows, err = collapse(rows); err == nil {
		o.terms, err = collapse(terms)
	}
	if err != nil {
		return nil, fmt.Errorf("ops: %s: shape %v: %w", name, shape, err)
	}
	o.group = max(1, chunk/max(1, o.count))
	return o, nil
}

func (o *aggregate) Phases() []int { return []int{max(1, ceilDiv(len0(o.out), o.group))} }

func (o *aggregate) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	switch o.dt {
	case tensor.Float64:
		aggregateFloats(o, part, out.F64, in[0].F64)
	case tensor.Float32:
		aggregateFloats(o, part, out.F32, in[0].F32)
	default:
		aggregateInts(o, part, out.I64, in[0].I64)
	}
	return nil
}

func aggregateFloats[T kernels.Float](o *aggregate, part int, y, x []T) {
	o.each(part, len(y), func(k int, each func(func(at int))) {
		acc := o.f.start
		each(func(at int) { o.f.step(&acc, float64(x[at])) })
		y[k] = T(o.f.finish(acc))
	})
}

func aggregateInts(o *aggregate, part int, y, x []int64) {
	o.each(part, len(y), func(k int, each func(func(at int))) {
		acc := o.i.start
		each(func(at int) { acc = o.i.step(acc, x[at]) })
		y[k] = acc
	})
}

// each calls f for the outputs of a part, with a function that goes through the elements of that output.
func (o *aggregate) each(part, outputs int, f func(k int, each func(func(at int)))) {
	from, to := part*o.group, min((part+1)*o.group, outputs)
	if from >= to {
		return
	}
	var row cursor
	row.seek(o.rows, from)
	for k := from; k < to; k++ {
		f(k, func(visit func(at int)) {
			var term cursor
			for range o.count {
				visit(row.a + term.a)
				term.next(o.terms)
			}
		})
		row.next(o.rows)
	}
}

func (o *aggregate) SymDiff(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.grad == nil {
		return o.base.SymDiff(in, y, dy)
	}
	keep := in[0].Shape().Clone()
	for i := range keep {
		if o.over[i] {
			keep[i] = 1
		}
	}
	y, err := Reshape(y, keep)
	if err != nil {
		return nil, err
	}
	if dy, err = Reshape(dy, keep); err != nil {
		return nil, err
	}
	dx, err := o.grad(in[0], y, dy)
	return gorgonia.Nodes{dx}, err
}

// shared gives each element that equals y an equal part of dy.
func shared(x, y, dy *gorgonia.Node) (*gorgonia.Node, error) {
	equal := func(x, y, _ float64) float64 { return float64(bit(x == y)) }
	ties, err := zipFloats("Ties", equal, nil, x, y)
	if err != nil {
		return nil, err
	}
	number, err := sumTo(ties, y.Shape())
	if err != nil {
		return nil, err
	}
	return zipFloats("Share", func(t, dy, n float64) float64 {
		if t == 0 {
			return 0
		}
		return dy / n
	}, nil, ties, dy, number)
}

// prodGrad gives each element the product of the others: with z zeros among them, of which it may be one.
func prodGrad(x, y, dy *gorgonia.Node) (*gorgonia.Node, error) {
	var axes []int
	for i, n := range x.Shape() {
		if n != y.Shape()[i] {
			axes = append(axes, i)
		}
	}
	if len(axes) == 0 {
		return dy, nil
	}
	zeros, err := aggregated("Zeros", x, axes, true, floatFold{[2]float64{},
		func(acc *[2]float64, v float64) { acc[0] += float64(bit(v == 0)) }, first}, nil)
	if err != nil {
		return nil, err
	}
	rest, err := aggregated("ProdNonzero", x, axes, true, floatFold{[2]float64{1},
		func(acc *[2]float64, v float64) {
			if v != 0 {
				acc[0] *= v
			}
		}, first}, nil)
	if err != nil {
		return nil, err
	}
	others, err := zipFloats("Others", func(x, z, p float64) float64 {
		switch {
		case z == 0:
			return p / x
		case z == 1 && x == 0:
			return p
		}
		return 0
	}, nil, x, zeros, rest)
	if err != nil {
		return nil, err
	}
	return Mul(others, dy)
}
