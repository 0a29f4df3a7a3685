package onnxload

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// indexOperators are the operators that pick, place, order or accumulate elements.
func indexOperators() map[string]operator {
	return map[string]operator{
		"Gather":          {inputs: 2, most: 2, graph: gather, fold: true},
		"GatherElements":  {inputs: 2, most: 2, graph: gatherElements, fold: true},
		"GatherND":        {inputs: 2, most: 2, graph: gatherND, fold: true},
		"Scatter":         {inputs: 3, most: 3, graph: scatterElements, fold: true},
		"ScatterElements": {inputs: 3, most: 3, graph: scatterElements, fold: true},
		"ScatterND":       {inputs: 3, most: 3, graph: scatterND, fold: true},
		"TensorScatter":   {inputs: 2, most: 3, graph: tensorScatter, fold: true},
		"ReverseSequence": {inputs: 2, most: 2, graph: reverseSequence, fold: true},
		"OneHot":          {inputs: 3, most: 3, graph: oneHot, fold: true, elem: func(c *nodeCtx) (int32, error) { return c.elemOf(2), nil }},
		"ArgMax":          {inputs: 1, most: 1, graph: arg(true), fold: true},
		"ArgMin":          {inputs: 1, most: 1, graph: arg(false), fold: true},
		"Hardmax":         {inputs: 1, most: 1, graph: hardmax, fold: true},
		"TopK":            {inputs: 1, most: 2, graph: topK, fold: true},
		"CumSum":          {inputs: 2, most: 2, graph: cumulate(ops.CumSum), fold: true},
		"CumProd":         {inputs: 2, most: 2, graph: cumulate(ops.CumProd), fold: true},
		"Trilu":           {inputs: 1, most: 2, graph: trilu, fold: true},
		"Compress":        {inputs: 2, most: 2, graph: compress, fold: true},
		"NonZero":         {inputs: 1, most: 1, host: hostNonZero},
		"Unique":          {inputs: 1, most: 1, hosts: hostUnique},
	}
}

// gather is Gather: elements of the data along an axis, at indices that may be data. A weight that data pick
// rows of is an embedding.
func gather(c *nodeCtx) error {
	var x *gorgonia.Node
	var err error
	switch {
	case onnxpb.IsInt(c.in[0].elem), c.in[1].constant():
		x, err = c.any(0)
	default:
		x, err = c.weight(0, role{kind: roleTable})
	}
	if err != nil {
		return err
	}
	index, err := c.integers(1)
	if err != nil {
		return err
	}
	a, err := c.int("axis", 0)
	if err != nil {
		return err
	}
	y, err := ops.Gather(x, index, a)
	return c.set(0, y, err)
}

func gatherElements(c *nodeCtx) error {
	x, index, a, err := c.indexed()
	if err != nil {
		return err
	}
	y, err := ops.GatherElements(x, index, a)
	return c.set(0, y, err)
}

// indexed returns inputs 0 and 1 and the axis of an operator on elements.
func (c *nodeCtx) indexed() (x, index *gorgonia.Node, a int, err error) {
	if x, err = c.any(0); err != nil {
		return
	}
	if index, err = c.integers(1); err != nil {
		return
	}
	if a, err = c.int("axis", 0); err != nil {
		return
	}
	a, err = axis(a, x.Dims(), x.Dims())
	return
}

func gatherND(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	index, err := c.integers(1)
	if err != nil {
		return err
	}
	batch, err := c.int("batch_dims", 0)
	if err != nil {
		return err
	}
	y, err := ops.GatherND(x, index, batch)
	return c.set(0, y, err)
}

func scatterElements(c *nodeCtx) error {
	x, index, a, err := c.indexed()
	if err != nil {
		return err
	}
	return c.scattered(x, func(x, updates *gorgonia.Node, how string) (*gorgonia.Node, error) {
		return ops.ScatterElements(x, index, updates, a, how)
	})
}

func scatterND(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	index, err := c.integers(1)
	if err != nil {
		return err
	}
	return c.scattered(x, func(x, updates *gorgonia.Node, how string) (*gorgonia.Node, error) {
		return ops.ScatterND(x, index, updates, how)
	})
}

