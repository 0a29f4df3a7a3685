package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// ConvTranspose returns the transpose of the convolution with w (ONNX ConvTranspose): what Conv's derivative does to dy.
// x is (N, C, spatial...), w (C, M/Group, kernel...), the result (N, M, out...); bias (M) may be nil. An axis of n
// elements becomes one of
//
//	stride*(n-1) + (kernel-1)*dilation + 1 + extra - before - after
//
// elements; pads cut, negative ones add zeros, and so does extra (output_padding), which is nil for none, behind.
func ConvTranspose(x, w, bias *gorgonia.Node, a ConvAttr, extra []int) (*gorgonia.Node, error) {
	sx, sw := x.Shape(), w.Shape()
	rank := len(sx) - 2
	if rank < 1 || len(sw) != len(sx) {
		return nil, fmt.Errorf("ops: ConvTranspose: x and w have shapes %v and %v; (N, C, spatial...) and (C, M/group, kernel...) are needed", sx, sw)
	}
	if err := noneEmpty("ConvTranspose", sx, sw); err != nil {
		return nil, err
	}
	operands := []*gorgonia.Node{x, w}
	if bias != nil {
		operands = append(operands, bias)
	}
	if err := needFloat("ConvTranspose", operands...); err != nil {
		return nil, err
	}
	if a.Group == 0 {
		a.Group = 1
	}
	if a.Group < 0 || sx[1]%a.Group != 0 || sw[0] != sx[1] {
		return nil, fmt.Errorf("ops: ConvTranspose: w of shape %v does not fit x of shape %v in %d groups", sw, sx, a.Group)
	}
	axes, err := spreadOf(sx[2:], sw[2:], a, extra)
	if err != nil {
		return nil, err
	}
	if layers := len0(sw[2:]) / len0(sw[max(2, len(sw)-2):]); layers > maxLayers {
		return nil, fmt.Errorf("ops: ConvTranspose: w of shape %v has %d layers; at most %d are supported", sw, layers, maxLayers)
	}
	m := sw[1] * a.Group
	y, err := convTransposed(x, w, a.Group, axes)
	if err != nil || bias == nil {
		return y, err
	}
	if !sameShape(bias.Shape(), []int{m}) {
		return nil, fmt.Errorf("ops: ConvTranspose: the bias has shape %v, but there are %d output channels", bias.Shape(), m)
	}
	one := []int{m}
	for range rank {
		one = append(one, 1)
	}
	if bias, err = Reshape(bias, one); err != nil {
		return nil, err
	}
	return Add(y, bias)
}

// spread1 is one axis along which a transposed convolution spreads every element over its kernel.
type spread1 struct{ size, kernel, stride, dilation, before, out int }

// full is the length without pads.
func (s spread1) full() int { return s.stride*(s.size-1) + (s.kernel-1)*s.dilation + 1 }

func spreadOf(size, kernel []int, a ConvAttr, extra []int) ([]spread1, error) {
	rank := len(size)
	for _, l := range []struct {
		what      string
		got, want int
	}{{"strides", len(a.Strides), rank}, {"dilations", len(a.Dilations), rank}, {"pads", len(a.Pads), 2 * rank}, {"output_padding", len(extra), rank}} {
		if l.got != 0 && l.got != l.want {
			return nil, fmt.Errorf("ops: ConvTranspose: %s has %d entries; %d spatial axes need %d", l.what, l.got, rank, l.want)
		}
	}
	or := func(s []int, i, otherwise int) int {
		if len(s) == 0 {
			return otherwise
		}
		return s[i]
	}
	const huge = 1 << 31
	axes := make([]spread1, rank)
	for i := range axes {
		s := spread1{size: size[i], kernel: kernel[i], stride: or(a.Strides, i, 1), dilation: or(a.Dilations, i, 1), before: or(a.Pads, i, 0)}
		after, more := or(a.Pads, rank+i, 0), or(extra, i, 0)
		if s.stride < 1 || s.dilation < 1 || s.stride > huge || s.dilation > huge || abs(s.before) > huge || abs(after) > huge || more < 0 || more > huge || s.size > huge {
			return nil, fmt.Errorf("ops: ConvTranspose: stride %d, dilation %d, pads %d and %d, output padding %d: one is out of range", s.stride, s.dilation, s.before, after, more)
		}
		if s.out = s.full() + more - s.before - after; s.out < 1 {
			return nil, fmt.Errorf("ops: ConvTranspose: pads %v leave nothing of an axis of %d elements", a.Pads, s.full()+more)
		}
		axes[i] = s
	}
	return axes, nil
}

