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

// ifNode is If. Where shapes and constants determine the condition, the branch takes its place. Where the data do, both branches
// are computed, which must give the same types and shapes, and the condition chooses between what they give: neither a NaN of the
// other branch nor one of its derivatives gets out of it. An error of the other branch, as an index out of range, ends the run all the same.
func ifNode(c *nodeCtx) error {
	if !c.in[0].constant() {
		return c.chooseBranch()
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
	out, err := c.subgraph(g, branch, nil, nil)
	if err != nil {
		return err
	}
	return c.setAll(out)
}

// chooseBranch is If of a condition that the data determine.
func (c *nodeCtx) chooseBranch() error {
	cond, err := c.condition(c.in[0])
	if err != nil {
		return err
	}
	var out [2][]*value
	for k, branch := range []string{"then_branch", "else_branch"} {
		g, err := c.graphAttr(branch)
		if err != nil {
			return err
		}
		if out[k], err = c.subgraph(g, branch, nil, chosen(cond, k == 0)); err != nil {
			return err
		}
	}
	if len(out[0]) != len(out[1]) {
		return fmt.Errorf("its branches have %d and %d outputs", len(out[0]), len(out[1]))
	}
	for k := range out[0] {
		if k < len(c.out) && c.out[k] == nil {
			continue
		}
		if out[0][k], err = c.choose(cond, out[0][k], out[1][k]); err != nil {
			return err
		}
	}
	return c.setAll(out[0])
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
// what every round adds to the other outputs. Where the data determine the condition, all rounds are computed, as many as the number says,
// and those behind the end change nothing, as the branch of an If that is not taken. If it says none, or too many, Options.LoopRounds does, and
// a run whose data want more is an error.
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
	var running *gorgonia.Node // where the data determine it: whether the loop has not ended
	short := false             // whether the data may want more rounds
	for round := 0; round < rounds; round++ {
		if cond != nil && !cond.constant() {
			if most := c.b.opts.LoopRounds; most > 0 && rounds > most {
				rounds, short = most, true
				if round == rounds {
					break
				}
			}
			if c.in[0] == nil && !short || rounds > maxInlined/max(1, len(g.Node)) {
				return unsupportedf("its condition %q depends on the data, and its first input does not bound the rounds to what can be unrolled, %d nodes; "+
					"say how many rounds it takes at the most by --loop-rounds (Options.LoopRounds)", cond.name, maxInlined)
			}
			if running, err = c.goesOn(running, cond); err != nil {
				return err
			}
		} else if go_, err := holds(cond); err != nil {
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
		bind := append([]*value{i, cond}, vars...)
		var bound *boundary
		if running != nil {
			bound = chosen(running, true)
			for k, v := range bind {
				bind[k] = bound.pass(v)
			}
		}
		out, err := c.subgraph(g, "body", bind, bound)
		if err != nil {
			return err
		}
		cond = out[0]
		for k, v := range vars {
			if running == nil {
				break
			}
			if out[1+k], err = c.choose(running, out[1+k], v); err != nil {
				return err
			}
		}
		copy(vars, out[1:])
		for k := range scans {
			scans[k] = append(scans[k], out[1+len(vars)+k])
		}
	}
	if short {
		if err := c.ended(running, cond, vars, rounds); err != nil {
			return err
		}
	}
	for k, list := range scans {
		if 0 <= len(vars)+k && len(vars)+k < len(c.out) && c.out[len(vars)+k] == nil {
			vars = append(vars, nil)
			continue
		}
		if running != nil {
			vars = append(vars, &value{missing: "every round of the loop adds to it, and the data decide how many rounds there are"})
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

// goesOn returns whether a loop goes on that did so far, or always if that is nil, as a condition says that the data determine.
func (c *nodeCtx) goesOn(running *gorgonia.Node, cond *value) (*gorgonia.Node, error) {
	n, err := c.condition(cond)
	if err != nil || running == nil {
		return n, err
	}
	return ops.Where(running, n, running)
}

// ended makes it an error of the run if a loop that was cut off goes on, as running and the condition after the last round say.
func (c *nodeCtx) ended(running *gorgonia.Node, cond *value, vars []*value, rounds int) error {
	if !cond.constant() {
		var err error
		if running, err = c.goesOn(running, cond); err != nil {
			return err
		}
	} else if ok, err := holds(cond); err != nil || !ok {
		return err
	}
	for k, v := range vars {
		if v == nil || v.constant() && len(v.roots) == 0 {
			continue
		}
		n, err := v.graphNode(false)
		if err != nil {
			return err
		}
		if n, err = ops.Ended(running, n, c.n.GetName(), rounds); err != nil {
			return err
		}
		vars[k] = &value{name: c.b.innerName("ended"), elem: v.elem, node: n, shape: n.Shape()}
	}
	return nil
}

// holds tells whether a constant condition, true if absent, is true.
func holds(cond *value) (bool, error) {
	if cond == nil {
		return true, nil
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

// scan is Scan unrolled: the body runs once for each slice of its last num_scan_inputs inputs.
func scan(c *nodeCtx) error {
	g, err := c.graphAttr("body")
	if err != nil {
		return err
	}
	if c.opset < 9 {
		return c.scanBatch(g)
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
	s := scanning{body: g, states: c.in[:states], inputs: c.in[states:]}
	var outAxes, outBack []int
	for _, l := range []struct {
		to   *[]int
		name string
		n    int
	}{{&s.axes, "scan_input_axes", slicedInputs}, {&s.back, "scan_input_directions", slicedInputs},
		{&outAxes, "scan_output_axes", stacked}, {&outBack, "scan_output_directions", stacked}} {
		if *l.to, err = list(l.name, l.n); err != nil {
			return err
		}
	}
	vars, rounds, err := c.scanned(s)
	if err != nil {
		return err
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

// A scanning is a body that runs once for each slice of its inputs.
type scanning struct {
	body           *onnxpb.GraphProto
	states, inputs []*value
	axes, back     []int // of the inputs: along which, and whether from the last to the first
}

// scanned runs the body of a Scan. It returns the last states, and what each round gives for each other output.
func (c *nodeCtx) scanned(s scanning) (vars []*value, rounds [][]*value, err error) {
	length := -1
	for k, v := range s.inputs {
		shape, err := v.dims()
		if err != nil {
			return nil, nil, err
		}
		if s.axes[k], err = axis(s.axes[k], len(shape), len(shape)); err != nil {
			return nil, nil, err
		}
		if n := shape[s.axes[k]]; length >= 0 && n != length {
			return nil, nil, fmt.Errorf("its scanned inputs have %d and %d slices", length, n)
		}
		length = shape[s.axes[k]]
	}
	vars = slices.Clone(s.states)
	rounds = make([][]*value, len(s.body.Output)-len(vars))
	for round := range length {
		bind := slices.Clone(vars)
		for k, x := range s.inputs {
			i := round
			if s.back[k] != 0 {
				i = length - 1 - round
			}
			v, err := c.sliceOf(x, s.axes[k], i)
			if err != nil {
				return nil, nil, err
			}
			bind = append(bind, v)
		}
		out, err := c.subgraph(s.body, "body", bind, nil)
		if err != nil {
			return nil, nil, err
		}
		copy(vars, out)
		for k := range rounds {
			rounds[k] = append(rounds[k], out[len(vars)+k])
		}
	}
	return vars, rounds, nil
}

// scanBatch is Scan of opset 8: states and scanned inputs have the batch as their first axis, and scanned ones the slices as their second.
// The body sees neither, so it runs for every sample by itself. Input 0 may hold the number of slices of each sample.
func (c *nodeCtx) scanBatch(g *onnxpb.GraphProto) error {
	count, err := c.int("num_scan_inputs", 0)
	if err != nil {
		return err
	}
	states := len(c.in) - 1 - count
	if count < 1 || states < 0 || slices.Contains(c.in[1:], nil) || len(g.Input) != states+count || len(g.Output) < states {
		return fmt.Errorf("%d of its %d inputs are to be scanned, by a body of %d inputs and %d outputs", count, len(c.in), len(g.Input), len(g.Output))
	}
	back, err := c.sizes("directions", count, 0, 0)
	if err != nil {
		return err
	}
	shape, err := c.in[1+states].dims()
	if err != nil {
		return err
	}
	if len(shape) < 2 || shape[0] < 1 {
		return fmt.Errorf("its scanned input has shape %v", shape)
	}
	batch := shape[0]
	if c.has(0) {
		lengths, err := c.constInts(0)
		if err != nil {
			return err
		}
		if len(lengths) != batch {
			return fmt.Errorf("the lengths of %d sequences for a batch of %d", len(lengths), batch)
		}
		if slices.ContainsFunc(lengths, func(n int) bool { return n != shape[1] }) {
			return unsupportedf("sequences of different lengths")
		}
	}
	out := make([][]*value, len(g.Output))
	for b := range batch {
		s := scanning{body: g, axes: make([]int, count), back: back}
		for k, v := range c.in[1:] {
			if shape, err := v.dims(); err != nil {
				return err
			} else if len(shape) == 0 || shape[0] != batch {
				return fmt.Errorf("its input %d has shape %v where the batch is %d", 1+k, shape, batch)
			}
			if v, err = c.sliceOf(v, 0, b); err != nil {
				return err
			}
			if k < states {
				s.states = append(s.states, v)
			} else {
				s.inputs = append(s.inputs, v)
			}
		}
		all, rounds, err := c.scanned(s)
		if err != nil {
			return err
		}
		for _, list := range rounds {
			v, err := c.stack(list, 0)
			if err != nil {
				return err
			}
			all = append(all, v)
		}
		for k, v := range all {
			out[k] = append(out[k], v)
		}
	}
	var all []*value
	for _, list := range out {
		v, err := c.stack(list, 0)
		if err != nil {
			return err
		}
		all = append(all, v)
	}
	return c.setAll(all)
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
