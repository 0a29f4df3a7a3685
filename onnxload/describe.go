package onnxload

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// TrainingMode tells whether the file was exported in training mode: whether some BatchNormalization or Dropout
// would use batch statistics or drop wherever the file is run.
func (m *Model) TrainingMode() bool {
	for _, n := range m.proto.Graph.Node {
		if m.trainingNode(n) {
			return true
		}
	}
	return false
}

// MixedModes tells whether some BatchNormalization or Dropout is in training mode and another is not, which no graph of Build
// stands for.
func (m *Model) MixedModes() bool {
	training := 0
	for _, n := range m.proto.Graph.Node {
		if m.trainingNode(n) {
			training++
		}
	}
	return training > 0 && training < m.count("BatchNormalization")+m.DropoutNodes()
}

// HasBatchNorm tells whether the graph has a BatchNormalization.
func (m *Model) HasBatchNorm() bool { return m.count("BatchNormalization") > 0 }

// DropoutNodes returns the number of Dropout nodes.
func (m *Model) DropoutNodes() int { return m.count("Dropout") }

func (m *Model) count(op string) int {
	k := 0
	for _, n := range m.proto.Graph.Node {
		if n.GetOpType() == op && m.isDefault(n) {
			k++
		}
	}
	return k
}

// DynamicBatch tells whether dimension 0 of some input has no fixed size.
func (m *Model) DynamicBatch() bool {
	for _, v := range m.Inputs {
		if len(v.Shape) > 0 && !isNumber(v.Shape[0]) {
			return true
		}
	}
	return false
}

const exportBetter = "torch.onnx.export(model.train(), args, file, training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False, dynamo=False)"

// Warnings returns what about the file may surprise somebody who trains it, each with a remedy. They are
// guesses: a file does not say what it was made from.
func (m *Model) Warnings() []string {
	var w []string
	merged := "export it with " + exportBetter
	switch m.exporter() {
	case "skl2onnx": // scikit-learn has neither BatchNormalization nor Dropout
		for _, o := range m.Outputs {
			if i, ok := m.info.producer[m.identityRoot(o.Name)]; ok && m.proto.Graph.Node[i].GetOpType() == "Div" {
				w = append(w, fmt.Sprintf("Output %q is probabilities that no Softmax makes, as those of SGDClassifier and OneVsRestClassifier, and cross-entropy "+
					"takes them for scores; export the scores with options={id(model): {'raw_scores': True}}.", o.Name))
			}
		}
	case "tf2onnx":
		merged = "export it after a step of training, when they differ"
		if m.DropoutNodes() == 0 {
			w = append(w, "There is no Dropout, which tf2onnx leaves out. If the network had any, put some back with --dropout NODE=P.")
		}
		if m.count("Conv") > 0 && !m.HasBatchNorm() {
			w = append(w, "There is no BatchNormalization. If the network had any, tf2onnx has made them a scale and a shift of each channel, which "+
				"are trained, or has folded them into the convolutions.")
		}
		if n, first := m.withoutBias(); n > 0 {
			w = append(w, fmt.Sprintf("Layers without a bias: %d, the first %q. tf2onnx leaves out biases that are 0, as in a fresh network; to have them "+
				"trained, export it after a step of training.", n, first))
		}
	default:
		if m.count("Conv") > 0 && !m.HasBatchNorm() {
			w = append(w, fmt.Sprintf("There is no BatchNormalization. If the network had any, exporting it for inference "+
				"has folded them into the convolutions, and they cannot be trained; export it with %s.", exportBetter))
		}
		if m.DropoutNodes() == 0 && !m.TrainingMode() {
			w = append(w, "There is no Dropout. If the network had any, exporting it for inference has removed it; export it with "+exportBetter+", or put some back with --dropout NODE=P.")
		}
	}
	if t := m.tied(); len(t) > 0 {
		w = append(w, fmt.Sprintf("Tensors are tied: %s. If the layers share them on purpose, all is well. If not, the exporter has merged "+
			"tensors that were equal, as they are in a fresh network, and they are trained as one; %s.",
			shortened(t), merged))
	}
	same, transposed := m.equalTensors()
	if len(same) > 0 {
		w = append(w, fmt.Sprintf("Tensors are equal but trained apart: %s. If they were shared (tied), the exporter has copied them.", strings.Join(same, "; ")))
	}
	if len(transposed) > 0 {
		remedy := ""
		if m.exporter() == "pytorch" {
			remedy = "; to have them trained as one, export with dynamo=False and do_constant_folding=False, or with dynamo=True and optimize=False, which keeps the Transpose"
		}
		w = append(w, fmt.Sprintf("Tensors are equal, one transposed, but trained apart: %s. If they were one in the framework (tied), the exporter has "+
			"made two of it%s.", shortened(transposed), remedy))
	}
	if b := m.perhapsBuffers(); len(b) > 0 {
		w = append(w, fmt.Sprintf("Tensors that may be buffers are trained: %s. This exporter does not tell buffers, such as fixed positional encodings, from parameters; "+
			"hold them still with --freeze NAME, or export with dynamo=True, which tells.", shortened(b)))
	}
	if c := m.computed(); len(c) > 0 {
		w = append(w, fmt.Sprintf("Weights were computed of parameters by the exporter: %s. They are trained in the place of these, which gives other steps than PyTorch's, and "+
			"apart from other tensors of the same parameters; to have the parameters trained, export with dynamo=True and optimize=False.", shortened(c)))
	}
	if len(m.Inputs) > 0 && !m.DynamicBatch() && len(m.Inputs[0].Shape) > 0 {
		w = append(w, fmt.Sprintf("The batch is fixed: dimension 0 of input %q is %s. Other batch sizes work if no node depends on it; "+
			"to be safe export with dynamic_axes={%q: {0: \"batch\"}}.", m.Inputs[0].Name, m.Inputs[0].Shape[0], m.Inputs[0].Name))
	}
	return w
}

