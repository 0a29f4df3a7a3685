package onnxload

import (
	"fmt"
	"slices"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// A Head is the last linear layer of a network, which makes a number for each class of features.
type Head struct {
	Node     string `json:"node"`     // name of the node
	Op       string `json:"op"`       // its operator: Gemm, MatMul or Conv
	Output   string `json:"output"`   // the output of the graph that it leads to
	Features int    `json:"features"` // numbers that one class is computed from
	Classes  int    `json:"classes"`
	Weight   string `json:"weight"`         // names of the tensors of the file
	Bias     string `json:"bias,omitempty"` // "" if there is none
}

// Head finds the last linear layer before an output of the graph; "" stands for the first output. Between the two may be
// what treats all classes alike: Softmax and other activations, pooling, reshaping, BatchNormalization. It is an error if
// there is no such layer, or if its weights are used elsewhere too.
func (m *Model) Head(output string) (Head, error) {
	h, err := m.findHead(output)
	if err != nil {
		return Head{}, fmt.Errorf("onnxload: %w", err)
	}
	return h.Head, nil
}

// head is a Head with its place in the file.
type head struct {
	Head
	m      *Model
	node   int
	path   []int // nodes between it and the output, from the output back
	weight tensorAt
	bias   *tensorAt // nil if there is none
	axis   int       // of the classes in its result, counted from the end
}

// A tensorAt is a tensor of the file as a node reads it: directly, or through Identity, Cast and Transpose.
type tensorAt struct {
	*source
	at     slot // the input that it reaches
	axis   int  // of the stored tensor, that of the classes
	direct bool // nothing but Identity is between
	shared string
}

// passing are the operators that the way from the head to the output may lead through: their first input is what they
// compute with, and they do not care how many classes there are.
var passing = map[string]bool{
	"Identity": true, "Cast": true, "Dropout": true, "Softmax": true, "LogSoftmax": true, "Hardmax": true,
	"Relu": true, "LeakyRelu": true, "ThresholdedRelu": true, "Elu": true, "Celu": true, "Selu": true, "Gelu": true,
	"Sigmoid": true, "HardSigmoid": true, "HardSwish": true, "Swish": true, "Mish": true, "Tanh": true, "Softplus": true, "Softsign": true,
	"Clip": true, "Exp": true, "Log": true, "Neg": true,
	"Flatten": true, "Reshape": true, "Squeeze": true, "Unsqueeze": true, "Transpose": true, "BatchNormalization": true,
	"GlobalAveragePool": true, "GlobalMaxPool": true, "GlobalLpPool": true, "AveragePool": true, "MaxPool": true, "ReduceMean": true, "ReduceMax": true,
}

func (m *Model) findHead(output string) (*head, error) {
	if len(m.Outputs) == 0 {
		return nil, fmt.Errorf("the graph has no output, and so no last layer")
	}
	if output == "" {
		output = m.Outputs[0].Name
	}
	if !slices.ContainsFunc(m.Outputs, func(v ValueInfo) bool { return v.Name == output }) {
		return nil, m.noOutput(output)
	}
	h := &head{Head: Head{Output: output}, m: m}
	data := m.dataValues()
	none := func(format string, a ...any) error {
		return fmt.Errorf("output %q has no last linear layer that can be replaced: %s", output, fmt.Sprintf(format, a...))
	}
	for name := output; ; {
		i, ok := m.info.producer[name]
		if !ok || !data[name] {
			return nil, none("no Gemm, MatMul or Conv is on the way from the inputs")
		}
		n := m.proto.Graph.Node[i]
		if !m.isDefault(n) {
			if m.functionOf(n) != nil {
				return nil, none("%s calls a function of the file; inline it with onnx.inliner.inline_local_functions", m.nodeName(i))
			}
			return nil, none("%s computes it", m.nodeName(i))
		}
		switch op := n.GetOpType(); {
		case op == "Gemm" || op == "MatMul" || op == "Conv":
			h.node, h.Node, h.Op = i, shownName(n, i), op
			if err := h.measure(n, data); err != nil {
				return nil, none("%s: %v", m.nodeName(i), err)
			}
			return h, nil
		case passing[op] && len(n.Input) > 0:
			name = n.Input[0]
		case (op == "Add" || op == "Sub" || op == "Mul" || op == "Div") && len(n.Input) == 2 && data[n.Input[0]] != data[n.Input[1]]:
			if name = n.Input[0]; !data[name] {
				name = n.Input[1]
			}
		default:
			return nil, none("%s computes it, of more than the result of one layer", m.nodeName(i))
		}
		h.path = append(h.path, i)
	}
}

func (m *Model) noOutput(name string) error {
	var names []string
	for _, v := range m.Outputs {
		names = append(names, fmt.Sprintf("%q", v.Name))
	}
	return fmt.Errorf("there is no output %q; the outputs are %s", name, strings.Join(names, ", "))
}

// dataValues are the names of what depends on the inputs.
func (m *Model) dataValues() map[string]bool {
	data := map[string]bool{}
	for _, v := range m.Inputs {
		data[v.Name] = true
	}
	for _, i := range m.order {
		n := m.proto.Graph.Node[i]
		if slices.ContainsFunc(captured(n, slices.Clone(n.Input)), func(s string) bool { return data[s] }) {
			for _, o := range n.Output {
				data[o] = true
			}
		}
	}
	return data
}

// measure finds the weights and the bias of node n, and how many features and classes they are for.
func (h *head) measure(n *onnxpb.NodeProto, data map[string]bool) error {
	if len(n.Input) < 2 {
		return fmt.Errorf("it has no weights")
	}
	if data[n.Input[1]] || !data[n.Input[0]] {
		return fmt.Errorf("its second input is not its weights")
	}
	w, err := h.m.tensorAt(slot{h.node, 1})
	if err != nil {
		return err
	}
	rank := len(w.shape)
	axis := 0 // of the classes, as the node sees the weights
	switch {
	case h.Op == "Conv":
		if intAttr(n, "group") > 1 {
			return fmt.Errorf("it is a convolution of %d groups", intAttr(n, "group"))
		}
		h.axis = rank - 1 // axis 1 of (N, C, ...)
	case rank != 2:
		return fmt.Errorf("its weights %q have shape %v; two dimensions are needed", w.name, w.shape)
	default:
		h.axis = 1
		if h.Op == "MatMul" || intAttr(n, "transB") == 0 {
			axis = 1
		}
	}
	if !onnxpb.IsFloat(w.elem()) || w.size() == 0 {
		return fmt.Errorf("its weights %q have %d elements of type %s", w.name, w.size(), w.typeName())
	}
	if w.shared != "" {
		return fmt.Errorf("its weights %q are read by %s too: the layers are tied, and replacing one would change the other; export the network with weights of its own here",
			w.name, w.shared)
	}
	w.axis = w.stored(h.m, axis)
	h.weight, h.Weight = *w, w.name
	h.Classes = w.shape[w.axis]
	h.Features = w.size() / h.Classes
	return h.measureBias(n, data)
}

// measureBias finds the bias: the third input, or the constant that the next node adds.
func (h *head) measureBias(n *onnxpb.NodeProto, data map[string]bool) error {
	at := slot{h.node, 2}
	if h.Op == "MatMul" || len(n.Input) < 3 || n.Input[2] == "" {
		if len(h.path) == 0 {
			return nil
		}
		at.node = h.path[len(h.path)-1]
		next := h.m.proto.Graph.Node[at.node]
		if op := next.GetOpType(); op != "Add" && op != "Sub" {
			return nil
		}
		if at.input = 0; data[next.Input[0]] {
			at.input = 1
		}
	} else if data[n.Input[2]] {
		return fmt.Errorf("its bias is computed from the inputs")
	}
	b, err := h.m.tensorAt(at)
	if err != nil {
		return err
	}
	if b.size() == 1 && h.Classes > 1 {
		return nil // one number for all classes
	}
	seen := len(b.shape) - h.axis // the axis of the classes, as the node sees it
	if h.Op == "Conv" && at.node == h.node {
		seen = 0
	}
	if seen >= 0 {
		b.axis = b.stored(h.m, seen)
	}
	if seen < 0 || !onnxpb.IsFloat(b.elem()) || b.size() != h.Classes || b.shape[b.axis] != h.Classes {
		return fmt.Errorf("its bias %q has shape %v, which is not one number for each of %d classes", b.name, b.shape, h.Classes)
	}
	h.bias, h.Bias = b, b.name
	return nil
}

// tensorAt finds the tensor of the file that reaches an input of a node.
func (m *Model) tensorAt(at slot) (*tensorAt, error) {
	name := m.proto.Graph.Node[at.node].Input[at.input]
	t := &tensorAt{at: at, direct: true}
	for range len(m.proto.Graph.Node) + 1 {
		if s := m.othersThan(at, name); s != "" && t.shared == "" {
			t.shared = s
		}
		if i, ok := m.info.initializer[name]; ok {
			t.source = sourceOf(name, m.proto.Graph.Initializer[i], i, -1)
			return t, nil
		}
		i, ok := m.info.producer[name]
		if !ok {
			return nil, fmt.Errorf("its weights %q are no tensor of the file", name)
		}
		n := m.proto.Graph.Node[i]
		switch op := n.GetOpType(); {
		case !m.isDefault(n):
		case op == "Constant":
			c, reason := constantTensor(n)
			if reason != "" {
				return nil, fmt.Errorf("its weights %q: %s", name, reason)
			}
			t.source = sourceOf(name, c, -1, i)
			return t, nil
		case (op == "Identity" || op == "Cast" || op == "Transpose") && len(n.Input) == 1:
			t.direct = t.direct && op == "Identity"
			at, name = slot{i, 0}, n.Input[0]
			continue
		}
		return nil, fmt.Errorf("its weights are computed by %s", m.nodeName(i))
	}
	return nil, fmt.Errorf("its weights %q are computed in a circle", name)
}

// stored returns which axis of the stored tensor is axis a of what the node reads.
func (t *tensorAt) stored(m *Model, a int) int {
	for name := m.proto.Graph.Node[t.at.node].Input[t.at.input]; name != t.name; {
		n := m.proto.Graph.Node[m.info.producer[name]]
		if n.GetOpType() == "Transpose" {
			perm := permOf(n, len(t.shape))
			if a >= len(perm) {
				return 0
			}
			a = perm[a]
		}
		name = n.Input[0]
	}
	return a
}

// permOf is that of Transpose, the axes reversed by default.
func permOf(n *onnxpb.NodeProto, rank int) []int {
	var perm []int
	for _, a := range n.Attribute {
		if a.GetName() == "perm" {
			for _, p := range a.Ints {
				perm = append(perm, min(max(int(p), 0), max(rank-1, 0)))
			}
			return perm
		}
	}
	for k := range rank {
		perm = append(perm, rank-1-k)
	}
	return perm
}

// othersThan names a reader of a value besides input at of a node, "" if there is none.
func (m *Model) othersThan(at slot, name string) string {
	for i, n := range m.proto.Graph.Node {
		reads := captured(n, slices.Clone(n.Input))
		for k, in := range reads {
			if in == name && (i != at.node || k != at.input) {
				return m.nodeName(i)
			}
		}
	}
	if slices.ContainsFunc(m.Outputs, func(v ValueInfo) bool { return v.Name == name }) {
		return fmt.Sprintf("output %q", name)
	}
	return ""
}
