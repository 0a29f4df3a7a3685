package ops

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// DeformConv is a convolution of x (N, C, d1, ..., dr) with w (M, C/Group, k1, ..., kr) whose taps are moved (ONNX DeformConv; Dai et al.
// 2017, and with a mask Zhu et al. 2018). offset (N, groups*K*r, o1, ..., or), K being the product of the kernel's sizes, says how far, in
// elements, one number an axis for each tap of each group of channels; mask (N, groups*K, o1, ..., or), which may be nil, multiplies what
// the tap finds there. Between elements x is interpolated linearly, outside it is 0. Each operand is differentiated, at the kinks of the
// interpolation as in PyTorch. It makes a tensor of N*C*K*o1*...*or elements.
func DeformConv(x, w, offset, bias, mask *gorgonia.Node, groups int, a ConvAttr) (*gorgonia.Node, error) {
	sx, sw := x.Shape(), w.Shape()
	columns, err := newDeformed(sx, sw, offset.Shape(), groups, a)
	if err != nil {
		return nil, err
	}
	operands := []*gorgonia.Node{x, offset}
	places := append(tensor.Shape{sx[0], groups * columns.taps}, columns.places...)
	if mask != nil {
		if operands = append(operands, mask); !sameShape(mask.Shape(), places) {
			return nil, fmt.Errorf("ops: DeformConv: a mask of shape %v; %v is needed", mask.Shape(), places)
		}
	}
	if err := needFloat("DeformConv", append(slices.Clone(operands), w)...); err != nil {
		return nil, err
	}
	cols, err := apply(columns, operands...)
	if err != nil {
		return nil, err
	}
	m, deep := sw[0], sw[1]*columns.taps
	if cols, err = Reshape(cols, []int{sx[0], a.Group, deep, columns.count}); err != nil {
		return nil, err
	}
	if w, err = Reshape(w, []int{1, a.Group, m / a.Group, deep}); err != nil {
		return nil, err
	}
	y, err := MatMul(w, cols)
	if err != nil {
		return nil, err
	}
	if y, err = Reshape(y, append([]int{sx[0], m}, columns.places...)); err != nil || bias == nil {
		return y, err
	}
	if !sameShape(bias.Shape(), []int{m}) {
		return nil, fmt.Errorf("ops: DeformConv: a bias of shape %v for %d channels", bias.Shape(), m)
	}
	shape := []int{m}
	for range columns.places {
		shape = append(shape, 1)
	}
	if bias, err = Reshape(bias, shape); err != nil {
		return nil, err
	}
	return Add(y, bias)
}

// deformed makes the columns of a DeformConv, (N, C, K, places): what each tap finds at each place. Its operands are x, offset and
// perhaps mask. A part is one tap of one group of channels of a sample.
type deformed struct {
	base
	axes         spatial
	size, places []int // spatial axes of x, and of the result
	area, count  int   // their products
	n, c         int
	groups, taps int
}

func newDeformed(sx, sw, offset tensor.Shape, groups int, a ConvAttr) (*deformed, error) {
	rank := len(sx) - 2
	if rank < 1 || rank > maxGridAxes || len(sw) != len(sx) {
		return nil, fmt.Errorf("ops: DeformConv: x and w have shapes %v and %v; up to %d spatial axes are supported", sx, sw, maxGridAxes)
	}
	if err := noneEmpty("DeformConv", sx, sw, offset); err != nil {
		return nil, err
	}
	if a.Group < 1 || groups < 1 || sx[1]%groups != 0 || sx[1] != a.Group*sw[1] || sw[0]%a.Group != 0 {
		return nil, fmt.Errorf("ops: DeformConv: x and w have shapes %v and %v, which do not fit %d groups of channels and %d of offsets", sx, sw, a.Group, groups)
	}
	axes, err := newSpatial("DeformConv", sx[2:], sw[2:], a.Strides, a.Dilations, a.Pads, false)
	if err != nil {
		return nil, err
	}
	o := &deformed{base: base{name: "DeformColumns"}, axes: axes, size: sx[2:], area: len0(sx[2:]), n: sx[0], c: sx[1], groups: groups, taps: len0(sw[2:])}
	for _, w := range axes {
		o.places = append(o.places, w.out)
	}
	o.count = len0(o.places)
	if want := append(tensor.Shape{o.n, groups * o.taps * rank}, o.places...); !sameShape(offset, want) {
		return nil, fmt.Errorf("ops: DeformConv: offsets of shape %v; %v is needed", offset, want)
	}
	o.out = tensor.Shape{o.n, o.c, o.taps, o.count}
	return o, nil
}

func (o *deformed) Phases() []int { return []int{o.n * o.groups * o.taps} }

// A deformTap is one tap of one group of channels.
type deformTap struct {
	n, group, tap int
	at            [maxGridAxes]int // of the tap in the kernel
}

func (o *deformed) tapOf(part int) (t deformTap) {
	t = deformTap{n: part / o.taps / o.groups, group: part / o.taps % o.groups, tap: part % o.taps}
	rest := t.tap
	for d := len(o.axes) - 1; d >= 0; d-- {
		t.at[d] = rest % o.axes[d].kernel
		rest /= o.axes[d].kernel
	}
	return t
}

// channels are those of the tap's group.
func (o *deformed) channels(t *deformTap) (from, to int) {
	return t.group * (o.c / o.groups), (t.group + 1) * (o.c / o.groups)
}

// moved sets p to where the tap looks at place k.
func moved[T kernels.Float](o *deformed, p *gridPlace, t *deformTap, k int, offset []T) {
	rank := len(o.axes)
	rest := k
	for d := rank - 1; d >= 0; d-- {
		w := o.axes[d]
		place := rest % w.out
		rest /= w.out
		by := float64(offset[((t.n*o.groups+t.group)*o.taps*rank+t.tap*rank+d)*o.count+k])
		p.between(d, w.size, float64(place*w.stride+t.at[d]*w.dilation-w.before)+by)
	}
}

