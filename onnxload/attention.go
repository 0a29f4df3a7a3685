package onnxload

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

func attentionOperators() map[string]operator {
	return map[string]operator{
		"Attention":       {inputs: 3, most: 7, graph: attention},
		"LinearAttention": {inputs: 3, most: 6, graph: linearAttention},
		"RotaryEmbedding": {inputs: 3, most: 4, graph: rotaryEmbedding},
	}
}

// attention is Attention: Q, K, V, mask, past_key, past_value, nonpad_kv_seqlen.
func attention(c *nodeCtx) error {
	var in [3]*gorgonia.Node
	for i := range in {
		x, err := c.data(i)
		if err != nil {
			return err
		}
		heads, err := c.int([]string{"q_num_heads", "kv_num_heads", "kv_num_heads"}[i], 0)
		if err != nil {
			return err
		}
		if in[i], err = headsApart(x, heads); err != nil {
			return err
		}
	}
	flat := c.in[0].node.Dims() == 3
	past := 0
	if c.has(4) != c.has(5) {
		return fmt.Errorf("it has one of past_key and past_value, not both")
	}
	for i := range 2 {
		if !c.has(4 + i) {
			continue
		}
		p, err := c.data(4 + i)
		if err != nil {
			return err
		}
		if p.Dims() != 4 {
			return fmt.Errorf("its input %d has shape %v; four dimensions are needed", 4+i, p.Shape())
		}
		past = p.Shape()[2]
		if in[1+i], err = ops.Concat(2, p, in[1+i]); err != nil {
			return err
		}
	}
	a := ops.Attention{Q: in[0], K: in[1], V: in[2]}
	var err error
	if a.Scale, err = c.float("scale", 0); err != nil {
		return err
	}
	if c.attr("scale") == nil {
		a.Scale = 1 / math.Sqrt(float64(a.Q.Shape()[3]))
	}
	if a.Softcap, err = c.float("softcap", 0); err != nil {
		return err
	}
	if a.Bias, err = c.attentionBias(a, past); err != nil {
		return err
	}
	scores := []int{a.Q.Shape()[0], a.Q.Shape()[1], a.Q.Shape()[2], a.K.Shape()[2]}
	if _, ok := elements(scores, c.b.opts.MaxElements); !ok {
		return fmt.Errorf("its scores of shape %v are more than %d elements", scores, c.b.opts.MaxElements)
	}
	y, steps, err := a.Apply()
	if err != nil {
		return err
	}
	mode, err := c.int("qk_matmul_output_mode", 0)
	if err != nil {
		return err
	}
	if mode < 0 || mode >= len(steps) {
		return fmt.Errorf("its qk_matmul_output_mode is %d", mode)
	}
	if flat {
		if y, err = headsTogether(y); err != nil {
			return err
		}
	}
	for k, n := range []*gorgonia.Node{y, a.K, a.V, steps[mode]}[:min(4, len(c.out))] {
		if err := c.set(k, n, nil); err != nil {
			return err
		}
	}
	return nil
}

// headsApart makes (B, S, heads*D) into (B, heads, S, D); what has four dimensions is that already.
func headsApart(x *gorgonia.Node, heads int) (*gorgonia.Node, error) {
	s := x.Shape()
	if len(s) == 4 {
		return x, nil
	}
	if len(s) != 3 || heads < 1 || s[2]%heads != 0 {
		return nil, fmt.Errorf("an input of shape %v with %d heads", s, heads)
	}
	x, err := ops.Reshape(x, []int{s[0], s[1], heads, s[2] / heads})
	if err != nil {
		return nil, err
	}
	return ops.Transpose(x, []int{0, 2, 1, 3})
}

// headsTogether is the reverse of headsApart.
func headsTogether(x *gorgonia.Node) (*gorgonia.Node, error) {
	s := x.Shape()
	x, err := ops.Transpose(x, []int{0, 2, 1, 3})
	if err != nil {
		return nil, err
	}
	return ops.Reshape(x, []int{s[0], s[2], s[1] * s[3]})
}

// attentionBias returns what is added to the scores, nil for nothing: -Inf where a mask, causality, the window or the
// number of valid keys hides a key, and the mask itself if it has numbers.
func (c *nodeCtx) attentionBias(a ops.Attention, past int) (*gorgonia.Node, error) {
	hidden, err := c.hiddenKeys(a, past)
	if err != nil || !c.has(3) {
		return hidden, err
	}
	keys := a.K.Shape()[2]
	mask, err := c.attentionMask()
	if err != nil {
		return nil, err
	}
	rank := mask.Dims()
	if rank < 1 {
		return nil, fmt.Errorf("a mask of shape %v", mask.Shape())
	}
	if short := keys - mask.Shape()[rank-1]; short > 0 && mask.Shape()[rank-1] != 1 {
		pads := make([]int, 2*rank)
		pads[2*rank-1] = short
		if mask, err = ops.Pad(mask, pads, math.Inf(-1), "constant"); err != nil {
			return nil, err
		}
	}
	if hidden == nil {
		return mask, nil
	}
	return ops.Add(mask, hidden)
}

