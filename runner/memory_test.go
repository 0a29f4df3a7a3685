package runner_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/models"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// TestMaxMemory: what does not fit is refused before it is allocated, with the name of what takes most.
func TestMaxMemory(t *testing.T) {
	b, err := models.Open("mnistconv")
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnxload.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	step := func(limit int64) *runner.Step {
		net, err := m.Build(16, onnxload.Options{Training: true, MaxMemory: limit})
		if err != nil {
			t.Fatal(err)
		}
		s, err := runner.Compile(net, runner.CrossEntropy, runner.Options{Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	batch := func(n int) *runner.Batch {
		return &runner.Batch{Inputs: []*tensor.Dense{tensor.New(tensor.WithShape(n, 1, 28, 28), tensor.Of(tensor.Float32))},
			Targets: []*tensor.Dense{tensor.New(tensor.WithShape(n), tensor.Of(tensor.Int64))}}
	}
	refused := func(err error, parts ...string) {
		t.Helper()
		var e *onnxload.MemoryError
		if !errors.As(err, &e) || e.Need <= e.Limit {
			t.Fatal(err)
		}
		for _, p := range append(parts, "--max-memory") {
			if !strings.Contains(err.Error(), p) {
				t.Errorf("%v\nlacks %s", err, p)
			}
		}
	}
	s := step(64 << 20)
	x, grad := s.Net().Weights(), make([]float32, s.Dim())
	if _, err := s.Grad(context.Background(), grad, x, batch(16), optimizer.Draw{}); err != nil {
		t.Fatal(err)
	}
	large := batch(1000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = s.Grad(context.Background(), grad, x, large, optimizer.Draw{})
	runtime.ReadMemStats(&after)
	refused(err, `node "/conv1/Conv"`, "(1000, 20, 24, 24)", "smaller batch")
	if n := after.TotalAlloc - before.TotalAlloc; n > 8<<20 {
		t.Errorf("%d MB were allocated", n>>20)
	}
	// What all batches together take counts.
	refused(step(4<<20).Reserve(batch(16), batch(64)), "smaller batch")
	refused(func() error {
		s := step(20 << 20)
		return errors.Join(s.Reserve(batch(16), batch(16)), s.Reserve(batch(300), batch(16)))
	}(), "/conv1/Conv")
	// So does the optimizer's state: of Parle three vectors and the gradient for each replica, and a machine each.
	replicas := &optimizer.Parle{N: 8}
	refused(step(12<<20).Fits(replicas), "the optimizer's state")
	one, eight := step(24<<20), step(24<<20)
	if err := eight.Fits(replicas); err != nil {
		t.Fatal(err)
	}
	if err := one.Reserve(batch(16), nil); err != nil {
		t.Fatal(err)
	}
	refused(eight.Reserve(batch(16), nil), "smaller batch")
}
