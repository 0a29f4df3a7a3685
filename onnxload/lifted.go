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
	parameterTarget = regexp.MustCompile(`: PARAMETER target='([^']*)'`)
	quoted          = regexp.MustCompile(`'([^']*)'`)
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
	parameters := map[string]bool{}
	for _, e := range slices.Concat(m.proto.MetadataProps, m.proto.Graph.MetadataProps) {
		if e.GetKey() != metaSignature {
			continue
		}
		for _, match := range parameterTarget.FindAllStringSubmatch(e.GetValue(), -1) {
			parameters[match[1]] = true
		}
	}
	found := map[string]bool{}
	if len(parameters) > 0 {
		for _, t := range m.proto.Graph.Initializer { // numbers of which nothing is said below
			n, _ := onnxpb.Count(t.GetDims())
			found[t.GetName()] = n == 1 && !parameters[t.GetName()]
		}
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
