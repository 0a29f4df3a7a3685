package onnxload

import (
	"gorgonia.org/gorgonia"
)

// reduction reads the axes and keepdims of a reduction of a tensor of the given rank. Axes are an attribute
// before opset from, then an input; none means all, unless noop_with_empty_axes says that it means none.
func (c *nodeCtx) reduction(rank, from int) (list []int, keep bool, err error) {
	if keep, err = c.bool("keepdims", true); err != nil {
		return
	}
	noop := false
	if c.opset < from {
		list, err = c.ints("axes")
	} else {
		if c.has(1) {
			if list, err = c.constInts(1); err != nil {
				return
			}
		}
		noop, err = c.bool("noop_with_empty_axes", false)
	}
	if err != nil {
		return
	}
	if len(list) == 0 && !noop {
		for a := range rank {
			list = append(list, a)
		}
	}
	list, err = axes(list, rank)
	return
}

func reduce(f func(*gorgonia.Node, []int, bool) (*gorgonia.Node, error), from int) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		x, err := c.data(0)
		if err != nil {
			return err
		}
		list, keep, err := c.reduction(x.Dims(), from)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return c.set(0, x, nil)
		}
		y, err := f(x, list, keep)
		return c.set(0, y, err)
	}
}

// hostReduce folds f over axes of a constant, starting from zero.
func hostReduce(from int, zero float64, f func(acc, x float64) float64) func(*nodeCtx) (*host, error) {
	return func(c *nodeCtx) (*host, error) {
		x, err := c.constant(0)
		if err != nil {
			return nil, err
		}
		list, keep, err := c.reduction(len(x.shape), from)
		if err != nil {
			return nil, err
		}
		drop := map[int]bool{}
		for _, a := range list {
			drop[a] = true
		}
		var kept, shape []int // with and without the reduced axes
		for a, d := range x.shape {
			if !drop[a] {
				kept, shape = append(kept, d), append(shape, d)
			} else {
				kept = append(kept, 1)
				if keep {
					shape = append(shape, 1)
				}
			}
		}
		acc := make([]float64, product(kept))
		for k := range acc {
			acc[k] = zero
		}
		walk(x.shape, [][]int{broadcastStrides(kept, x.shape)}, func(k int, at []int) {
			acc[at[0]] = f(acc[at[0]], x.at(k))
		})
		y, err := c.b.newHost(x.elem, shape)
		if err != nil {
			return nil, err
		}
		for k := range y.f {
			y.f[k] = round(y.elem, acc[k])
		}
		for k := range y.i {
			y.i[k] = int64(acc[k])
		}
		return y, nil
	}
}
