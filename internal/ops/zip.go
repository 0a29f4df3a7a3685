package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// zip applies a function to the elements of one to three operands that broadcast by NumPy's rule. The operands
// and the result may be of different element types: a comparison makes integers of floats. It is for operators
// that are given by a formula; binary and unary have loops of package kernels instead.
type zip struct {
	base
	loops []loop // over the output in row-major order; at least one
	row   func(at, n int, x, step [3]int, out *Buf, in []*Buf) error
	grad  func(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error)
}

// A loop is n steps, each of step[k] elements in operand k.
type loop struct {
	n    int
	step [3]int
}

// newZip applies a zip. row computes n elements of the output from at on; x and step say where the elements of
// each operand start and how far apart they are. grad is nil if no operand has a derivative.
func newZip(name string, dt tensor.Dtype, row func(at, n int, x, step [3]int, out *Buf, in []*Buf) error,
	grad func(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error), xs ...*gorgonia.Node) (*gorgonia.Node, error) {
	out := []int{}
	for _, x := range xs {
		var err error
		if out, err = broadcast(out, x.Shape()); err != nil {
			return nil, fmt.Errorf("ops: %s: %w", name, err)
		}
	}
	o := &zip{base: base{name: name, out: out, dt: dt}, row: row, grad: grad}
	if grad == nil {
		for i := range xs {
			o.fixed = append(o.fixed, i)
		}
	}
	o.loops = zipLoops(out, xs)
	return apply(o, xs...)
}

// zipLoops merges neighbouring axes along which every operand goes on in step.
func zipLoops(out []int, xs []*gorgonia.Node) []loop {
	var loops []loop
	steps := make([][]int, len(xs))
	for k, x := range xs {
		steps[k] = broadcastStrides(x.Shape(), out)
	}
	for i, n := range out {
		l := loop{n: n}
		for k := range xs {
			l.step[k] = steps[k][i]
		}
		if n == 1 {
			continue
		}
		if k := len(loops) - 1; k >= 0 && loops[k].step == [3]int{n * l.step[0], n * l.step[1], n * l.step[2]} {
			loops[k] = loop{loops[k].n * n, l.step}
			continue
		}
		loops = append(loops, l)
	}
	if len(loops) == 0 {
		loops = []loop{{n: 1}}
	}
	return loops
}

func (o *zip) Phases() []int { return []int{chunks(len0(o.out))} }

func (o *zip) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	size := len0(o.out)
	from, to := span(size, chunks(size), part)
	row := o.loops[len(o.loops)-1]
	for from < to {
		n := min(row.n-from%row.n, to-from)
		var x [3]int
		for i, k := len(o.loops)-1, from; i >= 0; i-- {
			l := &o.loops[i]
			at := k % l.n
			k /= l.n
			for j := range x {
				x[j] += at * l.step[j]
			}
		}
		if err := o.row(from, n, x, row.step, out, in); err != nil {
			return err
		}
		from += n
	}
	return nil
}

func (o *zip) SymDiff(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.grad == nil {
		return o.base.SymDiff(in, y, dy)
	}
	return o.grad(in, y, dy)
}

// zipFloats applies f to float operands, of which there are two or three; c is 0 with two. It computes in
// float64 and rounds once.
func zipFloats(name string, f func(a, b, c float64) float64, grad func(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error),
	xs ...*gorgonia.Node) (*gorgonia.Node, error) {
	if err := needFloat(name, xs...); err != nil {
		return nil, err
	}
	row := floatRow[float32](f, len(xs) == 3)
	if xs[0].Dtype() == tensor.Float64 {
		row = floatRow[float64](f, len(xs) == 3)
	}
	return newZip(name, xs[0].Dtype(), row, grad, xs...)
}

