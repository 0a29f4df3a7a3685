package runner_test

import (
	"context"
	"slices"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/runner"
)

// TestPredictor uses two predictors in turns, with weights that differ, between changes of weights in place and
// evaluations: all give what a new Step gives.
func TestPredictor(t *testing.T) {
	ctx := context.Background()
	s := compile(t, runner.Options{Threads: 2})
	src := source(t, 20)
	b := &runner.Batch{}
	if err := src.Read(b, []int{0, 1, 2}); err != nil {
		t.Fatal(err)
	}
	running := s.Net().Running()
	fresh := func(x []float32) []float32 {
		t.Helper()
		y, err := compile(t, runner.Options{Threads: 1}).Predict(ctx, x, running, b)
		if err != nil {
			t.Fatal(err)
		}
		return y.Float32s()
	}
	a := s.Net().Weights()
	c := slices.Clone(a)
	for i := range c {
		c[i] *= 0.75
	}
	pa, pc := s.Predictor(a, running), s.Predictor(c, running)
	for range 2 {
		for _, p := range []struct {
			of *runner.Predictor
			x  []float32
		}{{pa, a}, {pa, a}, {pc, c}} {
			y, err := p.of.Predict(ctx, b)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(y.Float32s(), fresh(p.x)) {
				t.Error("a predictor's outputs are not those of its weights")
			}
		}
	}
	for range 2 {
		a[0]++
		y, err := s.Predict(ctx, a, running, b)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(y.Float32s(), fresh(a)) {
			t.Error("Predict did not see a change of the weights")
		}
		got, err := s.Evaluate(ctx, a, running, src)
		if err != nil {
			t.Fatal(err)
		}
		want, err := compile(t, runner.Options{Threads: 1}).Evaluate(ctx, a, running, src)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("Evaluate gives %+v, a new Step %+v", got, want)
		}
	}
}
