package onnxload_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// TestRandomOperators draws, and compares means and deviations with those that the attributes ask for, within five standard errors.
func TestRandomOperators(t *testing.T) {
	const n = 4000
	x := slices.Repeat([]float64{0.25}, n)
	for name, c := range map[string]struct {
		nodes     protos
		mean, dev float64
	}{
		"normal":       {protos{node("RandomNormal", nil, list("y"), "shape", []int64{1, n}, "mean", 3.0, "scale", 2.0)}, 3, 2},
		"normal like":  {protos{node("RandomNormalLike", list("x"), list("y"))}, 0, 1},
		"uniform":      {protos{node("RandomUniform", nil, list("y"), "shape", []int64{1, n}, "low", -1.0, "high", 2.0)}, 0.5, 3 / math.Sqrt(12)},
		"uniform like": {protos{node("RandomUniformLike", list("x"), list("y"))}, 0.5, 1 / math.Sqrt(12)},
		"bernoulli":    {protos{node("Bernoulli", list("x"), list("y"))}, 0.25, math.Sqrt(0.25 * 0.75)},
		"difference": {protos{node("RandomNormalLike", list("x"), list("a")), node("RandomNormalLike", list("x"), list("b")),
			node("Sub", list("a", "b"), list("y"))}, 0, math.Sqrt2},
	} {
		got := eval(t, model(15, list(input("x", "N", n)), nil, append(c.nodes, node("Identity", list("x"), list("z"))), "y", "z"), 1, x...)[0]
		sum, squares := 0.0, 0.0
		for _, v := range got {
			sum += v
			squares += (v - c.mean) * (v - c.mean)
		}
		if mean := sum / n; len(got) != n || math.Abs(mean-c.mean) > 5*c.dev/math.Sqrt(n) {
			t.Errorf("%s: %d numbers of mean %v, want %d of %v", name, len(got), mean, n, c.mean)
		}
		if dev := math.Sqrt(squares / n); math.Abs(dev-c.dev) > 0.05*c.dev {
			t.Errorf("%s: deviation %v, want %v", name, dev, c.dev)
		}
	}
}

// TestReparameterisation trains the deviation of noise, as a variational autoencoder does: scores x + exp(w)*e have by w the
// derivative of the scores times exp(w)*e.
func TestReparameterisation(t *testing.T) {
	m := model(15, list(input("x", "N", 3)), list(floats("w", []int64{3})), protos{
		node("RandomNormalLike", list("x"), list("e")),
		node("Exp", list("w"), list("s")),
		node("Mul", list("e", "s"), list("d")),
		node("Add", list("x", "d"), list("y")),
	}, "y", "e")
	x, labels := waves(6), []int64{2, 0}
	net := build(t, m, 2, onnxload.Options{Training: true, Dtype: tensor.Float64})
	_, grads := gradients(t, net, x, labels)
	e := eval(t, m, 2, x...)[1]
	w := net.Weights()
	want := make([]float64, 3)
	for b, label := range labels {
		var y [3]float64
		sum := 0.0
		for k := range y {
			y[k] = x[3*b+k] + math.Exp(float64(w[k]))*e[3*b+k]
			sum += math.Exp(y[k])
		}
		for k := range y {
			d := math.Exp(y[k]) / sum / 2
			if int64(k) == label {
				d -= 0.5
			}
			want[k] += d * math.Exp(float64(w[k])) * e[3*b+k]
		}
	}
	for k := range want {
		if !near(grads[0][k], want[k], 1e-12) {
			t.Errorf("derivative by weight %d is %v, want %v", k, grads[0][k], want[k])
		}
	}
}

func TestRandomErrors(t *testing.T) {
	for name, c := range map[string]struct {
		nodes protos
		want  string
	}{
		"type":  {protos{node("RandomNormal", nil, list("r"), "shape", []int64{3}, "dtype", 7), node("Add", list("x", "r"), list("y"))}, "INT64"},
		"shape": {protos{node("RandomNormal", nil, list("r"), "shape", []int64{1 << 20, 1 << 20}), node("Add", list("x", "r"), list("y"))}, "elements"},
	} {
		err := buildError(t, model(15, list(input("x", "N", 3)), nil, c.nodes, "y"), 2, onnxload.Options{})
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
