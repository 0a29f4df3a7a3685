package onnxload

import (
	"errors"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// An operator says what becomes of the nodes of one ONNX operator.
type operator struct {
	inputs, most int // fewest and most inputs; most < 0: any number
	// graph makes Gorgonia nodes for the outputs.
	graph func(*nodeCtx) error
	// host computes the only output from constants. If all inputs are constants it is preferred to graph.
	host func(*nodeCtx) (*host, error)
	// hosts is the same for an operator of several outputs.
	hosts func(*nodeCtx) ([]*host, error)
	// fold tells that graph serves for constants too: its nodes are computed at once.
	fold bool
	// shapeOnly tells that host needs no more than the shapes of its inputs, which may then be data.
	shapeOnly bool
	// expand, if there is one, does all that is to be done for the node, whatever its inputs are.
	expand func(*nodeCtx) error
	// elem is the type of the first output where it is not that of the first input and follows from the node alone.
	elem func(*nodeCtx) (int32, error)
}

// A nodeCtx is one node of the file while its part of the graph is made.
type nodeCtx struct {
	b     *builder
	index int // of the node in the file
	n     *onnxpb.NodeProto
	opset int
	in    []*value  // nil where an optional input is absent
	out   []*value  // nil where an output is not wanted
	train bool      // the output is wanted in a place for weights
	own   []*source // weights that the node has as attributes
	scope *scope    // of a body that the node is in, nil for the nodes of the graph itself

	scratch *scratch // where the node is computed from constants, else nil
}

// unsupportedError is the error of an operator that this program does not know in that form.
type unsupportedError string

func (e unsupportedError) Error() string { return string(e) }

func unsupportedf(format string, a ...any) error { return unsupportedError(fmt.Sprintf(format, a...)) }

// maxNodes bounds the nodes that the nodes of the file become: for each that is added, Gorgonia looks through all that are
// there, which takes most of a second for so many and a minute for eight times as many.
const maxNodes = 20_000

// applyNode is called by onnx-go for every node but Constants, after those that the node reads.
func (b *builder) applyNode(index int64, inputs, outputs []string) error {
	i := int(index)
	n := b.model.proto.Graph.Node[i]
	c := &nodeCtx{b: b, index: i, n: n, opset: b.model.Opset}
	poisoned := false
	for k, name := range n.Input {
		var v *value
		if name != "" {
			v = b.values[inputs[k]]
		}
		if name != "" && v == nil {
			b.unsupported[i] = fmt.Sprintf("its input %q is a sparse initializer; export it dense", name)
			poisoned = true
		} else if v != nil && v.poisoned {
			poisoned = true
		}
		c.in = append(c.in, v)
	}
	for k, name := range n.Output {
		var v *value
		if name != "" {
			v = &value{name: outputs[k]}
			b.values[name] = v
		}
		c.out = append(c.out, v)
	}
	if !poisoned && c.textIn() {
		for _, v := range c.out {
			if v != nil {
				v.makeText()
			}
		}
		return nil
	}
	op, reason := b.model.operatorOf(n)
	if reason != "" {
		b.unsupported[i] = reason
	}
	if poisoned || reason != "" {
		c.poison()
		return nil
	}
	err := b.full()
	if err == nil {
		err = c.apply(op)
	}
	if err == nil && len(b.inserted) > 0 {
		err = c.insertDropout()
	}
	if err != nil {
		var u unsupportedError
		if errors.As(err, &u) {
			b.unsupported[i] = string(u)
		} else if b.failed == nil {
			b.failed = b.errorAt(i, "%w", b.hint(err))
		}
		c.poison()
	}
	return nil
}

// full is an error if the graph takes no more nodes.
func (b *builder) full() error {
	if len(b.net.Graph.AllNodes()) <= maxNodes {
		return nil
	}
	return fmt.Errorf("up to here the network makes more than %d of Gorgonia's nodes, which is as many as it can take in seconds; "+
		"train a part of the network, or export it with its steps as a recurrent operator", maxNodes)
}

// operatorOf returns what the node's operator is, or why it is unsupported.
func (m *Model) operatorOf(n *onnxpb.NodeProto) (operator, string) {
	if m.isDefault(n) {
		if op, ok := operators[n.GetOpType()]; ok {
			return op, ""
		}
	}
	if f := m.functionOf(n); f != nil {
		return operator{most: -1, expand: func(c *nodeCtx) error { return c.call(f) }}, ""
	}
	if n.GetDomain() == mlDomain {
		if op, ok := mlOperators[n.GetOpType()]; ok {
			return op, ""
		}
		return operator{}, mlReason(n.GetOpType())
	}
	if !m.isDefault(n) {
		return operator{}, fmt.Sprintf("operators of domain %q are not supported; export without fused or custom operators", n.GetDomain())
	}
	if reason, ok := mistaken[n.GetOpType()]; ok {
		return operator{}, reason
	}
	return operator{}, "this operator is not supported"
}

// mistaken are operators that exporters write although ONNX has none of that name, so that no program runs the file.
var mistaken = map[string]string{
	"Erfc": "ONNX has no such operator; tf2onnx writes it for the exact GELU: export a network with keras.activations.gelu(x, approximate=True)",
}

// hint adds the likely cause where a file with a fixed batch is built for another.
func (b *builder) hint(err error) error {
	for _, v := range b.model.Inputs {
		if len(v.Shape) > 0 && b.opts.Shapes[v.Name] == nil && v.Shape[0] != fmt.Sprint(b.net.Batch) && isNumber(v.Shape[0]) {
			return fmt.Errorf("%w (the file fixes dimension 0 of input %q at %s and the batch is %d; export with a dynamic batch)",
				err, v.Name, v.Shape[0], b.net.Batch)
		}
	}
	return err
}

func isNumber(s string) bool { return s[0] >= '0' && s[0] <= '9' }

func (c *nodeCtx) apply(op operator) error {
	if len(c.in) < op.inputs || op.most >= 0 && len(c.in) > op.most {
		return fmt.Errorf("it has %d inputs; the operator takes %d to %d", len(c.in), op.inputs, op.most)
	}
	for k := range op.inputs {
		if c.in[k] == nil {
			return fmt.Errorf("its input %d is absent", k)
		}
	}
	constant := op.host != nil || op.hosts != nil || op.fold
	var roots []*source
	for _, v := range c.in {
		switch {
		case v == nil:
		case v.missing != "":
			return unsupportedf("its input %q: %s", v.name, v.missing)
		case !v.constant():
			constant = constant && op.shapeOnly
		default:
			var ok bool
			if roots, ok = union(roots, v.roots); !ok {
				return unsupportedf("more than %d weights go into one tensor that does not depend on the data", maxRoots)
			}
		}
	}
	if c.n.GetOpType() == "Dropout" {
		return dropout(c)
	}
	if op.expand != nil {
		if err := op.expand(c); err != nil {
			return err
		}
		return c.b.newNodes()
	}
	for i, v := range c.in {
		if v != nil && v.isList {
			return fmt.Errorf("its input %d (%q) is a sequence where a tensor is needed", i, v.name)
		} else if v != nil && v.isNone {
			return fmt.Errorf("its input %d (%q) has no value", i, v.name)
		}
	}
	if constant {
		return c.fold(op, roots)
	}
	if op.graph == nil {
		return unsupportedf("this operator is supported only on constants and on what the shapes of the inputs determine: its result has a shape that depends on the data")
	}
	before := c.b.sizes
	if err := op.graph(c); err != nil {
		return err
	}
	if err := c.b.newNodes(); err != nil {
		return err
	}
	c.layer(before)
	return nil
}

// fold makes the outputs constants. Integers and what comes from Constant nodes are computed at once; what
// weights go into is left until somebody reads it.
func (c *nodeCtx) fold(op operator, roots []*source) error {
	if c.n.GetOpType() == "Identity" {
		if v := c.out[0]; v != nil {
			in := c.in[0]
			v.elem, v.shape, v.src, v.roots = in.elem, in.shape, in.src, in.roots
			v.makeHost, v.makeNode, v.makeShape = in.numbers, in.graphNode, in.makeShape
		}
		return nil
	}
	if len(roots) > 0 && op.graph != nil && !op.shapeOnly {
		return c.foldLater(op, roots)
	}
	hosts, err := c.evaluate(op)
	if err != nil {
		return err
	}
	for k, v := range c.out {
		if v == nil {
			continue
		}
		h := hosts[k]
		if h == nil {
			v.missing = fmt.Sprintf("output %d of %s is not computed", k, c.n.GetOpType())
			continue
		}
		v.elem, v.shape, v.host = h.elem, h.shape, h
		v.makeNode = func(bool) (*gorgonia.Node, error) { return c.b.constNode(v.name, h) }
	}
	return nil
}

// foldLater makes the outputs values that weights go into: numbers and nodes are made when they are asked for.
func (c *nodeCtx) foldLater(op operator, roots []*source) error {
	elem := c.in[0].elem
	if op.elem != nil {
		var err error
		if elem, err = op.elem(c); err != nil {
			return err
		}
	}
	var hosts []*host
	var shapes [][]int
	for k, v := range c.out {
		if v == nil {
			continue
		}
		v.elem, v.roots = elem, roots
		if op.host == nil && op.hosts == nil {
			v.makeShape = func() ([]int, error) {
				if shapes == nil {
					var err error
					if shapes, err = c.shapes(op); err != nil {
						return nil, c.b.errorAt(c.index, "%w", err)
					}
				}
				return shapes[k], nil
			}
		}
		v.makeHost = func() (*host, error) {
			if hosts == nil {
				var err error
				if hosts, err = c.evaluate(op); err != nil {
					return nil, c.b.errorAt(c.index, "%w", err)
				}
			}
			if hosts[k] == nil {
				return nil, c.b.errorAt(c.index, "output %d is not computed", k)
			}
			return hosts[k], nil
		}
		v.makeNode = func(train bool) (*gorgonia.Node, error) {
			c.train = train
			err := op.graph(c)
			if err == nil {
				err = c.b.newNodes()
			}
			if err != nil {
				return nil, c.b.errorAt(c.index, "%w", err)
			}
			if v.node == nil {
				return nil, c.b.errorAt(c.index, "output %d is not computed", k)
			}
			return v.node, nil
		}
	}
	return nil
}

// maxRoots bounds the weights that a constant may be computed from: they are remembered with each.
const maxRoots = 1024

// union returns the roots of a and b together, each once, and whether they are at most maxRoots.
func union(a, b []*source) ([]*source, bool) {
	if len(a) == 0 || len(b) > 0 && len(a) == len(b) && &a[0] == &b[0] {
		return b, true
	}
	if len(b) == 0 {
		return a, true
	}
	seen := make(map[*source]bool, len(a))
	for _, s := range a {
		seen[s] = true
	}
	all := slices.Clip(a)
	for _, s := range b {
		if !seen[s] {
			all = append(all, s)
		}
	}
	return all, len(all) <= maxRoots
}

func (c *nodeCtx) poison() {
	for _, v := range c.out {
		if v != nil {
			*v = value{name: v.name, poisoned: true}
		}
	}
}

// layer records the node for Net.Layers. before is builder.sizes before it.
func (c *nodeCtx) layer(before int) {
	l := Layer{Name: shownName(c.n, c.index), Op: opName(c.n), Opset: c.opset, Params: c.b.sizes - before}
	if len(c.out) > 0 && c.out[0] != nil {
		l.OutShape = slices.Clone(c.out[0].shape)
	}
	for _, v := range c.in {
		if v == nil {
			continue
		}
		for _, s := range v.roots {
			l.Trainable = l.Trainable || s.param && !s.frozen && s.nodeUses.byNode(c.index)
		}
	}
	for _, s := range c.own {
		l.Trainable = l.Trainable || !s.frozen
	}
	c.b.net.Layers = append(c.b.net.Layers, l)
}

// slot is the place of input i in the file. The inputs of a body's nodes have none: export cannot make them read
// another tensor.
func (c *nodeCtx) slot(i int) slot {
	if c.scope != nil {
		return slot{c.index, -1}
	}
	return slot{c.index, i}
}

// has tells whether input i is present.
func (c *nodeCtx) has(i int) bool { return i < len(c.in) && c.in[i] != nil }

// data returns input i as a floating-point node.
func (c *nodeCtx) data(i int) (*gorgonia.Node, error) { return c.operand(i, c.train) }

// weight returns input i, which is a place for weights of the given role, as a floating-point node.
func (c *nodeCtx) weight(i int, r role) (*gorgonia.Node, error) {
	n, err := c.operand(i, r.kind == roleWeight || !c.neutral(i, r.kind))
	if err != nil {
		return nil, err
	}
	c.setRole(i, r)
	return n, nil
}

// operand is node for an operator that computes with floats only.
func (c *nodeCtx) operand(i int, train bool) (*gorgonia.Node, error) {
	n, err := c.node(i, train)
	if err != nil {
		return nil, err
	}
	if n.Dtype() == tensor.Int64 {
		return nil, unsupportedf("its input %q holds elements of type %s; it is supported on floating-point numbers",
			c.in[i].name, onnxpb.TypeName(c.in[i].elem))
	}
	return n, nil
}

// node returns input i as a node. train tells that the place is one for weights.
func (c *nodeCtx) node(i int, train bool) (*gorgonia.Node, error) {
	if !c.has(i) {
		return nil, fmt.Errorf("its input %d is absent", i)
	}
	v := c.in[i]
	if c.scratch != nil && c.scratch.shapesOnly {
		dims, err := v.dims()
		if err != nil {
			return nil, err
		}
		return c.scratch.blank(v.name, v.elem, dims), nil
	}
	if c.scratch != nil {
		h, err := c.constant(i)
		if err != nil {
			return nil, err
		}
		return c.scratch.node(v.name, h), nil
	}
	n, err := v.graphNode(train)
	if err != nil {
		return nil, err
	}
	v.shape = n.Shape()
	if n.Dtype() == tensor.Int64 {
		return n, nil
	}
	at := c.slot(i)
	for _, s := range v.roots {
		if s.op == "" {
			s.op = c.n.GetOpType()
		}
		if v.src == s || v.src == nil && !s.nodeUses.byNode(c.index) {
			s.nodeUses.add(at)
		}
	}
	return n, nil
}

// known makes a node of numbers that an operator brings along, in whatever graph it is computed.
func (c *nodeCtx) known(h *host) (*gorgonia.Node, error) {
	name := c.b.unique(shownName(c.n, c.index) + ".known")
	if c.scratch != nil {
		return c.scratch.node(name, h), nil
	}
	return c.b.constNode(name, h)
}

// integers returns input i as a node of integers.
func (c *nodeCtx) integers(i int) (*gorgonia.Node, error) {
	if !c.has(i) {
		return nil, fmt.Errorf("its input %d is absent", i)
	}
	v := c.in[i]
	if !onnxpb.IsInt(v.elem) {
		return nil, fmt.Errorf("its input %d (%q) has elements of type %s where integers are needed", i, v.name, onnxpb.TypeName(v.elem))
	}
	n, err := c.node(i, false)
	if err == nil && n.Dtype() != tensor.Int64 {
		err = fmt.Errorf("its input %d (%q) is no tensor of integers", i, v.name)
	}
	return n, err
}

// constant returns the numbers of input i.
func (c *nodeCtx) constant(i int) (*host, error) {
	if !c.has(i) {
		return nil, fmt.Errorf("its input %d is absent", i)
	}
	v := c.in[i]
	if !v.constant() {
		return nil, unsupportedf("its input %d (%q) must be a constant, or follow from the shapes of the inputs", i, v.name)
	}
	if s := v.src; s != nil {
		s.hostUses.add(c.slot(i))
	}
	return v.numbers()
}

// constInts returns the numbers of input i, which must be integers.
func (c *nodeCtx) constInts(i int) ([]int, error) {
	h, err := c.constant(i)
	if err != nil {
		return nil, err
	}
	x, err := h.ints()
	if err != nil {
		return nil, fmt.Errorf("input %d: %w", i, err)
	}
	return x, nil
}

// scalar returns the only number of input i.
func (c *nodeCtx) scalar(i int) (float64, error) {
	h, err := c.constant(i)
	if err != nil {
		return 0, err
	}
	x, err := h.scalar()
	if err != nil {
		return 0, fmt.Errorf("input %d: %w", i, err)
	}
	return x, nil
}

// set makes n output k, after its shape was found to be bearable. It takes an error so that it can be given
// the results of an operator of package ops.
func (c *nodeCtx) set(k int, n *gorgonia.Node, err error) error {
	if err != nil {
		return err
	}
	if _, ok := elements(n.Shape(), c.b.opts.MaxElements); !ok {
		return fmt.Errorf("its output of shape %v has more than %d elements", n.Shape(), c.b.opts.MaxElements)
	}
	var v *value
	if k < len(c.out) {
		v = c.out[k]
	}
	if v != nil {
		if v.elem == 0 {
			v.elem = c.elemOf(0)
		}
		// An operator that says nothing gives the type of its first input, if that is of the same kind.
		if isInt := n.Dtype() == tensor.Int64; isInt && !onnxpb.IsInt(v.elem) {
			v.elem = elemINT64
		} else if !isInt && !onnxpb.IsFloat(v.elem) {
			v.elem = elemFLOAT
		}
		v.node, v.shape, v.missing = n, n.Shape(), ""
	}
	if c.scratch == nil {
		c.b.net.names[n.ID()] = shownName(c.n, c.index)
	}
	for j := k + 1; j < len(c.out); j++ {
		if v := c.out[j]; v != nil && v.node == nil && v.missing == "" {
			v.missing = fmt.Sprintf("output %d of %s is not computed", j, c.n.GetOpType())
		}
	}
	return nil
}

// unary is the graph function of an operator of one operand without attributes.
func unary(f func(*gorgonia.Node) (*gorgonia.Node, error)) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		x, err := c.data(0)
		if err != nil {
			return err
		}
		y, err := f(x)
		return c.set(0, y, err)
	}
}
