package onnxload

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/owulveryck/onnx-go"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// Build returns a new graph of the model for batches of the given size. The batch is dimension 0 of every free
// input; Options.Shapes gives other shapes. If nodes are not supported, the error is an *UnsupportedError that
// lists them all.
func (m *Model) Build(batch int, o Options) (net *Net, err error) {
	b, err := m.builder(batch, o)
	if err != nil {
		return nil, err
	}
	return b.net, nil
}

// builder builds, and returns what knows the values by name.
func (m *Model) builder(batch int, o Options) (b *builder, err error) {
	err = ops.Building(func() (err error) {
		b, err = m.build(batch, o)
		return err
	})
	return b, err
}

func (m *Model) build(batch int, o Options) (b *builder, err error) {
	// A broken file must not stop the program that reads it: Gorgonia and onnx-go panic where they should
	// return errors.
	defer func() {
		if p := recover(); p != nil {
			b, err = nil, fmt.Errorf("onnxload: the graph cannot be built: %v", p)
		}
	}()
	if batch < 1 {
		return nil, fmt.Errorf("onnxload: a batch of %d; it must be at least 1", batch)
	}
	if o.Dtype == (tensor.Dtype{}) {
		o.Dtype = tensor.Float32
	}
	if o.Dtype != tensor.Float32 && o.Dtype != tensor.Float64 {
		return nil, fmt.Errorf("onnxload: graphs of %v are not supported; use Float32 or Float64", o.Dtype)
	}
	if o.Dropout != nil && !(*o.Dropout >= 0 && *o.Dropout < 1) {
		return nil, fmt.Errorf("onnxload: a dropout ratio of %g; it must be in [0, 1)", *o.Dropout)
	}
	if o.MaxElements <= 0 {
		o.MaxElements = 1 << 31
	}
	if o.MaxMemory <= 0 {
		o.MaxMemory = DefaultMaxMemory
	}
	shapes, err := m.inputShapes(batch, o)
	if err != nil {
		return nil, err
	}
	b = &builder{
		model: m, opts: o, values: map[string]*value{}, names: map[string]int{}, unsupported: map[int]string{}, dropouts: map[int]int{},
		net: &Net{Graph: gorgonia.NewGraph(), Batch: batch, model: m, opts: o, names: map[int64]string{}, held: m.held},
	}
	if b.selected, err = m.selection(o); err != nil {
		return nil, err
	}
	if b.inserted, err = b.insertions(); err != nil {
		return nil, err
	}
	if err := b.declare(shapes); err != nil {
		return nil, err
	}
	data, err := m.normalise(shapes)
	if err != nil {
		return nil, err
	}
	if data != nil {
		if err := onnx.NewModel(&backend{apply: b.applyNode}).UnmarshalBinary(data); err != nil {
			return nil, fmt.Errorf("onnxload: onnx-go: %w", err)
		}
	}
	if err := b.outputs(); err != nil {
		return nil, err
	}
	if err := b.newNodes(); err != nil {
		return nil, fmt.Errorf("onnxload: output: %w", err)
	}
	if err := b.checkInserted(); err != nil {
		return nil, err
	}
	if err := b.finish(); err != nil {
		return nil, err
	}
	if o.Carry {
		b.net.pairStates()
	}
	return b, nil
}

// A builder makes one Net.
type builder struct {
	model  *Model
	opts   Options
	net    *Net
	values map[string]*value
	names  map[string]int // names given to graph inputs that are no values of the file, and the last number behind each
	folded int            // numbers computed so far while folding
	seen   int            // nodes of the graph that newNodes has looked at

	inner map[*onnxpb.TensorProto]*innerValue // all tensors of the file; of those inside bodies that were met the values

	inlined int // nodes of bodies that became a part of the graph
	inners  int // names made for them, and tensors inside them
	masks   int // Dropout nodes among them
	draws   int // nodes that draw random numbers among them

	selected *selection
	inserted map[slot]*insertion
	sizes    int // numbers in parameters so far

	dropouts    map[int]int    // number of each Dropout in file order, by index of the node
	unsupported map[int]string // reasons by index of the node
	failed      error          // of the first node that is wrong
}

