// Package runner trains a network: it compiles a loss and its gradient, repeats what an optimizer.Method
// asks for, and evaluates. It prints nothing, keeps no state outside its values, and stops when its
// context ends.
package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/exec"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// Options of Compile.
type Options struct {
	// Threads is the number of threads; 0 means one for each processor. Results do not depend on it.
	Threads int
	// Dropout, when not nil, replaces the ratio of every Dropout node.
	Dropout *float64
	// Seed is that of the dropout masks.
	Seed uint64
	// EvalBatch is the number of samples that Evaluate takes at a time; 0 means 256.
	EvalBatch int
	// Inference compiles a network that is only evaluated: it need not have been built with Options.Training, nor have
	// trainable weights, as a quantized one has none.
	Inference bool
	// Output is the number of the network's output that is trained and evaluated. Where the network was built for one, with
	// onnxload's Options.Output, it is that one; 0 or its number then stand for it.
	Output int
	// Evaluation, when not nil, is the loss that Evaluate measures, where it is not the one that is trained.
	Evaluation Loss
}

// A Step computes losses, gradients and outputs of one network. Weights and running statistics are the
// caller's: flat vectors in the order of onnxload.Net's Params and Buffers. A graph is compiled for each
// size of batch that occurs, the first time. Its methods may be called from several goroutines; they take
// turns.
type Step struct {
	net  *onnxload.Net
	loss Loss
	o    Options
	pool *parallel.Pool

	frozen []float32 // weights that are not trained

	mu     sync.Mutex
	plans  []*compiled
	errors bool // gradients are wanted with the derivative by the output
	crowd  crowd

	vectors, replicas int // of the optimizer, see Fits

	warnings []string
}

// use is what a graph is compiled for.
type use uint8

const (
	forGradient   use = iota // loss and gradient, batch statistics, dropout
	forStatistics            // batch statistics, no dropout
	forInference             // outputs, running statistics, no dropout
	forLoss                  // forInference with the loss
)

// compiled is a graph with its machine.
type compiled struct {
	use     use
	shapes  [2][]tensor.Shape // of inputs and targets
	net     *onnxload.Net
	vm      *exec.VM
	loss    *gorgonia.Node
	params  []binding // ranges of the weights
	grads   []binding // ranges of the gradient
	unused  [][2]int  // ranges of the gradient that no path of the graph reaches: always zero
	frozen  []binding // ranges of the weights that are not trained
	buffers []binding // ranges of the running statistics
	running []float32 // those of the file, where a training graph uses them
	inputs  []int     // handles; -1 where the graph does not use the input
	states  []state
	targets []int // none if the use has no loss

	owner *Predictor // whose weights the last inference had

	trained, derivatives gorgonia.Nodes // weights, and the derivatives of the loss by them
	outputGrad           *gorgonia.Node // derivative of the loss by the output; nil unless errors of samples are wanted
	forks                []*compiled    // the same plan with a machine for each replica
}

type binding struct{ handle, from, to int }

// state is one of Net.States.
type state struct {
	name  string
	in    int            // handle; -1 where the graph does not use it
	out   *gorgonia.Node // nil where it is not computed
	zeros []float32
}

// Compile prepares to train net, a network that was built with onnxload's Options.Training. It fails if the
// network has nothing to train.
func Compile(net *onnxload.Net, loss Loss, o Options) (*Step, error) {
	if own := net.Options().Output; own != "" {
		if o.Output != 0 && o.Output != net.Output() {
			return nil, fmt.Errorf("runner: output %d is to be trained of a network that was built for output %q", o.Output, own)
		}
		o.Output = net.Output()
	}
	if len(net.Params) == 0 && !o.Inference {
		if slices.ContainsFunc(net.Frozen, func(p onnxload.Param) bool { return p.Elsewhere }) {
			return nil, fmt.Errorf("runner: output %q has no weights that could be trained: all %d parameters are frozen or those of other outputs", net.Options().Output, len(net.Frozen))
		}
		if len(net.Frozen) > 0 {
			return nil, fmt.Errorf("runner: all %d parameters are frozen, so there is nothing to train", len(net.Frozen))
		}
		return nil, fmt.Errorf("runner: the network has no trainable weights: none in floating point that an operator with a derivative reads")
	}
	if o.Output < 0 || o.Output >= len(net.Outputs) {
		return nil, fmt.Errorf("runner: output %d: the network has %d", o.Output, len(net.Outputs))
	}
	if o.EvalBatch <= 0 {
		o.EvalBatch = evalBatch
	}
	return &Step{net: net, loss: loss, o: o, pool: parallel.New(o.Threads), frozen: net.FrozenWeights()}, nil
}

