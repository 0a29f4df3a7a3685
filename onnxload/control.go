package onnxload

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

func controlOperators() map[string]operator {
	return map[string]operator{
		"If":   {inputs: 1, most: 1, expand: ifNode},
		"Loop": {inputs: 0, most: -1, expand: loop},
		"Scan": {inputs: 0, most: -1, expand: scan},
	}
}

func (c *nodeCtx) graphAttr(name string) (*onnxpb.GraphProto, error) {
	a := c.attr(name)
	if a == nil || a.G == nil {
		return nil, fmt.Errorf("it has no subgraph %q", name)
	}
	return a.G, nil
}

// ifNode is If with a condition that shapes and constants determine: the branch takes its place.
func ifNode(c *nodeCtx) error {
	if !c.in[0].constant() {
		return unsupportedf("its condition %q depends on the data; only conditions that shapes and constants determine are supported", c.in[0].name)
	}
	cond, err := c.scalar(0)
	if err != nil {
		return err
	}
	branch := "then_branch"
	if cond == 0 {
		branch = "else_branch"
	}
	g, err := c.graphAttr(branch)
	if err != nil {
		return err
	}
	out, err := c.subgraph(g, branch, nil)
	if err != nil {
		return err
	}
	return c.setAll(out)
}

// setAll makes the outputs of the node stand for values.
func (c *nodeCtx) setAll(out []*value) error {
	if len(out) < len(c.out) {
		return fmt.Errorf("its body has %d outputs; %d are read", len(out), len(c.out))
	}
	for k, v := range c.out {
		if v != nil {
			v.alias(out[k])
		}
	}
	return nil
}

// loop is Loop unrolled: its body takes its place as often as it runs. Inputs are the number of rounds and the condition, both optional, and
// the variables; the body has the round, the condition and the variables as inputs, and as outputs the condition, the variables, and
// what every round adds to the other outputs.
func loop(c *nodeCtx) error {
	g, err := c.graphAttr("body")
	if err != nil {
		return err
	}
	if len(c.in) < 2 {
		return fmt.Errorf("it has %d inputs; the number of rounds and the condition may be empty but not left out", len(c.in))
	}
	rounds := maxInlined
	if c.in[0] != nil {
		m, err := c.constInts(0)
		if err != nil {
			return err
		}
		if len(m) != 1 {
			return fmt.Errorf("its number of rounds has shape %v", c.in[0].shape)
		}
		rounds = m[0]
	}
	cond := c.in[1]
	vars := slices.Clone(c.in[2:])
	if len(g.Input) != 2+len(vars) || len(g.Output) < 1+len(vars) {
		return fmt.Errorf("its body has %d inputs and %d outputs for %d variables", len(g.Input), len(g.Output), len(vars))
	}
	scans := make([][]*value, len(g.Output)-1-len(vars))
	for round := 0; round < rounds; round++ {
		if go_, err := c.holds(cond); err != nil {
			return err
		} else if !go_ {
			break
		}
		if round == maxInlined {
			return unsupportedf("a loop of more than %d rounds", maxInlined)
		}
		i := c.b.fromHost(c.b.innerName("round"), &host{elem: elemINT64, shape: []int{}, i: []int64{int64(round)}})
		if cond == nil {
			cond = c.b.fromHost(c.b.innerName("cond"), &host{elem: elemBOOL, shape: []int{}, i: []int64{1}})
		}
		out, err := c.subgraph(g, "body", append([]*value{i, cond}, vars...))
		if err != nil {
			return err
		}
		cond = out[0]
		copy(vars, out[1:])
		for k := range scans {
			scans[k] = append(scans[k], out[1+len(vars)+k])
		}
	}
	for k, list := range scans {
		if 0 <= len(vars)+k && len(vars)+k < len(c.out) && c.out[len(vars)+k] == nil {
			vars = append(vars, nil)
			continue
		}
		v, err := c.stack(list, 0)
		if err != nil {
			return err
		}
		vars = append(vars, v)
	}
	return c.setAll(vars)
}

// holds tells whether a condition, true if absent, is true.
func (c *nodeCtx) holds(cond *value) (bool, error) {
	if cond == nil {
		return true, nil
	}
	if !cond.constant() {
		return false, unsupportedf("its condition %q depends on the data; only conditions that shapes and constants determine are supported", cond.name)
	}
	h, err := cond.numbers()
	if err != nil {
		return false, err
	}
	x, err := h.scalar()
	return x != 0, err
}

// stack joins values of one shape along a new axis.
func (c *nodeCtx) stack(list []*value, at int) (*value, error) {
	if len(list) == 0 {
		return nil, unsupportedf("a loop of no rounds, whose outputs have no elements")
	}
	v := &value{name: c.b.innerName("stack"), elem: list[0].elem}
	if !slices.ContainsFunc(list, func(v *value) bool { return !v.constant() || len(v.roots) > 0 }) {
		h, err := c.stackHosts(list, at)
		if err != nil {
			return nil, err
		}
		return c.b.fromHost(v.name, h), nil
	}
	var nodes []*gorgonia.Node
	for _, x := range list {
		n, err := x.graphNode(false)
		if err != nil {
			return nil, err
		}
		if at, err = axis(at, n.Dims()+1, n.Dims()+1); err != nil {
			return nil, err
		}
		if n, err = ops.Reshape(n, slices.Insert(slices.Clone([]int(n.Shape())), at, 1)); err != nil {
			return nil, err
		}
		nodes = append(nodes, n)
	}
	n := nodes[0]
	if len(nodes) > 1 {
		var err error
		if n, err = ops.Concat(at, nodes...); err != nil {
			return nil, err
		}
	}
	if _, ok := elements(n.Shape(), c.b.opts.MaxElements); !ok {
		return nil, fmt.Errorf("an output of shape %v has more than %d elements", n.Shape(), c.b.opts.MaxElements)
	}
	v.node, v.shape = n, n.Shape()
	return v, nil
}

