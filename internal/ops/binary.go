package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// binary applies a loop of package kernels to pairs of elements, with NumPy broadcasting. The output is cut
// into parts by its flat index; a part goes through rows, in which each operand either advances by one
// element or stays.
type binary struct {
	base
	dims []dim // strides of a and b in the order of the output
	f32  pairs[float32]
	f64  pairs[float64]
	grad func(a, b, y, dy *gorgonia.Node) (gorgonia.Nodes, error)
}

// pairs are the loops for two rows, and for a row and a single element on either side.
type pairs[T kernels.Float] struct {
	vv func(y, a, b []T)
	vs func(y, a []T, s T)
	sv func(y []T, s T, b []T)
}

// Add returns a + b.
func Add(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	if x, perm := permutedRows(a); x != nil && b.Dims() < 2 {
		return behind(x, perm, func(x *gorgonia.Node) (*gorgonia.Node, error) { return Add(x, b) })
	}
	if x, perm := permutedRows(b); x != nil && a.Dims() < 2 {
		return behind(x, perm, func(x *gorgonia.Node) (*gorgonia.Node, error) { return Add(a, x) })
	}
	return pairwise("Add", a, b,
		pairs[float32]{kernels.Add[float32], kernels.AddScalar[float32], kernels.ScalarAdd[float32]},
		pairs[float64]{kernels.Add[float64], kernels.AddScalar[float64], kernels.ScalarAdd[float64]},
		func(a, b, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
			da, err := sumTo(dy, a.Shape())
			if err != nil {
				return nil, err
			}
			db, err := sumTo(dy, b.Shape())
			return gorgonia.Nodes{da, db}, err
		})
}

// Sub returns a - b.
func Sub(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	return pairwise("Sub", a, b,
		pairs[float32]{kernels.Sub[float32], kernels.SubScalar[float32], kernels.ScalarSub[float32]},
		pairs[float64]{kernels.Sub[float64], kernels.SubScalar[float64], kernels.ScalarSub[float64]},
		func(a, b, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
			da, err := sumTo(dy, a.Shape())
			if err != nil {
				return nil, err
			}
			db, err := sumTo(dy, b.Shape())
			if err != nil {
				return nil, err
			}
			db, err = Neg(db)
			return gorgonia.Nodes{da, db}, err
		})
}

// Mul returns a * b, element by element.
func Mul(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	return pairwise("Mul", a, b,
		pairs[float32]{kernels.Mul[float32], kernels.MulScalar[float32], kernels.ScalarMul[float32]},
		pairs[float64]{kernels.Mul[float64], kernels.MulScalar[float64], kernels.ScalarMul[float64]},
		func(a, b, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
			da, err := summed(Mul, dy, b, a.Shape())
			if err != nil {
				return nil, err
			}
			db, err := summed(Mul, dy, a, b.Shape())
			return gorgonia.Nodes{da, db}, err
		})
}

// Div returns a / b.
func Div(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	return pairwise("Div", a, b,
		pairs[float32]{kernels.Div[float32], kernels.DivScalar[float32], kernels.ScalarDiv[float32]},
		pairs[float64]{kernels.Div[float64], kernels.DivScalar[float64], kernels.ScalarDiv[float64]},
		func(a, b, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
			q, err := Div(dy, b) // d(a/b) = da/b - (a/b)*db/b
			if err != nil {
				return nil, err
			}
			da, err := sumTo(q, a.Shape())
			if err != nil {
				return nil, err
			}
			db, err := summed(Mul, q, y, b.Shape())
			if err != nil {
				return nil, err
			}
			db, err = Neg(db)
			return gorgonia.Nodes{da, db}, err
		})
}