// Dim is the number of trainable weights.
func (s *Step) Dim() int { return s.net.NumWeights() }

// Net is the network that the step was compiled from.
func (s *Step) Net() *onnxload.Net { return s.net }

// Grad overwrites grad with the mean gradient of the loss at the weights x over b and returns the mean loss.
// It is pure in (x, b, at): dropout masks are a function of the seed and at, running statistics are not
// touched. grad and x have Dim elements.
func (s *Step) Grad(ctx context.Context, grad, x []float32, b *Batch, at optimizer.Draw) (float64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gradient(ctx, grad, x, b, at)
}

// gradient is Grad for one goroutine.
func (s *Step) gradient(ctx context.Context, grad, x []float32, b *Batch, at optimizer.Draw) (float64, error) {
	if len(grad) != s.Dim() || len(x) != s.Dim() {
		return 0, fmt.Errorf("runner: gradient of %d and weights of %d elements for a network of %d", len(grad), len(x), s.Dim())
	}
	c, err := s.compile(forGradient, b)
	if err != nil {
		return 0, err
	}
	return c.gradient(ctx, grad, x, b, exec.Draw{Seed: s.o.Seed, Replica: uint32(at.Replica), Eval: at.Eval})
}

func (c *compiled) gradient(ctx context.Context, grad, x []float32, b *Batch, d exec.Draw) (float64, error) {
	for _, u := range c.unused {
		clear(grad[u[0]:u[1]])
	}
	for _, g := range c.grads {
		if err := c.vm.BindF32(g.handle, grad[g.from:g.to]); err != nil {
			return 0, err
		}
	}
	if err := c.run(ctx, x, nil, b, d); err != nil {
		return 0, err
	}
	return float64(c.vm.Buf(c.loss).F32[0]), nil
}

// run binds everything but the gradients and runs the machine.
func (c *compiled) run(ctx context.Context, x, running []float32, b *Batch, d exec.Draw) error {
	for _, p := range c.params {
		if err := c.vm.BindF32(p.handle, x[p.from:p.to]); err != nil {
			return err
		}
	}
	if running == nil {
		running = c.running
	}
	for _, p := range c.buffers {
		if err := c.vm.BindF32(p.handle, running[p.from:p.to]); err != nil {
			return err
		}
	}
	if err := bindAll(c.vm, c.inputs, b.Inputs); err != nil {
		return fmt.Errorf("runner: inputs: %w", err)
	}
	if len(c.targets) > 0 {
		if err := bindAll(c.vm, c.targets, b.Targets); err != nil {
			return fmt.Errorf("runner: targets: %w", err)
		}
	}
	if len(c.states) > 0 {
		return c.runStates(ctx, b, d)
	}
	return c.runPlan(ctx, d)
}

// runPlan runs the machine. An operator's error has the name of the file's node.
func (c *compiled) runPlan(ctx context.Context, d exec.Draw) error {
	err := c.vm.Run(ctx, d)
	if err == nil {
		return nil
	}
	var e *exec.NodeError
	if errors.As(err, &e) && c.net.NodeName(e.Node) != "" {
		return fmt.Errorf("runner: %s (%v %v): %w", nameOf(c.net, e.Node), e.Node.Op(), e.Node.Shape(), e.Err)
	}
	return err
}

