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
	file, err := models.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	model, err := onnxload.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	net, err := model.Build(batch, onnxload.Options{Training: true})
	if err != nil {
		t.Fatal(err)
	}
	step, err := runner.Compile(net, runner.CrossEntropy, runner.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	shape := net.Inputs[0].Shape()
	x, y := make([]float32, shape.TotalSize()), make([]int64, batch)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	for i := range y {
		y[i] = int64(r.IntN(10))
	}
	b := &runner.Batch{
		Inputs:  []*tensor.Dense{tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))},
		Targets: []*tensor.Dense{tensor.New(tensor.WithShape(batch), tensor.WithBacking(y))},
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
	for _, name := range []string{"mnistfc", "mnistconv"} {
		if n := testing.AllocsPerRun(5, gradient(t, name, 16, 2)); n != 0 {
			t.Errorf("%s: %v allocations a gradient", name, n)
		}
	}
}

func BenchmarkGradient(b *testing.B) {
	for _, name := range []string{"mnistfc", "mnistconv", "allcnn"} {
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
