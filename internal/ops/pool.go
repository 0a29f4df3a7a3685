package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// PoolAttr holds the attributes of ONNX MaxPool and AveragePool: see ConvAttr for Strides, Dilations and
// Pads. CountIncludePad is for AveragePool only.
type PoolAttr struct {
	Kernel, Strides, Dilations, Pads []int
	CeilMode, CountIncludePad        bool
}

// MaxPool returns the largest element of each window of x (N,C,spatial...), NaN if it holds one. The
// gradient of a window goes to its first maximum in row-major order.
func MaxPool(x *gorgonia.Node, a PoolAttr) (*gorgonia.Node, error) { return pooled("MaxPool", x, a) }

// AveragePool returns the mean of each window of x (N,C,spatial...); with CountIncludePad padding counts as
// zeros. What ceil mode adds behind the padding never counts.
func AveragePool(x *gorgonia.Node, a PoolAttr) (*gorgonia.Node, error) {
	return pooled("AveragePool", x, a)
}

// GlobalAveragePool returns the mean over all spatial axes, which keep size 1.
func GlobalAveragePool(x *gorgonia.Node) (*gorgonia.Node, error) {
	return pooledAll("GlobalAveragePool", x, false)
}

// GlobalMaxPool returns the maximum over all spatial axes, which keep size 1.
func GlobalMaxPool(x *gorgonia.Node) (*gorgonia.Node, error) {
	return pooledAll("GlobalMaxPool", x, true)
}

func pooled(name string, x *gorgonia.Node, a PoolAttr) (*gorgonia.Node, error) {
	shape := x.Shape()
	if len(shape) < 3 {
		return nil, fmt.Errorf("ops: %s: x has shape %v: there are no spatial axes", name, shape)
	}
	if err := noneEmpty(name, shape); err != nil {
		return nil, err
	}
	s, err := newSpatial(name, shape[2:], a.Kernel, a.Strides, a.Dilations, a.Pads, a.CeilMode)
	if err != nil {
		return nil, err
	}
	for _, w := range s {
		if w.before >= w.extent() || w.after >= w.extent() {
			return nil, fmt.Errorf("ops: %s: pads %v: windows of %d elements would lie in the padding", name, a.Pads, w.extent())
		}
	}
	if len(s) > 2 {
		return pooledDeep(name, x, a)
	}
	h, l := s.axis(0), s.axis(1)
	p := kernels.Pool{
		H: h.size, W: l.size, KH: h.kernel, KW: l.kernel, OH: h.out, OW: l.out,
		StrideH: h.stride, StrideW: l.stride, DilationH: h.dilation, DilationW: l.dilation,
		PadTop: h.before, PadLeft: l.before, PadBottom: h.after, PadRight: l.after, CountPad: a.CountIncludePad,
	}
	return newPool(name, x, append(tensor.Shape{shape[0], shape[1]}, s.out()...), p, name == "MaxPool")
}

func pooledAll(name string, x *gorgonia.Node, largest bool) (*gorgonia.Node, error) {
	shape := x.Shape()
	if len(shape) < 3 {
		return nil, fmt.Errorf("ops: %s: x of shape %v has no spatial axes", name, shape)
	}
	if err := noneEmpty(name, shape); err != nil {
		return nil, err
	}
	out := tensor.Shape{shape[0], shape[1]}
	for range shape[2:] {
		out = append(out, 1)
	}
	n := len0(shape[2:])
	p := kernels.Pool{H: 1, W: n, KH: 1, KW: n, OH: 1, OW: 1, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}
	return newPool(name, x, out, p, largest)
}

func newPool(name string, x *gorgonia.Node, out tensor.Shape, p kernels.Pool, largest bool) (*gorgonia.Node, error) {
	if err := needFloat(name, x); err != nil {
		return nil, err
	}
	planes := out[0] * out[1]
	return apply(&pool{base{name: name, out: out}, planesOf{p, planes}, largest}, x)
}

// planesOf is a pooling of a number of planes, a few of which are a part.
type planesOf struct {
	p      kernels.Pool
	planes int
}

func (o *planesOf) perPart() int  { return max(1, chunk/(o.p.H*o.p.W)) }
func (o *planesOf) Phases() []int { return []int{(o.planes + o.perPart() - 1) / o.perPart()} }

// ranges returns the elements of x and of y that belong to a part.
func (o *planesOf) ranges(part int) (x0, x1, y0, y1 int) {
	from := part * o.perPart()
	to := min(from+o.perPart(), o.planes)
	x, y := o.p.H*o.p.W, o.p.OH*o.p.OW
	return from * x, to * x, from * y, to * y
}

// pool is a maximum or an average over windows.
type pool struct {
	base
	planesOf
	largest bool
}

func (o *pool) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		poolPart[float64](o, part, out, in)
	} else {
		poolPart[float32](o, part, out, in)
	}
	return nil
}

func poolPart[T kernels.Float](o *pool, part int, out *Buf, in []*Buf) {
	x0, x1, y0, y1 := o.ranges(part)
	y, x := floats[T](out)[y0:y1], floats[T](in[0])[x0:x1]
	if o.largest {
		kernels.MaxPool(&o.p, y, x)
	} else {
		kernels.AveragePool(&o.p, y, x)
	}
}

func (o *pool) SymDiff(in gorgonia.Nodes, y, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	d := &poolGrad{base{name: o.name + "Grad", out: in[0].Shape()}, o.planesOf}
	operands := []*gorgonia.Node{grad}
	if o.largest {
		operands = append(operands, in[0], y)
	}
	dx, err := apply(d, operands...)
	return gorgonia.Nodes{dx}, err
}

// poolGrad is the gradient of pool; its operands are dy and, for a maximum, x and y, by which the places of
// the maxima are found again.
type poolGrad struct {
	base
	planesOf
}

func (o *poolGrad) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		poolGradPart[float64](o, part, out, in)
	} else {
		poolGradPart[float32](o, part, out, in)
	}
	return nil
}

func poolGradPart[T kernels.Float](o *poolGrad, part int, out *Buf, in []*Buf) {
	x0, x1, y0, y1 := o.ranges(part)
	dx, dy := floats[T](out)[x0:x1], floats[T](in[0])[y0:y1]
	if len(in) == 3 {
		kernels.MaxPoolGrad(&o.p, dx, dy, floats[T](in[1])[x0:x1], floats[T](in[2])[y0:y1])
	} else {
		kernels.AveragePoolGrad(&o.p, dx, dy)
	}
}