// scattered reads the updates and the reduction, and scatters.
func (c *nodeCtx) scattered(x *gorgonia.Node, f func(x, updates *gorgonia.Node, how string) (*gorgonia.Node, error)) error {
	updates, err := c.any(2)
	if err != nil {
		return err
	}
	how, err := c.string("reduction", "none")
	if err != nil {
		return err
	}
	elem := c.elemOf(0)
	if how != "max" && how != "min" {
		y, err := f(x, updates, how)
		return c.setAs(0, elem, y, err)
	}
	x, back, err := ordered(x, elem)
	if err != nil {
		return err
	}
	if updates, _, err = ordered(updates, elem); err != nil {
		return err
	}
	y, err := f(x, updates, how)
	if err == nil {
		y, err = back(y)
	}
	return c.setAs(0, elem, y, err)
}

// tensorScatter is TensorScatter: a cache (N, ...), an update of the same shape but for one axis, and where along that axis the update of
// each sample begins, by default at the front. In the mode circular it goes on there when it has reached the end.
func tensorScatter(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	updates, err := c.any(1)
	if err != nil {
		return err
	}
	a, err := c.int("axis", -2)
	if err != nil {
		return err
	}
	if a, err = axis(a, x.Dims(), x.Dims()); err != nil {
		return err
	}
	want := slices.Clone([]int(x.Shape()))
	if a > 0 && updates.Dims() == x.Dims() {
		want[a] = min(updates.Shape()[a], want[a])
	}
	if a == 0 || updates.Dtype() != x.Dtype() || !slices.Equal(updates.Shape(), want) {
		return fmt.Errorf("an update of shape %v along axis %d of a cache of shape %v", updates.Shape(), a, x.Shape())
	}
	mode, err := c.string("mode", "linear")
	if err != nil {
		return err
	}
	if mode != "linear" && mode != "circular" {
		return unsupportedf("mode %q; linear and circular are known", mode)
	}
	index, err := c.scatterPlaces(x.Shape(), updates.Shape(), a, mode == "circular")
	if err != nil {
		return err
	}
	y, err := ops.ScatterElements(x, index, updates, a, "none")
	return c.setAs(0, c.elemOf(0), y, err)
}

// scatterPlaces returns the places along axis a of a cache that the elements of an update go to, in the update's shape.
func (c *nodeCtx) scatterPlaces(cache, update []int, a int, circular bool) (*gorgonia.Node, error) {
	steps, err := c.b.newHost(elemINT64, update)
	if err != nil {
		return nil, err
	}
	inner := product(update[a+1:])
	for k := range steps.i {
		steps.i[k] = int64(k / inner % update[a])
	}
	index, err := c.known(steps)
	if err != nil || !c.has(2) {
		return index, err
	}
	from, err := c.integers(2)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(from.Shape(), []int{cache[0]}) {
		return nil, fmt.Errorf("write indices of shape %v for %d samples", from.Shape(), cache[0])
	}
	shape := make([]int, len(cache))
	for d := range shape {
		shape[d] = 1
	}
	shape[0] = cache[0]
	if from, err = ops.Reshape(from, shape); err != nil {
		return nil, err
	}
	size, count := int64(cache[a]), int64(update[a])
	return ops.Ints("TensorScatter", index, from, func(step, from int64) (int64, error) {
		if circular && from >= 0 {
			return (from%size + step) % size, nil
		}
		if from < 0 || from > size-count {
			return 0, fmt.Errorf("an update of %d elements at %d of a cache of %d", count, from, size)
		}
		return from + step, nil
	})
}

func reverseSequence(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	lengths, err := c.integers(1)
	if err != nil {
		return err
	}
	time, err := c.int("time_axis", 0)
	if err != nil {
		return err
	}
	batch, err := c.int("batch_axis", 1)
	if err != nil {
		return err
	}
	y, err := ops.ReverseSequence(x, lengths, time, batch)
	return c.set(0, y, err)
}