// convTransposed has one or two axes in the kernel of a convolution's derivative, and of more the first in layers.
func convTransposed(x, w *gorgonia.Node, group int, axes []spread1) (*gorgonia.Node, error) {
	sx := x.Shape()
	if len(axes) <= 2 {
		return convTransposed2(x, w, group, axes)
	}
	first, rest := axes[0], axes[1:]
	x, err := swapAxes(x, 1, 2)
	if err != nil {
		return nil, err
	}
	if x, err = Reshape(x, append([]int{sx[0] * first.size, sx[1]}, sx[3:]...)); err != nil {
		return nil, err
	}
	var y *gorgonia.Node
	for u := range first.kernel {
		wu, err := kernelLayer(w, u)
		if err != nil {
			return nil, err
		}
		yu, err := convTransposed(x, wu, group, rest)
		if err != nil {
			return nil, err
		}
		if yu, err = first.place(yu, sx[0], u); err != nil {
			return nil, err
		}
		if y == nil {
			y = yu
		} else if y, err = Add(y, yu); err != nil {
			return nil, err
		}
	}
	return swapAxes(y, 1, 2)
}

// place puts the layers (N*size, M, ...) that element u of the kernel gives where they belong among the layers of the
// result (N, out, M, ...); the others are 0.
func (s spread1) place(y *gorgonia.Node, n, u int) (*gorgonia.Node, error) {
	shape := y.Shape()
	inner := len0(shape[1:])
	out := append(tensor.Shape{n, s.out}, shape[1:]...)
	at := func(i int) int { return i*s.stride + u*s.dilation - s.before }
	from, to := 0, s.size
	for from < to && at(from) < 0 {
		from++
	}
	for to > from && at(to-1) >= s.out {
		to--
	}
	start := 0
	if to > from {
		start = at(from)
	}
	return box("Layers", y, out, from*inner, start*inner,
		[]dim{{n, s.size * inner, s.out * inner}, {to - from, inner, s.stride * inner}, {inner, 1, 1}}, 0)
}

func convTransposed2(x, w *gorgonia.Node, group int, axes []spread1) (*gorgonia.Node, error) {
	sx, sw := x.Shape(), w.Shape()
	// What is in reach of the kernel; the rest of the result is 0.
	reach := make([]spread1, len(axes))
	pads := make([]int, 2*len(sx))
	for i, s := range axes {
		front := max(0, -s.before)
		s.before = max(0, s.before)
		back := max(0, s.out-front-(s.full()-s.before))
		pads[2+i], pads[len(sx)+2+i] = front, back
		if s.out -= front + back; s.out < 1 {
			return nil, fmt.Errorf("ops: ConvTranspose: no element of the result is in reach of the kernel")
		}
		reach[i] = s
	}
	out := tensor.Shape{sx[0], sw[1] * group}
	for _, s := range reach {
		out = append(out, s.out)
	}
	h, l := spread1{size: 1, kernel: 1, stride: 1, dilation: 1, out: 1}, reach[len(reach)-1]
	if len(reach) == 2 {
		h = reach[0]
	}
	c := kernels.Conv{
		N: sx[0], C: out[1], H: h.out, W: l.out, M: sx[1], KH: h.kernel, KW: l.kernel, OH: h.size, OW: l.size,
		StrideH: h.stride, StrideW: l.stride, DilationH: h.dilation, DilationW: l.dilation,
		PadTop: h.before, PadLeft: l.before, Groups: group,
	}
	y, err := apply(&convGradX{base{name: "ConvTranspose", out: out}, c}, x, w)
	if err != nil {
		return nil, err
	}
	return Pad(y, pads, 0, "constant")
}

// SymDiff is the derivative of a transposed convolution: its operands are in the places of dy and w, its result in that
// of dx.
func (o *convGradX) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := apply(&conv{base{name: "ConvTransposeGradX", out: in[0].Shape()}, o.c}, grad, in[1])
	if err != nil {
		return nil, err
	}
	dw, err := apply(&convGradW{base{name: "ConvTransposeGradW", out: in[1].Shape()}, o.c}, in[0], grad)
	return gorgonia.Nodes{dx, dw}, err
}
