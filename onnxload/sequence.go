package onnxload

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// Sequences and optional values exist while the graph is built only: their lengths and the places that are read must be
// known, and what is left are the tensors in them.
func sequenceOperators() map[string]operator {
	return map[string]operator{
		"SequenceEmpty":      {inputs: 0, most: 0, expand: func(c *nodeCtx) error { return c.setList([]*value{}) }},
		"SequenceConstruct":  {inputs: 1, most: -1, expand: func(c *nodeCtx) error { return c.setList(c.in) }},
		"SequenceInsert":     {inputs: 2, most: 3, expand: sequenceInsert},
		"SequenceErase":      {inputs: 1, most: 2, expand: sequenceErase},
		"SequenceAt":         {inputs: 2, most: 2, expand: sequenceAt},
		"SequenceLength":     {inputs: 1, most: 1, expand: sequenceLength},
		"SequenceMap":        {inputs: 1, most: -1, expand: sequenceMap},
		"SplitToSequence":    {inputs: 1, most: 2, expand: splitToSequence},
		"ConcatFromSequence": {inputs: 1, most: 1, expand: concatFromSequence},
		"Optional":           {inputs: 0, most: 1, expand: optional},
		"OptionalHasElement": {inputs: 0, most: 1, expand: optionalHasElement},
		"OptionalGetElement": {inputs: 1, most: 1, expand: optionalGetElement},
	}
}

// setList makes the output a sequence.
func (c *nodeCtx) setList(list []*value) error {
	if slices.Contains(list, nil) {
		return fmt.Errorf("an element of the sequence is absent")
	}
	if v := c.out[0]; v != nil {
		*v = value{name: v.name, list: slices.Clone(list), isList: true}
	}
	return nil
}

// list returns input i, a sequence.
func (c *nodeCtx) list(i int) ([]*value, error) {
	if !c.has(i) || !c.in[i].isList {
		return nil, fmt.Errorf("its input %d is no sequence", i)
	}
	return c.in[i].list, nil
}

// place returns the place in a sequence that input i names; upTo is the first that is too large.
func (c *nodeCtx) place(i, length, upTo int) (int, error) {
	x, err := c.constInts(i)
	if err != nil {
		return 0, err
	}
	if len(x) != 1 {
		return 0, fmt.Errorf("its input %d is not one number", i)
	}
	k := x[0]
	if k < 0 {
		k += length
	}
	if k < 0 || k >= upTo {
		return 0, fmt.Errorf("place %d of a sequence of %d", x[0], length)
	}
	return k, nil
}

func sequenceInsert(c *nodeCtx) error {
	list, err := c.list(0)
	if err != nil {
		return err
	}
	at := len(list)
	if c.has(2) {
		if at, err = c.place(2, len(list), len(list)+1); err != nil {
			return err
		}
	}
	return c.setList(slices.Insert(slices.Clone(list), at, c.in[1]))
}

func sequenceErase(c *nodeCtx) error {
	list, err := c.list(0)
	if err != nil {
		return err
	}
	at := len(list) - 1
	if c.has(1) {
		at, err = c.place(1, len(list), len(list))
	} else if at < 0 {
		err = fmt.Errorf("the sequence is empty")
	}
	if err != nil {
		return err
	}
	return c.setList(slices.Delete(slices.Clone(list), at, at+1))
}

func sequenceAt(c *nodeCtx) error {
	list, err := c.list(0)
	if err != nil {
		return err
	}
	at, err := c.place(1, len(list), len(list))
	if err != nil {
		return err
	}
	return c.setAll(list[at : at+1])
}

func sequenceLength(c *nodeCtx) error {
	list, err := c.list(0)
	if err != nil {
		return err
	}
	return c.setAll([]*value{c.b.fromHost(c.out[0].name, &host{elem: elemINT64, shape: []int{}, i: []int64{int64(len(list))}})})
}

// sequenceMap applies its body to the elements of the sequences among its inputs, and to the tensors among them each time.
func sequenceMap(c *nodeCtx) error {
	g, err := c.graphAttr("body")
	if err != nil {
		return err
	}
	first, err := c.list(0)
	if err != nil {
		return err
	}
	lists := make([][]*value, len(g.Output))
	for k := range first {
		bind := slices.Clone(c.in)
		for i, v := range c.in {
			if v == nil {
				return fmt.Errorf("its input %d is absent", i)
			}
			if v.isList {
				if len(v.list) != len(first) {
					return fmt.Errorf("its sequences have %d and %d elements", len(first), len(v.list))
				}
				bind[i] = v.list[k]
			}
		}
		out, err := c.subgraph(g, "body", bind, nil)
		if err != nil {
			return err
		}
		for j, v := range out {
			lists[j] = append(lists[j], v)
		}
	}
	var out []*value
	for _, l := range lists {
		out = append(out, &value{list: l, isList: true})
	}
	return c.setAll(out)
}

