package onnxload

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// pad is Pad. Pads and value are attributes before opset 11, then inputs; from opset 18 axes say which
// dimensions the pads are for. A negative pad cuts.
func pad(c *nodeCtx) error {
	mode, err := c.string("mode", "constant")
	if err != nil {
		return err
	}
	if mode != "constant" && mode != "reflect" && mode != "edge" && mode != "wrap" {
		return unsupportedf("mode %q; constant, reflect, edge and wrap are supported", mode)
	}
	x, err := c.any(0)
	if err != nil {
		return err
	}
	rank := x.Dims()
	var list []int
	value := 0.0
	if c.opset < 11 {
		name := "pads"
		if c.opset < 2 {
			name = "paddings"
		}
		if list, err = c.ints(name); err != nil {
			return err
		}
		if value, err = c.float("value", 0); err != nil {
			return err
		}
	} else {
		if list, err = c.constInts(1); err != nil {
			return err
		}
		if c.has(2) {
			if value, err = c.scalar(2); err != nil {
				return err
			}
		}
	}
	if c.has(3) {
		if list, err = c.spreadPads(list, rank); err != nil {
			return err
		}
	}
	if len(list) != 2*rank {
		return fmt.Errorf("%d pads for an input of %d dimensions; there must be two for each", len(list), rank)
	}
	return c.padded(x, list, value, mode)
}

// padded sets output 0 to x with so many elements more before each axis and, in the second half of the list, after it;
// negative numbers cut.
func (c *nodeCtx) padded(x *gorgonia.Node, list []int, value float64, mode string) error {
	rank := x.Dims()
	shape := []int(x.Shape())
	starts, steps, sizes, out := make([]int, rank), make([]int, rank), slices.Clone(shape), make([]int, rank)
	pads := make([]int, 2*rank)
	for d := range rank {
		before, after := list[d], list[rank+d]
		if before > 1<<31 || after > 1<<31 {
			return fmt.Errorf("pads %v are too large", list)
		}
		starts[d], steps[d] = max(0, -before), 1
		sizes[d] -= starts[d] + max(0, -after)
		if sizes[d] < 1 {
			return fmt.Errorf("pads %v leave nothing of an input of shape %v", list, shape)
		}
		pads[d], pads[rank+d] = max(0, before), max(0, after)
		out[d] = sizes[d] + pads[d] + pads[rank+d]
	}
	if _, ok := elements(out, c.b.opts.MaxElements); !ok {
		return fmt.Errorf("its output of shape %v has more than %d elements", out, c.b.opts.MaxElements)
	}
	if !slices.Equal(sizes, shape) {
		var err error
		if x, err = ops.Slice(x, starts, steps, sizes); err != nil {
			return err
		}
	}
	if slices.Equal(out, sizes) {
		return c.set(0, x, nil)
	}
	y, err := ops.Pad(x, pads, value, mode)
	return c.set(0, y, err)
}

// centerCropPad is CenterCropPad (opset 18): it cuts axes to a length around their middle, or lengthens them by zeros. Of an odd
// number, the larger half is after.
func centerCropPad(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	rank := x.Dims()
	size, err := c.constInts(1)
	if err != nil {
		return err
	}
	which, err := c.ints("axes")
	if err != nil {
		return err
	}
	if which == nil {
		for a := range rank {
			which = append(which, a)
		}
	}
	if which, err = axes(which, rank); err != nil {
		return err
	}
	if len(size) != len(which) {
		return fmt.Errorf("%d sizes for %d axes", len(size), len(which))
	}
	list := make([]int, 2*rank)
	for k, a := range which {
		if size[k] < 0 {
			return fmt.Errorf("sizes %v", size)
		}
		more := size[k] - x.Shape()[a]
		list[a], list[rank+a] = more/2, more-more/2
	}
	return c.padded(x, list, 0, "constant")
}

// spreadPads gives every dimension its two pads where input 3 names the axes that list is for.
func (c *nodeCtx) spreadPads(list []int, rank int) ([]int, error) {
	which, err := c.constInts(3)
	if err != nil {
		return nil, err
	}
	if which, err = axes(which, rank); err != nil {
		return nil, err
	}
	if len(list) != 2*len(which) {
		return nil, fmt.Errorf("%d pads for %d axes; there must be two for each", len(list), len(which))
	}
	all := make([]int, 2*rank)
	for k, a := range which {
		all[a], all[rank+a] = list[k], list[len(which)+k]
	}
	return all, nil
}

// sliceOf resolves the bounds of Slice on a tensor of the given shape: where each axis starts, the step, and
// how many elements. They are attributes before opset 10 and then inputs.
func sliceOf(c *nodeCtx, shape []int) (starts, steps, sizes []int, err error) {
	var from, to, which, by []int
	if c.opset < 10 {
		if from, err = c.ints("starts"); err != nil {
			return
		}
		if to, err = c.ints("ends"); err != nil {
			return
		}
		if which, err = c.ints("axes"); err != nil {
			return
		}
	} else {
		for i, dst := range []*[]int{&from, &to, &which, &by} {
			if i >= 2 && !c.has(i+1) {
				continue
			}
			if *dst, err = c.constInts(i + 1); err != nil {
				return
			}
		}
	}
	if which == nil {
		for a := range from {
			which = append(which, a)
		}
	}
	if by == nil {
		by = slices.Repeat([]int{1}, len(from))
	}
	if which, err = axes(which, len(shape)); err != nil {
		return
	}
	if len(to) != len(from) || len(which) != len(from) || len(by) != len(from) {
		err = fmt.Errorf("starts, ends, axes and steps have %d, %d, %d and %d numbers", len(from), len(to), len(which), len(by))
		return
	}
	starts, steps, sizes = make([]int, len(shape)), slices.Repeat([]int{1}, len(shape)), slices.Clone(shape)
	for k, a := range which {
		n, s, e, step := shape[a], from[k], to[k], by[k]
		if step == 0 {
			err = fmt.Errorf("a step of 0")
			return
		}
		if s < 0 {
			s += n
		}
		if e < 0 {
			e += n
		}
		if step > 0 {
			s, e = min(max(s, 0), n), min(max(e, 0), n)
			sizes[a] = max(0, (e-s+step-1)/step)
		} else {
			s, e = min(max(s, 0), n-1), min(max(e, -1), n-1)
			sizes[a] = max(0, (s-e-step-1)/-step)
		}
		starts[a], steps[a] = s, step
	}
	return
}

func slice(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	starts, steps, sizes, err := sliceOf(c, x.Shape())
	if err != nil {
		return err
	}
	for _, n := range sizes {
		if n == 0 && c.scratch == nil {
			return unsupportedf("nothing is left of an input of shape %v", x.Shape())
		}
	}
	if slices.Equal(sizes, x.Shape()) && !slices.ContainsFunc(steps, func(s int) bool { return s < 0 }) {
		return c.set(0, x, nil)
	}
	y, err := ops.Slice(x, starts, steps, sizes)
	return c.set(0, y, err)
}
