package onnxload

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// A scope is what names mean inside a function of the model or a subgraph of If, Loop or Scan. Their nodes become a part
// of the graph as if they stood in the place of the node that they belong to; the file keeps its form. A tensor inside of them
// is one weight, however many times its body is put somewhere, and is written back to its place in the body.
type scope struct {
	values map[string]*value
	outer  *scope // nil in a function, which sees nothing around it, and right inside the graph
	graph  bool   // the graph's own names are visible
	attrs  map[string]*onnxpb.AttributeProto
	opset  int
	what   string // where it is, for errors
	path   string // and in the file, for names: of a function, or of a node and its attribute
	calls  []string
	bounds []*boundary // what values pass on their way into it, from the graph on
}

// maxInlined bounds the nodes that all bodies together may become: calls within calls multiply, and Gorgonia looks through all
// nodes of a graph for each that is added, which takes a second for so many.
const maxInlined = 1 << 14

// lookup returns what a name stands for, nil if nothing does.
func (b *builder) lookup(s *scope, name string) *value {
	bounds := s.bounds
	for ; s != nil; s = s.outer {
		if v := s.values[name]; v != nil {
			return enter(v, bounds[len(s.bounds):])
		}
		if s.graph {
			return enter(b.values[name], bounds)
		}
	}
	return nil
}

// body applies nodes, which must follow those that they read. Node c is the one that they belong to.
func (c *nodeCtx) body(nodes []*onnxpb.NodeProto, s *scope) error {
	for k, n := range nodes {
		if c.b.inlined++; c.b.inlined > maxInlined {
			return unsupportedf("functions and loops would make more than %d nodes", maxInlined)
		}
		if err := c.b.full(); err != nil {
			return err
		}
		n, err := s.resolve(n)
		if err == nil {
			err = c.inner(n, k, s)
		}
		var u unsupportedError
		if errors.As(err, &u) {
			if strings.HasPrefix(string(u), "inside ") {
				return u
			}
			return unsupportedf("inside %s: node %q (%s): %s", s.what, shownName(n, k), opName(n), u)
		}
		if err != nil {
			return fmt.Errorf("inside %s: node %q (%s): %w", s.what, shownName(n, k), opName(n), err)
		}
	}
	return nil
}

// resolve returns n with attributes in the place of those that only name an attribute of the function call. One that the
// call does not give is left out, which means its default.
func (s *scope) resolve(n *onnxpb.NodeProto) (*onnxpb.NodeProto, error) {
	if !slices.ContainsFunc(n.Attribute, func(a *onnxpb.AttributeProto) bool { return a.GetRefAttrName() != "" }) {
		return n, nil
	}
	c := &onnxpb.NodeProto{Input: n.Input, Output: n.Output, Name: n.Name, OpType: n.OpType, Domain: n.Domain, Overload: n.Overload}
	for _, a := range n.Attribute {
		if a.GetRefAttrName() == "" {
			c.Attribute = append(c.Attribute, a)
			continue
		}
		given := s.attrs[a.GetRefAttrName()]
		if given == nil {
			continue
		}
		if a.GetType() != given.GetType() && a.GetType() != onnxpb.AttributeProto_UNDEFINED && given.GetType() != onnxpb.AttributeProto_UNDEFINED {
			return n, fmt.Errorf("its attribute %q is of type %v, but attribute %q of the call is of type %v", a.GetName(), a.GetType(), a.GetRefAttrName(), given.GetType())
		}
		c.Attribute = append(c.Attribute, &onnxpb.AttributeProto{
			Name: a.Name, Type: given.Type, F: given.F, I: given.I, S: given.S, T: given.T, G: given.G, SparseTensor: given.SparseTensor, Tp: given.Tp,
			Floats: given.Floats, Ints: given.Ints, Strings: given.Strings, Tensors: given.Tensors, Graphs: given.Graphs,
			SparseTensors: given.SparseTensors, TypeProtos: given.TypeProtos,
		})
	}
	return c, nil
}

