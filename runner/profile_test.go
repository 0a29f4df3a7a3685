package runner_test

import (
	"context"
	"slices"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// TestProfile looks at mnistconv, whose layers are known by name.
func TestProfile(t *testing.T) {
	s := compile(t, runner.Options{Threads: 1})
	src := source(t, 20)
	b := &runner.Batch{}
	if err := src.Read(b, []int{0, 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	grad := make([]float32, s.Dim())
	profile := func(runs int) []runner.OpCost {
		costs, err := s.Profile(context.Background(), grad, s.Net().Weights(), b, optimizer.Draw{}, runs)
		if err != nil {
			t.Fatal(err)
		}
		return costs
	}
	costs := profile(3)
	layers := map[string][]string{}
	for _, c := range costs {
		layers[c.Op] = append(layers[c.Op], c.Layer)
		if c.Bytes <= 0 || c.Time <= 0 {
			t.Errorf("%s: %v bytes in %v", c.Op, c.Bytes, c.Time)
		}
	}
	for op, want := range map[string][]string{
		"Conv":        {"/conv1/Conv", "/conv2/Conv"},
		"ConvGradX":   {"/conv2/Conv"},
		"ConvGradW":   {"/conv1/Conv", "/conv2/Conv"},
		"ConvGradB":   {"/conv2/Conv", "/conv1/Conv"},
		"BatchStats":  {"/bn1/BatchNormalization", "/bn2/BatchNormalization", "/bn3/BatchNormalization"},
		"ExtremePool": {"/pool1/MaxPool", "/pool2/MaxPool"},
	} {
		if !slices.Equal(layers[op], want) {
			t.Errorf("%s is said to be of %q, want %q", op, layers[op], want)
		}
	}
	for _, c := range profile(0) {
		if c.Time != 0 {
			t.Errorf("%s took %v without a run", c.Op, c.Time)
		}
		if c.Op == "Conv" && c.Layer == "/conv2/Conv" {
			// 4 samples of 50 maps of 4x4 positions of 20x5x5 products; 20x8x8 inputs, weights, bias, outputs.
			if want := 2.0 * 4 * 50 * 16 * 500; c.FLOPs != want {
				t.Errorf("%v operations, want %v", c.FLOPs, want)
			}
			if want := 4.0 * (4*20*64 + 50*500 + 50 + 4*50*16); c.Bytes != want {
				t.Errorf("%v bytes, want %v", c.Bytes, want)
			}
		}
	}
}
