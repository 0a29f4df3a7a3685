package onnxload

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// Keys of the metadata in which torch.onnx.export (dynamo=True, seen from version 2.6 to 2.15) writes where a tensor
// comes from: on the value's ValueInfoProto, and for the whole program on the model or on its graph.
const (
	metaKind       = "pkg.torch.export.graph_signature.InputSpec.kind"
	metaFoldedFrom = "pkg.onnxscript.optimizer.folded_from"
	metaSignature  = "pkg.torch.export.ExportedProgram.graph_signature"
)

var (
	target = regexp.MustCompile(`: (PARAMETER|BUFFER) target='([^']*)'`)
	quoted = regexp.MustCompile(`'([^']*)'`)
)

// lifted returns the initializers that the file says are no parameters of the module it was exported from: buffers
// and constants of the program, and what was computed of these alone.
func (m *Model) lifted() map[string]bool {
	if isWeight := m.weightRule(); isWeight != nil {
		found := map[string]bool{}
		for _, t := range m.proto.Graph.Initializer {
			found[t.GetName()] = !isWeight(t)
		}
		return found
	}
	parameters, _ := m.signature()
	found := map[string]bool{}
	for _, t := range m.proto.Graph.Initializer { // of those that the loop behind this one says nothing of, numbers
		name := t.GetName()
		n, _ := onnxpb.Count(t.GetDims())
		found[name] = m.ofSpectralNorm(name) || len(parameters) > 0 && n == 1 && !parameters[name]
	}
	for _, v := range m.proto.Graph.ValueInfo {
		if _, ok := m.info.initializer[v.GetName()]; !ok {
			continue
		}
		for _, e := range v.MetadataProps {
			switch e.GetKey() {
			case metaKind:
				found[v.GetName()] = e.GetValue() == "BUFFER" || e.GetValue() == "CONSTANT_TENSOR"
			case metaFoldedFrom:
				of := quoted.FindAllStringSubmatch(e.GetValue(), -1)
				found[v.GetName()] = len(parameters) > 0 && !slices.ContainsFunc(of, func(s []string) bool { return parameters[s[1]] })
			}
		}
	}
	return found
}

// ofSpectralNorm tells whether a tensor is one of the two vectors that torch.nn.utils.spectral_norm keeps beside the weight it divides.
func (m *Model) ofSpectralNorm(name string) bool {
	for _, end := range []string{"_u", "_v"} {
		if of, ok := strings.CutSuffix(name, end); ok && m.isInitializer(of+"_orig") {
			return true
		}
	}
	return false
}

// signature returns what the file says the parameters and the buffers of the module are called.
func (m *Model) signature() (parameters, buffers map[string]bool) {
	parameters, buffers = map[string]bool{}, map[string]bool{}
	for _, e := range slices.Concat(m.proto.MetadataProps, m.proto.Graph.MetadataProps) {
		if e.GetKey() != metaSignature {
			continue
		}
		for _, match := range target.FindAllStringSubmatch(e.GetValue(), -1) {
			if match[1] == "PARAMETER" {
				parameters[match[2]] = true
			} else {
				buffers[match[2]] = true
			}
		}
	}
	return parameters, buffers
}

// weightRule tells the weights among the initializers of a file whose exporter makes initializers of the numbers of a program too;
// nil for other exporters. PyTorch's write such numbers as Constants, or as isNumber says.
//
// tf2onnx has epsilons and zero states without an axis; a variable of TensorFlow is named after the ReadVariableOp that reads it.
// skl2onnx names weights by scikit-learn's coef_, coefs_ and intercept_, and has the 1 of 1-p and what the steps of a pipeline
// before the network do to the data, which was made to suit the data and not to be trained.
func (m *Model) weightRule() func(t *onnxpb.TensorProto) bool {
	switch m.exporter() {
	case "tf2onnx":
		return func(t *onnxpb.TensorProto) bool {
			return len(t.GetDims()) > 0 || strings.Contains(t.GetName(), "ReadVariableOp")
		}
	case "skl2onnx":
		return func(t *onnxpb.TensorProto) bool {
			return len(t.GetDims()) > 0 && (strings.HasPrefix(t.GetName(), "coef") || strings.HasPrefix(t.GetName(), "intercept"))
		}
	}
	return nil
}