// inner applies node k of a body.
func (c *nodeCtx) inner(n *onnxpb.NodeProto, k int, s *scope) error {
	b := c.b
	d := &nodeCtx{b: b, index: c.index, n: n, opset: s.opset, scope: s, train: c.train}
	if len(namedOutputs(n)) == 0 {
		return fmt.Errorf("it has no output")
	}
	define := func(name string, v *value) error {
		if s.values[name] != nil {
			return fmt.Errorf("%q is computed twice", name)
		}
		s.values[name] = v
		return nil
	}
	if n.GetOpType() == "Constant" && b.model.isDefault(n) {
		t, reason := constantTensor(n)
		if reason == "" {
			if err := t.Check(); err != nil {
				return err
			}
			if !onnxpb.IsFloat(t.GetDataType()) && !onnxpb.IsInt(t.GetDataType()) {
				reason = fmt.Sprintf("a constant of type %s is not supported", t.TypeName())
			}
		}
		if reason != "" || len(n.Output) != 1 {
			return unsupportedf("%s", cmpOr(reason, "a constant with several outputs"))
		}
		return define(n.Output[0], enter(c.innerTensor(n.Output[0], t, s, false), s.bounds))
	}
	for _, name := range n.Input {
		var v *value
		if name != "" {
			if v = b.lookup(s, name); v == nil {
				return fmt.Errorf("it reads %q, which nothing before it computes", name)
			}
			if v.absent {
				v = nil
			} else if v.poisoned {
				return unsupportedf("its input %q is not computed", name)
			}
		}
		d.in = append(d.in, v)
	}
	for _, name := range n.Output {
		var v *value
		if name != "" {
			v = &value{name: b.innerName(name)}
			if err := define(name, v); err != nil {
				return err
			}
		}
		d.out = append(d.out, v)
	}
	op, reason := b.model.operatorOf(n)
	if reason != "" {
		return unsupportedError(reason)
	}
	return d.apply(op)
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// innerName returns a name for the graph of a value of a body, which may be there many times.
func (b *builder) innerName(name string) string {
	b.inners++
	return b.unique(fmt.Sprintf("%s.inner.%d", name, b.inners))
}

// An innerValue is a tensor inside a body, and the node of the graph that first put the body in its place.
type innerValue struct {
	*value
	of int
}

// innerTensor returns the value of a tensor inside a body: the same one wherever the body stands, so that its weights are
// shared. A tensor that the file does not hold as one, such as value_floats of a Constant, is no weight.
func (c *nodeCtx) innerTensor(name string, t *onnxpb.TensorProto, in *scope, declared bool) *value {
	b := c.b
	if b.inner == nil {
		b.inner = map[*onnxpb.TensorProto]*innerValue{}
		for _, t := range tensorsOf(b.model.proto) {
			b.inner[t] = nil
		}
	}
	known, held := b.inner[t]
	if known != nil {
		known.src.several = known.src.several || known.of != c.index
		return known.value
	}
	s := sourceOf(b.unique(in.path+"/"+name), t, -1, -1)
	if held {
		b.inners++
		s.inner, s.declared = b.inners, declared
		if isWeight := b.model.weightRule(); isWeight != nil && declared {
			s.lifted = !isWeight(t)
		}
	}
	v := b.fromFile(s)
	if held {
		b.inner[t] = &innerValue{v, c.index}
	}
	return v
}

// alias makes v, an output of a node, stand for what in is.
func (v *value) alias(in *value) {
	name := v.name
	switch {
	case in.constant():
		*v = value{name: name, elem: in.elem, shape: in.shape, src: in.src, roots: in.roots, makeHost: in.numbers, makeNode: in.graphNode, makeShape: in.makeShape}
	default:
		*v = *in
		v.name = name
	}
}

// functionOf returns the function of the model that a node calls, nil if it calls none.
func (m *Model) functionOf(n *onnxpb.NodeProto) *onnxpb.FunctionProto {
	return m.info.function[call{domainOf(n.GetDomain()), n.GetOpType(), n.GetOverload()}]
}

// call puts the body of a function of the model in the place of node c.
func (c *nodeCtx) call(f *onnxpb.FunctionProto) error {
	key := f.GetDomain() + "." + f.GetName() + "." + f.GetOverload()
	s := &scope{values: map[string]*value{}, attrs: map[string]*onnxpb.AttributeProto{}, what: fmt.Sprintf("function %q", f.GetName()), path: f.GetName(), opset: c.b.model.Opset}
	if c.scope != nil {
		s.calls, s.bounds = slices.Clone(c.scope.calls), c.scope.bounds
	}
	if slices.Contains(s.calls, key) {
		return fmt.Errorf("function %q calls itself", f.GetName())
	}
	s.calls = append(s.calls, key)
	for _, o := range f.OpsetImport {
		if d := o.GetDomain(); d == "" || d == "ai.onnx" {
			if s.opset = int(o.GetVersion()); s.opset < 1 || s.opset > maxOpset {
				return unsupportedf("function %q is written for version %d of the default operator set, and versions 1 to %d are known", f.GetName(), s.opset, maxOpset)
			}
		}
	}
	if len(c.in) > len(f.Input) || len(c.out) > len(f.Output) {
		return fmt.Errorf("%d inputs and %d outputs of a call of function %q, which has %d and %d", len(c.in), len(c.out), f.GetName(), len(f.Input), len(f.Output))
	}
	for i, name := range f.Input {
		if i < len(c.in) && c.in[i] != nil {
			s.values[name] = c.in[i]
		} else {
			s.values[name] = &value{name: name, absent: true}
		}
	}
	for _, a := range f.AttributeProto {
		s.attrs[a.GetName()] = a
	}
	for _, a := range c.n.Attribute {
		s.attrs[a.GetName()] = a
	}
	if err := c.body(f.Node, s); err != nil {
		return err
	}
	return c.results(f.Output, s)
}

// results makes the outputs of node c those of a body.
func (c *nodeCtx) results(names []string, s *scope) error {
	for k, v := range c.out {
		if v == nil {
			continue
		}
		r := c.b.lookup(s, names[k])
		if r == nil || r.absent {
			return fmt.Errorf("output %q of %s is computed by no node", names[k], s.what)
		}
		v.alias(r)
	}
	return nil
}

// subgraph applies the body of an attribute of node c: bind gives values to its inputs, behind all boundaries, of which bound is the
// innermost, or nil. It returns the values of its outputs.
func (c *nodeCtx) subgraph(g *onnxpb.GraphProto, what string, bind []*value, bound *boundary) ([]*value, error) {
	if len(bind) != len(g.Input) {
		return nil, fmt.Errorf("%s has %d inputs; %d are given", what, len(g.Input), len(bind))
	}
	s := &scope{values: map[string]*value{}, outer: c.scope, graph: c.scope == nil, opset: c.opset, what: what, path: shownName(c.n, c.index) + "." + what}
	if c.scope != nil {
		s.attrs, s.calls, s.path, s.bounds = c.scope.attrs, c.scope.calls, c.scope.path+"/"+s.path, c.scope.bounds
	}
	if bound != nil {
		s.bounds = append(slices.Clip(s.bounds), bound)
	}
	for i, v := range g.Input {
		s.values[v.GetName()] = bind[i]
	}
	for _, t := range g.Initializer {
		if s.values[t.GetName()] != nil {
			continue // an input that is given
		}
		if err := t.Check(); err != nil {
			return nil, fmt.Errorf("inside %s: initializer %q: %w", what, t.GetName(), err)
		}
		s.values[t.GetName()] = enter(c.innerTensor(t.GetName(), t, s, true), s.bounds)
	}
	if err := c.body(g.Node, s); err != nil {
		return nil, err
	}
	var out []*value
	for _, o := range g.Output {
		v := c.b.lookup(s, o.GetName())
		if v == nil || v.absent {
			return nil, fmt.Errorf("output %q of %s is computed by no node", o.GetName(), what)
		}
		if v.poisoned || v.missing != "" {
			return nil, unsupportedf("output %q of %s is not computed: %s", o.GetName(), what, v.missing)
		}
		out = append(out, v)
	}
	return out, nil
}

// captured adds to names what the subgraphs of a node read from outside of them.
func captured(n *onnxpb.NodeProto, names []string) []string {
	for _, a := range n.Attribute {
		for _, g := range graphsOf(a) {
			own := map[string]bool{}
			for _, v := range g.Input {
				own[v.GetName()] = true
			}
			for _, t := range g.Initializer {
				own[t.GetName()] = true
			}
			var reads []string
			for _, n := range g.Node {
				reads = captured(n, append(reads, n.Input...))
				for _, o := range n.Output {
					own[o] = true
				}
			}
			for _, o := range g.Output {
				reads = append(reads, o.GetName())
			}
			for _, r := range reads {
				if r != "" && !own[r] {
					names = append(names, r)
				}
			}
		}
	}
	return names
}