// declare makes the values that no node computes: inputs, initializers and Constants.
func (b *builder) declare(shapes map[string][]int) error {
	g, lifted := b.model.proto.Graph, b.model.lifted()
	for i, t := range g.Initializer {
		s := sourceOf(t.GetName(), t, i, -1)
		s.lifted = lifted[s.name]
		b.values[s.name] = b.fromFile(s)
	}
	for i, n := range g.Node {
		if n.GetOpType() == "Dropout" && b.model.isDefault(n) {
			b.dropouts[i] = len(b.dropouts)
		}
		if n.GetOpType() != "Constant" || !b.model.isDefault(n) {
			continue
		}
		for _, o := range n.Output {
			b.values[o] = &value{name: o, poisoned: true}
		}
		t, reason := constantTensor(n)
		if len(n.Output) > 1 {
			reason = "a constant with several outputs"
		}
		if reason == "" && !onnxpb.IsFloat(t.GetDataType()) && !onnxpb.IsInt(t.GetDataType()) {
			reason = fmt.Sprintf("a constant of type %s is not supported", t.TypeName())
		}
		if reason != "" {
			b.unsupported[i] = reason
			continue
		}
		b.values[n.Output[0]] = b.fromFile(sourceOf(n.Output[0], t, -1, i))
	}
	for _, v := range g.Input {
		name := v.GetName()
		if _, ok := b.values[name]; ok {
			continue
		}
		if d := b.opts.Known[name]; d != nil {
			h, err := hostOf(d)
			if err != nil {
				return fmt.Errorf("onnxload: the value given for input %q: %w", name, err)
			}
			// The file says which of the types of floats, or of integers, the numbers are of.
			elem := v.GetType().GetTensorType().GetElemType()
			if onnxpb.IsFloat(elem) && onnxpb.IsFloat(h.elem) || onnxpb.IsInt(elem) && onnxpb.IsInt(h.elem) {
				h.elem = elem
			}
			b.values[name] = b.fromHost(name, h)
			continue
		}
		elem := v.GetType().GetTensorType().GetElemType()
		dt := b.opts.Dtype
		if onnxpb.IsInt(elem) {
			dt = tensor.Int64
		} else if !onnxpb.IsFloat(elem) {
			return &UnsupportedError{[]Unsupported{{Name: name, Reason: fmt.Sprintf(
				"it has elements of type %s; floating-point numbers of at least 16 bits, integers of at least 8 and BOOL are supported", onnxpb.TypeName(elem))}}}
		}
		if _, ok := elements(shapes[name], b.opts.MaxElements); !ok {
			return fmt.Errorf("onnxload: input %q of shape %v is larger than %d elements", name, shapes[name], b.opts.MaxElements)
		}
		n := b.input(name, dt, shapes[name])
		if err := b.newNodes(); err != nil {
			return fmt.Errorf("onnxload: input %q: %w", name, err)
		}
		b.net.Inputs = append(b.net.Inputs, n)
		b.values[name] = &value{name: name, elem: elem, shape: shapes[name], node: n}
	}
	return nil
}

// input adds an input to the graph. name must be used for this one only.
func (b *builder) input(name string, dt tensor.Dtype, shape []int, opts ...gorgonia.NodeConsOpt) *gorgonia.Node {
	return inputNode(b.net.Graph, name, dt, shape, opts...)
}

func inputNode(g *gorgonia.ExprGraph, name string, dt tensor.Dtype, shape []int, opts ...gorgonia.NodeConsOpt) *gorgonia.Node {
	opts = append(opts, gorgonia.WithName(name))
	if len(shape) == 0 {
		return gorgonia.NewScalar(g, dt, opts...)
	}
	opts = append(opts, gorgonia.WithShape(shape...))
	return gorgonia.NewTensor(g, dt, len(shape), opts...)
}

// unique returns name, or name with a number behind it if the file or the builder already uses that.
func (b *builder) unique(name string) string {
	c := name
	for b.names[c] > 0 || b.model.info.has(c) {
		b.names[name] = max(b.names[name], 1) + 1
		c = fmt.Sprintf("%s.%d", name, b.names[name])
	}
	b.names[c] = max(b.names[c], 1)
	return c
}

// fromFile makes the value of a tensor of the file. It becomes a parameter when it is first read as a node in
// a place where it is trainable.
func (b *builder) fromFile(s *source) *value {
	v := &value{name: s.name, elem: s.elem(), shape: s.shape, src: s}
	if s.elem() == int32(onnxpb.TensorProto_STRING) {
		v.makeText()
		return v
	}
	if s.trainable(true) {
		v.roots = []*source{s}
	}
	v.makeHost = func() (*host, error) { return b.read(s) }
	v.makeNode = func(train bool) (*gorgonia.Node, error) {
		if s.trainable(train) {
			n := b.input(s.name, b.opts.Dtype, s.shape)
			s.param = true
			list := &b.net.Params
			elsewhere := b.selected.elsewhere(s.name) && !b.selected.inside[s.tensor]
			if elsewhere || b.selected.frozen(s.name) {
				s.frozen, list = true, &b.net.Frozen
			}
			b.sizes += s.size()
			*list = append(*list, Param{Name: s.name, Shape: s.shape, Node: n, Elsewhere: elsewhere, src: s})
			return n, nil
		}
		h, err := v.numbers()
		if err != nil {
			return nil, err
		}
		return b.constNode(s.name, h)
	}
	return v
}

// fromHost makes the value of numbers that were computed.
func (b *builder) fromHost(name string, h *host) *value {
	return &value{name: name, elem: h.elem, shape: h.shape, host: h, makeNode: func(bool) (*gorgonia.Node, error) {
		return b.constNode(name, h)
	}}
}

