package onnxload_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// TestInsertedDropout: behind the tensors that are named, and only in training, a part of the numbers is 0 and the rest is larger.
func TestInsertedDropout(t *testing.T) {
	const n = 4000
	m := model(13, list(input("x", "N", n)), list(floats("w", []int64{n})), protos{
		node("Mul", list("x", "w"), list("h")),
		node("Abs", list("h"), list("y")),
		node("Identity", list("h"), list("z")),
	}, "y", "z")
	x := make([]float64, n)
	for i := range x {
		x[i] = 1
	}
	for _, name := range []string{"h", "n_h"} { // a tensor, and the node that makes it
		net := build(t, m, 1, onnxload.Options{Training: true, Dtype: tensor.Float64, DropoutAfter: map[string]float64{name: 0.25}})
		w := net.Weights()
		out := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: x}, net.Outputs...)
		zeros := 0
		for i, v := range out[0] {
			switch {
			case v == 0:
				zeros++
			case !near(v, float64(w[i])/0.75, 1e-12):
				t.Fatalf("%s: number %d is %v, want %v", name, i, v, w[i]/0.75)
			}
			if out[1][i] != v {
				t.Fatalf("%s: two readers read %v and %v", name, v, out[1][i])
			}
		}
		if zeros < 850 || zeros > 1150 { // 1000 ± 5.5 standard deviations
			t.Errorf("%s: %d of %d numbers are 0", name, zeros, n)
		}
		same, err := net.Export(w, nil, onnxload.ExportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var p onnxpb.ModelProto
		if err := proto.Unmarshal(same, &p); err != nil || len(p.Graph.Node) != 3 || !bytes.Equal(same, marshal(m)) {
			t.Errorf("%s: the exported file is another: %v", name, err)
		}
		net = build(t, m, 1, onnxload.Options{Dtype: tensor.Float64, DropoutAfter: map[string]float64{name: 0.25}})
		for i, v := range run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: x}, net.Outputs...)[0] {
			if v != float64(w[i]) {
				t.Fatalf("%s: number %d is %v in inference, want %v", name, i, v, w[i])
			}
		}
	}
	for name, want := range map[string]string{"g": `close are "h"`, "y": "0.5"} {
		ratio := 0.5
		if name == "y" {
			ratio, want = 1, "ratio of 1"
		}
		err := buildError(t, m, 1, onnxload.Options{Training: true, DropoutAfter: map[string]float64{name: ratio}})
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
