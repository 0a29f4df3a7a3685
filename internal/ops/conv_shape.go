package ops

import "fmt"

// window is one spatial axis that a kernel slides along.
type window struct{ size, kernel, stride, dilation, before, after, out int }

// extent is the length from the first to the last element under the kernel.
func (w window) extent() int { return (w.kernel-1)*w.dilation + 1 }

// spatial holds one or two spatial axes.
type spatial []window

// newSpatial checks the attributes of a convolution or pooling and computes the sizes of the output. Empty
// strides and dilations are 1, empty pads 0. With ceil an incomplete last window counts, unless it starts
// in the padding behind.
func newSpatial(name string, size, kernel, strides, dilations, pads []int, ceil bool) (spatial, error) {
	rank := len(size)
	lists := []struct {
		what      string
		got, want int
		optional  bool
	}{{"kernel", len(kernel), rank, false}, {"strides", len(strides), rank, true}, {"dilations", len(dilations), rank, true}, {"pads", len(pads), 2 * rank, true}}
	for _, l := range lists {
		if l.got != l.want && !(l.optional && l.got == 0) {
			return nil, fmt.Errorf("ops: %s: %s has %d entries; %d spatial axes need %d", name, l.what, l.got, rank, l.want)
		}
	}
	s := make(spatial, rank)
	for i := range s {
		w := window{size: size[i], kernel: kernel[i], stride: 1, dilation: 1}
		if len(strides) > 0 {
			w.stride = strides[i]
		}
		if len(dilations) > 0 {
			w.dilation = dilations[i]
		}
		if len(pads) > 0 {
			w.before, w.after = pads[i], pads[rank+i]
		}
		const huge = 1 << 31
		for _, v := range []int{w.kernel, w.stride, w.dilation} {
			if v < 1 || v > huge {
				return nil, fmt.Errorf("ops: %s: kernel %d, stride %d, dilation %d: each must be at least 1", name, w.kernel, w.stride, w.dilation)
			}
		}
		if w.before < 0 || w.after < 0 || w.before > huge || w.after > huge {
			return nil, fmt.Errorf("ops: %s: pads %v: negative pads are not supported; slice the input before", name, pads)
		}
		room := w.size + w.before + w.after - w.extent()
		if room < 0 {
			return nil, fmt.Errorf("ops: %s: the kernel covers %d elements, more than the %d of the padded input", name, w.extent(), w.size+w.before+w.after)
		}
		w.out = room/w.stride + 1
		if ceil && room%w.stride > 0 && w.out*w.stride < w.size+w.before {
			w.out++
		}
		s[i] = w
	}
	return s, nil
}

// axis returns the axis i of two: a single axis becomes the second, the first has size 1.
func (s spatial) axis(i int) window {
	switch {
	case len(s) == 2:
		return s[i]
	case i == 1:
		return s[0]
	}
	return window{size: 1, kernel: 1, stride: 1, dilation: 1, out: 1}
}

// out returns the sizes of the output.
func (s spatial) out() []int {
	var out []int
	for _, w := range s {
		out = append(out, w.out)
	}
	return out
}

// noneEmpty returns an error if a shape has an axis of size 0.
func noneEmpty(name string, shapes ...[]int) error {
	for _, s := range shapes {
		if len0(s) == 0 {
			return fmt.Errorf("ops: %s: an operand of shape %v has no elements", name, s)
		}
	}
	return nil
}