func floatRow[T kernels.Float](f func(a, b, c float64) float64, three bool) func(at, n int, x, step [3]int, out *Buf, in []*Buf) error {
	return func(at, n int, x, step [3]int, out *Buf, in []*Buf) error {
		y, a, b := floats[T](out)[at:at+n], floats[T](in[0]), floats[T](in[1])
		i, j, k := x[0], x[1], x[2]
		if three {
			c := floats[T](in[2])
			for m := range y {
				y[m] = T(f(float64(a[i]), float64(b[j]), float64(c[k])))
				i, j, k = i+step[0], j+step[1], k+step[2]
			}
			return nil
		}
		for m := range y {
			y[m] = T(f(float64(a[i]), float64(b[j]), 0))
			i, j = i+step[0], j+step[1]
		}
		return nil
	}
}

// Ints applies f to two int64 operands. An error of f ends the run.
func Ints(name string, a, b *gorgonia.Node, f func(a, b int64) (int64, error)) (*gorgonia.Node, error) {
	if err := needInts(name, a, b); err != nil {
		return nil, err
	}
	row := func(at, n int, x, step [3]int, out *Buf, in []*Buf) (err error) {
		y, a, b := out.I64[at:at+n], in[0].I64, in[1].I64
		i, j := x[0], x[1]
		for m := range y {
			if y[m], err = f(a[i], b[j]); err != nil {
				return err
			}
			i, j = i+step[0], j+step[1]
		}
		return nil
	}
	return newZip(name, tensor.Int64, row, nil, a, b)
}

// MapInts applies f to an int64 operand.
func MapInts(name string, x *gorgonia.Node, f func(int64) int64) (*gorgonia.Node, error) {
	if err := needInts(name, x); err != nil {
		return nil, err
	}
	row := func(at, n int, x, _ [3]int, out *Buf, in []*Buf) error {
		for m, v := range in[0].I64[x[0] : x[0]+n] {
			out.I64[at+m] = f(v)
		}
		return nil
	}
	return newZip(name, tensor.Int64, row, nil, x)
}

// Test applies a predicate to a float operand: 1 where it holds, else 0, as int64.
func Test(name string, x *gorgonia.Node, f func(float64) bool) (*gorgonia.Node, error) {
	return convert(name, x, func(v float64) int64 { return int64(bit(f(v))) })
}

// Compare applies a predicate to two operands of one type, with int64 results 1 and 0. less and equal tell the
// outcome where a < b and where a = b; greater where a > b. Nothing holds of a NaN.
func Compare(name string, a, b *gorgonia.Node, less, equal, greater bool) (*gorgonia.Node, error) {
	if a.Dtype() != b.Dtype() {
		return nil, fmt.Errorf("ops: %s: operands of types %v and %v", name, a.Dtype(), b.Dtype())
	}
	var row func(at, n int, x, step [3]int, out *Buf, in []*Buf) error
	l, e, g := int64(bit(less)), int64(bit(equal)), int64(bit(greater))
	switch a.Dtype() {
	case tensor.Float32:
		row = compareRow(func(b *Buf) []float32 { return b.F32 }, l, e, g)
	case tensor.Float64:
		row = compareRow(func(b *Buf) []float64 { return b.F64 }, l, e, g)
	default:
		row = compareRow(func(b *Buf) []int64 { return b.I64 }, l, e, g)
	}
	return newZip(name, tensor.Int64, row, nil, a, b)
}

func compareRow[T kernels.Elem](of func(*Buf) []T, less, equal, greater int64) func(at, n int, x, step [3]int, out *Buf, in []*Buf) error {
	return func(at, n int, x, step [3]int, out *Buf, in []*Buf) error {
		y, a, b := out.I64[at:at+n], of(in[0]), of(in[1])
		i, j := x[0], x[1]
		for m := range y {
			v, w := a[i], b[j]
			switch {
			case v < w:
				y[m] = less
			case v == w:
				y[m] = equal
			case v > w:
				y[m] = greater
			default:
				y[m] = 0
			}
			i, j = i+step[0], j+step[1]
		}
		return nil
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// needInts returns an error unless all nodes are of int64.
func needInts(name string, xs ...*gorgonia.Node) error {
	for i, x := range xs {
		if x.Dtype() != tensor.Int64 {
			return fmt.Errorf("ops: %s: operand %d has elements of type %v; int64 is needed", name, i, x.Dtype())
		}
	}
	return nil
}
