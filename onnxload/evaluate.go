package onnxload

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// A scratch is a graph of float64 in which an operator on constants is computed at once, so that folding and
// running are one implementation.
type scratch struct {
	graph *gorgonia.ExprGraph
	bufs  map[*gorgonia.Node]*ops.Buf
	// shapesOnly tells that nothing will be computed, and inputs need no numbers.
	shapesOnly bool
	blanks     int
}

// evaluate computes the outputs of the node from constants. Those that are not wanted are nil.
func (c *nodeCtx) evaluate(op operator) ([]*host, error) {
	if op.hosts != nil {
		return op.hosts(c)
	}
	out := make([]*host, len(c.out))
	if op.host != nil {
		h, err := op.host(c)
		out[0] = h
		return out, err
	}
	s := &scratch{graph: gorgonia.NewGraph(), bufs: map[*gorgonia.Node]*ops.Buf{}}
	results, err := c.inScratch(op, s)
	if err != nil {
		return nil, err
	}
	done := func(v *value) bool { return v != nil && v.node != nil }
	for _, v := range results {
		if done(v) {
			if _, err := c.b.eval(s, v.node); err != nil {
				return nil, err
			}
		}
	}
	for k, v := range results {
		if !done(v) {
			continue
		}
		b := s.bufs[v.node]
		out[k] = hostFrom(b, v.elem, v.node.Op() != nil)
	}
	return out, nil
}

// inScratch makes the node's outputs in a scratch graph. Those that are not wanted are nil.
func (c *nodeCtx) inScratch(op operator, s *scratch) ([]*value, error) {
	own := *c
	own.scratch = s
	own.out = make([]*value, len(c.out))
	for k, v := range c.out {
		if v != nil {
			own.out[k] = &value{name: v.name}
		}
	}
	return own.out, op.graph(&own)
}

// shapes returns the shapes of the outputs, nil for those that are not wanted.
func (c *nodeCtx) shapes(op operator) ([][]int, error) {
	results, err := c.inScratch(op, &scratch{graph: gorgonia.NewGraph(), shapesOnly: true})
	if err != nil {
		return nil, err
	}
	out := make([][]int, len(results))
	for k, v := range results {
		if v != nil && v.node != nil {
			out[k] = append([]int{}, v.node.Shape()...)
		}
	}
	return out, nil
}

// blank puts an input without numbers into the scratch graph.
func (s *scratch) blank(name string, elem int32, shape []int) *gorgonia.Node {
	dt := tensor.Float64
	if onnxpb.IsInt(elem) {
		dt = tensor.Int64
	}
	s.blanks++
	return inputNode(s.graph, fmt.Sprintf("%s.%d", name, s.blanks), dt, shape)
}

// node puts numbers into the scratch graph.
func (s *scratch) node(name string, h *host) *gorgonia.Node {
	dt, b := tensor.Float64, &ops.Buf{Shape: h.shape, F64: h.f}
	if h.f == nil {
		dt, b = tensor.Int64, &ops.Buf{Shape: h.shape, I64: h.i}
	}
	n := inputNode(s.graph, fmt.Sprintf("%s.%d", name, len(s.bufs)), dt, h.shape)
	s.bufs[n] = b
	return n
}

// eval computes a node of a scratch graph, and those that it needs.
func (b *builder) eval(s *scratch, root *gorgonia.Node) (*ops.Buf, error) {
	stack := []*gorgonia.Node{root}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		if s.bufs[n] != nil {
			stack = stack[:len(stack)-1]
			continue
		}
		var in []*ops.Buf
		ready := true
		for it := s.graph.From(n.ID()); it.Next(); {
			child := it.Node().(*gorgonia.Node)
			if s.bufs[child] == nil {
				stack, ready = append(stack, child), false
			}
			in = append(in, s.bufs[child])
		}
		if !ready {
			continue
		}
		op, ok := n.Op().(ops.Op)
		if !ok {
			return nil, unsupportedf("it cannot be computed from constants")
		}
		if err := b.charge(n.Shape()); err != nil {
			return nil, err
		}
		buf, err := ops.Eval(op, in)
		if err != nil {
			return nil, err
		}
		s.bufs[n] = buf
		stack = stack[:len(stack)-1]
	}
	return s.bufs[root], nil
}

// hostFrom takes the numbers of b as numbers of the type, in the memory of b if that is free.
func hostFrom(b *ops.Buf, elem int32, free bool) *host {
	h := &host{elem: elem, shape: append([]int{}, b.Shape...), i: b.I64, f: b.F64}
	if b.I64 != nil {
		return h // nobody changes a host
	}
	if !free {
		h.f = make([]float64, len(b.F64))
	}
	for k, v := range b.F64 {
		h.f[k] = onnxpb.Round(elem, v)
	}
	return h
}