// oneHot is OneHot. Its values are a tensor of two numbers: those for off and on.
func oneHot(c *nodeCtx) error {
	index, err := c.any(0)
	if err != nil {
		return err
	}
	if index, err = ops.Convert(index, tensor.Int64); err != nil {
		return err
	}
	depth, err := c.scalar(1)
	if err != nil {
		return err
	}
	if !(depth >= 0 && depth <= 1<<31) {
		return fmt.Errorf("a depth of %g", depth)
	}
	a, err := c.int("axis", -1)
	if err != nil {
		return err
	}
	if _, ok := elements(append([]int{int(depth)}, index.Shape()...), c.b.opts.MaxElements); !ok {
		return fmt.Errorf("its output for indices of shape %v and depth %g has more than %d elements", index.Shape(), depth, c.b.opts.MaxElements)
	}
	mask, err := ops.OneHotMask(index, int(depth), a)
	if err != nil {
		return err
	}
	values, err := c.any(2)
	if err != nil {
		return err
	}
	if len(values.Shape()) != 1 || values.Shape()[0] != 2 {
		return fmt.Errorf("its values have shape %v; they must be two numbers", values.Shape())
	}
	var pair [2]*gorgonia.Node
	for k := range pair {
		if pair[k], err = ops.Slice(values, []int{k}, nil, []int{1}); err != nil {
			return err
		}
		if pair[k], err = ops.Reshape(pair[k], []int{}); err != nil {
			return err
		}
	}
	y, err := ops.Where(mask, pair[1], pair[0])
	return c.setAs(0, c.elemOf(2), y, err)
}

// arg is ArgMax or ArgMin.
func arg(largest bool) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		x, err := c.any(0)
		if err != nil {
			return err
		}
		a, err := c.int("axis", 0)
		if err != nil {
			return err
		}
		keep, err := c.bool("keepdims", true)
		if err != nil {
			return err
		}
		last, err := c.bool("select_last_index", false)
		if err != nil {
			return err
		}
		if x, _, err = ordered(x, c.elemOf(0)); err != nil {
			return err
		}
		y, err := ops.Arg(x, a, keep, largest, last)
		return c.setAs(0, elemINT64, y, err)
	}
}

// hardmax is Hardmax: 1 at the first of the greatest elements along the axis, else 0. It has the axis of Softmax.
func hardmax(c *nodeCtx) error {
	return softmax(func(x *gorgonia.Node, a int) (*gorgonia.Node, error) {
		best, err := ops.Arg(x, a, false, true, false)
		if err != nil {
			return nil, err
		}
		if best, err = ops.OneHotMask(best, x.Shape()[a], a); err != nil {
			return nil, err
		}
		return ops.Convert(best, x.Dtype())
	})(c)
}

// topK is TopK: the greatest or least elements along an axis in order, and their indices.
func topK(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	k := 0
	if c.opset < 10 {
		k, err = c.int("k", -1)
	} else {
		var list []int
		if list, err = c.constInts(1); err == nil && len(list) != 1 {
			err = fmt.Errorf("its input 1 has %d numbers; it must be one", len(list))
		}
		if err == nil {
			k = list[0]
		}
	}
	if err != nil {
		return err
	}
	a, err := c.int("axis", -1)
	if err != nil {
		return err
	}
	largest, err := c.bool("largest", true)
	if err != nil {
		return err
	}
	elem := c.elemOf(0)
	by, _, err := ordered(x, elem)
	if err != nil {
		return err
	}
	index, err := ops.TopKIndex(by, k, a, largest)
	if err != nil {
		return err
	}
	if c.out[0] != nil {
		y, err := ops.GatherElements(x, index, a)
		if err := c.setAs(0, elem, y, err); err != nil {
			return err
		}
	}
	if len(c.out) < 2 {
		return nil
	}
	return c.setAs(1, elemINT64, index, nil)
}

// cumulate is CumSum or CumProd.
func cumulate(f func(x *gorgonia.Node, axis int, exclusive, reverse bool) (*gorgonia.Node, error)) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		x, err := c.any(0)
		if err != nil {
			return err
		}
		list, err := c.constInts(1)
		if err != nil {
			return err
		}
		if len(list) != 1 {
			return fmt.Errorf("its axis is %v; it must be one number", list)
		}
		exclusive, err := c.bool("exclusive", false)
		if err != nil {
			return err
		}
		reverse, err := c.bool("reverse", false)
		if err != nil {
			return err
		}
		a, err := axis(list[0], x.Dims(), x.Dims())
		if err != nil {
			return err
		}
		y, err := f(x, a, exclusive, reverse)
		return c.setAs(0, c.elemOf(0), y, err)
	}
}

