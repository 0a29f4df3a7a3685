package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// concat joins tensors along an axis. A part is a range of the elements of one operand.
type concat struct {
	base
	axis  int
	row   int     // elements of out for one index of the axes before axis
	parts []piece // fixed by the shapes
}

type piece struct {
	operand  int
	from, to int // elements of the operand
	row      int // elements of the operand for one index of the axes before axis
	offset   int // of its row in out's
}

// Concat returns its operands, one or more, joined along an axis, which may count from the end. Their other
// axes must agree.
func Concat(axis int, xs ...*gorgonia.Node) (*gorgonia.Node, error) {
	if len(xs) == 0 {
		return nil, fmt.Errorf("ops: Concat: no operand")
	}
	out := xs[0].Shape().Clone()
	axis, err := axisOf(axis, len(out))
	if err != nil {
		return nil, fmt.Errorf("ops: Concat: %w", err)
	}
	for i, x := range xs[1:] {
		s := x.Shape()
		fits := len(s) == len(out) && x.Dtype() == xs[0].Dtype()
		for k := 0; fits && k < len(s); k++ {
			fits = k == axis || s[k] == out[k]
		}
		if !fits {
			return nil, fmt.Errorf("ops: Concat: operand %d (%v %v) does not fit operand 0 (%v %v) along axis %d",
				i+1, x.Dtype(), s, xs[0].Dtype(), xs[0].Shape(), axis)
		}
		out[axis] += s[axis]
	}
	if len(xs) == 1 {
		return xs[0], nil
	}
	o := &concat{base: base{name: "Concat", out: out}, axis: axis, row: len0(out[axis:])}
	offset := 0
	for i, x := range xs {
		n, row := len0(x.Shape()), len0(x.Shape()[axis:])
		for k := 0; k < chunks(n) && n > 0; k++ {
			from, to := span(n, chunks(n), k)
			o.parts = append(o.parts, piece{i, from, to, row, offset})
		}
		offset += row
	}
	return apply(o, xs...)
}

func (o *concat) Phases() []int { return []int{len(o.parts)} }

func (o *concat) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	p := o.parts[part]
	switch o.dt {
	case tensor.Float64:
		concatPart(p, o.row, out.F64, in[p.operand].F64)
	case tensor.Float32:
		concatPart(p, o.row, out.F32, in[p.operand].F32)
	default:
		concatPart(p, o.row, out.I64, in[p.operand].I64)
	}
	return nil
}

func concatPart[T kernels.Elem](p piece, row int, y, x []T) {
	for from := p.from; from < p.to; {
		i, j := from/p.row, from%p.row
		k := min(p.row-j, p.to-from)
		copy(y[i*row+p.offset+j:], x[from:from+k])
		from += k
	}
}

func (o *concat) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	grads := make(gorgonia.Nodes, len(in))
	starts := make([]int, len(o.out))
	for i, x := range in {
		var err error
		if grads[i], err = Slice(dy, starts, nil, x.Shape()); err != nil {
			return nil, err
		}
		starts[o.axis] += x.Shape()[o.axis]
	}
	return grads, nil
}
