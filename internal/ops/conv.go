package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// ConvAttr holds the attributes of ONNX Conv. Strides and Dilations have an entry for each spatial axis, or
// are empty for 1; Pads has the paddings before all axes, then those after, or is empty for 0. Group 0 is 1.
type ConvAttr struct {
	Strides, Dilations, Pads []int
	Group                    int
}

// conv is the convolution y of x, w and, if there are three operands, bias.
type conv struct {
	base
	c kernels.Conv
}

// Conv returns the convolution of x (N,C,spatial...) with w (M,C/Group,kernel...), plus bias (M) unless it
// is nil.
func Conv(x, w, bias *gorgonia.Node, a ConvAttr) (*gorgonia.Node, error) {
	if rank := len(x.Shape()) - 2; rank > 2 && len(w.Shape()) == rank+2 {
		return convDeep(x, w, bias, a)
	}
	c, out, err := convSizes(x.Shape(), w.Shape(), a)
	if err != nil {
		return nil, err
	}
	operands := []*gorgonia.Node{x, w}
	if bias != nil {
		if !sameShape(bias.Shape(), []int{c.M}) {
			return nil, fmt.Errorf("ops: Conv: the bias has shape %v, but w of shape %v has %d output channels", bias.Shape(), w.Shape(), c.M)
		}
		operands = append(operands, bias)
	}
	if err := needFloat("Conv", operands...); err != nil {
		return nil, err
	}
	return apply(&conv{base{name: "Conv", out: out}, c}, operands...)
}

// convSizes checks shapes and attributes. One spatial axis is made two, the first of size 1.
func convSizes(x, w tensor.Shape, a ConvAttr) (c kernels.Conv, out tensor.Shape, err error) {
	rank := len(x) - 2
	if rank != 1 && rank != 2 {
		return c, nil, fmt.Errorf("ops: Conv: x has shape %v: (N, C, spatial...) is needed", x)
	}
	if len(w) != len(x) {
		return c, nil, fmt.Errorf("ops: Conv: w of shape %v does not fit x of shape %v: both need %d axes", w, x, len(x))
	}
	if err := noneEmpty("Conv", x, w); err != nil {
		return c, nil, err
	}
	group := a.Group
	if group == 0 {
		group = 1
	}
	if group < 0 || x[1]%group != 0 || w[0]%group != 0 || w[1] != x[1]/group {
		return c, nil, fmt.Errorf("ops: Conv: w of shape %v does not fit x of shape %v in %d groups", w, x, group)
	}
	s, err := newSpatial("Conv", x[2:], w[2:], a.Strides, a.Dilations, a.Pads, false)
	if err != nil {
		return c, nil, err
	}
	h, l := s.axis(0), s.axis(1)
	c = kernels.Conv{
		N: x[0], C: x[1], H: h.size, W: l.size, M: w[0], KH: h.kernel, KW: l.kernel, OH: h.out, OW: l.out,
		StrideH: h.stride, StrideW: l.stride, DilationH: h.dilation, DilationW: l.dilation,
		PadTop: h.before, PadLeft: l.before, Groups: group,
	}
	return c, append(tensor.Shape{x[0], w[0]}, s.out()...), nil
}

func (o *conv) Phases() []int { return o.c.Phases() }
func (o *conv) Scratch() (s, w int) {
	s, w = o.c.Scratch()
	return s - o.c.Kept(), w
}

func (o *conv) Prepared() (phases, kept int, operands []int) {
	operands = []int{1, 2}
	return o.c.PreparedPhases(), o.c.Kept(), operands[:len(o.in)-1]
}

func (o *conv) Run(env *Env, worker, phase, part int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		convPart[float64](o, env, worker, phase, part, out, in)
	} else {
		convPart[float32](o, env, worker, phase, part, out, in)
	}
	return nil
}

func convPart[T kernels.Float](o *conv, env *Env, worker, phase, part int, out *Buf, in []*Buf) {
	var bias []T
	if len(in) == 3 {
		bias = floats[T](in[2])
	}
	kernels.ConvKeptPart(&o.c, phase, part, floats[T](out), floats[T](in[0]), floats[T](in[1]), bias,
		floats[T](&env.Kept), floats[T](&env.Shared), floats[T](&env.Worker[worker]))
}

func (o *conv) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := apply(&convGradX{base{name: "ConvGradX", out: in[0].Shape()}, o.c}, grad, in[1])
	if err != nil {
		return nil, err
	}
	dw, err := apply(&convGradW{base{name: "ConvGradW", out: in[1].Shape()}, o.c}, grad, in[0])
	if err != nil {
		return nil, err
	}
	if len(in) == 2 {
		return gorgonia.Nodes{dx, dw}, nil
	}
	db, err := apply(&convGradB{base{name: "ConvGradB", out: in[2].Shape()}, o.c, channelsOf(grad.Shape())}, grad)
	return gorgonia.Nodes{dx, dw, db}, err
}
