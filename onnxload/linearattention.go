package onnxload

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// maxLinearSteps bounds the steps of LinearAttention, each of which is up to 16 nodes: see maxInlined.
const maxLinearSteps = maxInlined / 16

// linearAttention is LinearAttention, step by step: query (B, T, H*D), key (B, T, G*D), value (B, T, G*E), past_state (B, G, D, E), decay
// (B, T, G or G*D) and beta (B, T, G or 1). A step with the state S, after S has decayed by exp(decay), is S += k⊗v, or with a
// delta rule S += k⊗beta(v - k·S), and gives q·S.
func linearAttention(c *nodeCtx) error {
	rule, err := c.string("update_rule", "gated_delta")
	if err != nil {
		return err
	}
	gated, delta := rule == "gated" || rule == "gated_delta", rule == "delta" || rule == "gated_delta"
	if !gated && !delta && rule != "linear" {
		return unsupportedf("update_rule %q; linear, gated, delta and gated_delta are known", rule)
	}
	if gated != c.has(4) || delta != c.has(5) {
		return fmt.Errorf("the update_rule %q goes with decay: %v, and with beta: %v", rule, gated, delta)
	}
	heads, err := c.int("q_num_heads", 0)
	if err != nil {
		return err
	}
	groups, err := c.int("kv_num_heads", 0)
	if err != nil {
		return err
	}
	var in [6]*gorgonia.Node // (B, heads, T, size); the state is (B, G, D, E)
	for i := range in {
		if !c.has(i) {
			continue
		}
		if in[i], err = c.data(i); err != nil {
			return err
		}
		if i == 3 {
			continue
		}
		if t := in[i].Shape(); len(t) != 3 || product(t) == 0 {
			return fmt.Errorf("its input %d has shape %v; three dimensions with elements are needed", i, t)
		}
		n := groups
		switch {
		case i == 0:
			n = heads
		case i == 5 && in[i].Shape()[2] == 1:
			n = 1
		}
		if in[i], err = headsApart(in[i], n); err != nil {
			return err
		}
	}
	q, k, v, state := in[0], in[1], in[2], in[3]
	s := q.Shape()
	batch, length, d, e := s[0], s[2], s[3], v.Shape()[3]
	for i, x := range in {
		if x == nil || i == 3 {
			continue
		}
		t := x.Shape()
		width := t[3] == []int{d, d, e, 0, d, 1}[i] || i == 4 && t[3] == 1
		if t[0] != batch || t[2] != length || !width {
			return fmt.Errorf("its input %d of shape %v does not fit a query of shape %v with %d heads", i, c.in[i].shape, c.in[0].shape, heads)
		}
	}
	if heads%groups != 0 {
		return fmt.Errorf("%d heads of queries for %d of keys", heads, groups)
	}
	if length > maxLinearSteps {
		return unsupportedf("a sequence of %d elements; up to %d are supported", length, maxLinearSteps)
	}
	shape := []int{batch, groups, d, e}
	if state == nil {
		h, err := c.b.newHost(elemFLOAT, shape)
		if err != nil {
			return err
		}
		if state, err = c.known(h); err != nil {
			return err
		}
	} else if !slices.Equal(state.Shape(), shape) {
		return fmt.Errorf("a past state of shape %v; %v is needed", state.Shape(), shape)
	}
	scale, err := c.float("scale", 0)
	if err != nil {
		return err
	}
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(d))
	}
	if q, err = ops.Scale(q, scale); err != nil {
		return err
	}
	var out []*gorgonia.Node
	for t := range length {
		step := linearStep{at: t, state: state}
		if step.update(k, v, in[4], in[5]); step.err != nil {
			return step.err
		}
		state = step.state
		y := step.do(ops.MatMul, step.reshaped(step.of(q), []int{batch, groups, heads / groups, d}), state)
		if y = step.reshaped(y, []int{batch, heads, 1, e}); step.err != nil {
			return step.err
		}
		out = append(out, y)
	}
	y := out[0]
	if length > 1 {
		if y, err = ops.Concat(2, out...); err != nil {
			return err
		}
	}
	if y, err = headsTogether(y); err != nil {
		return err
	}
	if err := c.set(0, y, nil); err != nil || len(c.out) < 2 {
		return err
	}
	return c.set(1, state, nil)
}

// linearStep makes the nodes of one step of LinearAttention. After an error it makes no more.
type linearStep struct {
	at    int
	state *gorgonia.Node
	err   error
}

// update moves the state on. decay and beta may be nil.
func (s *linearStep) update(k, v, decay, beta *gorgonia.Node) {
	k, v = s.of(k), s.of(v)
	if decay != nil {
		factor := s.column(s.of(decay))
		if s.err == nil {
			factor, s.err = ops.Exp(factor)
		}
		s.state = s.do(ops.Mul, s.state, factor)
	}
	if beta != nil {
		v = s.do(ops.Sub, v, s.do(ops.MatMul, k, s.state))
		v = s.do(ops.Mul, v, s.of(beta))
	}
	s.state = s.do(ops.Add, s.state, s.do(ops.Mul, s.column(k), v))
}

// of returns the elements of x (B, heads, T, size) at the step, as (B, heads, 1, size).
func (s *linearStep) of(x *gorgonia.Node) *gorgonia.Node {
	if s.err != nil {
		return nil
	}
	sizes := slices.Clone([]int(x.Shape()))
	sizes[2] = 1
	x, s.err = ops.Slice(x, []int{0, 0, s.at, 0}, nil, sizes)
	return x
}

// column makes (B, heads, 1, size) into (B, heads, size, 1).
func (s *linearStep) column(x *gorgonia.Node) *gorgonia.Node {
	if s.err != nil {
		return nil
	}
	t := x.Shape()
	return s.reshaped(x, []int{t[0], t[1], t[3], 1})
}

func (s *linearStep) reshaped(x *gorgonia.Node, shape []int) *gorgonia.Node {
	if s.err == nil {
		x, s.err = ops.Reshape(x, shape)
	}
	return x
}

func (s *linearStep) do(f func(a, b *gorgonia.Node) (*gorgonia.Node, error), a, b *gorgonia.Node) (y *gorgonia.Node) {
	if s.err == nil {
		y, s.err = f(a, b)
	}
	return y
}