// shortened joins the first four of a list.
func shortened(list []string) string {
	more := ""
	if len(list) > 4 {
		more = fmt.Sprintf(" and %d more", len(list)-4)
		list = list[:4]
	}
	return strings.Join(list, "; ") + more
}

// withoutBias counts the convolutions and the products with a matrix of the file to which no bias is added, and names the first.
func (m *Model) withoutBias() (count int, first string) {
	for i, n := range m.proto.Graph.Node {
		op := n.GetOpType()
		conv := op == "Conv" || op == "ConvTranspose"
		if !m.isDefault(n) || !conv && (op != "MatMul" || len(n.Input) < 2 || !m.isInitializer(n.Input[1])) ||
			conv && len(n.Input) > 2 && n.Input[2] != "" || m.isAddedTo(n.Output[0]) {
			continue
		}
		if count++; count == 1 {
			first = shownName(n, i)
		}
	}
	return count, first
}

func (m *Model) isInitializer(name string) bool {
	_, ok := m.info.initializer[name]
	return ok
}

// isAddedTo tells whether an initializer is added to a value: at once, or after what may stand between a layer and its bias, which is nodes
// that arrange numbers, a scale, the sum with another layer, and the second half of a separable convolution.
func (m *Model) isAddedTo(value string) bool {
	for range 8 {
		readers := slices.DeleteFunc(m.readers(value), func(i int) bool { // nodes with subgraphs are among them
			return i >= 0 && !slices.Contains(m.proto.Graph.Node[i].Input, value)
		})
		if len(readers) != 1 || readers[0] < 0 {
			return false
		}
		n := m.proto.Graph.Node[readers[0]]
		constant := slices.ContainsFunc(n.Input, m.isInitializer)
		switch op := n.GetOpType(); {
		case op == "Add" && constant || op == "Conv" && len(n.Input) > 2:
			return true
		case !(rearranges[op] || op == "Mul" && constant || op == "Add") || len(n.Output) == 0:
			return false
		}
		value = n.Output[0]
	}
	return false
}

// tied lists initializers that can be trained and that several places compute with, directly or through nodes that only
// arrange numbers, with the nodes that read them.
func (m *Model) tied() []string {
	uses := map[string][]string{}
	g := m.proto.Graph
	for i, n := range g.Node {
		if n.GetOpType() == "Identity" && m.isDefault(n) {
			continue
		}
		for k, in := range n.Input {
			if m.isStatistic(n, k) {
				continue
			}
			root := m.identityRoot(in)
			if k, ok := m.info.initializer[root]; ok && onnxpb.IsFloat(g.Initializer[k].GetDataType()) && len(g.Initializer[k].GetDims()) > 0 {
				uses[root] = append(uses[root], fmt.Sprintf("%q", shownName(n, i)))
			}
		}
	}
	ends, lifted := m.ends(), m.lifted()
	var out []string
	for i, t := range g.Initializer {
		s := sourceOf(t.GetName(), t, i, -1)
		s.lifted = lifted[s.name]
		if u := uses[s.name]; len(u) > 1 && ends[s.name] == several && s.trainable(true) {
			out = append(out, fmt.Sprintf("%q is read %d times (by %s and %s)", t.GetName(), len(u), u[0], u[len(u)-1]))
		}
	}
	return out
}