// runStates is the rest of run for a network with recurrent states.
func (c *compiled) runStates(ctx context.Context, b *Batch, d exec.Draw) error {
	for _, v := range [][][]float32{b.States, b.Finals} {
		if v != nil && len(v) != len(c.states) {
			return fmt.Errorf("runner: %d recurrent states for a network of %d", len(v), len(c.states))
		}
	}
	for i, s := range c.states {
		from := s.zeros
		if b.States != nil {
			from = b.States[i]
		}
		if s.in < 0 {
			continue
		}
		if err := c.vm.BindF32(s.in, from); err != nil {
			return fmt.Errorf("runner: recurrent state %q: %w", s.name, err)
		}
	}
	if err := c.runPlan(ctx, d); err != nil {
		return err
	}
	for i, to := range b.Finals {
		s := c.states[i]
		if s.out == nil || len(to) != len(s.zeros) {
			return fmt.Errorf("runner: recurrent state %q of %d numbers does not fit %d", s.name, len(s.zeros), len(to))
		}
		copy(to, c.vm.Buf(s.out).F32)
	}
	return nil
}

func bindAll(vm *exec.VM, handles []int, ts []*tensor.Dense) error {
	if len(ts) != len(handles) {
		return fmt.Errorf("%d tensors where %d are wanted", len(ts), len(handles))
	}
	for i, h := range handles {
		if h < 0 {
			continue
		}
		var err error
		switch ts[i].Dtype() { // not by Data, which allocates
		case tensor.Float32:
			err = vm.BindF32(h, ts[i].Float32s())
		case tensor.Float64:
			err = vm.BindF64(h, ts[i].Float64s())
		case tensor.Int64:
			err = vm.BindI64(h, ts[i].Int64s())
		default:
			err = fmt.Errorf("elements of %v; float32 or int64 are wanted", ts[i].Dtype())
		}
		if err != nil {
			return fmt.Errorf("tensor %d: %w", i, err)
		}
	}
	return nil
}

// compile returns the machine for a use and the shapes of b, making it the first time.
func (s *Step) compile(u use, b *Batch) (*compiled, error) {
	for _, c := range s.plans {
		if c.use == u && (u != forGradient || c.outputGrad != nil || !s.errors) && sameShapes(c.shapes[0], b.Inputs) && (!u.hasLoss() || sameShapes(c.shapes[1], b.Targets)) {
			return c, nil
		}
	}
	batch, err := s.check(b)
	if err != nil {
		return nil, err
	}
	o := s.net.Options()
	o.Training = u == forGradient || u == forStatistics
	o.Dropout = s.o.Dropout
	if u == forStatistics {
		o.Dropout, o.DropoutAfter = new(float64), nil
	}
	o.Shapes = s.shapes(b)
	net, err := s.net.Model().Build(batch, o)
	if err != nil {
		return nil, err
	}
	var c *compiled
	err = ops.Building(func() (err error) {
		c, err = s.differentiate(net, u, b)
		return err
	})
	if err != nil {
		return nil, err
	}
	c.use, c.shapes = u, [2][]tensor.Shape{shapesOf(b.Inputs), shapesOf(b.Targets)}
	s.plans = append(s.plans, c)
	return c, nil
}

// shapes are Options.Shapes for a batch, where the network was built with some.
func (s *Step) shapes(b *Batch) map[string][]int {
	given := s.net.Options().Shapes
	if given == nil {
		return nil
	}
	own := maps.Clone(given)
	for i, in := range s.net.Inputs {
		if _, ok := own[in.Name()]; ok {
			own[in.Name()] = b.Inputs[i].Shape().Clone()
		}
	}
	return own
}

func (u use) hasLoss() bool { return u == forGradient || u == forLoss }

func sameShapes(want []tensor.Shape, ts []*tensor.Dense) bool {
	if len(want) != len(ts) {
		return false
	}
	for i, t := range ts {
		if !want[i].Eq(t.Shape()) {
			return false
		}
	}
	return true
}

func shapesOf(ts []*tensor.Dense) []tensor.Shape {
	var s []tensor.Shape
	for _, t := range ts {
		s = append(s, t.Shape().Clone())
	}
	return s
}

// check compares the batch's inputs with the network's and returns the number of samples.
func (s *Step) check(b *Batch) (batch int, err error) {
	if len(b.Inputs) != len(s.net.Inputs) || len(b.Inputs) == 0 {
		return 0, fmt.Errorf("runner: a batch of %d inputs for a network of %d", len(b.Inputs), len(s.net.Inputs))
	}
	for i, t := range b.Inputs {
		name, want, got := s.net.Inputs[i].Name(), s.net.Inputs[i].Shape(), t.Shape()
		if len(want) == 0 {
			return 0, fmt.Errorf("runner: input %q is one number for all samples, which no batch has", name)
		}
		if len(got) == 0 || len(want) != len(got) || !want[1:].Eq(got[1:]) {
			return 0, fmt.Errorf("runner: input %q takes samples of shape %v; the data's are %v", name, want[1:], got[min(1, len(got)):])
		}
		if got[0] == 0 || i > 0 && got[0] != batch {
			return 0, fmt.Errorf("runner: input %q: %d samples where %d are expected", name, got[0], max(batch, 1))
		}
		batch = got[0]
	}
	return batch, nil
}

