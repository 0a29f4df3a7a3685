package runner_test

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/fixture"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// fixtures calls f with each network that PyTorch exported and evaluated in float64.
func fixtures(t *testing.T, f func(t *testing.T, s *runner.Step, b *runner.Batch, e fixture.Expected)) {
	paths, err := filepath.Glob("../onnxload/testdata/*.json")
	if err != nil || len(paths) < 9 {
		t.Fatalf("%d fixtures in onnxload/testdata (%v)", len(paths), err)
	}
	for _, p := range paths {
		p = strings.TrimSuffix(p, ".json")
		t.Run(filepath.Base(p), func(t *testing.T) {
			file, e, err := fixture.Load(p)
			if err != nil {
				t.Fatal(err)
			}
			model, err := onnxload.Parse(file)
			if err != nil {
				t.Fatal(err)
			}
			net, err := model.Build(len(e.Labels), onnxload.Options{Training: true})
			if err != nil {
				t.Fatal(err)
			}
			step, err := runner.Compile(net, runner.CrossEntropy, runner.Options{Dropout: new(float64)})
			if err != nil {
				t.Fatal(err)
			}
			f(t, step, &runner.Batch{
				Inputs:  []*tensor.Dense{tensor.New(tensor.WithShape(e.Input.Shape...), tensor.WithBacking(e.X))},
				Targets: []*tensor.Dense{tensor.New(tensor.WithShape(len(e.Labels)), tensor.WithBacking(e.Labels))},
			}, e)
		})
	}
}

// TestGradientsArePyTorchs compares the loss and the norm of every parameter's gradient, in training mode.
// float32 torch itself is within 2e-6 of the float64 norms.
func TestGradientsArePyTorchs(t *testing.T) {
	fixtures(t, func(t *testing.T, s *runner.Step, b *runner.Batch, e fixture.Expected) {
		grad := make([]float32, s.Dim())
		loss, err := s.Grad(context.Background(), grad, s.Net().Weights(), b, optimizer.Draw{})
		if err != nil {
			t.Fatal(err)
		}
		if d := math.Abs(loss-e.Train.Loss) / e.Train.Loss; d > 1e-5 {
			t.Errorf("loss %v, PyTorch %v: relative distance %.1e", loss, e.Train.Loss, d)
		}
		var largest float64
		for _, w := range e.Train.Gradients {
			largest = max(largest, w.L2)
		}
		if len(s.Net().Params) != len(e.Train.Gradients) {
			t.Errorf("%d parameters, PyTorch has %d", len(s.Net().Params), len(e.Train.Gradients))
		}
		worst := 0.0
		for _, p := range s.Net().Params {
			want, ok := e.Train.Gradients[p.Name]
			if !ok {
				t.Errorf("parameter %q is none of PyTorch's", p.Name)
				continue
			}
			var sum, square float64
			for _, g := range grad[p.From:p.To] {
				sum += float64(g)
				square += float64(g) * float64(g)
			}
			l2 := math.Sqrt(square)
			if d := math.Abs(l2 - want.L2); d > 1e-4*want.L2+1e-6*largest {
				t.Errorf("gradient of %q: l2 %v, PyTorch %v", p.Name, l2, want.L2)
			} else if want.L2 > 1e-3*largest {
				worst = max(worst, d/want.L2)
			}
			// A sum of n terms of either sign is uncertain by more than its own size.
			if d := math.Abs(sum - want.Sum); d > 1e-4*want.L2*math.Sqrt(float64(p.To-p.From))+1e-5*largest {
				t.Errorf("gradient of %q: sum %v, PyTorch %v", p.Name, sum, want.Sum)
			}
		}
		t.Logf("loss within %.1e, %d gradients within %.1e", math.Abs(loss-e.Train.Loss)/e.Train.Loss, len(s.Net().Params), worst)
	})
}

// TestOutputsArePyTorchs compares the outputs in inference mode.
func TestOutputsArePyTorchs(t *testing.T) {
	fixtures(t, func(t *testing.T, s *runner.Step, b *runner.Batch, e fixture.Expected) {
		y, err := s.Predict(context.Background(), s.Net().Weights(), s.Net().Running(), b)
		if err != nil {
			t.Fatal(err)
		}
		got := y.Data().([]float32)
		if len(got) != len(e.Infer.Output) {
			t.Fatalf("%d outputs, PyTorch has %d", len(got), len(e.Infer.Output))
		}
		var scale float64
		for _, w := range e.Infer.Output {
			scale = max(scale, math.Abs(w))
		}
		for i, w := range e.Infer.Output {
			if d := math.Abs(float64(got[i]) - w); d > 1e-5*scale {
				t.Errorf("output %d is %v, PyTorch's %v", i, got[i], w)
			}
		}
	})
}

// TestStatisticsArePyTorchs re-estimates running statistics on one batch, where they are the batch's own.
func TestStatisticsArePyTorchs(t *testing.T) {
	fixtures(t, func(t *testing.T, s *runner.Step, b *runner.Batch, e fixture.Expected) {
		src, err := runner.NewMemory(b.Inputs, b.Targets)
		if err != nil {
			t.Fatal(err)
		}
		running, err := s.Statistics(context.Background(), s.Net().Weights(), src, 1000, len(e.Labels))
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Net().Stats) != len(e.Train.Statistics) {
			t.Fatalf("%d BatchNormalizations, PyTorch has %d", len(s.Net().Stats), len(e.Train.Statistics))
		}
		for i, st := range s.Net().Stats {
			want := e.Train.Statistics[i]
			correction := 1.0 // to the biased variance that was recorded
			if e.Opset < 14 {
				correction = float64(want.Count) / float64(want.Count-1)
			}
			for _, c := range []struct {
				what   string
				buffer onnxload.Buffer
				sum    float64
				l2     float64
			}{
				{"mean", s.Net().Buffers[st.Mean], want.Mean.Sum, want.Mean.L2},
				{"variance", s.Net().Buffers[st.Var], want.Var.Sum * correction, want.Var.L2 * correction},
			} {
				var sum, square float64
				for _, v := range running[c.buffer.From:c.buffer.To] {
					sum += float64(v)
					square += float64(v) * float64(v)
				}
				if math.Abs(sum-c.sum) > 1e-5*c.l2*math.Sqrt(float64(c.buffer.To-c.buffer.From)) || math.Abs(math.Sqrt(square)-c.l2) > 1e-5*c.l2 {
					t.Errorf("%s %q: sum %v, l2 %v; PyTorch %v, %v", c.what, c.buffer.Name, sum, math.Sqrt(square), c.sum, c.l2)
				}
			}
		}
	})
}
