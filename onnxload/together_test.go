package onnxload_test

import (
	"fmt"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// Relu and Dropout are computed with the BatchNormalization before them, unless somebody else reads what lies between.
func TestNormReluTogether(t *testing.T) {
	for _, c := range []struct {
		reader    string // of another node
		output    string // besides y
		want      string // operator of y in training
		inference string
	}{
		{"", "", "BatchNormTrainReluDropout", "BatchNormRelu"},
		{"z", "s", "Dropout", "Relu"},
		{"r", "s", "Dropout", "BatchNormRelu"},
		{"", "z", "Dropout", "Relu"},
		{"", "r", "Dropout", "BatchNormRelu"},
	} {
		t.Run(fmt.Sprintf("%s read, output %s", c.reader, c.output), func(t *testing.T) {
			nodes := protos{
				node("BatchNormalization", list("x", "scale", "bias", "mean", "var"), list("z")),
				node("Relu", list("z"), list("r")),
				node("Dropout", list("r"), list("y")),
			}
			outputs := list("y")
			if c.reader != "" {
				nodes = append(nodes, node("Sigmoid", list(c.reader), list("s")))
			}
			if c.output != "" {
				outputs = append(outputs, c.output)
			}
			m := model(11, []*onnxpb.ValueInfoProto{input("x", "N", 2)}, []*onnxpb.TensorProto{
				floats("scale", []int64{2}, 1.5, -2), floats("bias", []int64{2}, 0.25, -0.5), floats("mean", []int64{2}, 0.1, 0.3), floats("var", []int64{2}, 2, 0.5),
			}, nodes, outputs...)
			for training, want := range map[bool]string{true: c.want, false: c.inference} {
				net := build(t, m, 4, onnxload.Options{Training: training})
				if got := fmt.Sprint(net.Outputs[0].Op()); got != want {
					t.Errorf("training %v: the result is of %s, want %s", training, got, want)
				}
				if net.Random != training {
					t.Errorf("training %v: random %v", training, net.Random)
				}
			}
		})
	}
}
