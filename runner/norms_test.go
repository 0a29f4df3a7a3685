package runner_test

import (
	"context"
	"math"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/fixture"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// TestFileStatistics trains with the running statistics: the loss is that of the outputs in inference, and its derivative is a
// quotient of differences of such losses.
func TestFileStatistics(t *testing.T) {
	ctx := context.Background()
	file, e, err := fixture.Load("../onnxload/testdata/mnistconv_training")
	if err != nil {
		t.Fatal(err)
	}
	model, err := onnxload.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float64, len(e.X))
	for i, v := range e.X {
		x[i] = float64(v)
	}
	b := &runner.Batch{
		Inputs:  []*tensor.Dense{tensor.New(tensor.WithShape(e.Input.Shape...), tensor.WithBacking(x))},
		Targets: []*tensor.Dense{tensor.New(tensor.WithShape(len(e.Labels)), tensor.WithBacking(e.Labels))},
	}
	none := 0.0
	options := onnxload.Options{Training: true, FileStatistics: true, Dropout: &none, Dtype: tensor.Float64}
	// at returns the loss and its derivative at weights of the model.
	at := func(m *onnxload.Model) (*onnxload.Net, float64, []float64) {
		t.Helper()
		net, err := m.Build(len(e.Labels), options)
		if err != nil {
			t.Fatal(err)
		}
		loss, grad, err := runner.Gradient64(ctx, net, runner.CrossEntropy, b, 1)
		if err != nil {
			t.Fatal(err)
		}
		return net, loss, grad
	}
	net, loss, grad := at(model)
	if len(net.Stats) != 0 || len(net.Buffers) == 0 {
		t.Fatalf("%d statistics are measured, %d are there", len(net.Stats), len(net.Buffers))
	}

	inference, err := model.Build(len(e.Labels), onnxload.Options{Dtype: tensor.Float64})
	if err != nil {
		t.Fatal(err)
	}
	out, err := runner.Outputs(ctx, inference, inference.Weights(), inference.Running(), b.Inputs)
	if err != nil {
		t.Fatal(err)
	}
	want, y := 0.0, out[0].Float64s()
	classes := len(y) / len(e.Labels)
	for n, label := range e.Labels {
		sum := 0.0
		for _, v := range y[n*classes : (n+1)*classes] {
			sum += math.Exp(v)
		}
		want += (math.Log(sum) - y[n*classes+int(label)]) / float64(len(e.Labels))
	}
	if math.Abs(loss-want) > 1e-12*want {
		t.Errorf("loss %v, that of the outputs in inference is %v", loss, want)
	}

	const h = 1. / (1 << 16) // small, so that no maximum changes its place
	w := net.Weights()
	for _, p := range net.Params {
		i := (p.From + p.To) / 2
		keep := w[i]
		var losses [2]float64
		var points [2]float32
		for k, d := range []float32{-h, h} {
			w[i] = keep + d
			points[k] = w[i]
			moved, err := net.Export(w, net.Running(), onnxload.ExportOptions{})
			if err != nil {
				t.Fatal(err)
			}
			m, err := onnxload.Parse(moved)
			if err != nil {
				t.Fatal(err)
			}
			_, losses[k], _ = at(m)
		}
		w[i] = keep
		want := (losses[1] - losses[0]) / (float64(points[1]) - float64(points[0]))
		if math.Abs(grad[i]-want) > 1e-5*math.Abs(want)+1e-8 {
			t.Errorf("derivative by %s[%d] is %v, the differences give %v", p.Name, i-p.From, grad[i], want)
		}
	}
}
