package ops

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// PoolFirst returns MaxPool(z, a) where z is Relu(x), BatchNorm(x) or Relu(BatchNorm(x)), BatchNormTrain included, with
// the pooling done first. It pays where nobody else reads z. A rectified or normalised maximum is that of the rectified
// or normalised elements, to the bit, because both functions grow or, where BatchNorm's scale is negative, fall: there
// the minimum is taken, and where it is 0, the first element. So everything but the pooling and the derivative by x
// works on the small tensor. Among elements that rounding makes equal, the derivative goes to the largest x.
// ok is false where z is something else.
func PoolFirst(z *gorgonia.Node, a PoolAttr) (y *gorgonia.Node, ok bool, err error) {
	if len(z.Shape()) > 4 {
		return nil, false, nil
	}
	x, relu := z, false
	if u, is := x.Op().(*unary); is && u.name == "Relu" {
		x, relu = childrenOf(x)[0], true
	}
	if o, is := x.Op().(*normalise); is {
		if o.drop != nil {
			return nil, false, nil
		}
		relu = relu || o.relu
		y, err = normPooled(x, o, a)
	} else if relu {
		y, err = MaxPool(x, a)
	} else {
		return nil, false, nil
	}
	if err == nil && relu {
		y, err = Relu(y)
	}
	return y, true, err
}

// childrenOf returns the operands of a node.
func childrenOf(n *gorgonia.Node) (in []*gorgonia.Node) {
	for it := n.Graph().From(n.ID()); it.Next(); {
		in = append(in, it.Node().(*gorgonia.Node))
	}
	return in
}

// normPooled is MaxPool of a node whose operator is norm.
func normPooled(n *gorgonia.Node, norm *normalise, a PoolAttr) (*gorgonia.Node, error) {
	y, err := MaxPool(n, a) // checks everything; the node is not used
	if err != nil {
		return nil, err
	}
	p := y.Op().(*pool)
	in := childrenOf(n)
	x, scale, bias, mean, variance := in[0], in[1], in[2], in[3], in[4]
	e := &extremePool{base{name: "ExtremePool", out: p.out.Clone(), fixed: []int{0, 1}}, p.planesOf, norm.c}
	extreme, err := apply(e, x, scale)
	if err != nil {
		return nil, err
	}
	o := &normPool{normalise{base{name: normName(norm.train) + "Pool", out: p.out.Clone(), fixed: []int{0, 3, 4}}, channelsOf(p.out), norm.eps, norm.train, rectified{}}, p.planesOf, norm.channels}
	return apply(o, extreme, scale, bias, mean, variance, x)
}

// extremePool has the operands x and scale: it is the maximum of each window, for a negative scale the minimum, for
// one of 0 the first element; NaN if the window holds one.
type extremePool struct {
	base
	planesOf
	c int
}

func (o *extremePool) Scratch() (shared, worker int) { return 0, o.p.H * o.p.W }

func (o *extremePool) Run(env *Env, worker, _, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		extremePart(o, part, out.F64, in[0].F64, in[1].F64, env.Worker[worker].F64)
	} else {
		extremePart(o, part, out.F32, in[0].F32, in[1].F32, env.Worker[worker].F32)
	}
	return nil
}

func extremePart[T kernels.Float](o *extremePool, part int, y, x, scale, negated []T) {
	x0, x1, y0, y1 := o.ranges(part)
	y, x = y[y0:y1], x[x0:x1]
	plane := part * o.perPart()
	size, windows := o.p.H*o.p.W, o.p.OH*o.p.OW
	for len(x) > 0 {
		// Planes of positive scales are pooled together.
		n := 0
		for n*size < len(x) && scale[(plane+n)%o.c] > 0 {
			n++
		}
		if n > 0 {
			kernels.MaxPool(&o.p, y[:n*windows], x[:n*size])
		} else {
			n = 1
			kernels.Neg(negated, x[:size])
			kernels.MaxPool(&o.p, y[:windows], negated)
			kernels.Neg(y[:windows], y[:windows])
			if scale[plane%o.c] == 0 {
				kernels.FirstOfWindows(&o.p, y[:windows], x[:size])
			}
		}
		plane, x, y = plane+n, x[n*size:], y[n*windows:]
	}
}

// normPool is normalise of an extremePool, with its x as one more operand, which gets the derivative.
type normPool struct {
	normalise
	pooling planesOf
	whole   channels // of x
}

func (o *normPool) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	extreme, scale, mean, variance, x := in[0], in[1], in[3], in[4], in[5]
	params, dscale, dbias, err := normParams(&o.normalise, extreme, mean, variance, dy, nil)
	if err != nil {
		return nil, err
	}
	d := &normPoolGrad{base{name: o.name + "Grad", out: x.Shape()}, o.whole, o.pooling, o.eps, o.train}
	dx, err := apply(d, x, scale, mean, variance, params, extreme, dy)
	return gorgonia.Nodes{nil, dscale, dbias, nil, nil, dx}, err
}

// normPoolGrad computes dx from x, scale, mean, variance, [dscale; dbias], the windows' extremes and dy: normGrad of dy
// at the places of the extremes. These are filled in a few planes at a time, in a cache.
type normPoolGrad struct {
	base
	channels
	pooling planesOf
	eps     float64
	train   bool
}

func (o *normPoolGrad) InPlace() []int { return []int{0} }
func (o *normPoolGrad) Phases() []int  { return []int{1, o.pooling.Phases()[0]} }

func (o *normPoolGrad) Scratch() (shared, worker int) { return 3 * o.c, o.together() * o.s }

// together is the number of planes that are filled in at a time, of a quarter of a first-level cache.
func (o *normPoolGrad) together() int { return max(1, 1<<11/o.s) }

func (o *normPoolGrad) Run(env *Env, worker, phase, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		normPoolGradPart(o, phase, part, out, in, env.Shared.F64, env.Worker[worker].F64)
	} else {
		normPoolGradPart(o, phase, part, out, in, env.Shared.F32, env.Worker[worker].F32)
	}
	return nil
}

func normPoolGradPart[T kernels.Float](o *normPoolGrad, phase, part int, out *Buf, in []*Buf, factors, worker []T) {
	if phase == 0 {
		gradFactors(o.channels, o.eps, o.train, in, factors, 0, o.c)
		return
	}
	a, b, k := factors[:o.c], factors[o.c:2*o.c], factors[2*o.c:3*o.c]
	x, mean, extreme, dy, dx := floats[T](in[0]), floats[T](in[2]), floats[T](in[5]), floats[T](in[6]), floats[T](out)
	p := &o.pooling.p
	windows, per := p.OH*p.OW, o.pooling.perPart()
	for p0, end := part*per, min((part+1)*per, o.pooling.planes); p0 < end; p0 += o.together() {
		p1 := min(p0+o.together(), end)
		dz := worker[:(p1-p0)*o.s]
		kernels.MaxPoolGrad(p, dz, dy[p0*windows:p1*windows], x[p0*o.s:p1*o.s], extreme[p0*windows:p1*windows])
		for i := p0; i < p1; i++ {
			c, at, g := i%o.c, i*o.s, dz[(i-p0)*o.s:][:o.s]
			if o.train {
				kernels.NormaliseGrad(dx[at:at+o.s], x[at:at+o.s], g, mean[c], a[c], b[c], k[c])
			} else {
				kernels.MulScalar(dx[at:at+o.s], g, a[c])
			}
		}
	}
}