func (c *nodeCtx) stackHosts(list []*value, at int) (*host, error) {
	var y *host
	for k, v := range list {
		x, err := v.numbers()
		if err != nil {
			return nil, err
		}
		if y == nil {
			if at, err = axis(at, len(x.shape)+1, len(x.shape)+1); err != nil {
				return nil, err
			}
			if y, err = c.b.newHost(x.elem, slices.Insert(slices.Clone(x.shape), at, len(list))); err != nil {
				return nil, err
			}
		}
		if x.elem != y.elem || !slices.Equal(slices.Insert(slices.Clone(x.shape), at, len(list)), y.shape) {
			return nil, fmt.Errorf("the rounds give outputs of different shapes or types")
		}
		inner := product(x.shape[at:])
		for i := range x.size() {
			y.take((i/inner*len(list)+k)*inner+i%inner, x, i)
		}
	}
	return y, nil
}

// scan is Scan unrolled, from opset 9 on: the body runs once for each slice of its last num_scan_inputs inputs.
func scan(c *nodeCtx) error {
	if c.opset < 9 {
		return unsupportedf("Scan with a batch axis (opset 8) is not supported")
	}
	g, err := c.graphAttr("body")
	if err != nil {
		return err
	}
	slicedInputs, err := c.int("num_scan_inputs", 0)
	if err != nil {
		return err
	}
	states := len(c.in) - slicedInputs
	if slicedInputs < 1 || states < 0 || slices.Contains(c.in, nil) {
		return fmt.Errorf("%d of its %d inputs are to be scanned", slicedInputs, len(c.in))
	}
	stacked := len(g.Output) - states
	if len(g.Input) != len(c.in) || stacked < 0 {
		return fmt.Errorf("its body has %d inputs and %d outputs for %d states and %d scanned inputs", len(g.Input), len(g.Output), states, slicedInputs)
	}
	list := func(name string, n int) ([]int, error) {
		l, err := c.ints(name)
		if err == nil && l == nil {
			l = make([]int, n)
		}
		if err == nil && len(l) != n {
			err = fmt.Errorf("its attribute %q has %d numbers; %d are needed", name, len(l), n)
		}
		return l, err
	}
	var inAxes, inBack, outAxes, outBack []int
	for _, l := range []struct {
		to   *[]int
		name string
		n    int
	}{{&inAxes, "scan_input_axes", slicedInputs}, {&inBack, "scan_input_directions", slicedInputs},
		{&outAxes, "scan_output_axes", stacked}, {&outBack, "scan_output_directions", stacked}} {
		if *l.to, err = list(l.name, l.n); err != nil {
			return err
		}
	}
	length := -1
	for k := range slicedInputs {
		shape, err := c.in[states+k].dims()
		if err != nil {
			return err
		}
		if inAxes[k], err = axis(inAxes[k], len(shape), len(shape)); err != nil {
			return err
		}
		if n := shape[inAxes[k]]; length >= 0 && n != length {
			return fmt.Errorf("its scanned inputs have %d and %d slices", length, n)
		}
		length = shape[inAxes[k]]
	}
	vars := slices.Clone(c.in[:states])
	rounds := make([][]*value, stacked)
	for round := range length {
		bind := slices.Clone(vars)
		for k := range slicedInputs {
			i := round
			if inBack[k] != 0 {
				i = length - 1 - round
			}
			v, err := c.sliceOf(c.in[states+k], inAxes[k], i)
			if err != nil {
				return err
			}
			bind = append(bind, v)
		}
		out, err := c.subgraph(g, "body", bind)
		if err != nil {
			return err
		}
		copy(vars, out)
		for k := range rounds {
			rounds[k] = append(rounds[k], out[states+k])
		}
	}
	for k, list := range rounds {
		if outBack[k] != 0 {
			slices.Reverse(list)
		}
		v, err := c.stack(list, outAxes[k])
		if err != nil {
			return err
		}
		vars = append(vars, v)
	}
	return c.setAll(vars)
}

// sliceOf returns the elements of v at index i of an axis, without that axis.
func (c *nodeCtx) sliceOf(v *value, at, i int) (*value, error) {
	s := &value{name: c.b.innerName(v.name), elem: v.elem}
	if v.constant() && len(v.roots) == 0 {
		x, err := v.numbers()
		if err != nil {
			return nil, err
		}
		inner := product(x.shape[at+1:])
		y, err := c.b.newHost(x.elem, slices.Delete(slices.Clone(x.shape), at, at+1))
		if err != nil {
			return nil, err
		}
		for k := range y.size() {
			y.take(k, x, (k/inner*x.shape[at]+i)*inner+k%inner)
		}
		return c.b.fromHost(s.name, y), nil
	}
	n, err := v.graphNode(false)
	if err != nil {
		return nil, err
	}
	sizes := slices.Clone([]int(n.Shape()))
	starts := make([]int, len(sizes))
	starts[at], sizes[at] = i, 1
	if n, err = ops.Slice(n, starts, nil, sizes); err != nil {
		return nil, err
	}
	if n, err = ops.Reshape(n, slices.Delete(sizes, at, at+1)); err != nil {
		return nil, err
	}
	s.node, s.shape = n, n.Shape()
	return s, nil
}