// attentionMask returns the mask as numbers to be added: -Inf where one of bools is false.
func (c *nodeCtx) attentionMask() (*gorgonia.Node, error) {
	v := c.in[3]
	switch {
	case onnxpb.IsFloat(v.elem) && !v.constant():
		return c.data(3)
	case onnxpb.IsFloat(v.elem):
		h, err := c.constant(3)
		if err != nil {
			return nil, err
		}
		return c.b.constNode(c.b.unique(v.name+".bias"), h)
	}
	mask, err := c.integers(3)
	if err != nil {
		return nil, err
	}
	if v.elem != elemBOOL {
		return castNode(mask, v.elem, elemFLOAT, c.b.opts.Dtype)
	}
	pair, err := c.b.newHost(elemFLOAT, []int{2})
	if err != nil {
		return nil, err
	}
	pair.f[0] = math.Inf(-1)
	table, err := c.b.constNode(c.b.unique(v.name+".bias"), pair)
	if err != nil {
		return nil, err
	}
	return ops.Gather(table, mask, 0)
}

// hiddenKeys returns (S, T) or, if the numbers of valid keys are given, (B, 1, S, T): -Inf where a key is hidden.
func (c *nodeCtx) hiddenKeys(a ops.Attention, past int) (*gorgonia.Node, error) {
	causal, err := c.bool("is_causal", false)
	if err != nil {
		return nil, err
	}
	left, err := c.int("left_window_size", -1)
	if err != nil {
		return nil, err
	}
	right, err := c.int("right_window_size", -1)
	if err != nil {
		return nil, err
	}
	if !causal && left < 0 && right < 0 && !c.has(6) {
		return nil, nil
	}
	queries, keys := a.Q.Shape()[2], a.K.Shape()[2]
	shape, valid, offsets := []int{queries, keys}, []int{keys}, []int{past}
	if c.has(6) {
		if valid, err = c.constInts(6); err != nil {
			return nil, err
		}
		if len(valid) != a.Q.Shape()[0] {
			return nil, fmt.Errorf("%d numbers of valid keys for %d sequences", len(valid), a.Q.Shape()[0])
		}
		shape = []int{len(valid), 1, queries, keys}
		if offsets = slices.Clone(valid); c.has(4) {
			return nil, fmt.Errorf("nonpad_kv_seqlen and past_key exclude each other")
		}
		for b := range offsets {
			offsets[b] -= queries
		}
	}
	h, err := c.b.newHost(elemFLOAT, shape)
	if err != nil {
		return nil, err
	}
	for k := range h.f {
		b, at, key := k/keys/queries, k/keys%queries, k%keys
		at += offsets[b]
		if key >= valid[b] || causal && key > at || left >= 0 && key < at-left || right >= 0 && key > at+right {
			h.f[k] = math.Inf(-1)
		}
	}
	return c.b.constNode(c.b.unique(shownName(c.n, c.index)+".hidden"), h)
}

// rotaryEmbedding is RotaryEmbedding: X, cos_cache, sin_cache, position_ids. X is (B, heads, S, D) or (B, S, heads*D).
func rotaryEmbedding(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	flat := x.Dims() == 3
	heads, err := c.int("num_heads", 0)
	if err != nil {
		return err
	}
	if x, err = headsApart(x, heads); err != nil {
		return err
	}
	s := []int(x.Shape())
	width, err := c.int("rotary_embedding_dim", 0)
	if err != nil {
		return err
	}
	if width == 0 {
		width = s[3]
	}
	if width < 2 || width > s[3] || width%2 != 0 {
		return fmt.Errorf("it rotates %d of %d elements", width, s[3])
	}
	interleaved, err := c.bool("interleaved", false)
	if err != nil {
		return err
	}
	var angles [2]*gorgonia.Node
	for i := range angles {
		if angles[i], err = c.angles(1+i, s[0], s[2], width/2); err != nil {
			return err
		}
	}
	sizes := slices.Clone(s)
	sizes[3] = width
	turned, err := ops.Slice(x, make([]int, 4), nil, sizes)
	if err != nil {
		return err
	}
	if turned, err = ops.Rotate(turned, angles[0], angles[1], interleaved); err != nil {
		return err
	}
	if width < s[3] {
		sizes[3] = s[3] - width
		rest, err := ops.Slice(x, []int{0, 0, 0, width}, nil, sizes)
		if err != nil {
			return err
		}
		if turned, err = ops.Concat(3, turned, rest); err != nil {
			return err
		}
	}
	if flat {
		turned, err = headsTogether(turned)
	}
	return c.set(0, turned, err)
}

// angles returns a cache of cosines or sines as (B or 1, 1, S, half): (B, S, half) as it is, or rows of (positions, half) by the
// positions of input 3. The caches are constants of the model, not weights.
func (c *nodeCtx) angles(i, batch, length, half int) (*gorgonia.Node, error) {
	var cache *gorgonia.Node
	var err error
	if c.in[i].constant() {
		var h *host
		if h, err = c.constant(i); err == nil {
			cache, err = c.b.constNode(c.b.unique(c.in[i].name+".angles"), h)
		}
	} else {
		cache, err = c.data(i)
	}
	if err != nil {
		return nil, err
	}
	if c.has(3) {
		positions, err := c.integers(3)
		if err != nil {
			return nil, err
		}
		if cache, err = ops.Gather(cache, positions, 0); err != nil {
			return nil, err
		}
	}
	if s := cache.Shape(); len(s) != 3 || s[0] != batch && s[0] != 1 || s[1] != length || s[2] != half {
		return nil, fmt.Errorf("its input %d gives angles of shape %v; (%d, %d, %d) is needed", i, s, batch, length, half)
	}
	return ops.Reshape(cache, []int{cache.Shape()[0], 1, length, half})
}