// splitToSequence cuts a tensor along an axis into pieces of the given size or sizes, or into slices of one element, which then
// lose the axis unless keepdims says otherwise.
func splitToSequence(c *nodeCtx) error {
	shape, err := c.in[0].dims()
	if err != nil {
		return err
	}
	at, err := c.int("axis", 0)
	if err != nil {
		return err
	}
	if at, err = axis(at, len(shape), len(shape)); err != nil {
		return err
	}
	keep, err := c.bool("keepdims", true)
	if err != nil {
		return err
	}
	n := shape[at]
	var pieces []int
	switch {
	case !c.has(1):
		pieces = slices.Repeat([]int{1}, n)
	default:
		keep = true
		h, err := c.constant(1)
		if err != nil {
			return err
		}
		if pieces, err = h.ints(); err != nil {
			return err
		}
		if len(h.shape) == 0 {
			size := pieces[0]
			if size < 1 {
				return fmt.Errorf("pieces of %d elements", size)
			}
			pieces = nil
			for from := 0; from < n; from += size {
				pieces = append(pieces, min(size, n-from))
			}
		}
	}
	if len(pieces) > maxInlined {
		return unsupportedf("a sequence of %d elements", len(pieces))
	}
	var list []*value
	from := 0
	for _, size := range pieces {
		if size < 0 || size > n-from {
			return fmt.Errorf("pieces of %v elements of axis %d of shape %v", pieces, at, shape)
		}
		v, err := c.piece(c.in[0], at, from, size, keep)
		if err != nil {
			return err
		}
		list = append(list, v)
		from += size
	}
	if from != n {
		return fmt.Errorf("pieces of %v elements of axis %d of shape %v", pieces, at, shape)
	}
	return c.setList(list)
}

// piece returns size elements of v along an axis, which goes unless keep is set.
func (c *nodeCtx) piece(v *value, at, from, size int, keep bool) (*value, error) {
	if !keep {
		return c.sliceOf(v, at, from)
	}
	p := &value{name: c.b.innerName(v.name), elem: v.elem}
	if v.constant() && len(v.roots) == 0 {
		x, err := v.numbers()
		if err != nil {
			return nil, err
		}
		shape := slices.Clone(x.shape)
		shape[at] = size
		y, err := c.b.newHost(x.elem, shape)
		if err != nil {
			return nil, err
		}
		inner := product(shape[at+1:])
		for k := range y.size() {
			row := k / inner
			y.take(k, x, ((row/size*x.shape[at])+from+row%size)*inner+k%inner)
		}
		return c.b.fromHost(p.name, y), nil
	}
	if size == 0 {
		return nil, unsupportedf("a piece without elements")
	}
	n, err := v.graphNode(false)
	if err != nil {
		return nil, err
	}
	sizes, starts := slices.Clone([]int(n.Shape())), make([]int, len(n.Shape()))
	starts[at], sizes[at] = from, size
	if n, err = ops.Slice(n, starts, nil, sizes); err != nil {
		return nil, err
	}
	p.node, p.shape = n, n.Shape()
	return p, nil
}

// concatFromSequence joins the elements along an axis, a new one if new_axis is set.
func concatFromSequence(c *nodeCtx) error {
	list, err := c.list(0)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("the sequence is empty")
	}
	at, err := c.int("axis", 0)
	if err != nil {
		return err
	}
	fresh, err := c.bool("new_axis", false)
	if err != nil {
		return err
	}
	if fresh {
		v, err := c.stack(list, at)
		if err != nil {
			return err
		}
		return c.setAll([]*value{v})
	}
	var nodes []*gorgonia.Node
	for _, v := range list {
		n, err := v.graphNode(false)
		if err != nil {
			return err
		}
		nodes = append(nodes, n)
	}
	if at, err = axis(at, nodes[0].Dims(), nodes[0].Dims()); err != nil {
		return err
	}
	if c.out[0] != nil {
		c.out[0].elem = list[0].elem
	}
	y := nodes[0]
	if len(nodes) > 1 {
		y, err = ops.Concat(at, nodes...)
	}
	return c.set(0, y, err)
}

// optional makes a value optional: it is that value, or nothing.
func optional(c *nodeCtx) error {
	if c.has(0) {
		return c.setAll(c.in[:1])
	}
	return c.setAll([]*value{{isNone: true}})
}

func optionalHasElement(c *nodeCtx) error {
	there := c.has(0) && !c.in[0].isNone
	return c.setAll([]*value{c.b.fromHost(c.b.innerName("there"), &host{elem: elemBOOL, shape: []int{}, i: []int64{boolInt(there)}})})
}

func optionalGetElement(c *nodeCtx) error {
	if c.in[0].isNone {
		return fmt.Errorf("its input %q has no element", c.in[0].name)
	}
	return c.setAll(c.in[:1])
}
