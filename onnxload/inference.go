package onnxload

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// trainingNode tells whether a node does in inference what it should do in training only: normalise with the
// statistics of the batch, or drop.
func (m *Model) trainingNode(n *onnxpb.NodeProto) bool {
	if !m.isDefault(n) {
		return false
	}
	switch n.GetOpType() {
	case "BatchNormalization":
		switch {
		case m.Opset >= 14:
			return intAttr(n, "training_mode") != 0
		case m.Opset < 7:
			return intAttr(n, "is_test") == 0
		}
		return len(namedOutputs(n)) > 1
	case "Dropout":
		switch {
		case m.Opset >= 12:
			return len(n.Input) > 2 && n.Input[2] != "" && !m.knownFalse(n.Input[2])
		case m.Opset < 7:
			return intAttr(n, "is_test") == 0
		}
	}
	return false
}

// knownFalse tells whether a value is the constant false, looking through Identity and Cast.
func (m *Model) knownFalse(name string) bool {
	for range 16 {
		var t *onnxpb.TensorProto
		if i, ok := m.info.initializer[name]; ok {
			t = m.proto.Graph.Initializer[i]
		} else if i, ok := m.info.producer[name]; ok {
			n := m.proto.Graph.Node[i]
			switch n.GetOpType() {
			case "Constant":
				t, _ = constantTensor(n)
			case "Identity", "Cast":
				if len(n.Input) == 1 {
					name = n.Input[0]
					continue
				}
			}
		}
		if t == nil {
			return false
		}
		x, err := t.Ints()
		return err == nil && len(x) == 1 && x[0] == 0
	}
	return false
}

func intAttr(n *onnxpb.NodeProto, name string) int64 {
	for _, a := range n.Attribute {
		if a.GetName() == name {
			return a.GetI()
		}
	}
	return 0
}

func setIntAttr(n *onnxpb.NodeProto, name string, v int64) {
	for _, a := range n.Attribute {
		if a.GetName() == name {
			a.I = proto.Int64(v)
			return
		}
	}
	n.Attribute = append(n.Attribute, &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_INT.Enum(), I: proto.Int64(v)})
}

func namedOutputs(n *onnxpb.NodeProto) []string {
	return slices.DeleteFunc(slices.Clone(n.Output), func(s string) bool { return s == "" })
}

// toInference switches the nodes that are in training mode. Dropout loses its third input, which may be shared
// with others; BatchNormalization keeps its first output only. If something reads one of the other outputs, or
// the graph gives it out, an Identity of the running statistic takes its place, for that is what it is in
// inference.
func (p *patch) toInference() error {
	for _, f := range p.m.proto.Functions {
		for _, n := range f.Node {
			if n.GetOpType() == "BatchNormalization" && intAttr(n, "training_mode") != 0 || n.GetOpType() == "Dropout" && len(n.Input) > 2 && n.Input[2] != "" {
				return fmt.Errorf("onnxload: node %q of function %q is in training mode, and functions are not changed; export with --export same",
					shownName(n, 0), f.GetName())
			}
		}
	}
	for i, n := range p.m.proto.Graph.Node {
		if kept, ok := p.nodes[i]; ok && kept == nil || !p.m.trainingNode(n) {
			continue
		}
		c := p.node(i)
		if c.GetOpType() == "Dropout" {
			p.dropoutToInference(c)
			continue
		}
		switch {
		case p.m.Opset >= 14:
			setIntAttr(c, "training_mode", 0)
		case p.m.Opset < 7:
			setIntAttr(c, "is_test", 1)
		}
		for k, out := range n.Output[1:] {
			if out == "" {
				continue
			}
			if !p.m.isRead(out) {
				p.gone[out] = true
				continue
			}
			if k > 1 {
				return fmt.Errorf("onnxload: %s: output %q, a statistic of the batch, is read, but does not exist in inference; "+
					"export with --export same or remove it", p.m.nodeName(i), out)
			}
			p.after[i] = append(p.after[i], &onnxpb.NodeProto{
				OpType: proto.String("Identity"), Name: proto.String(out + ".identity"),
				Input: []string{c.Input[3+k]}, Output: []string{out}})
		}
		c.Output = c.Output[:1]
	}
	return nil
}

func (p *patch) dropoutToInference(c *onnxpb.NodeProto) {
	if p.m.Opset < 7 {
		setIntAttr(c, "is_test", 1)
		return
	}
	mode := c.Input[2]
	c.Input = c.Input[:2]
	if c.Input[1] == "" {
		c.Input = c.Input[:1]
	}
	// A Constant that only said so has nobody left who reads it.
	i, ok := p.m.info.producer[mode]
	if ok && p.m.proto.Graph.Node[i].GetOpType() == "Constant" && !slices.ContainsFunc(p.m.readers(mode), func(r int) bool {
		return r < 0 || p.m.proto.Graph.Node[r].GetOpType() != "Dropout" || slices.Contains(p.m.proto.Graph.Node[r].Input[:2], mode)
	}) {
		p.nodes[i] = nil
		p.gone[mode] = true
	}
}

// isRead tells whether a node reads the value or the graph gives it out.
func (m *Model) isRead(name string) bool {
	return len(m.readers(name)) > 0
}

// readers returns the nodes that read a value, and -1 if it is an output of the graph. A subgraph may read any
// value that is visible where it stands, so a node with subgraphs counts as a reader.
func (m *Model) readers(name string) []int {
	ix := m.info
	ix.once.Do(func() {
		ix.readers = map[string][]int{}
		for i, n := range m.proto.Graph.Node {
			for _, in := range n.Input {
				if l := ix.readers[in]; len(l) == 0 || l[len(l)-1] != i {
					ix.readers[in] = append(l, i)
				}
			}
			if slices.ContainsFunc(n.Attribute, func(a *onnxpb.AttributeProto) bool { return len(graphsOf(a)) > 0 }) {
				ix.any = append(ix.any, i)
			}
		}
		for _, o := range m.proto.Graph.Output {
			ix.readers[o.GetName()] = append(ix.readers[o.GetName()], -1)
		}
	})
	r := slices.Concat(ix.readers[name], ix.any)
	slices.Sort(r)
	return slices.Compact(r)
}
