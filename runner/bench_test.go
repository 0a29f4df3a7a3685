package runner_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/models"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// gradient returns a function that computes one gradient of an embedded network, dropout included, on a
// mini-batch of random numbers.
func gradient(t testing.TB, name string, batch, threads int) func() {
	t.Helper()
	return gradientOf(t, name, batch, threads, onnxload.Options{})
}

// gradientOf is gradient with options of the graph.
func gradientOf(t testing.TB, name string, batch, threads int, o onnxload.Options) func() {
	t.Helper()
	file, err := models.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	model, err := onnxload.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	o.Training = true
	net, err := model.Build(batch, o)
	if err != nil {
		t.Fatal(err)
	}
	step, err := runner.Compile(net, runner.CrossEntropy, runner.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	in, out := net.Inputs[0].Shape(), net.Outputs[0].Shape()
	classes := out[len(out)-1]
	labels := func(shape ...int) *tensor.Dense {
		y := make([]int64, tensor.Shape(shape).TotalSize())
		for i := range y {
			y[i] = r.Int64N(int64(classes))
		}
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(y))
	}
	b := &runner.Batch{Targets: []*tensor.Dense{labels(out[:len(out)-1]...)}}
	if net.Inputs[0].Dtype() == tensor.Int64 {
		b.Inputs = []*tensor.Dense{labels(in...)}
	} else {
		x := make([]float32, in.TotalSize())
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		b.Inputs = []*tensor.Dense{tensor.New(tensor.WithShape(in...), tensor.WithBacking(x))}
	}
	weights, grad := net.Weights(), make([]float32, step.Dim())
	ctx := context.Background()
	var eval uint64
	return func() {
		if _, err := step.Grad(ctx, grad, weights, b, optimizer.Draw{Eval: eval}); err != nil {
			t.Fatal(err)
		}
		eval++
	}
}

func TestGradAllocatesNothing(t *testing.T) {
	for _, name := range []string{"mnistfc", "mnistconv", "charlstm"} {
		if n := testing.AllocsPerRun(5, gradient(t, name, 16, 2)); n != 0 {
			t.Errorf("%s: %v allocations a gradient", name, n)
		}
	}
}

func BenchmarkGradient(b *testing.B) {
	for _, name := range []string{"mnistfc", "mnistconv", "allcnn", "charlstm"} {
		b.Run(name, func(b *testing.B) {
			run := gradient(b, name, 128, 0)
			run()
			b.ReportAllocs()
			for b.Loop() {
				run()
			}
		})
	}
}
