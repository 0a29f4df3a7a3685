package onnxload

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// reshaped is the graph function of an operator that only changes the shape, to what shape says.
func reshaped(shape func(c *nodeCtx, from []int) ([]int, error)) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		x, err := c.any(0)
		if err != nil {
			return err
		}
		s, err := shape(c, x.Shape())
		if err != nil {
			return err
		}
		y, err := ops.Reshape(x, s)
		return c.set(0, y, err)
	}
}

func flatten(c *nodeCtx) error { return reshaped(flattenShape)(c) }

func reshape(c *nodeCtx) error { return reshaped(reshapeShape)(c) }

// flattenShape makes a matrix: the dimensions before the axis, and those from it on.
func flattenShape(c *nodeCtx, from []int) ([]int, error) {
	a, err := c.int("axis", 1)
	if err != nil {
		return nil, err
	}
	if a, err = axis(a, len(from), len(from)+1); err != nil {
		return nil, err
	}
	return []int{product(from[:a]), product(from[a:])}, nil
}

// reshapeShape resolves 0 (the dimension of the input, unless allowzero) and -1 (what is left).
func reshapeShape(c *nodeCtx, from []int) ([]int, error) {
	var to []int
	var err error
	if c.opset < 5 {
		to, err = c.ints("shape")
	} else {
		to, err = c.constInts(1)
	}
	if err != nil {
		return nil, err
	}
	allowZero, err := c.bool("allowzero", false)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(to)
	rest := -1
	for d, v := range to {
		switch {
		case v == 0 && !allowZero && d < len(from):
			out[d] = from[d]
		case v == 0 && !allowZero:
			return nil, fmt.Errorf("shape %v copies dimension %d of an input of shape %v", to, d, from)
		case v == -1 && rest < 0:
			rest, out[d] = d, 1
		case v < 0:
			return nil, fmt.Errorf("shape %v is not possible", to)
		}
	}
	have := product(from)
	n, ok := elements(out, 1<<40)
	if ok && rest >= 0 && n > 0 && have%n == 0 {
		out[rest] = have / n
		n = have
	}
	if !ok || n != have {
		return nil, fmt.Errorf("an input of shape %v cannot become one of shape %v", from, to)
	}
	return out, nil
}

// axesOf returns attribute axes, or input 1 from opset 13; nil if there is neither.
func (c *nodeCtx) axesOf() ([]int, error) {
	if c.opset < 13 {
		return c.ints("axes")
	}
	if !c.has(1) {
		return nil, nil
	}
	return c.constInts(1)
}

// squeezeShape drops the given dimensions, or all that are 1.
func squeezeShape(c *nodeCtx, from []int) ([]int, error) {
	list, err := c.axesOf()
	if err != nil {
		return nil, err
	}
	if list == nil {
		return slices.DeleteFunc(slices.Clone(from), func(d int) bool { return d == 1 }), nil
	}
	if list, err = axes(list, len(from)); err != nil {
		return nil, err
	}
	to := []int{}
	for a, d := range from {
		if !slices.Contains(list, a) {
			to = append(to, d)
		} else if d != 1 {
			return nil, fmt.Errorf("axis %d of an input of shape %v cannot be dropped", a, from)
		}
	}
	return to, nil
}

// unsqueezeShape puts in dimensions of 1 so that they are at the given places of the result.
func unsqueezeShape(c *nodeCtx, from []int) ([]int, error) {
	list, err := c.axesOf()
	if err != nil {
		return nil, err
	}
	if len(list) > 64 {
		return nil, fmt.Errorf("%d new axes", len(list))
	}
	rank := len(from) + len(list)
	if list, err = axes(list, rank); err != nil {
		return nil, err
	}
	to := make([]int, 0, rank)
	next := 0
	for a := range rank {
		if slices.Contains(list, a) {
			to = append(to, 1)
		} else {
			to = append(to, from[next])
			next++
		}
	}
	return to, nil
}

// permutation reads perm, by default the reverse of all axes.
func permutation(c *nodeCtx, rank int) ([]int, error) {
	perm, err := c.ints("perm")
	if err != nil {
		return nil, err
	}
	if perm == nil {
		for a := rank - 1; a >= 0; a-- {
			perm = append(perm, a)
		}
	}
	list, err := axes(perm, rank)
	if err != nil || len(list) != rank {
		return nil, fmt.Errorf("perm %v of a tensor of %d dimensions", perm, rank)
	}
	return list, nil
}

func transpose(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	perm, err := permutation(c, x.Dims())
	if err != nil {
		return err
	}
	y, err := ops.Transpose(x, perm)
	return c.set(0, y, err)
}

func concat(c *nodeCtx) error {
	var xs []*gorgonia.Node
	for i := range c.in {
		x, err := c.any(i)
		if err != nil {
			return err
		}
		xs = append(xs, x)
	}
	a, err := c.concatAxis(xs[0].Dims())
	if err != nil {
		return err
	}
	if len(xs) == 1 {
		return c.set(0, xs[0], nil)
	}
	if z := c.complement(); z != nil && a == 1 {
		return c.pair(z)
	}
	y, err := ops.Concat(a, xs...)
	return c.set(0, y, err)
}

// concatAxis reads axis, which had the default 1 before opset 4 and is required since.
func (c *nodeCtx) concatAxis(rank int) (int, error) {
	a, err := c.int("axis", 1)
	if err != nil {
		return 0, err
	}
	if c.opset >= 4 && c.attr("axis") == nil {
		return 0, fmt.Errorf("it has no axis")
	}
	return axis(a, rank, rank)
}

// expand is Expand: to the shape that the input and the given shape have together by broadcasting.
func expand(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	shape, err := c.expanded(x.Shape())
	if err != nil {
		return err
	}
	if slices.Equal(shape, x.Shape()) {
		return c.set(0, x, nil)
	}
	if _, ok := elements(shape, c.b.opts.MaxElements); !ok {
		return fmt.Errorf("its output of shape %v has more than %d elements", shape, c.b.opts.MaxElements)
	}
	y, err := ops.Expand(x, shape)
	return c.set(0, y, err)
}

func (c *nodeCtx) expanded(from []int) ([]int, error) {
	to, err := c.constInts(1)
	if err != nil {
		return nil, err
	}
	if len(to) > 64 {
		return nil, fmt.Errorf("a shape of %d dimensions", len(to))
	}
	for _, d := range to {
		if d < 0 {
			return nil, fmt.Errorf("shape %v is not possible", to)
		}
	}
	return broadcastShape(from, to)
}
