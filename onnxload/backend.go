package onnxload

import (
	"fmt"

	"github.com/owulveryck/onnx-go"
	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/iterator"
	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// nodeAttribute is the attribute in which normalise hides the index of a node, through onnx-go.
const nodeAttribute = "onnx_entropy.node"

// normalise returns the graph as onnx-go can read it without harm. Measured with v0.5.0, onnx-go lets all
// empty optional inputs share one node, drops the rank of inputs with symbolic dimensions, decodes value_info
// by allocating its tensors, takes seven times the memory of the weights, fails for subgraphs and for
// Constants of other types than a few, and forgets names, domains and the operator set. So the copy has a
// name for every absent input and output, shapes with numbers only, no value_info, initializers by name only,
// Constants among them, and of the attributes just those that it can hold; and every node has one attribute
// more, which leads ApplyOperation to the node as it is in the file. A graph without nodes gives nothing.
func (m *Model) normalise(shapes map[string][]int) ([]byte, error) {
	g := m.proto.Graph
	out := &onnxpb.GraphProto{Name: proto.String("normalised")}
	for name := range m.info.initializer {
		out.Initializer = append(out.Initializer, &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(elemINT64)})
	}
	for _, v := range g.Input {
		t := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(elemFLOAT), Shape: &onnxpb.TensorShapeProto{}}
		for _, d := range shapes[v.GetName()] {
			t.Shape.Dim = append(t.Shape.Dim, &onnxpb.TensorShapeProto_Dimension{
				Value: &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}})
		}
		out.Input = append(out.Input, &onnxpb.ValueInfoProto{
			Name: v.Name, Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: t}}})
	}
	absent := 0
	named := func(s string) string {
		for s == "" {
			absent++
			if c := fmt.Sprintf("absent.%d", absent); !m.info.has(c) {
				s = c
			}
		}
		return s
	}
	for _, i := range m.order {
		n := g.Node[i]
		if n.GetOpType() == "Constant" && m.isDefault(n) {
			for _, s := range n.Output {
				out.Initializer = append(out.Initializer, &onnxpb.TensorProto{Name: proto.String(named(s)), DataType: proto.Int32(elemINT64)})
			}
			continue
		}
		c := &onnxpb.NodeProto{OpType: n.OpType, Name: proto.String(named(""))}
		for _, s := range n.Input {
			c.Input = append(c.Input, named(s))
		}
		for _, s := range n.Output {
			c.Output = append(c.Output, named(s))
		}
		for _, a := range n.Attribute {
			switch a.GetType() {
			case onnxpb.AttributeProto_INT, onnxpb.AttributeProto_FLOAT, onnxpb.AttributeProto_STRING,
				onnxpb.AttributeProto_INTS, onnxpb.AttributeProto_FLOATS, onnxpb.AttributeProto_STRINGS:
				c.Attribute = append(c.Attribute, a)
			}
		}
		c.Attribute = append(c.Attribute, &onnxpb.AttributeProto{
			Name: proto.String(nodeAttribute), Type: onnxpb.AttributeProto_INT.Enum(), I: proto.Int64(int64(i))})
		out.Node = append(out.Node, c)
	}
	for _, v := range g.Output {
		// onnx-go would make an output that is an input a second, unconnected value.
		if i, ok := m.info.producer[v.GetName()]; ok && !(g.Node[i].GetOpType() == "Constant" && m.isDefault(g.Node[i])) {
			out.Output = append(out.Output, &onnxpb.ValueInfoProto{Name: v.Name})
		}
	}
	if len(out.Node) == 0 {
		return nil, nil
	}
	if len(out.Output) == 0 {
		// All outputs are inputs or constants; onnx-go insists on one.
		out.Output = []*onnxpb.ValueInfoProto{{Name: proto.String(out.Node[0].Output[0])}}
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(&onnxpb.ModelProto{
		IrVersion:   proto.Int64(int64(m.IRVersion)),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(int64(m.Opset))}},
		Graph:       out,
	})
}

