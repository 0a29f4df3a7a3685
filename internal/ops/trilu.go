package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// trilu keeps a triangle of the matrices of the last two axes.
type trilu struct {
	base
	upper      bool
	k          int
	rows, cols int
	group      int // rows of a part
}

// Trilu returns x with 0 below diagonal k of the matrices of its last two axes, or with upper unset above it
// (ONNX Trilu).
func Trilu(x *gorgonia.Node, k int, upper bool) (*gorgonia.Node, error) {
	s := x.Shape()
	if len(s) < 2 {
		return nil, fmt.Errorf("ops: Trilu: shape %v holds no matrices", s)
	}
	rows, cols := s[len(s)-2], s[len(s)-1]
	k = max(-rows-1, min(k, cols+1))
	return apply(&trilu{base{name: "Trilu", out: s}, upper, k, rows, cols, max(1, chunk/max(1, cols))}, x)
}

func (o *trilu) lines() int {
	if o.cols == 0 {
		return 0
	}
	return len0(o.out) / o.cols
}

func (o *trilu) Phases() []int  { return []int{max(1, ceilDiv(o.lines(), o.group))} }
func (o *trilu) InPlace() []int { return []int{0} }

func (o *trilu) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	switch o.dt {
	case tensor.Float64:
		triluPart(o, part, out.F64, in[0].F64)
	case tensor.Float32:
		triluPart(o, part, out.F32, in[0].F32)
	default:
		triluPart(o, part, out.I64, in[0].I64)
	}
	return nil
}

func triluPart[T kernels.Elem](o *trilu, part int, y, x []T) {
	for r := part * o.group; r < min((part+1)*o.group, o.lines()); r++ {
		row := y[r*o.cols : (r+1)*o.cols]
		copy(row, x[r*o.cols:])
		edge := max(0, min(r%o.rows+o.k, o.cols)) // the column on the diagonal
		if o.upper {
			clear(row[:edge])
		} else if first := r%o.rows + o.k + 1; first < o.cols {
			clear(row[max(0, first):])
		}
	}
}

func (o *trilu) SymDiff(_ gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := Trilu(dy, o.k, o.upper)
	return gorgonia.Nodes{dx}, err
}
