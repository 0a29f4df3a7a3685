package runner_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/fixture"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// mnistReference is the Reference of a fixture.
func mnistReference(t *testing.T) (*runner.Reference, *onnxload.Net, fixture.Expected) {
	t.Helper()
	file, want, err := fixture.Load("../onnxload/testdata/mnistconv_training")
	if err != nil {
		t.Fatal(err)
	}
	model, err := onnxload.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float64, len(want.X))
	for i, v := range want.X {
		x[i] = float64(v)
	}
	b := &runner.Batch{
		Inputs:  []*tensor.Dense{tensor.New(tensor.WithShape(want.Input.Shape...), tensor.WithBacking(x))},
		Targets: []*tensor.Dense{tensor.New(tensor.WithShape(len(want.Labels)), tensor.WithBacking(want.Labels))},
	}
	zero := 0.0
	net, err := model.Build(len(want.Labels), onnxload.Options{Training: true, Dropout: &zero, Dtype: tensor.Float64})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := runner.NewReference(net, runner.CrossEntropy, b, 0)
	if err != nil {
		t.Fatal(err)
	}
	return ref, net, want
}

// PyTorch's numbers are of double precision too, so little is between them.
func TestReferenceIsPyTorchs(t *testing.T) {
	ref, net, want := mnistReference(t)
	loss, grad, err := ref.Grad(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(loss-want.Train.Loss) > 1e-9 {
		t.Errorf("loss %v, PyTorch %v", loss, want.Train.Loss)
	}
	for _, p := range net.Params {
		square, sum := 0.0, 0.0
		for _, g := range grad[p.From:p.To] {
			square += g * g
			sum += g
		}
		w := want.Train.Gradients[p.Name]
		if math.Abs(math.Sqrt(square)-w.L2) > 1e-8 || math.Abs(sum-w.Sum) > 1e-8 {
			t.Errorf("gradient of %q: l2 %v, sum %v; PyTorch %v, %v", p.Name, math.Sqrt(square), sum, w.L2, w.Sum)
		}
	}
}

// TestReferenceFollowsItsWeights takes the derivative along the gradient by differences of losses.
func TestReferenceFollowsItsWeights(t *testing.T) {
	ref, _, _ := mnistReference(t)
	ctx := context.Background()
	_, g, err := ref.Grad(ctx)
	if err != nil {
		t.Fatal(err)
	}
	along, square := append([]float64(nil), g...), 0.0
	for _, v := range along {
		square += v * v
	}
	const h = 1e-5
	var losses [2]float64
	for k, by := range []float64{h, -2 * h} {
		for i, v := range along {
			ref.Weights()[i] += by * v
		}
		if losses[k], _, err = ref.Grad(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if slope := (losses[0] - losses[1]) / (2 * h); math.Abs(slope-square) > 1e-6*square {
		t.Errorf("the loss grows by %v along a gradient whose square is %v", slope, square)
	}
}

func TestReferenceWantsDoublePrecision(t *testing.T) {
	file, want, err := fixture.Load("../onnxload/testdata/mnistconv_training")
	if err != nil {
		t.Fatal(err)
	}
	model, err := onnxload.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	net, err := model.Build(len(want.Labels), onnxload.Options{Training: true})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = runner.Gradient64(context.Background(), net, runner.CrossEntropy, &runner.Batch{}, 0)
	if err == nil || !strings.Contains(err.Error(), "Dtype Float64") {
		t.Errorf("error %v", err)
	}
}
