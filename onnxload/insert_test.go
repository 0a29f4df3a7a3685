package onnxload_test

import (
	"bytes"
	"slices"
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
	// Names of which it cannot be said what they mean, and what has no place.
	names := model(13, list(input("x", "N", 4)), nil, protos{node("Abs", list("x"), list("n_b")), node("Neg", list("n_b"), list("b")),
		node("Constant", nil, list("k"), "value", floats("", []int64{4})), node("Add", list("b", "k"), list("y"))}, "y")
	for _, c := range []struct {
		after map[string]float64
		want  string
	}{
		{map[string]float64{"n_b": 0.5}, `dropout after "n_b": 2 nodes or tensors have that name; say which by another name: "n_n_b" of node "n_n_b" (Abs, opset 13), "b" of node "n_b" (Neg, opset 13)`},
		{map[string]float64{"y": 0.5, "n_y": 0.25}, `dropout after "n_y" and after "y" is twice after one tensor`},
		{map[string]float64{"k": 0.5}, `dropout after "k": it is no tensor of floating-point numbers that is computed from the data`},
	} {
		for _, training := range []bool{true, false} {
			if err := buildError(t, names, 1, onnxload.Options{Training: training, DropoutAfter: c.after}); !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		}
	}
	build(t, names, 1, onnxload.Options{Training: true, DropoutAfter: map[string]float64{"n_n_b": 0.5, "b": 0.5, "y": 0}})
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

// Each output of a node has a mask of its own, whatever else is dropped.
func TestInsertedMasks(t *testing.T) {
	const n = 1000
	m := model(13, list(input("x", "N", 2*n)), nil, protos{node("Split", list("x"), list("a", "b"), "axis", 1), node("Abs", list("a"), list("y")), node("Abs", list("b"), list("z"))}, "y", "z")
	x := make([]float64, 2*n)
	for i := range x {
		x[i] = 1
	}
	net := build(t, m, 1, onnxload.Options{Training: true, Dtype: tensor.Float64, DropoutAfter: map[string]float64{"a": 0.5, "b": 0.5, "z": 0}})
	out := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: x}, net.Outputs...)
	alike := 0
	for i := range out[0] {
		if out[0][i] == out[1][i] {
			alike++
		}
	}
	if alike < 410 || alike > 590 { // 500 ± 5.7 standard deviations
		t.Errorf("%d of %d numbers of two outputs are dropped alike", alike, n)
	}
	alone := build(t, m, 1, onnxload.Options{Training: true, Dtype: tensor.Float64, DropoutAfter: map[string]float64{"b": 0.5}})
	if got := run(t, alone, map[*gorgonia.Node]any{alone.Inputs[0]: x}, alone.Outputs...); !slices.Equal(got[1], out[1]) {
		t.Error("a mask depends on what else is dropped")
	}
}