// Sum returns the sum of its operands, one or more, with broadcasting, added from left to right.
func Sum(xs ...*gorgonia.Node) (*gorgonia.Node, error) {
	if len(xs) == 0 {
		return nil, fmt.Errorf("ops: Sum: no operand")
	}
	if err := needFloat("Sum", xs...); err != nil {
		return nil, err
	}
	y := xs[0]
	for _, x := range xs[1:] {
		var err error
		if y, err = Add(y, x); err != nil {
			return nil, err
		}
	}
	return y, nil
}

func pairwise(name string, a, b *gorgonia.Node, f32 pairs[float32], f64 pairs[float64],
	grad func(a, b, y, dy *gorgonia.Node) (gorgonia.Nodes, error)) (*gorgonia.Node, error) {
	if err := needFloat(name, a, b); err != nil {
		return nil, err
	}
	out, err := broadcast(a.Shape(), b.Shape())
	if err != nil {
		return nil, fmt.Errorf("ops: %s: %w", name, err)
	}
	sa, sb := broadcastStrides(a.Shape(), out), broadcastStrides(b.Shape(), out)
	dims := make([]dim, len(out))
	for i, n := range out {
		dims[i] = dim{n, sa[i], sb[i]}
	}
	if dims, err = collapse(dims); err != nil {
		return nil, fmt.Errorf("ops: %s: shapes %v and %v: %w", name, a.Shape(), b.Shape(), err)
	}
	return apply(&binary{base{name: name, out: out}, dims, f32, f64, grad}, a, b)
}

func (o *binary) Phases() []int { return []int{chunks(len0(o.out))} }

func (o *binary) InPlace() []int {
	var in []int
	for i, s := range o.in {
		if len0(s) == len0(o.out) {
			in = append(in, i)
		}
	}
	return in
}

func (o *binary) Run(env *Env, _, _, part int, out *Buf, in []*Buf) error {
	n := len0(o.out)
	from, to := span(n, chunks(n), part)
	return o.elements(env, from, to, out, in)
}

func (o *binary) elements(_ *Env, from, to int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		binaryRange(o, &o.f64, from, to, out.F64, in[0].F64, in[1].F64)
	} else {
		binaryRange(o, &o.f32, from, to, out.F32, in[0].F32, in[1].F32)
	}
	return nil
}

func binaryRange[T kernels.Float](o *binary, f *pairs[T], from, to int, y, a, b []T) {
	if from == to {
		return
	}
	outer, row := o.dims[:len(o.dims)-1], o.dims[len(o.dims)-1]
	var c cursor
	c.seek(outer, from/row.n)
	for skip := from % row.n; from < to; skip = 0 {
		k := min(row.n-skip, to-from)
		z := y[from : from+k]
		i, j := c.a+skip*row.a, c.b+skip*row.b
		switch {
		case row.b == 0:
			f.vs(z, a[i:i+k], b[j])
		case row.a == 0:
			f.sv(z, a[i], b[j:j+k])
		default:
			f.vv(z, a[i:i+k], b[j:j+k])
		}
		from += k
		c.next(outer)
	}
}

func (o *binary) SymDiff(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	return o.grad(in[0], in[1], y, dy)
}

// summed returns f(a, b) summed to shape.
func summed(f func(a, b *gorgonia.Node) (*gorgonia.Node, error), a, b *gorgonia.Node, shape tensor.Shape) (*gorgonia.Node, error) {
	y, err := f(a, b)
	if err != nil {
		return nil, err
	}
	return sumTo(y, shape)
}

// sumTo is the derivative of broadcasting: it sums x over the axes along which a tensor of the given shape
// was repeated to get x's.
func sumTo(x *gorgonia.Node, shape tensor.Shape) (*gorgonia.Node, error) {
	switch {
	case sameShape(x.Shape(), shape):
		return x, nil
	case len0(x.Shape()) == len0(shape):
		return Reshape(x, shape)
	}
	over := make([]bool, len(x.Shape()))
	lack := len(over) - len(shape)
	for i, n := range x.Shape() {
		over[i] = i < lack || shape[i-lack] != n
	}
	return reduced("SumTo", x, over, shape, 1)
}
