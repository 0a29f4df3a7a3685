package onnxload_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/fixture"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// The networks that PyTorch exported give the numbers that PyTorch gives for them. Both compute in float64, so
// only the fixtures' rounding to 1e-11 and the order of sums are between them.
func TestAgreesWithPyTorch(t *testing.T) {
	for _, name := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && strings.HasPrefix(name, "allcnn") {
				t.Skip("slow")
			}
			b, want, err := fixture.Load("testdata/" + name)
			if err != nil {
				t.Fatal(err)
			}
			m, err := onnxload.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			zero := 0.0
			batch := want.Input.Shape[0]
			net, err := m.Build(batch, onnxload.Options{Training: true, Dropout: &zero, Dtype: tensor.Float64})
			if err != nil {
				t.Fatal(err)
			}
			loss, grads := gradients(t, net, want.X, want.Labels)
			if !near(loss, want.Train.Loss, 1e-9) {
				t.Errorf("loss %v, PyTorch has %v", loss, want.Train.Loss)
			}
			if len(net.Params) != len(want.Train.Gradients) {
				t.Errorf("%d parameters, PyTorch has %d", len(net.Params), len(want.Train.Gradients))
			}
			for i, p := range net.Params {
				s, ok := want.Train.Gradients[p.Name]
				if !ok {
					t.Errorf("parameter %q is none of PyTorch's", p.Name)
					continue
				}
				if got := norm(grads[i]); !near(got, s.L2, 1e-8) {
					t.Errorf("gradient of %q has norm %v, PyTorch has %v", p.Name, got, s.L2)
				}
				if got := total(grads[i]); !near(got, s.Sum, 1e-8) {
					t.Errorf("gradient of %q has sum %v, PyTorch has %v", p.Name, got, s.Sum)
				}
			}
			statistics(t, net, want)

			infer, err := m.Build(batch, onnxload.Options{Dtype: tensor.Float64})
			if err != nil {
				t.Fatal(err)
			}
			out := run(t, infer, map[*gorgonia.Node]any{infer.Inputs[0]: want.X}, infer.Outputs[0])
			for i, v := range out[0] {
				if !near(v, want.Infer.Output[i], 1e-9) {
					t.Fatalf("output %d is %v, PyTorch has %v", i, v, want.Infer.Output[i])
				}
			}
		})
	}
}

func statistics(t *testing.T, net *onnxload.Net, want fixture.Expected) {
	if len(net.Stats) != len(want.Train.Statistics) {
		t.Fatalf("%d BatchNormalizations, PyTorch has %d", len(net.Stats), len(want.Train.Statistics))
	}
	var nodes []*gorgonia.Node
	for _, s := range net.Stats {
		nodes = append(nodes, s.Node)
	}
	if len(nodes) == 0 {
		return
	}
	out := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: want.X}, nodes...)
	for i, w := range want.Train.Statistics {
		s := net.Stats[i]
		c := len(out[i]) / 2
		mean, variance := net.Buffers[s.Mean], net.Buffers[s.Var]
		if mean.Name != w.MeanName || variance.Name != w.VarName || s.Count != w.Count || s.Unbiased != (want.Opset < 14) {
			t.Errorf("statistics %d are for %q and %q over %d elements (unbiased: %v), want %+v", i, mean.Name, variance.Name, s.Count, s.Unbiased, w)
		}
		if !near(norm(out[i][:c]), w.Mean.L2, 1e-9) || !near(norm(out[i][c:]), w.Var.L2, 1e-9) {
			t.Errorf("statistics of %q have norms %v and %v, want %v and %v", s.Layer, norm(out[i][:c]), norm(out[i][c:]), w.Mean.L2, w.Var.L2)
		}
	}
}

// fixtures returns the names of what models/fixtures.py recorded.
func fixtures(t testing.TB) []string {
	files, err := filepath.Glob("testdata/*.onnx.gz")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures in testdata", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".onnx.gz")
		if _, err := os.Stat("testdata/" + files[i] + ".json"); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func norm(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v * v
	}
	return math.Sqrt(s)
}

func total(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s
}
