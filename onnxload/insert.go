package onnxload

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// insertedMasks is the number of the first inserted dropout's random numbers, beyond those of the Dropout nodes of any file.
const insertedMasks = 1 << 24

// An insertion is a dropout behind an output of a node.
type insertion struct {
	name  string // by which Options.DropoutAfter asks for it
	ratio float64
	masks uint32 // number of its random numbers
	done  bool
}

// insertions finds the outputs that Options.DropoutAfter names, by node and number of the output. The name of a node means its
// first output.
func (b *builder) insertions() (map[slot]*insertion, error) {
	if len(b.opts.DropoutAfter) == 0 {
		return nil, nil
	}
	nodes := b.model.proto.Graph.Node
	places, masks := map[string][]slot{}, map[slot]uint32{} // both names of an output may be one
	add := func(name string, at slot) {
		if name != "" && !slices.Contains(places[name], at) {
			places[name] = append(places[name], at)
		}
	}
	more := uint32(len(nodes)) // first outputs have the number of their node, the others the next
	for i, n := range nodes {
		if len(n.Output) > 0 {
			add(shownName(n, i), slot{i, 0})
		}
		for k, o := range n.Output {
			add(o, slot{i, k})
			masks[slot{i, k}] = insertedMasks + uint32(i)
			if k > 0 {
				masks[slot{i, k}] = insertedMasks + more
				more++
			}
		}
	}
	found := map[slot]*insertion{}
	for _, name := range slices.Sorted(maps.Keys(b.opts.DropoutAfter)) {
		at, p := places[name], b.opts.DropoutAfter[name]
		switch {
		case !(p >= 0 && p < 1):
			return nil, fmt.Errorf("onnxload: a dropout ratio of %g after %q; it must be in [0, 1)", p, name)
		case len(at) == 0:
			return nil, fmt.Errorf("onnxload: dropout after %q: there is no such node or tensor; close are %s", name, closest(name, slices.Collect(maps.Keys(places))))
		case len(at) > 1:
			var others []string
			for _, s := range at {
				n := nodes[s.node]
				other := n.Output[s.input]
				if other == name {
					other = shownName(n, s.node)
				}
				others = append(others, fmt.Sprintf("%q of %s", other, b.model.nodeName(s.node)))
			}
			return nil, fmt.Errorf("onnxload: dropout after %q: %d nodes or tensors have that name; say which by another name: %s", name, len(at), strings.Join(others, ", "))
		case found[at[0]] != nil:
			return nil, fmt.Errorf("onnxload: dropout after %q and after %q is twice after one tensor", found[at[0]].name, name)
		}
		found[at[0]] = &insertion{name: name, ratio: p, masks: masks[at[0]]}
	}
	return found, nil
}

// insertDropout lets what reads the node's outputs read them with dropout, in training, where Options.DropoutAfter asks for
// it.
func (c *nodeCtx) insertDropout() error {
	for k, v := range c.out {
		in := c.b.inserted[slot{c.index, k}]
		if v == nil || in == nil {
			continue
		}
		in.done = true
		if v.node == nil || v.node.Dtype() == tensor.Int64 || v.constant() {
			return fmt.Errorf("dropout after it: its output is no tensor of floating-point numbers that is computed from the data")
		}
		if !c.b.opts.Training {
			continue
		}
		y, err := ops.Dropout(v.node, in.ratio, in.masks)
		if err != nil {
			return err
		}
		v.node = y
		c.b.net.Random = true
	}
	return nil
}

// checkInserted fails if a dropout had no place, because its node is not computed: a Constant, for example.
func (b *builder) checkInserted() error {
	for _, in := range b.inserted {
		if !in.done {
			return fmt.Errorf("onnxload: dropout after %q: it is no tensor of floating-point numbers that is computed from the data", in.name)
		}
	}
	return nil
}
