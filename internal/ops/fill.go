package ops

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// Nothing returns a tensor of the given shape, which has no elements, of the type of x.
func Nothing(x *gorgonia.Node, shape []int) (*gorgonia.Node, error) {
	if err := needSizes("Nothing", shape); err != nil {
		return nil, err
	}
	return apply(&constantFill{base{name: "Nothing", out: append(tensor.Shape{}, shape...), fixed: []int{0}}, 0}, x)
}

func zerosLike(x *gorgonia.Node) (*gorgonia.Node, error) { return filled(x, 0) }

// constantFill is a tensor of one number, in the shape and type of its operand, which it does not read.
type constantFill struct {
	base
	value float64
}

func filled(x *gorgonia.Node, value float64) (*gorgonia.Node, error) {
	return apply(&constantFill{base{name: "Fill", out: x.Shape(), fixed: []int{0}}, value}, x)
}

func (o *constantFill) Phases() []int { return []int{chunks(len0(o.out))} }

func (o *constantFill) Run(_ *Env, _, _, part int, out *Buf, _ []*Buf) error {
	from, to := span(len0(o.out), chunks(len0(o.out)), part)
	switch o.dt {
	case tensor.Float64:
		kernels.Fill(out.F64[from:to], o.value)
	case tensor.Float32:
		kernels.Fill(out.F32[from:to], float32(o.value))
	default:
		kernels.Fill(out.I64[from:to], int64(o.value))
	}
	return nil
}