// between sets the taps of axis d, of n elements, to the two around x.
func (p *gridPlace) between(d, n int, x float64) {
	p.taps[d] = 0
	if !(x >= -1 && x < float64(n)) {
		return
	}
	low := math.Floor(x)
	for k, w := range [2]float64{1 - (x - low), x - low} {
		if i := int(low) + k; i >= 0 && i < n {
			at := p.taps[d]
			p.index[d][at], p.weight[d][at], p.slope[d][at] = i, w, float64(2*k-1)
			p.taps[d]++
		}
	}
}

// maskAt is the mask's element for the tap at place k.
func maskAt[T kernels.Float](o *deformed, t *deformTap, k int, mask []T) float64 {
	if mask == nil {
		return 1
	}
	return float64(mask[((t.n*o.groups+t.group)*o.taps+t.tap)*o.count+k])
}

// column returns where the columns of a channel and the tap begin.
func (o *deformed) column(t *deformTap, c int) int { return ((t.n*o.c+c)*o.taps + t.tap) * o.count }

func (o *deformed) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	t := o.tapOf(part)
	if out.F64 != nil {
		deformPart(o, &t, out.F64, in[0].F64, in[1].F64, maskOf[float64](in, 2))
	} else {
		deformPart(o, &t, out.F32, in[0].F32, in[1].F32, maskOf[float32](in, 2))
	}
	return nil
}

func maskOf[T kernels.Float](in []*Buf, i int) []T {
	if i < len(in) {
		return floats[T](in[i])
	}
	return nil
}

func deformPart[T kernels.Float](o *deformed, t *deformTap, y, x, offset, mask []T) {
	var p gridPlace
	from, to := o.channels(t)
	for k := range o.count {
		moved(o, &p, t, k, offset)
		m := maskAt(o, t, k, mask)
		for c := from; c < to; c++ {
			y[o.column(t, c)+k] = T(m * gridSum(&p, o.size, x[(t.n*o.c+c)*o.area:], 0, 0))
		}
	}
}

func (o *deformed) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := apply(&deformGradX{base{name: "DeformGradX", out: in[0].Shape()}, o}, append(gorgonia.Nodes{dy}, in[1:]...)...)
	if err != nil {
		return nil, err
	}
	grads := gorgonia.Nodes{dx}
	for i := 1; i < len(in); i++ {
		d, err := apply(&deformGrad{base{name: []string{"", "DeformGradOffset", "DeformGradMask"}[i], out: in[i].Shape()}, o, i == 2}, append(gorgonia.Nodes{dy}, in...)...)
		if err != nil {
			return nil, err
		}
		grads = append(grads, d)
	}
	return grads, nil
}

// deformGradX is the derivative by x; its operands are dy, offset and perhaps mask. A part is one channel of a sample.
type deformGradX struct {
	base
	of *deformed
}

func (o *deformGradX) Phases() []int { return []int{o.of.n * o.of.c} }

func (o *deformGradX) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		deformGradXPart(o.of, part, out.F64, in[0].F64, in[1].F64, maskOf[float64](in, 2))
	} else {
		deformGradXPart(o.of, part, out.F32, in[0].F32, in[1].F32, maskOf[float32](in, 2))
	}
	return nil
}

func deformGradXPart[T kernels.Float](o *deformed, part int, dx, dy, offset, mask []T) {
	n, c := part/o.c, part%o.c
	plane := dx[part*o.area:][:o.area]
	clear(plane)
	var p gridPlace
	for tap := range o.taps {
		t := o.tapOf((n*o.groups+c/(o.c/o.groups))*o.taps + tap)
		for k := range o.count {
			moved(o, &p, &t, k, offset)
			gridAdd(&p, o.size, plane, 0, 0, maskAt(o, &t, k, mask)*float64(dy[o.column(&t, c)+k]))
		}
	}
}

// deformGrad is the derivative by the offsets, or by the mask; its operands are dy, x, offset and perhaps mask. Its parts are those of
// the columns.
type deformGrad struct {
	base
	of   *deformed
	mask bool
}

func (o *deformGrad) Phases() []int { return o.of.Phases() }

func (o *deformGrad) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	t := o.of.tapOf(part)
	if out.F64 != nil {
		deformGradPart(o.of, &t, o.mask, out.F64, in[0].F64, in[1].F64, in[2].F64, maskOf[float64](in, 3))
	} else {
		deformGradPart(o.of, &t, o.mask, out.F32, in[0].F32, in[1].F32, in[2].F32, maskOf[float32](in, 3))
	}
	return nil
}

func deformGradPart[T kernels.Float](o *deformed, t *deformTap, byMask bool, d, dy, x, offset, mask []T) {
	var p gridPlace
	from, to := o.channels(t)
	rank := len(o.axes)
	first := (t.n*o.groups+t.group)*o.taps + t.tap
	for k := range o.count {
		moved(o, &p, t, k, offset)
		sum := func() (s float64) {
			for c := from; c < to; c++ {
				s += float64(dy[o.column(t, c)+k]) * gridSum(&p, o.size, x[(t.n*o.c+c)*o.area:], 0, 0)
			}
			return s
		}
		if byMask {
			d[first*o.count+k] = T(sum())
			continue
		}
		m := maskAt(o, t, k, mask)
		for a := range rank {
			// The slopes of the axis take the place of its weights.
			p.weight[a], p.slope[a] = p.slope[a], p.weight[a]
			d[(first*rank+a)*o.count+k] = T(m * sum())
			p.weight[a], p.slope[a] = p.slope[a], p.weight[a]
		}
	}
}
