package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// Where returns a where the int64 operand cond is not 0, else b, with broadcasting (ONNX Where). The operands a and
// b are of one type, of any kind. The derivative of the one that was not taken is 0.
func Where(cond, a, b *gorgonia.Node) (*gorgonia.Node, error) {
	if err := needInts("Where", cond); err != nil {
		return nil, err
	}
	if a.Dtype() != b.Dtype() {
		return nil, fmt.Errorf("ops: Where: operands of types %v and %v", a.Dtype(), b.Dtype())
	}
	switch a.Dtype() {
	case tensor.Float32:
		return newZip("Where", a.Dtype(), whereRow(func(b *Buf) []float32 { return b.F32 }), whereGrad, cond, a, b)
	case tensor.Float64:
		return newZip("Where", a.Dtype(), whereRow(func(b *Buf) []float64 { return b.F64 }), whereGrad, cond, a, b)
	}
	return newZip("Where", a.Dtype(), whereRow(func(b *Buf) []int64 { return b.I64 }), nil, cond, a, b)
}

func whereRow[T kernels.Elem](of func(*Buf) []T) func(at, n int, x, step [3]int, out *Buf, in []*Buf) error {
	return func(at, n int, x, step [3]int, out *Buf, in []*Buf) error {
		y, cond, a, b := of(out)[at:at+n], in[0].I64, of(in[1]), of(in[2])
		i, j, k := x[0], x[1], x[2]
		for m := range y {
			if cond[i] != 0 {
				y[m] = a[j]
			} else {
				y[m] = b[k]
			}
			i, j, k = i+step[0], j+step[1], k+step[2]
		}
		return nil
	}
}

func whereGrad(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	da, err := masked(in[0], dy, true, in[1].Shape())
	if err != nil {
		return nil, err
	}
	db, err := masked(in[0], dy, false, in[2].Shape())
	return gorgonia.Nodes{nil, da, db}, err
}

// masked returns dy where cond is what keep says, else 0, summed to shape.
func masked(cond, dy *gorgonia.Node, keep bool, shape tensor.Shape) (*gorgonia.Node, error) {
	row := maskRow[float32](keep)
	if dy.Dtype() == tensor.Float64 {
		row = maskRow[float64](keep)
	}
	m, err := newZip("WhereGrad", dy.Dtype(), row, nil, cond, dy)
	if err != nil {
		return nil, err
	}
	return sumTo(m, shape)
}

func maskRow[T kernels.Float](keep bool) func(at, n int, x, step [3]int, out *Buf, in []*Buf) error {
	return func(at, n int, x, step [3]int, out *Buf, in []*Buf) error {
		y, cond, dy := floats[T](out)[at:at+n], in[0].I64, floats[T](in[1])
		i, j := x[0], x[1]
		for m := range y {
			if (cond[i] != 0) == keep {
				y[m] = dy[j]
			} else {
				y[m] = 0
			}
			i, j = i+step[0], j+step[1]
		}
		return nil
	}
}