// constNode adds a constant to the graph: an input with a value. Gorgonia's own constants are merged when they
// print alike, so they are not used.
func (b *builder) constNode(name string, h *host) (*gorgonia.Node, error) {
	dt := b.opts.Dtype
	if h.f == nil {
		dt = tensor.Int64
	}
	if h.size() == 0 {
		// Gorgonia has no values without elements; an operator makes one of any number.
		one := &host{elem: h.elem, shape: []int{}, f: []float64{0}}
		if h.f == nil {
			one = &host{elem: h.elem, shape: []int{}, i: []int64{0}}
		}
		n, err := b.constNode(b.unique(name+".none"), one)
		if err != nil {
			return nil, err
		}
		return ops.Nothing(n, h.shape)
	}
	if err := b.spend(h.shape, int64(h.size())*bytesOf(dt)); err != nil {
		return nil, err
	}
	n := b.input(name, dt, h.shape)
	var backing any
	switch dt {
	case tensor.Float32:
		x := make([]float32, len(h.f))
		for i, v := range h.f {
			x[i] = float32(v)
		}
		backing = x
	case tensor.Float64:
		backing = append([]float64{}, h.f...)
	default:
		backing = append([]int64{}, h.i...)
	}
	if err := gorgonia.Let(n, valueOf(backing, h.shape)); err != nil {
		return nil, err
	}
	b.net.Consts = append(b.net.Consts, n)
	return n, nil
}

func valueOf(backing any, shape []int) gorgonia.Value {
	if len(shape) > 0 {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(backing))
	}
	switch x := backing.(type) {
	case []float32:
		return gorgonia.NewF32(x[0])
	case []float64:
		return gorgonia.NewF64(x[0])
	}
	return gorgonia.NewI64(backing.([]int64)[0])
}

// outputs sets the outputs of the net, or returns the error of the whole build.
func (b *builder) outputs() error {
	for _, o := range b.model.proto.Graph.Output {
		if v := b.values[o.GetName()]; v.missing != "" && !v.statistic && !v.text {
			i := b.model.info.producer[v.name]
			b.unsupported[i] = fmt.Sprintf("output %q of the graph: %s", v.name, v.missing)
		}
	}
	if len(b.unsupported) > 0 {
		e := new(UnsupportedError)
		for _, i := range slices.Sorted(maps.Keys(b.unsupported)) {
			e.Nodes = append(e.Nodes, b.model.unsupported(i, b.unsupported[i]))
		}
		return e
	}
	if b.failed != nil {
		return b.failed
	}
	for _, o := range b.model.proto.Graph.Output {
		v := b.values[o.GetName()]
		if v.missing != "" {
			continue // a statistic of BatchNormalization, or strings
		}
		n, err := b.output(v)
		if n == nil && err == nil {
			continue // a running statistic, which a training graph does not have
		}
		var u unsupportedError
		if errors.As(err, &u) {
			return &UnsupportedError{[]Unsupported{b.model.unsupported(b.model.info.producer[v.name], string(u))}}
		}
		if err != nil {
			return fmt.Errorf("onnxload: output %q: %w", v.name, err)
		}
		b.net.Outputs = append(b.net.Outputs, n)
		b.net.OutputNames = append(b.net.OutputNames, v.name)
		b.net.OutputTypes = append(b.net.OutputTypes, onnxpb.TypeName(v.elem))
	}
	if len(b.net.Outputs) == 0 {
		for _, o := range b.model.proto.Graph.Output {
			if v := b.values[o.GetName()]; v.text {
				return &UnsupportedError{[]Unsupported{{Name: v.name, Reason: "this output " + strings.TrimPrefix(v.missing, "it ") + ", and there is no other"}}}
			}
		}
		return fmt.Errorf("onnxload: the graph has no output that can be computed")
	}
	if o := b.opts.Output; o != "" && b.values[o].text {
		return fmt.Errorf("onnxload: output %q: %s; choose another of %s", o, b.values[o].missing, strings.Join(b.net.OutputNames, ", "))
	} else if o != "" && !slices.Contains(b.net.OutputNames, o) {
		return fmt.Errorf("onnxload: output %q is a running statistic of BatchNormalization, which a training graph does not compute; choose another of %s",
			o, strings.Join(b.net.OutputNames, ", "))
	}
	return nil
}

// output returns the node of an output of the graph. That a tensor is an output does not make it a weight: it
// follows training if it is a weight or a running statistic elsewhere, else it is a constant.
func (b *builder) output(v *value) (*gorgonia.Node, error) {
	if !v.constant() {
		return v.graphNode(false)
	}
	for _, f := range b.net.Buffers {
		if f.src == v.src {
			return f.Node, nil
		}
	}
	for _, p := range b.net.Params {
		if slices.Contains(v.roots, p.src) {
			return v.graphNode(false)
		}
	}
	if v.node != nil {
		return v.node, nil
	}
	h, err := v.numbers()
	if err != nil {
		return nil, err
	}
	return b.constNode(b.unique(v.name+".output"), h)
}

func (m *Model) unsupported(i int, reason string) Unsupported {
	n := m.proto.Graph.Node[i]
	u := Unsupported{Name: shownName(n, i), Op: n.GetOpType(), Opset: m.opsetOf(n), Reason: reason}
	if !m.isDefault(n) {
		u.Domain = n.GetDomain()
	}
	return u
}

func (b *builder) errorAt(i int, format string, a ...any) error {
	return fmt.Errorf("onnxload: %s: %w", b.model.nodeName(i), fmt.Errorf(format, a...))
}