// exporter is the name of the program that wrote the file.
func (m *Model) exporter() string { return m.proto.GetProducerName() }

// isNumber recognises a number of the program that PyTorch's exporter (dynamo=True) has made an initializer: one element,
// and named val_ and a number. A parameter has the name of its attribute.
func (s *source) isNumber() bool {
	var k int
	n, err := fmt.Sscanf(s.name, "val_%d", &k)
	return s.size() == 1 && n == 1 && err == nil
}

// isMask recognises what is added to scores so that softmax leaves positions out: it holds infinities, or numbers
// that no sum of weights comes near.
func (s *source) isMask() bool {
	x, err := s.tensor.Floats()
	limit := float32(1e30)
	if s.elem() == int32(onnxpb.TensorProto_FLOAT16) {
		limit = 6e4
	}
	return err == nil && slices.ContainsFunc(x, func(v float32) bool { return math.Abs(float64(v)) >= float64(limit) })
}

// ofLayer recognises the names of the parameters of PyTorch's layers, and those that its exporter makes: onnx::MatMul_12, or 12.
var ofLayer = regexp.MustCompile(`(weight|bias)[^.]*$|^onnx::|^[0-9]+$`)

// perhapsBuffers lists the trained tensors of a file of PyTorch's that may be buffers: it does not say which are, and they are not called as
// parameters of layers are.
func (m *Model) perhapsBuffers() []string {
	if parameters, _ := m.signature(); m.exporter() != "pytorch" || len(parameters) > 0 {
		return nil
	}
	var out []string
	ends, lifted := m.ends(), m.lifted()
	for i, t := range m.proto.Graph.Initializer {
		s := sourceOf(t.GetName(), t, i, -1)
		s.lifted = lifted[s.name]
		if _, read := ends[s.name]; read && len(s.shape) > 0 && s.trainable(false) && !ofLayer.MatchString(s.name) {
			out = append(out, fmt.Sprintf("%q", s.name))
		}
	}
	return out
}

var (
	numbered = regexp.MustCompile(`_\d+$`)
	// arrangement has what torch.export calls the values of operators that only put numbers elsewhere or make constants, and val, which the
	// exporter calls those of its own.
	arrangement = regexp.MustCompile(`^(val|t|transpose|permute|numpy_T|view|_unsafe_view|reshape|unsqueeze|squeeze|select|slice|getitem|unbind|split|chunk|` +
		`flatten|unflatten|expand|embedding|contiguous|clone|alias|detach|to|_to_copy|zeros|ones|full|arange)$`)
)

// computed lists the weights that torch.onnx.export (dynamo=True) has computed of parameters of the module, each with these:
// its optimizer folds whatever no input goes into. Matrices that it only transposed, or took a part of, are not among them. The names are
// a guess, as an operator that it takes apart has values called val.
func (m *Model) computed() []string {
	parameters, buffers := m.signature()
	for _, in := range m.Inputs { // of which only the shape can have been known
		buffers[in.Name] = true
	}
	var out []string
	lifted, ends := m.lifted(), m.ends()
	for _, v := range m.proto.Graph.ValueInfo {
		i, ok := m.info.initializer[v.GetName()]
		_, read := ends[v.GetName()]
		if !ok || !read || lifted[v.GetName()] || !onnxpb.IsFloat(m.proto.Graph.Initializer[i].GetDataType()) {
			continue
		}
		for _, e := range v.MetadataProps {
			if e.GetKey() != metaFoldedFrom {
				continue
			}
			of, calculated := []string{}, false
			for _, s := range append(quoted.FindAllStringSubmatch(e.GetValue(), -1), []string{"", v.GetName()}) {
				switch name := s[1]; {
				case parameters[name]:
					of = append(of, name)
				case !buffers[name]:
					calculated = calculated || !arrangement.MatchString(numbered.ReplaceAllString(name, ""))
				}
			}
			if len(of) > 0 && calculated {
				out = append(out, fmt.Sprintf("%q of %s", v.GetName(), strings.Join(of, " and ")))
			}
		}
	}
	return out
}
