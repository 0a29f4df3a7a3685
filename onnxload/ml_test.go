package onnxload_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

func ml(n *onnxpb.NodeProto) *onnxpb.NodeProto {
	n.Domain = proto.String("ai.onnx.ml")
	return n
}

// A classifier as skl2onnx converts sklearn.neural_network.MLPClassifier: the label is looked up in a table of classes.
func TestLabelsOfScikitLearn(t *testing.T) {
	m := model(17, list(input("x", "N", 2)), list(
		floats("coefficient", []int64{2, 3}, 1, 0, -1, 0, 1, 0.5), floats("intercepts", []int64{1, 3}, 0, 0, 0.25),
		ints("classes", 7, 5, 9), ints("shape", -1),
	), protos{
		node("MatMul", list("x", "coefficient"), list("a")),
		node("Add", list("a", "intercepts"), list("b")),
		node("Softmax", list("b"), list("probabilities")),
		node("ArgMax", list("probabilities"), list("k"), "axis", 1, "keepdims", 1),
		ml(node("ArrayFeatureExtractor", list("classes", "k"), list("c"))),
		node("Reshape", list("c", "shape"), list("label")),
	}, "label", "probabilities")
	m.Graph.Output[0].Type.GetTensorType().ElemType = proto.Int32(int32(onnxpb.TensorProto_INT64))
	m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("ai.onnx.ml"), Version: proto.Int64(1)})
	net := build(t, m, 3, onnxload.Options{Dtype: tensor.Float64})
	got := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: []float64{3, 1, 1, 3, -3, 0}}, net.Outputs...)
	if want := []float64{7, 5, 9}; !slices.Equal(got[0], want) {
		t.Errorf("labels %v, want %v", got[0], want)
	}
	if len(net.Params) != 2 {
		t.Errorf("%d parameters; the coefficients and intercepts are 2", len(net.Params))
	}
}

func TestWhatToDoAboutScikitLearn(t *testing.T) {
	for op, remedy := range map[string]string{"ZipMap": "'zipmap': False", "LinearRegressor": "torch.nn.Linear", "Scaler": "do this one to the data", "SVMRegressor": "only ArrayFeatureExtractor"} {
		m := model(17, list(input("x", "N", 2)), nil, protos{ml(node(op, list("x"), list("y")))}, "y")
		m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("ai.onnx.ml"), Version: proto.Int64(1)})
		if err := buildError(t, m, 1, onnxload.Options{}); !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s: %v", op, err)
		}
	}
}