// differentiate adds to net's graph what u wants and compiles it.
func (s *Step) differentiate(net *onnxload.Net, u use, b *Batch) (*compiled, error) {
	c := &compiled{net: net}
	results, direct := gorgonia.Nodes{}, gorgonia.Nodes{}
	var targets gorgonia.Nodes
	var trained []onnxload.Param
	var err error
	if u.hasLoss() {
		if y := net.Outputs[s.o.Output]; y.Dtype() == tensor.Int64 {
			return nil, fmt.Errorf("runner: output %q holds integers, which no loss is for; train the scores that they come from, as another output", net.OutputNames[s.o.Output])
		}
		loss := s.loss
		if u == forLoss && s.o.Evaluation != nil {
			loss = s.o.Evaluation
		}
		if c.loss, targets, err = loss(gorgonia.Nodes{net.Outputs[s.o.Output]}, shapesOf(b.Targets)); err != nil {
			return nil, err
		}
		results = append(results, c.loss)
	}
	s.warn(net, u, c.loss, b)
	switch u {
	case forInference, forLoss:
		results = append(results, net.Outputs[s.o.Output])
	case forStatistics:
		for _, st := range net.Stats {
			results = append(results, st.Node)
		}
	case forGradient:
		var wrt gorgonia.Nodes
		reached := below(c.loss)
		for _, p := range net.Params {
			if reached[p.Node] {
				wrt = append(wrt, p.Node)
				trained = append(trained, p)
			} else {
				c.unused = append(c.unused, [2]int{p.From, p.To})
			}
		}
		if len(wrt) == 0 {
			return nil, noWay(net, s.o.Output)
		}
		if direct, err = s.backpropagate(c, wrt); err != nil {
			return nil, fmt.Errorf("runner: gradient: %w", err)
		}
		if c.outputGrad != nil {
			results = append(results, c.outputGrad)
		}
	}
	if u != forStatistics {
		for _, st := range net.States {
			results = append(results, st.Out)
		}
	}
	plan, err := s.plan(net, u, results, direct)
	if err != nil {
		return nil, err
	}
	c.vm = plan.New(s.pool)
	c.derivatives = direct
	for i, p := range trained {
		c.trained = append(c.trained, p.Node)
		c.grads = append(c.grads, binding{c.vm.Direct(direct[i]), p.From, p.To})
	}
	c.bindings()
	c.targets = handles(c.vm, targets)
	if len(c.buffers) > 0 {
		c.running = net.Running()
	}
	if net.Options().Dtype == tensor.Float64 {
		return c, nil // the caller binds
	}
	return c, c.bindFrozen(s.frozen)
}

// plan plans the computation of results. In an inference what is made of weights alone is kept, if there is room for it.
func (s *Step) plan(net *onnxload.Net, u use, results, direct gorgonia.Nodes) (*exec.Plan, error) {
	if u == forInference || u == forLoss {
		plan, err := exec.Compile(results, exec.Options{Fixed: weights(net)})
		if err != nil || s.fits(net, plan, 1) == nil {
			return plan, err
		}
	}
	plan, err := exec.Compile(results, exec.Options{Direct: direct})
	if err != nil {
		return nil, err
	}
	machines := 1
	if u == forGradient && s.replicas > 1 {
		machines += s.replicas
	}
	return plan, s.fits(net, plan, machines)
}

// weights are the graph's inputs that do not come with a batch.
func weights(net *onnxload.Net) gorgonia.Nodes {
	var nodes gorgonia.Nodes
	for _, p := range slices.Concat(net.Params, net.Frozen) {
		nodes = append(nodes, p.Node)
	}
	for _, b := range net.Buffers {
		if b.Node != nil {
			nodes = append(nodes, b.Node)
		}
	}
	return nodes
}

