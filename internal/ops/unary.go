package ops

import (
	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// relu is max(x, 0), elementwise.
type relu struct{ base }

// Relu returns max(x, 0) (ONNX Relu). Its derivative at 0 is 0, as in PyTorch.
func Relu(x *gorgonia.Node) (*gorgonia.Node, error) {
	return apply(&relu{base{name: "Relu", out: x.Shape()}}, x)
}

func (o *relu) Phases() []int  { return []int{chunks(len0(o.out))} }
func (o *relu) InPlace() []int { return []int{0} }

func (o *relu) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		reluPart[float64](o, part, out, in)
	} else {
		reluPart[float32](o, part, out, in)
	}
	return nil
}

func reluPart[T kernels.Float](o *relu, part int, out *Buf, in []*Buf) {
	y, x := floats[T](out), floats[T](in[0])
	from, to := span(len(y), chunks(len(y)), part)
	kernels.Relu(y[from:to], x[from:to])
}
