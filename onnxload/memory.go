package onnxload

import (
	"fmt"
	"slices"

	"github.com/dustin/go-humanize"
	"gorgonia.org/tensor"
)

// DefaultMaxMemory is what Options.MaxMemory stands for where it is 0: 16 GiB.
const DefaultMaxMemory int64 = 16 << 30

// A MemoryError says that building or running a model would take more memory than Options.MaxMemory. It is found out from
// shapes, before that memory is allocated.
type MemoryError struct {
	What        string // what would take it: a node or tensor, and its shape
	Size        int64  // bytes of that
	Need, Limit int64  // bytes in all, and Options.MaxMemory
	Remedy      string // what helps besides another limit; may be empty
}

func (e *MemoryError) Error() string {
	remedy := e.Remedy
	if remedy != "" {
		remedy += ", or "
	}
	return fmt.Sprintf("%s takes %s; with the rest %s of memory are needed, and the limit is %s (%sraise --max-memory; in a Go program Options.MaxMemory)",
		e.What, bytesText(e.Size), bytesText(e.Need), bytesText(e.Limit), remedy)
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

const smallerBatch = "take a smaller batch"

// spend counts bytes that are about to be allocated for a constant.
func (b *builder) spend(shape []int, bytes int64) error {
	if bytes > b.opts.MaxMemory-b.net.held {
		return &MemoryError{What: fmt.Sprintf("a constant of shape %v", shape), Size: bytes, Need: b.net.held + bytes, Limit: b.opts.MaxMemory}
	}
	b.net.held += bytes
	return nil
}

// newNodes looks at the nodes that were added to the graph since it was last called: those of an operator's steps too, which
// are no outputs. Nothing was allocated for them yet.
func (b *builder) newNodes() error {
	all := b.net.Graph.AllNodes()
	for ; b.seen < len(all); b.seen++ {
		n := all[b.seen]
		size, ok := elements(n.Shape(), b.opts.MaxElements)
		if !ok {
			return fmt.Errorf("a tensor of shape %v, its result or a step to it, has more than %d elements", n.Shape(), b.opts.MaxElements)
		}
		if bytes := int64(size) * bytesOf(n.Dtype()); bytes > b.opts.MaxMemory-b.net.held {
			return &MemoryError{What: fmt.Sprintf("a tensor of shape %v", n.Shape()), Size: bytes, Need: b.net.held + bytes,
				Limit: b.opts.MaxMemory, Remedy: smallerBatch}
		}
	}
	return nil
}

func bytesOf(dt tensor.Dtype) int64 {
	if dt == tensor.Float32 {
		return 4
	}
	return 8
}

// checkWeights counts the flat vector of the weights.
func (b *builder) checkWeights() error {
	n := b.net
	all := 4 * int64(n.NumWeights()+n.NumFrozen()+n.NumRunning())
	params := slices.Concat(n.Params, n.Frozen)
	if all <= b.opts.MaxMemory-n.held || len(params) == 0 {
		return nil
	}
	most := params[0]
	for _, p := range params {
		if p.To-p.From > most.To-most.From {
			most = p
		}
	}
	return fmt.Errorf("onnxload: %w", &MemoryError{What: fmt.Sprintf("the largest weight %q of shape %v", most.Name, most.Shape), Size: 4 * int64(most.To-most.From),
		Need: n.held + all, Limit: b.opts.MaxMemory})
}

// Memory is how many bytes the model and the constants of the graph take, without the flat vectors of weights and running
// statistics and what a run needs.
func (n *Net) Memory() int64 { return n.held }