func (m *Model) isDefault(n *onnxpb.NodeProto) bool {
	return n.GetDomain() == "" || n.GetDomain() == "ai.onnx"
}

// A backend is what onnx-go decodes into: a graph whose edges from a node are kept in the order in which they
// were added, and may be several between the same two nodes. Gonum's own graphs lose the second edge of
// Mul(x, x) and the order.
type backend struct {
	apply func(index int64, inputs, outputs []string) error
	nodes []*vertex
}

var _ onnx.Backend = (*backend)(nil)

type vertex struct {
	id   int64
	name string
	out  []graph.WeightedEdge // to the inputs of the operation that computes this value
}

func (v *vertex) ID() int64        { return v.id }
func (v *vertex) SetName(s string) { v.name = s }
func (v *vertex) GetName() string  { return v.name }

type link struct {
	from, to graph.Node
	weight   float64
}

func (e link) From() graph.Node         { return e.from }
func (e link) To() graph.Node           { return e.to }
func (e link) Weight() float64          { return e.weight }
func (e link) ReversedEdge() graph.Edge { return link{e.to, e.from, e.weight} }

func (b *backend) NewNode() graph.Node     { return &vertex{id: int64(len(b.nodes))} }
func (b *backend) AddNode(n graph.Node)    { b.nodes = append(b.nodes, n.(*vertex)) }
func (b *backend) vertex(id int64) *vertex { return b.nodes[id] }

func (b *backend) NewWeightedEdge(from, to graph.Node, weight float64) graph.WeightedEdge {
	return link{from, to, weight}
}

func (b *backend) SetWeightedEdge(e graph.WeightedEdge) {
	v := e.From().(*vertex)
	v.out = append(v.out, e)
}

// ApplyOperation is called when the edges of all outputs of an operation are there. Each output has the same
// ones, so the first tells the inputs.
func (b *backend) ApplyOperation(o onnx.Operation, outputs ...graph.Node) error {
	index, ok := o.Attributes[nodeAttribute].(int64)
	if !ok || len(outputs) == 0 {
		return fmt.Errorf("onnxload: onnx-go lost node %s", o.Name)
	}
	var ins, outs []string
	for _, e := range outputs[0].(*vertex).out {
		ins = append(ins, e.To().(*vertex).name)
	}
	for _, n := range outputs {
		outs = append(outs, n.(*vertex).name)
	}
	return b.apply(index, ins, outs)
}

// The rest of the interface is there to be asked about the graph; onnx-go does not ask.

func (b *backend) Node(id int64) graph.Node {
	if id < 0 || id >= int64(len(b.nodes)) {
		return nil
	}
	return b.vertex(id)
}

func (b *backend) Nodes() graph.Nodes {
	var ns []graph.Node
	for _, n := range b.nodes {
		ns = append(ns, n)
	}
	return iterator.NewOrderedNodes(ns)
}

func (b *backend) From(id int64) graph.Nodes {
	var ns []graph.Node
	for _, e := range b.vertex(id).out {
		ns = append(ns, e.To())
	}
	return iterator.NewOrderedNodes(ns)
}

func (b *backend) To(id int64) graph.Nodes {
	var ns []graph.Node
	for _, n := range b.nodes {
		if b.HasEdgeFromTo(n.id, id) {
			ns = append(ns, n)
		}
	}
	return iterator.NewOrderedNodes(ns)
}

func (b *backend) HasEdgeFromTo(u, v int64) bool { return b.Edge(u, v) != nil }

func (b *backend) HasEdgeBetween(x, y int64) bool {
	return b.HasEdgeFromTo(x, y) || b.HasEdgeFromTo(y, x)
}

func (b *backend) Edge(u, v int64) graph.Edge {
	for _, e := range b.vertex(u).out {
		if e.To().ID() == v {
			return e
		}
	}
	return nil
}