// isStatistic tells whether input k of a node holds running statistics, which are kept apart: see finishBuffers.
func (m *Model) isStatistic(n *onnxpb.NodeProto, k int) bool {
	return n.GetOpType() == "BatchNormalization" && m.isDefault(n) && k >= 3
}

// several stands for more places than one.
var several = slot{node: -1}

// arranges are the operators that give the numbers of a tensor another shape, order or type, or put tensors together or apart:
// exporters reorder the gates of an LSTM's weights by them, for example.
var arranges = map[string]bool{
	"Identity": true, "Cast": true, "Transpose": true, "Reshape": true, "Flatten": true, "Unsqueeze": true, "Squeeze": true,
	"Slice": true, "Split": true, "Concat": true,
}

// ends returns for each value that does not depend on the data where it is computed with: the one input of a node that it
// reaches, perhaps through nodes that only arrange numbers, or several. What reaches none is not in it.
func (m *Model) ends() map[string]slot {
	ends := map[string]slot{}
	data := m.dataValues()
	reach := func(name string, at slot) {
		if before, ok := ends[name]; ok && before != at {
			at = several
		}
		ends[name] = at
	}
	for _, i := range slices.Backward(m.order) { // what reads a node's outputs comes before it
		n := m.proto.Graph.Node[i]
		on := arranges[n.GetOpType()] && m.isDefault(n) && !slices.ContainsFunc(n.Input, func(s string) bool { return data[s] })
		for k, in := range n.Input {
			switch {
			case in == "" || data[in] || m.isStatistic(n, k):
			case !on:
				reach(in, slot{i, k})
			case k == 0 || n.GetOpType() == "Concat": // other inputs are shapes, axes and bounds
				for _, out := range n.Output {
					if at, ok := ends[out]; ok {
						reach(in, at)
					}
				}
			}
		}
	}
	return ends
}

func (m *Model) identityRoot(name string) string {
	for range 64 {
		i, ok := m.info.producer[name]
		if !ok || m.proto.Graph.Node[i].GetOpType() != "Identity" || len(m.proto.Graph.Node[i].Input) != 1 {
			return name
		}
		name = m.proto.Graph.Node[i].Input[0]
	}
	return name
}

// equalTensors lists pairs of matrices with the same numbers, not all equal, and pairs of which one is the other transposed. Vectors
// start equal in most networks.
func (m *Model) equalTensors() (same, transposed []string) {
	byRaw, byDiagonal := map[[sha256.Size]byte]string{}, map[[sha256.Size]byte]*onnxpb.TensorProto{}
	lifted := m.lifted()
	for _, t := range m.proto.Graph.Initializer {
		if len(t.GetDims()) < 2 || !onnxpb.IsFloat(t.GetDataType()) || len(t.RawData) < 32 || bytes.Count(t.RawData, t.RawData[:4]) >= len(t.RawData)/4 {
			continue
		}
		key := sha256.Sum256(t.RawData)
		if first, ok := byRaw[key]; ok {
			same = append(same, fmt.Sprintf("%q and %q", first, t.GetName()))
			continue
		}
		byRaw[key] = t.GetName()
		n, err := onnxpb.Count(t.GetDims())
		if len(t.Dims) != 2 || err != nil || n == 0 || len(t.RawData)%n != 0 || lifted[t.GetName()] {
			continue
		}
		// Transposing leaves the diagonal, so that only matrices with the same one have to be compared.
		size := len(t.RawData) / n
		diagonal := fmt.Append(nil, t.GetDataType(), min(t.Dims[0], t.Dims[1]), max(t.Dims[0], t.Dims[1]))
		for i := range int(min(t.Dims[0], t.Dims[1])) {
			at := (i*int(t.Dims[1]) + i) * size
			diagonal = append(diagonal, t.RawData[at:at+size]...)
		}
		key = sha256.Sum256(diagonal)
		if first := byDiagonal[key]; first == nil {
			byDiagonal[key] = t
		} else if isTransposed(first, t, size) {
			transposed = append(transposed, fmt.Sprintf("%q and %q", first.GetName(), t.GetName()))
		}
	}
	return same, transposed
}

// isTransposed tells whether the matrix b is a transposed; size is that of an element in bytes.
func isTransposed(a, b *onnxpb.TensorProto, size int) bool {
	rows, columns := int(a.Dims[0]), int(a.Dims[1])
	if len(a.RawData) != len(b.RawData) || int(b.Dims[0]) != columns || int(b.Dims[1]) != rows {
		return false
	}
	for i := range rows {
		for j := range columns {
			from, to := (i*columns+j)*size, (j*rows+i)*size
			if !bytes.Equal(a.RawData[from:from+size], b.RawData[to:to+size]) {
				return false
			}
		}
	}
	return true
}
