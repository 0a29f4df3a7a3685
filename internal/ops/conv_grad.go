package ops

import "github.com/onnx-entropy/onnx-entropy/internal/kernels"

// convGradX is the gradient of a convolution with respect to x; its operands are dy and w.
type convGradX struct {
	base
	c kernels.Conv
}

func (o *convGradX) Phases() []int       { return o.c.GradXPhases() }
func (o *convGradX) Scratch() (s, w int) { return o.c.GradXScratch() }

func (o *convGradX) Run(env *Env, worker, phase, part int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		kernels.ConvGradXPart(&o.c, phase, part, out.F64, in[0].F64, in[1].F64, env.Shared.F64, env.Worker[worker].F64)
	} else {
		kernels.ConvGradXPart(&o.c, phase, part, out.F32, in[0].F32, in[1].F32, env.Shared.F32, env.Worker[worker].F32)
	}
	return nil
}

// convGradW is the gradient of a convolution with respect to w; its operands are dy and x.
type convGradW struct {
	base
	c kernels.Conv
}

func (o *convGradW) Phases() []int       { return o.c.GradWPhases() }
func (o *convGradW) Scratch() (s, w int) { return o.c.GradWScratch() }

func (o *convGradW) Run(env *Env, worker, phase, part int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		kernels.ConvGradWPart(&o.c, phase, part, out.F64, in[0].F64, in[1].F64, env.Shared.F64, env.Worker[worker].F64)
	} else {
		kernels.ConvGradWPart(&o.c, phase, part, out.F32, in[0].F32, in[1].F32, env.Shared.F32, env.Worker[worker].F32)
	}
	return nil
}

// convGradB is the gradient of a convolution with respect to the bias; its operand is dy. A part is a channel.
type convGradB struct {
	base
	c kernels.Conv
}

func (o *convGradB) Phases() []int { return []int{o.c.M} }

func (o *convGradB) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		kernels.ConvGradB(&o.c, out.F64, in[0].F64, part, part+1)
	} else {
		kernels.ConvGradB(&o.c, out.F32, in[0].F32, part, part+1)
	}
	return nil
}
