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

// convGradB is the gradient of a convolution with respect to the bias; its operand is dy. Slices of samples are
// summed, then the slices.
type convGradB struct {
	base
	c kernels.Conv
	channels
}

func (o *convGradB) Phases() []int       { return []int{o.slices() * o.blocks(), 1} }
func (o *convGradB) Scratch() (s, w int) { return o.slices() * o.channels.c, 0 }

func (o *convGradB) Run(env *Env, _, phase, part int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		convGradBPart(o, phase, part, out.F64, in[0].F64, env.Shared.F64)
	} else {
		convGradBPart(o, phase, part, out.F32, in[0].F32, env.Shared.F32)
	}
	return nil
}

func convGradBPart[T kernels.Float](o *convGradB, phase, part int, db, dy, partial []T) {
	m := o.channels.c
	if phase == 1 {
		for i := range db {
			db[i] = T(kernels.SumStrided(partial[i:], o.slices(), m))
		}
		return
	}
	slice, n0, n1, m0, m1 := o.part(part)
	c := o.c
	c.N = n1 - n0
	kernels.ConvGradB(&c, partial[slice*m:(slice+1)*m], dy[n0*m*o.s:], m0, m1)
}
