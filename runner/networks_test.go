package runner_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/fixture"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// recordedNetwork is a file of testdata/networks. models/recording.py says what is in it, in double precision: of PyTorch's networks,
// of those whose names begin with keras_ TensorFlow's, and with sklearn_ scikit-learn's.
type recordedNetwork struct {
	Inputs    []recordedTensor
	Target    recordedTensor
	Kind      string // of the loss
	Loss      float64
	Output    recordedTensor
	Trained   string // name of the output that is trained, else the first
	Gradients map[string]recordedGradient
}

type recordedTensor struct {
	Shape []int
	Data  []float64
}

type recordedGradient struct {
	fixture.Summary
	Dot float64
}

// networks calls f with every network of testdata/networks.
func networks(t *testing.T, f func(t *testing.T, m *onnxload.Model, want *recordedNetwork)) {
	paths, err := filepath.Glob("testdata/networks/*.onnx.gz")
	if err != nil || len(paths) < 60 {
		t.Fatalf("%d networks in testdata (%v)", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".onnx.gz"), func(t *testing.T) {
			m, err := onnxload.Parse(unzip(t, path))
			if err != nil {
				t.Fatal(err)
			}
			want := new(recordedNetwork)
			if err := json.Unmarshal(unzip(t, strings.TrimSuffix(path, ".onnx.gz")+".json.gz"), want); err != nil {
				t.Fatal(err)
			}
			f(t, m, want)
		})
	}
}

// TestGradientsOfNetworks compares loss and every gradient with the recorded ones, both in double precision; constants that the
// exporters round to single precision, such as the epsilon of normalisation and the factors of Gelu, are between them.
func TestGradientsOfNetworks(t *testing.T) {
	networks(t, func(t *testing.T, m *onnxload.Model, want *recordedNetwork) {
		b := want.batch(m, tensor.Float64)
		net := want.build(t, m, b, onnxload.Options{Training: true, Dropout: new(float64), Dtype: tensor.Float64})
		net.Outputs[0] = net.Outputs[want.output(net)] // which the losses take
		loss, grad, err := runner.Gradient64(context.Background(), net, want.loss(t), b, 0)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(loss-want.Loss) > 1e-8*want.Loss {
			t.Errorf("loss %v, recorded %v", loss, want.Loss)
		}
		want.compare(t, net, func(i int) float64 { return grad[i] }, 1e-6)
	})
}

// TestSinglePrecisionOfNetworks does so with the gradient that training uses, and compares the outputs of inference.
func TestSinglePrecisionOfNetworks(t *testing.T) {
	networks(t, func(t *testing.T, m *onnxload.Model, want *recordedNetwork) {
		b := want.batch(m, tensor.Float32)
		net := want.build(t, m, b, onnxload.Options{Training: true, Dropout: new(float64)})
		step, err := runner.Compile(net, want.loss(t), runner.Options{Dropout: new(float64), Output: want.output(net)})
		if err != nil {
			t.Fatal(err)
		}
		grad := make([]float32, step.Dim())
		loss, err := step.Grad(context.Background(), grad, net.Weights(), b, optimizer.Draw{})
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(loss-want.Loss) > 1e-5*want.Loss {
			t.Errorf("loss %v, recorded %v", loss, want.Loss)
		}
		want.compare(t, net, func(i int) float64 { return float64(grad[i]) }, 1e-3)

		y, err := step.Predict(context.Background(), net.Weights(), net.Running(), b)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal([]int(y.Shape()), want.Output.Shape) {
			t.Fatalf("outputs of shape %v, recorded %v", y.Shape(), want.Output.Shape)
		}
		for i, w := range want.Output.Data {
			if got := float64(y.Data().([]float32)[i]); math.Abs(got-w) > 1e-5*math.Max(1, math.Abs(w)) {
				t.Fatalf("output %d is %v, recorded %v", i, got, w)
			}
		}
	})
}

// compare holds the gradients, of which g is element i, against the recorded: tol is a part of each one's length, or of 1e-4
// of the longest.
func (r *recordedNetwork) compare(t *testing.T, net *onnxload.Net, g func(i int) float64, tol float64) {
	t.Helper()
	longest := 0.0
	for _, w := range r.Gradients {
		longest = max(longest, w.L2)
	}
	missing := maps.Clone(r.Gradients)
	for _, p := range net.Params {
		w, ok := r.Gradients[p.Name]
		if !ok || !slices.Equal(p.Shape, w.Shape) {
			t.Errorf("parameter %q of shape %v is not among the recorded", p.Name, p.Shape)
			continue
		}
		delete(missing, p.Name)
		// Values of a tensor named so are the numbers that dot weighs with.
		u := fixture.Tensor{Name: p.Name, Shape: p.Shape, Bound: 1}.Values()
		var square, sum, dot float64
		for i := p.From; i < p.To; i++ {
			square += g(i) * g(i)
			sum += g(i)
			dot += g(i) * float64(u[i-p.From])
		}
		limit := tol * max(w.L2, 1e-4*longest)
		if l2 := math.Sqrt(square); math.Abs(l2-w.L2) > limit || math.Abs(dot-w.Dot) > limit {
			t.Errorf("gradient of %q: l2 %v, weighed sum %v; recorded %v, %v", p.Name, l2, dot, w.L2, w.Dot)
		}
		if math.Abs(sum-w.Sum) > limit*math.Sqrt(float64(p.To-p.From)) {
			t.Errorf("gradient of %q: sum %v, recorded %v", p.Name, sum, w.Sum)
		}
	}
	for name := range missing {
		t.Errorf("%q is not trained", name)
	}
}

func (r *recordedNetwork) build(t *testing.T, m *onnxload.Model, b *runner.Batch, o onnxload.Options) *onnxload.Net {
	t.Helper()
	o.Shapes = map[string][]int{}
	for i, x := range b.Inputs {
		o.Shapes[m.Inputs[i].Name] = x.Shape()
	}
	net, err := m.Build(b.Inputs[0].Shape()[0], o)
	if err != nil {
		t.Fatal(err)
	}
	return net
}

func (r *recordedNetwork) output(net *onnxload.Net) int {
	return max(0, slices.Index(net.OutputNames, r.Trained))
}

func (r *recordedNetwork) loss(t *testing.T) runner.Loss {
	t.Helper()
	l, err := runner.LossByName(r.Kind)
	if err != nil {
		t.Fatal(err)
	}
	if r.Kind == "cross-entropy" {
		return runner.OnLogits(l)
	}
	return l
}

func (r *recordedNetwork) batch(m *onnxload.Model, floats tensor.Dtype) *runner.Batch {
	b := &runner.Batch{}
	for i, x := range r.Inputs {
		b.Inputs = append(b.Inputs, x.dense(m.Inputs[i].Type == "FLOAT", floats))
	}
	b.Targets = []*tensor.Dense{r.Target.dense(r.Kind == "mse" || r.Kind == "bce", floats)}
	return b
}

func (x recordedTensor) dense(float bool, floats tensor.Dtype) *tensor.Dense {
	var data any = x.Data
	switch {
	case !float:
		data = converted[int64](x.Data)
	case floats == tensor.Float32:
		data = converted[float32](x.Data)
	}
	return tensor.New(tensor.WithShape(x.Shape...), tensor.WithBacking(data))
}

func converted[T int64 | float32](x []float64) []T {
	y := make([]T, len(x))
	for i, v := range x {
		y[i] = T(v)
	}
	return y
}

func unzip(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
