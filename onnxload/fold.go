package onnxload

import (
	"fmt"
	"math"
)

// hostShape is Shape: dimensions start to end of the input's shape.
func hostShape(c *nodeCtx) (*host, error) {
	shape, err := c.in[0].dims()
	if err != nil {
		return nil, err
	}
	from, err := c.int("start", 0)
	if err != nil {
		return nil, err
	}
	to, err := c.int("end", len(shape))
	if err != nil {
		return nil, err
	}
	clamp := func(a int) int {
		if a < 0 {
			a += len(shape)
		}
		return min(max(a, 0), len(shape))
	}
	from, to = clamp(from), clamp(to)
	y, err := c.b.newHost(elemINT64, []int{max(0, to-from)})
	if err != nil {
		return nil, err
	}
	for k := range y.i {
		y.i[k] = int64(shape[from+k])
	}
	return y, nil
}

// hostSize is Size: the number of elements.
func hostSize(c *nodeCtx) (*host, error) {
	shape, err := c.in[0].dims()
	if err != nil {
		return nil, err
	}
	return &host{elem: elemINT64, shape: []int{}, i: []int64{int64(product(shape))}}, nil
}

// hostConstantOfShape is ConstantOfShape: one number, by default the float 0, everywhere.
func hostConstantOfShape(c *nodeCtx) (*host, error) {
	shape, err := c.constInts(0)
	if err != nil {
		return nil, err
	}
	one := &host{elem: elemFLOAT, shape: []int{1}, f: []float64{0}}
	if a := c.attr("value"); a != nil && a.T != nil {
		if one, err = c.b.read(sourceOf("", a.T, -1, c.index)); err != nil {
			return nil, err
		}
	}
	if one.size() != 1 {
		return nil, fmt.Errorf("its value has shape %v; it must be one number", one.shape)
	}
	y, err := c.b.newHost(one.elem, shape)
	if err != nil {
		return nil, err
	}
	for k := range y.size() {
		y.take(k, one, 0)
	}
	return y, nil
}

// hostRange is Range: start, start+delta, ... below (or, going down, above) limit.
func hostRange(c *nodeCtx) (*host, error) {
	var v [3]*host
	for i := range v {
		h, err := c.constant(i)
		if err != nil {
			return nil, err
		}
		if h.size() != 1 || h.elem != c.in[0].elem {
			return nil, fmt.Errorf("its input %d is not one number of the type of the others", i)
		}
		v[i] = h
	}
	start, limit, delta := v[0].at(0), v[1].at(0), v[2].at(0)
	n := math.Ceil((limit - start) / delta)
	if delta == 0 || !(n < hostLimit) {
		return nil, fmt.Errorf("a range from %g to %g in steps of %g", start, limit, delta)
	}
	y, err := c.b.newHost(v[0].elem, []int{int(max(n, 0))})
	if err != nil {
		return nil, err
	}
	for k := range y.f {
		y.f[k] = round(y.elem, start+float64(k)*delta)
	}
	for k := range y.i {
		y.i[k] = v[0].i[0] + int64(k)*v[2].i[0]
	}
	return y, nil
}
