package main

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/fixture"
)

// The verb's whole way, from files to JSON, against what PyTorch computed in float64 (models/fixtures.py): the loss within
// 1e-5, the norm of every gradient within 1e-4, or within 1e-6 of the largest norm where that is more.
func TestGradOfPyTorchsNetworks(t *testing.T) {
	for _, name := range []string{"mnistfc_training", "mnistconv_training", "allcnn_training"} {
		t.Run(name, func(t *testing.T) {
			file, want, err := fixture.Load("../../onnxload/testdata/" + name)
			if err != nil {
				t.Fatal(err)
			}
			t.Chdir(t.TempDir())
			write(t, "m.onnx", file)
			write(t, "case/input_0.pb", marshal(t, floatTensor("", want.X, want.Input.Shape...)))
			write(t, "case/target_0.pb", marshal(t, intTensor(want.Labels, len(want.Labels))))
			var got struct {
				Loss      float64
				Gradients map[string]fixture.Summary
			}
			if err := json.Unmarshal([]byte(must(t, "grad", "m.onnx", "--case", "case", "--json")), &got); err != nil {
				t.Fatal(err)
			}

			off := math.Abs(got.Loss-want.Train.Loss) / want.Train.Loss
			if off > 1e-5 {
				t.Errorf("loss %v, PyTorch %v", got.Loss, want.Train.Loss)
			}
			if len(got.Gradients) != len(want.Train.Gradients) || len(got.Gradients) < 10 {
				t.Errorf("%d gradients, PyTorch has %d", len(got.Gradients), len(want.Train.Gradients))
			}
			largest, worst := 0.0, 0.0
			for _, w := range want.Train.Gradients {
				largest = max(largest, w.L2)
			}
			for name, w := range want.Train.Gradients {
				g, ok := got.Gradients[name]
				if !ok || !slices.Equal(g.Shape, w.Shape) {
					t.Errorf("gradient of %q: %+v, PyTorch %+v", name, g, w)
				}
				if d := math.Abs(g.L2 - w.L2); d > max(1e-4*w.L2, 1e-6*largest) {
					t.Errorf("gradient of %q: l2 %v, PyTorch %v", name, g.L2, w.L2)
				} else if w.L2 > 1e-2*largest {
					worst = max(worst, d/w.L2)
				}
			}
			t.Logf("loss off by %.1e, %d norms by at most %.1e", off, len(want.Train.Gradients), worst)
		})
	}
}
