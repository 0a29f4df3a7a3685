package ops

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// liner works on the lines of its operand along one axis, one after the other. f reads n elements from x, step apart,
// and writes as many as the result has along the axis to y, step apart too.
type liner struct {
	base
	axis, n, m, inner int  // elements of a line in x and in the result; lines beside each other
	group             int  // lines of a part
	sorts             bool // it wants memory for n numbers of a line
	run               func(o *liner, work []int64, first, last int, out *Buf, in []*Buf)
	grad              func(in gorgonia.Nodes, y, dy *gorgonia.Node) (*gorgonia.Node, error)
}

func newLiner(name string, axis, m int, dt tensor.Dtype, run func(o *liner, work []int64, first, last int, out *Buf, in []*Buf),
	grad func(in gorgonia.Nodes, y, dy *gorgonia.Node) (*gorgonia.Node, error), xs ...*gorgonia.Node) (*gorgonia.Node, error) {
	shape := xs[0].Shape()
	axis, err := axisOf(axis, len(shape))
	if err != nil {
		return nil, fmt.Errorf("ops: %s: %w", name, err)
	}
	out := shape.Clone()
	if m < 0 {
		m = shape[axis]
	}
	out[axis] = m
	o := &liner{base: base{name: name, out: out, dt: dt}, axis: axis, n: shape[axis], m: m, inner: len0(shape[axis+1:]), run: run, grad: grad}
	o.group = max(1, chunk/max(1, o.n))
	return apply(o, xs...)
}

func (o *liner) lines() int { return len0(o.out[:o.axis]) * o.inner }

func (o *liner) Phases() []int { return []int{max(1, ceilDiv(o.lines(), o.group))} }

func (o *liner) Scratch() (shared, worker int) {
	if o.sorts {
		worker = o.n
	}
	return 0, worker
}

func (o *liner) Run(env *Env, worker, _, part int, out *Buf, in []*Buf) error {
	var work []int64
	if o.sorts {
		work = env.Worker[worker].I64
	}
	o.run(o, work, part*o.group, min((part+1)*o.group, o.lines()), out, in)
	return nil
}

// starts returns where a line starts in the operand and in the result.
func (o *liner) starts(line int) (x, y int) {
	return line/o.inner*o.n*o.inner + line%o.inner, line/o.inner*o.m*o.inner + line%o.inner
}

func (o *liner) SymDiff(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.grad == nil {
		return o.base.SymDiff(in, y, dy)
	}
	dx, err := o.grad(in, y, dy)
	return gorgonia.Nodes{dx}, err
}

// order3 tells whether a is before b: 1 if it is greater (or with largest unset less), -1 if it is the other way round,
// 0 if they are equal. NaN is the greatest.
func order3[T kernels.Elem](a, b T, largest bool) int {
	if !largest {
		a, b = b, a
	}
	switch {
	case a > b, a != a && b == b:
		return 1
	case a < b, b != b && a == a:
		return -1
	}
	return 0
}

// Arg returns the index of the greatest element along an axis, or of the least, as int64 (ONNX ArgMax, ArgMin). Of
// equal ones it is the first, or with last set the last. NaN is taken for the greatest.
func Arg(x *gorgonia.Node, axis int, keepDims, largest, last bool) (*gorgonia.Node, error) {
	name := "ArgMin"
	if largest {
		name = "ArgMax"
	}
	if k, err := axisOf(axis, x.Dims()); err == nil && x.Shape()[k] == 0 {
		return nil, fmt.Errorf("ops: %s: axis %d of shape %v has no elements", name, axis, x.Shape())
	}
	run := lines(func(x []int64, n, step int, y []int64, _ int, _ []int64) { argLine(x, n, step, y, largest, last) },
		func(x []float32, n, step int, y []int64, _ int, _ []int64) { argLine(x, n, step, y, largest, last) },
		func(x []float64, n, step int, y []int64, _ int, _ []int64) { argLine(x, n, step, y, largest, last) })
	y, err := newLiner(name, axis, 1, tensor.Int64, run, nil, x)
	if err != nil || keepDims {
		return y, err
	}
	_, out, _, err := reducedShape(x.Shape(), []int{axis}, false)
	if err != nil {
		return nil, err
	}
	return Reshape(y, out)
}

// lines makes the loop over lines of an operator whose result is int64.
func lines(i64 func(x []int64, n, step int, y []int64, m int, work []int64), f32 func(x []float32, n, step int, y []int64, m int, work []int64),
	f64 func(x []float64, n, step int, y []int64, m int, work []int64)) func(o *liner, work []int64, first, last int, out *Buf, in []*Buf) {
	return func(o *liner, work []int64, first, last int, out *Buf, in []*Buf) {
		for l := first; l < last; l++ {
			i, j := o.starts(l)
			switch {
			case in[0].F32 != nil:
				f32(in[0].F32[i:], o.n, o.inner, out.I64[j:], o.m, work)
			case in[0].F64 != nil:
				f64(in[0].F64[i:], o.n, o.inner, out.I64[j:], o.m, work)
			default:
				i64(in[0].I64[i:], o.n, o.inner, out.I64[j:], o.m, work)
			}
		}
	}
}

func argLine[T kernels.Elem](x []T, n, step int, y []int64, largest, last bool) {
	best := 0
	for k := 1; k < n; k++ {
		if c := order3(x[k*step], x[best*step], largest); c > 0 || c == 0 && last {
			best = k
		}
	}
	y[0] = int64(best)
}

// TopKIndex returns the indices of the k greatest elements along an axis, or of the least, in order, as int64; of equal
// ones the first come first (ONNX TopK). GatherElements gives the elements.
func TopKIndex(x *gorgonia.Node, k, axis int, largest bool) (*gorgonia.Node, error) {
	if a, err := axisOf(axis, x.Dims()); err != nil || k < 0 || k > x.Shape()[a] {
		return nil, fmt.Errorf("ops: TopK: %d elements along axis %d of shape %v", k, axis, x.Shape())
	}
	run := lines(func(x []int64, n, step int, y []int64, m int, work []int64) { topLine(x, n, step, y, m, work, largest) },
		func(x []float32, n, step int, y []int64, m int, work []int64) {
			topLine(x, n, step, y, m, work, largest)
		},
		func(x []float64, n, step int, y []int64, m int, work []int64) {
			topLine(x, n, step, y, m, work, largest)
		})
	y, err := newLiner("TopK", axis, k, tensor.Int64, run, nil, x)
	if err == nil {
		y.Op().(*liner).sorts = true
	}
	return y, err
}

func topLine[T kernels.Elem](x []T, n, step int, y []int64, m int, order []int64, largest bool) {
	for k := range n {
		order[k] = int64(k)
	}
	slices.SortStableFunc(order[:n], func(i, j int64) int { return order3(x[int(j)*step], x[int(i)*step], largest) })
	for k := range m {
		y[k*step] = order[k]
	}
}
