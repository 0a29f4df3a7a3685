package onnxload_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

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
