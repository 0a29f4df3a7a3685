package runner_test

import (
	"math"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// A final Softmax or LogSoftmax is passed over: loss and gradient are those of the textbook, softmax(x) minus the label
// over the number of samples, also where a probability is rounded to 0, and where axes of length 1 come behind it.
func TestCrossEntropyOnLogits(t *testing.T) {
	x := []float64{1, -2, 0.5, 3, 0, -1, -2000, 2000, 0}
	labels := []int64{1, 0, 0}
	var loss float64
	want := make([]float64, len(x))
	for i, l := range labels {
		row := x[3*i : 3*i+3]
		top := max(row[0], row[1], row[2])
		sum := 0.0
		for _, v := range row {
			sum += math.Exp(v - top)
		}
		loss += (math.Log(sum) + top - row[l]) / 3
		for j, v := range row {
			want[3*i+j] = math.Exp(v-top) / sum / 3
		}
		want[3*i+int(l)] -= 1.0 / 3
	}
	for name, last := range map[string]func(*gorgonia.Node, int) (*gorgonia.Node, error){
		"":           func(x *gorgonia.Node, _ int) (*gorgonia.Node, error) { return x, nil },
		"Softmax":    ops.Softmax,
		"LogSoftmax": ops.LogSoftmax,
		"Softmax, reshaped": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			y, err := ops.Softmax(x, axis)
			if err == nil {
				y, err = ops.Reshape(y, tensor.Shape{3, 1, 3})
			}
			if err == nil {
				y, err = ops.Reshape(y, tensor.Shape{3, 3, 1})
			}
			return y, err
		},
		"Softmax, transposed": func(x *gorgonia.Node, _ int) (*gorgonia.Node, error) {
			y, err := ops.Transpose(x, []int{1, 0})
			if err == nil {
				y, err = ops.Softmax(y, 0)
			}
			if err == nil {
				y, err = ops.Transpose(y, []int{1, 0})
			}
			return y, err
		},
		"Softmax, clipped": func(x *gorgonia.Node, axis int) (*gorgonia.Node, error) {
			y, err := ops.Softmax(x, axis)
			if err == nil {
				y, err = ops.Clip(y, 1e-7, 1-1e-7)
			}
			return y, err
		},
	} {
		g := gorgonia.NewGraph()
		in := gorgonia.NewMatrix(g, tensor.Float64, gorgonia.WithShape(3, 3), gorgonia.WithName("x"),
			gorgonia.WithValue(tensor.New(tensor.WithShape(3, 3), tensor.WithBacking(append([]float64{}, x...)))))
		y, err := last(in, 1)
		if err != nil {
			t.Fatal(err)
		}
		of := append(tensor.Shape{3}, y.Shape()[2:]...) // the labels
		if got, _, _ := strings.Cut(name, ","); runner.EndsIn(y, of) != got {
			t.Errorf("it ends in %q, want %q", runner.EndsIn(y, of), got)
		}
		cost, targets, err := runner.CrossEntropyOnLogits(gorgonia.Nodes{y}, []tensor.Shape{of})
		if err != nil {
			t.Fatal(err)
		}
		if err := gorgonia.Let(targets[0], tensor.New(tensor.WithShape(of...), tensor.WithBacking(append([]int64{}, labels...)))); err != nil {
			t.Fatal(err)
		}
		d, err := gorgonia.Grad(cost, in)
		if err != nil {
			t.Fatal(err)
		}
		var gotLoss, gotGrad gorgonia.Value
		gorgonia.Read(cost, &gotLoss)
		gorgonia.Read(d[0], &gotGrad)
		m := gorgonia.NewTapeMachine(g)
		if err := m.RunAll(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if v := gotLoss.Data().(float64); math.Abs(v-loss) > 1e-12*loss {
			t.Errorf("%s: loss %v, want %v", name, v, loss)
		}
		for i, v := range gotGrad.Data().([]float64) {
			if math.Abs(v-want[i]) > 1e-14 {
				t.Errorf("%s: element %d of the gradient is %v, want %v", name, i, v, want[i])
			}
		}
		m.Close()
	}
	// A Softmax along another axis than that of the classes is a part of the network.
	g := gorgonia.NewGraph()
	in := gorgonia.NewTensor(g, tensor.Float64, 3, gorgonia.WithShape(2, 3, 4), gorgonia.WithName("x"))
	y, err := ops.Softmax(in, 1)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := runner.EndsIn(y, tensor.Shape{2, 4}), runner.EndsIn(y, tensor.Shape{2, 3}); a != "Softmax" || b != "" {
		t.Errorf("softmax along axis 1 ends in %q and %q", a, b)
	}
	turned, err := ops.Transpose(y, []int{0, 2, 1})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := runner.EndsIn(turned, tensor.Shape{2, 4}), runner.EndsIn(turned, tensor.Shape{2, 3}); a != "Softmax" || b != "" {
		t.Errorf("softmax along axis 1 that becomes axis 2 ends in %q and %q", a, b)
	}
	bounded, err := ops.Clip(y, 0.1, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := runner.EndsIn(bounded, tensor.Shape{2, 4}); got != "" || runner.Squashed(bounded) != "Softmax" {
		t.Errorf("a clipping that changes probabilities is passed over: %q", got)
	}
	for _, c := range []struct{ shape, labels tensor.Shape }{{tensor.Shape{2, 12}, tensor.Shape{2}}, {tensor.Shape{2, 6, 2}, tensor.Shape{2, 2}}, {tensor.Shape{6, 4}, tensor.Shape{6}}} {
		z, err := ops.Reshape(y, c.shape)
		if err != nil {
			t.Fatal(err)
		}
		if got := runner.EndsIn(z, c.labels); got != "" {
			t.Errorf("softmax along 3 of shape %v is taken for one along the classes of shape %v", y.Shape(), c.shape)
		}
	}
}
