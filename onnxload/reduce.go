package onnxload

import (
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// A reducer is what is known about a reduction operator.
type reducer struct {
	from   int // the opset from which axes are an input
	floats func(*gorgonia.Node, []int, bool) (*gorgonia.Node, error)
	// ints is the same for integers of a type: where to start, and the step. Without it integers are computed
	// with as float64 and cut off.
	ints func(elem int32) (start int64, step func(acc, v int64) int64)
	// one tells that a reduction over no axis does something to each element.
	one bool
}

func reductionOperators() map[string]operator {
	table := map[string]operator{}
	for name, r := range map[string]reducer{
		"ReduceSum":  {from: 13, floats: ops.ReduceSum, ints: sumInts},
		"ReduceMean": {from: 18, floats: ops.ReduceMean},
		"ReduceMax":  {from: 18, floats: ops.ReduceMax, ints: maxInts},
		"ReduceMin":  {from: 18, floats: ops.ReduceMin, ints: minInts},
		"ReduceProd": {from: 18, floats: ops.ReduceProd, ints: prodInts},
		"ReduceL1":   {from: 18, floats: ops.ReduceL1, ints: l1Ints, one: true},
		"ReduceL2":   {from: 18, floats: ops.ReduceL2, one: true},

		"ReduceSumSquare": {from: 18, floats: ops.ReduceSumSquare, ints: squareInts, one: true},
		"ReduceLogSum":    {from: 18, floats: ops.ReduceLogSum, one: true},
		"ReduceLogSumExp": {from: 18, floats: ops.ReduceLogSumExp},
	} {
		table[name] = operator{inputs: 1, most: 2, fold: true, graph: func(c *nodeCtx) error { return reduce(c, name, r) }}
	}
	return table
}

func sumInts(int32) (int64, func(acc, v int64) int64) {
	return 0, func(acc, v int64) int64 { return acc + v }
}

func prodInts(int32) (int64, func(acc, v int64) int64) {
	return 1, func(acc, v int64) int64 { return acc * v }
}

func squareInts(int32) (int64, func(acc, v int64) int64) {
	return 0, func(acc, v int64) int64 { return acc + v*v }
}

func l1Ints(elem int32) (int64, func(acc, v int64) int64) {
	return 0, func(acc, v int64) int64 { return acc + absInt(elem, v) }
}

func maxInts(elem int32) (int64, func(acc, v int64) int64) {
	least, _ := limits(elem)
	return least, func(acc, v int64) int64 { return max(acc, v) }
}

func minInts(elem int32) (int64, func(acc, v int64) int64) {
	_, most := limits(elem)
	return most, func(acc, v int64) int64 { return min(acc, v) }
}

// limits are the least and the greatest number of an integer type, in the order that ordered gives.
func limits(elem int32) (least, most int64) {
	bits := uint(bitsOf(elem))
	switch {
	case elem == elemBOOL:
		return 0, 1
	case bits == 64:
		return math.MinInt64, math.MaxInt64
	case wrap(elem, -1) > 0: // unsigned
		return 0, 1<<bits - 1
	}
	return -1 << (bits - 1), 1<<(bits-1) - 1
}

// reduce is a reduction.
func reduce(c *nodeCtx, name string, r reducer) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	list, keep, err := c.reduction(x.Dims(), r.from)
	if err != nil {
		return err
	}
	elem := c.elemOf(0)
	if len(list) == 0 && !r.one {
		return c.setAs(0, elem, x, nil)
	}
	if len(list) == 0 {
		// Over no axis each element is reduced by itself: over a new axis of one element.
		if x, err = ops.Reshape(x, append(append([]int{}, x.Shape()...), 1)); err != nil {
			return err
		}
		list, keep = []int{x.Dims() - 1}, false
	}
	if x.Dtype() != tensor.Int64 {
		y, err := r.floats(x, list, keep)
		return c.setAs(0, elem, y, err)
	}
	if r.ints == nil {
		if x, err = castNode(x, elem, elemDOUBLE, tensor.Float64); err != nil {
			return err
		}
		y, err := r.floats(x, list, keep)
		if err == nil {
			y, err = castNode(y, elemDOUBLE, elem, tensor.Float64)
		}
		return c.setAs(0, elem, y, err)
	}
	back := func(n *gorgonia.Node) (*gorgonia.Node, error) { return n, nil }
	if name == "ReduceMax" || name == "ReduceMin" {
		if x, back, err = ordered(x, elem); err != nil {
			return err
		}
	}
	start, step := r.ints(elem)
	y, err := ops.ReduceInts(name, x, list, keep, start, step)
	if err == nil {
		y, err = back(y)
	}
	return c.setAs(0, elem, y, err)
}

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