func trilu(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	k := 0
	if c.has(1) {
		list, err := c.constInts(1)
		if err != nil {
			return err
		}
		if len(list) != 1 {
			return fmt.Errorf("its diagonal is %v; it must be one number", list)
		}
		k = list[0]
	}
	upper, err := c.bool("upper", true)
	if err != nil {
		return err
	}
	y, err := ops.Trilu(x, k, upper)
	return c.set(0, y, err)
}

// compress is Compress: the elements, or the slices along an axis, at which the condition holds. How many they are
// must be known, so the condition is a constant.
func compress(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	cond, err := c.constInts(1)
	if err != nil {
		return err
	}
	a := 0
	if c.attr("axis") == nil {
		x, err = ops.Reshape(x, []int{product(x.Shape())})
	} else if a, err = c.int("axis", 0); err == nil {
		a, err = axis(a, x.Dims(), x.Dims())
	}
	if err != nil {
		return err
	}
	index := []int{}
	for k, v := range cond {
		if v != 0 {
			index = append(index, k)
		}
	}
	y, err := ops.Take(x, a, index)
	return c.set(0, y, err)
}

// hostNonZero is NonZero: the indices of the elements that are not 0, a column each.
func hostNonZero(c *nodeCtx) (*host, error) {
	x, err := c.constant(0)
	if err != nil {
		return nil, err
	}
	var found []int
	for k := range x.size() {
		if x.at(k) != 0 {
			found = append(found, k)
		}
	}
	y, err := c.b.newHost(elemINT64, []int{len(x.shape), len(found)})
	if err != nil {
		return nil, err
	}
	for d, stride := range rowMajor(x.shape) {
		for j, k := range found {
			y.i[d*len(found)+j] = int64(k / stride % x.shape[d])
		}
	}
	return y, nil
}

// hostUnique is Unique: the different elements, or slices along an axis, in order or as they come; where each comes
// first; which of them each is; and how often each comes.
func hostUnique(c *nodeCtx) ([]*host, error) {
	x, err := c.constant(0)
	if err != nil {
		return nil, err
	}
	inOrder, err := c.bool("sorted", true)
	if err != nil {
		return nil, err
	}
	outer, n, inner := 1, x.size(), 1
	shape := []int{0}
	a := 0
	if c.attr("axis") != nil {
		if a, err = c.int("axis", 0); err != nil {
			return nil, err
		}
		if a, err = axis(a, len(x.shape), len(x.shape)); err != nil {
			return nil, err
		}
		shape = slices.Clone(x.shape)
		outer, n, inner = product(shape[:a]), shape[a], product(shape[a+1:])
	}
	place := func(k, e int) int { return (e/inner*n+k)*inner + e%inner } // element e of slice k
	compare := func(j, k int) int {
		for e := range outer * inner {
			if d := x.compare(place(j, e), place(k, e)); d != 0 {
				return d
			}
		}
		return 0
	}
	by := make([]int, n)
	for k := range by {
		by[k] = k
	}
	slices.SortStableFunc(by, compare)
	var groups [][]int // equal slices, each in order
	for i, k := range by {
		if i == 0 || compare(by[i-1], k) != 0 {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], k)
	}
	if !inOrder {
		slices.SortFunc(groups, func(g, h []int) int { return g[0] - h[0] })
	}
	shape[a] = len(groups)
	y, err := c.b.newHost(x.elem, shape)
	if err != nil {
		return nil, err
	}
	out := []*host{y}
	for _, size := range []int{len(groups), n, len(groups)} {
		h, err := c.b.newHost(elemINT64, []int{size})
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	for g, members := range groups {
		for e := range outer * inner {
			y.take((e/inner*len(groups)+g)*inner+e%inner, x, place(members[0], e))
		}
		out[1].i[g], out[3].i[g] = int64(members[0]), int64(len(members))
		for _, k := range members {
			out[2].i[k] = int64(g)
		}
	}
	return out, nil
}