// backpropagate returns the derivatives of the loss by wrt. If the errors of samples are wanted, it sets outputGrad
// too; gorgonia.Grad takes inputs only.
func (s *Step) backpropagate(c *compiled, wrt gorgonia.Nodes) (gorgonia.Nodes, error) {
	if !s.errors {
		return gorgonia.Grad(c.loss, wrt...)
	}
	one := c.loss.Graph().AddNode(gorgonia.NewConstant(float32(1)))
	d, err := gorgonia.Backpropagate(gorgonia.Nodes{c.loss}, gorgonia.Nodes{one}, append(wrt, read(c.net.Outputs[s.o.Output], c.loss)))
	if err != nil {
		return nil, err
	}
	c.outputGrad, err = ops.OutputOrder(c.loss, d[len(wrt)])
	return d[:len(wrt)], err
}

// bindings finds out how weights, running statistics and inputs are bound.
func (c *compiled) bindings() {
	for _, p := range c.net.Params {
		if h, ok := c.vm.Input(p.Node); ok {
			c.params = append(c.params, binding{h, p.From, p.To})
		}
	}
	for _, p := range c.net.Frozen {
		if h, ok := c.vm.Input(p.Node); ok {
			c.frozen = append(c.frozen, binding{h, p.From, p.To})
		}
	}
	for _, f := range c.net.Buffers {
		if f.Node == nil {
			continue
		}
		if h, ok := c.vm.Input(f.Node); ok {
			c.buffers = append(c.buffers, binding{h, f.From, f.To})
		}
	}
	c.inputs = handles(c.vm, c.net.Inputs)
	for _, s := range c.net.States {
		st := state{name: s.Name, in: handles(c.vm, gorgonia.Nodes{s.In})[0], out: s.Out, zeros: make([]float32, s.In.Shape().TotalSize())}
		c.states = append(c.states, st)
	}
}

// bindFrozen binds the weights that are not trained, once for all runs.
func (c *compiled) bindFrozen(x []float32) error {
	for _, p := range c.frozen {
		if err := c.vm.BindF32(p.handle, x[p.from:p.to]); err != nil {
			return err
		}
	}
	return nil
}

func handles(vm *exec.VM, nodes gorgonia.Nodes) []int {
	var hs []int
	for _, n := range nodes {
		h, ok := vm.Input(n)
		if !ok {
			h = -1
		}
		hs = append(hs, h)
	}
	return hs
}

// noWay is the error for an output that no weight has a derivative for.
func noWay(net *onnxload.Net, output int) error {
	name := net.OutputNames[output]
	above := map[*gorgonia.Node]bool{}
	walk(net.Outputs[output], func(n *gorgonia.Node) bool { above[n] = true; return false })
	for _, p := range net.Params {
		if above[p.Node] {
			return fmt.Errorf("runner: output %q depends on the weights only through operators without a derivative, such as comparisons and ArgMax; train what these read, as another output", name)
		}
	}
	return fmt.Errorf("runner: no trainable weight influences output %q", name)
}

// walk calls found with n and the nodes that it is computed from, each once, until that says that it has what it wants.
func walk(n *gorgonia.Node, found func(n *gorgonia.Node) bool) {
	seen := map[*gorgonia.Node]bool{n: true}
	for stack := []*gorgonia.Node{n}; len(stack) > 0; {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if found(n) {
			return
		}
		for _, c := range operands(n) {
			if !seen[c] {
				seen[c] = true
				stack = append(stack, c)
			}
		}
	}
}

// below returns the nodes by which n has a derivative. An index or a comparison passes none on.
func below(n *gorgonia.Node) map[*gorgonia.Node]bool {
	seen := map[*gorgonia.Node]bool{n: true}
	for stack := []*gorgonia.Node{n}; len(stack) > 0; {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		of := operands(n)
		passes := slices.Repeat([]bool{true}, len(of))
		if op, ok := n.Op().(gorgonia.SDOp); ok {
			passes = op.DiffWRT(len(of))
		}
		for i, c := range of {
			if !seen[c] && passes[i] {
				seen[c] = true
				stack = append(stack, c)
			}
		}
	}
	return seen
}
