package onnxload

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// An edit collects changes of a file that need no Net.
type edit struct {
	m     *Model
	inits map[int]*onnxpb.TensorProto
	nodes map[int]*onnxpb.NodeProto
	added []*onnxpb.TensorProto
	infos map[string]*onnxpb.ValueInfoProto // new statements of shapes
	taken map[string]bool                   // new names
}

func newEdit(m *Model) *edit {
	return &edit{m: m, inits: map[int]*onnxpb.TensorProto{}, nodes: map[int]*onnxpb.NodeProto{}, infos: map[string]*onnxpb.ValueInfoProto{},
		taken: map[string]bool{}}
}

func (e *edit) node(i int) *onnxpb.NodeProto {
	if e.nodes[i] == nil {
		e.nodes[i] = proto.Clone(e.m.proto.Graph.Node[i]).(*onnxpb.NodeProto)
	}
	return e.nodes[i]
}

// replace puts tensor c in the place of t. If something else reads t, it keeps t, and c becomes a new initializer.
func (e *edit) replace(t *tensorAt, c *onnxpb.TensorProto) error {
	if t.shared != "" {
		if !t.direct {
			return fmt.Errorf("onnxload: %s reads %q through Cast or Transpose, and so does %s; export the network with weights of its own here",
				e.m.nodeName(t.at.node), t.name, t.shared)
		}
		name := t.name + ".head"
		for k := 2; e.taken[name] || e.m.info.has(name); k++ {
			name = fmt.Sprintf("%s.head.%d", t.name, k)
		}
		e.taken[name] = true
		c.Name = proto.String(name)
		e.added = append(e.added, c)
		e.node(t.at.node).Input[t.at.input] = name
		return nil
	}
	if t.initializer >= 0 {
		e.inits[t.initializer] = c
		return nil
	}
	n := e.node(t.constant)
	for _, a := range n.Attribute {
		switch a.GetName() {
		case "value":
			a.T = c
		case "value_floats":
			a.Floats = c.FloatData
		case "value_ints":
			a.Ints = c.Int64Data
		case "value_int":
			a.I = proto.Int64(c.Int64Data[0])
		}
	}
	return nil
}

// restate makes what the file states of the shapes of its values what they are now: numbers that were right before and
// have changed. Where it states another number or a name, that stays.
func (e *edit) restate(old, now map[string]*value) {
	g := e.m.proto.Graph
	for _, v := range slices.Concat(g.Input, g.Output, g.ValueInfo) {
		name := v.GetName()
		t := v.GetType().GetTensorType()
		a, b := old[name], now[name]
		if t.GetShape() == nil || a == nil || b == nil {
			continue
		}
		was, err := a.dims()
		if err != nil || len(was) != len(t.Shape.Dim) {
			continue
		}
		is, err := b.dims()
		if err != nil || len(is) != len(was) || slices.Equal(was, is) {
			continue
		}
		c := proto.Clone(v).(*onnxpb.ValueInfoProto)
		for i, d := range c.GetType().GetTensorType().Shape.Dim {
			if n, ok := dimValue(d); ok && n == was[i] && is[i] != n {
				d.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: int64(is[i])}
			}
		}
		e.infos[name] = c
	}
}

// model is the model with the changes.
func (e *edit) model() (*Model, error) {
	raw, err := e.bytes()
	if err != nil {
		return nil, err
	}
	n := *e.m
	n.raw, n.proto, n.order, n.info, n.Opset = raw, shallow(e.m.proto), nil, nil, 0
	g := shallow(e.m.proto.Graph)
	n.proto.Graph = g
	g.Initializer, g.Node = slices.Clone(g.Initializer), slices.Clone(g.Node)
	for i, t := range e.inits {
		g.Initializer[i] = t
	}
	g.Initializer = append(g.Initializer, e.added...)
	for i, node := range e.nodes {
		g.Node[i] = node
	}
	for _, list := range []*[]*onnxpb.ValueInfoProto{&g.Input, &g.Output, &g.ValueInfo} {
		*list = slices.Clone(*list)
		for i, v := range *list {
			if c := e.infos[v.GetName()]; c != nil {
				(*list)[i] = c
			}
		}
	}
	if err := n.check(); err != nil {
		return nil, fmt.Errorf("onnxload: %w", err)
	}
	n.Outputs = nil
	for _, v := range g.Output {
		n.Outputs = append(n.Outputs, valueInfo(v))
	}
	return &n, nil
}

// shallow copies a message and shares what it points to.
func shallow[M proto.Message](m M) M {
	c := m.ProtoReflect().New()
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		c.Set(f, v)
		return true
	})
	c.SetUnknown(m.ProtoReflect().GetUnknown())
	return c.Interface().(M)
}

// bytes is the file with the changes; what does not change is copied.
func (e *edit) bytes() ([]byte, error) {
	inits, nodes := 0, 0
	one := func(m proto.Message) ([][]byte, bool, error) {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		return [][]byte{b}, false, err
	}
	graph := func(num protowire.Number, _ int, body []byte) ([][]byte, bool, error) {
		switch num {
		case graphInitializer:
			inits++
			if t := e.inits[inits-1]; t != nil {
				return one(t)
			}
		case graphNode:
			nodes++
			if n := e.nodes[nodes-1]; n != nil {
				return one(n)
			}
		case graphInput, graphOutput, graphValueInfo:
			v := new(onnxpb.ValueInfoProto)
			if err := proto.Unmarshal(body, v); err != nil {
				return nil, false, errWire
			}
			if c := e.infos[v.GetName()]; c != nil {
				return one(c)
			}
		}
		return nil, true, nil
	}
	graphs := 0
	return rewriteFields(make([]byte, 0, len(e.m.raw)+4096), e.m.raw, func(num protowire.Number, _ int, body []byte) ([][]byte, bool, error) {
		if num != modelGraph {
			return nil, true, nil
		}
		g, err := rewriteFields(make([]byte, 0, len(body)+4096), body, graph)
		if err != nil {
			return nil, false, err
		}
		if graphs++; graphs == 1 {
			for _, t := range e.added {
				b, _, err := one(t)
				if err != nil {
					return nil, false, err
				}
				g = protowire.AppendBytes(protowire.AppendTag(g, graphInitializer, protowire.BytesType), b[0])
			}
		}
		return [][]byte{g}, false, nil
	})
}
