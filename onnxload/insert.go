package onnxload

import (
	"fmt"
	"maps"
	"slices"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// insertedMasks is the number of the first inserted dropout's random numbers, beyond those of the Dropout nodes of any file.
const insertedMasks = 1 << 24

// checkInserted fails if Options.DropoutAfter names what is not there.
func (b *builder) checkInserted() error {
	if len(b.opts.DropoutAfter) == 0 {
		return nil
	}
	known := map[string]bool{}
	for i, n := range b.model.proto.Graph.Node {
		known[shownName(n, i)] = true
		for _, o := range n.Output {
			known[o] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.opts.DropoutAfter)) {
		if p := b.opts.DropoutAfter[name]; !(p >= 0 && p < 1) {
			return fmt.Errorf("onnxload: a dropout ratio of %g after %q; it must be in [0, 1)", p, name)
		}
		if !known[name] {
			return fmt.Errorf("onnxload: dropout after %q: there is no such node or tensor; close are %s", name, closest(name, slices.Collect(maps.Keys(known))))
		}
	}
	return nil
}

// insertDropout lets what reads the node's outputs read them with dropout, in training, where Options.DropoutAfter asks for
// it. A node's name means its first output.
func (c *nodeCtx) insertDropout() error {
	for k, v := range c.out {
		if v == nil {
			continue
		}
		ratio, ok := c.b.opts.DropoutAfter[c.n.Output[k]]
		if !ok && k == 0 {
			ratio, ok = c.b.opts.DropoutAfter[shownName(c.n, c.index)]
		}
		if !ok {
			continue
		}
		if v.node == nil || v.node.Dtype() == tensor.Int64 || v.constant() {
			return fmt.Errorf("dropout after it: its output is no tensor of floating-point numbers that is computed from the data")
		}
		if !c.b.opts.Training {
			continue
		}
		y, err := ops.Dropout(v.node, ratio, insertedMasks+uint32(c.index))
		if err != nil {
			return err
		}
		v.node = y
	}
	return nil
}
