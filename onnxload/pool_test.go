package onnxload_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// MaxPool of Relu of BatchNormalization is pooled first, unless somebody else reads what lies between.
func TestPoolFirst(t *testing.T) {
	file := func(reader string, outputs ...string) *onnxpb.ModelProto {
		nodes := []*onnxpb.NodeProto{
			node("BatchNormalization", []string{"x", "scale", "bias", "mean", "var"}, []string{"z"}),
			node("Relu", []string{"z"}, []string{"r"}),
			node("MaxPool", []string{"r"}, []string{"y"}, "kernel_shape", []int64{2, 2}, "strides", []int64{2, 2}),
		}
		if reader != "" {
			nodes = append(nodes, node("Sigmoid", []string{reader}, []string{"s"}))
		}
		return model(15, []*onnxpb.ValueInfoProto{input("x", "N", 2, 4, 6)}, []*onnxpb.TensorProto{
			floats("scale", []int64{2}, 1.5, -2), floats("bias", []int64{2}, 0.25, -0.5), floats("mean", []int64{2}, 0.1, 0.3), floats("var", []int64{2}, 2, 0.5),
		}, nodes, outputs...)
	}
	for _, c := range []struct {
		name, reader string
		outputs      []string
		first        bool
	}{
		{"alone", "", []string{"y"}, true},
		{"read elsewhere", "r", []string{"y", "s"}, false},
		{"normalised values read elsewhere", "z", []string{"y", "s"}, false},
		{"an output", "", []string{"y", "r"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := proto.Marshal(file(c.reader, c.outputs...))
			if err != nil {
				t.Fatal(err)
			}
			m, err := onnxload.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			net, err := m.Build(2, onnxload.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if first := net.Outputs[0].Op().(interface{ String() string }).String() == "Relu"; first != c.first {
				t.Errorf("the result is of %v", net.Outputs[0].Op())
			}
		})
	}
}

// Integers of 8 bits are pooled as they are, with the least as padding.
func TestMaxPoolOfIntegers(t *testing.T) {
	for elem, want := range map[onnxpb.TensorProto_DataType][]float64{onnxpb.TensorProto_INT8: {-3, 2, 127}, onnxpb.TensorProto_UINT8: {200, 255, 255}} {
		x := input("x", 1, 1, 5)
		x.Type.GetTensorType().ElemType = proto.Int32(int32(elem))
		m := model(12, list(x), nil, protos{node("MaxPool", list("x"), list("y"), "kernel_shape", []int64{3}, "strides", []int64{2}, "pads", []int64{1, 1})}, "y")
		net := build(t, m, 1, onnxload.Options{})
		in := map[onnxpb.TensorProto_DataType][]int64{onnxpb.TensorProto_INT8: {-128, -3, 2, -4, 127}, onnxpb.TensorProto_UINT8: {0, 200, 3, 255, 1}}[elem]
		if got := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: in}, net.Outputs[0])[0]; !slices.Equal(got, want) || net.OutputTypes[0] != elem.String() {
			t.Errorf("%v: %v of type %s, want %v", elem, got, net.OutputTypes[0], want)
		}
	}
}

// Where steps are longer than windows, auto_pad leaves elements out at both ends: the expected numbers are onnxruntime's.
func TestPoolsThatLeaveOut(t *testing.T) {
	for _, c := range []struct {
		auto            string
		n               int
		kernel, strides int64
		want            []float64
	}{
		{"SAME_UPPER", 6, 1, 3, []float64{1, 4}}, {"SAME_LOWER", 6, 1, 3, []float64{0, 3}}, {"SAME_UPPER", 10, 2, 5, []float64{1.5, 6.5}},
		{"SAME_LOWER", 10, 2, 5, []float64{1.5, 6.5}}, {"SAME_UPPER", 6, 1, 2, []float64{0, 2, 4}}, {"VALID", 6, 1, 3, []float64{0, 3}},
	} {
		x := make([]float64, c.n)
		for i := range x {
			x[i] = float64(i)
		}
		m := model(11, list(input("x", 1, 1, c.n)), nil, protos{node("AveragePool", list("x"), list("y"), "auto_pad", c.auto,
			"kernel_shape", []int64{c.kernel}, "strides", []int64{c.strides})}, "y")
		if got := eval(t, m, 1, x...)[0]; !slices.Equal(got, c.want) {
			t.Errorf("%+v: %v", c, got)
		}
	}
	m := model(12, list(input("x", 1, 1, 6)), nil, protos{node("MaxPool", list("x"), list("y", "at"), "auto_pad", "SAME_UPPER",
		"kernel_shape", []int64{1}, "strides", []int64{3})}, "y", "at")
	if err := buildError(t, m, 1, onnxload.Options{}); !strings.Contains(err.Error(), "leaves elements out") {
		t.Error(err)
	}
}
