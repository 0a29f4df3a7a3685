package ops

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A Sigmoid is found behind what only reorders or clips it, and its logits come in the order of the output.
func TestBinaryLogits(t *testing.T) {
	turned := func(x *gorgonia.Node) (*gorgonia.Node, error) { return Transpose(x, []int{1, 0}) }
	chain := func(last func(*gorgonia.Node) (*gorgonia.Node, error)) builder {
		return of1(func(x *gorgonia.Node) (*gorgonia.Node, error) {
			y, err := last(x)
			if err == nil {
				y, err = turned(y)
			}
			if err == nil {
				y, err = Reshape(y, []int{2, 3, 1})
			}
			return y, err
		})
	}
	found := chain(func(x *gorgonia.Node) (*gorgonia.Node, error) {
		y, err := Sigmoid(x)
		if err == nil {
			y, err = Clip(y, 1e-7, 1-1e-7)
		}
		return y, err
	})
	logits := func(g *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		y, err := found(g, in)
		if err != nil {
			return nil, err
		}
		if !EndsInSigmoid(y) {
			t.Error("the Sigmoid is not found")
		}
		return BinaryLogits(y)
	}
	x := randn(1, 3, 2)
	checkValues(t, logits, func(i int) float64 { return at64(x, i%3*2+i/3) }, x)

	// Written out, with and without a node for -x.
	for name, minus := range map[string]func(*gorgonia.Node) (*gorgonia.Node, error){
		"1/(1+exp(-x))":   Neg,
		"1/(1+exp(-1*x))": func(x *gorgonia.Node) (*gorgonia.Node, error) { return Scale(x, -1) },
	} {
		checkValues(t, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) {
			one := gorgonia.NewScalar(x.Graph(), x.Dtype(), gorgonia.WithName("one"), gorgonia.WithValue(oneOf(x.Dtype())))
			z, err := minus(x)
			if err == nil {
				z, err = Exp(z)
			}
			if err == nil {
				z, err = Add(one, z)
			}
			if err == nil {
				z, err = Div(one, z)
			}
			if err != nil {
				return nil, err
			}
			if !EndsInSigmoid(z) {
				t.Errorf("%s is not found", name)
			}
			return BinaryLogits(z)
		}), func(i int) float64 { return at64(x, i) }, x)
	}

	g := gorgonia.NewGraph()
	y, err := chain(Tanh)(g, []*gorgonia.Node{newInput(g, tensor.Float64, "x", []int{3, 2})})
	if err != nil {
		t.Fatal(err)
	}
	if z, err := BinaryLogits(y); err != nil || z != y || EndsInSigmoid(y) {
		t.Errorf("tanh is taken for a Sigmoid: %v", err)
	}
}

// The loss works on rows as they were before a Transpose; the derivative by the output has the output's order all the same.
func TestOutputOrder(t *testing.T) {
	const steps, samples, n = 3, 2, 4
	x, target := randn(1, steps, samples, n), labels(2, n, samples, steps)
	want := make([]float64, samples*steps*n)
	for s := range samples {
		for k := range steps {
			at, sum := (k*samples+s)*n, 0.0
			for c := range n {
				sum += math.Exp(at64(x, at+c))
			}
			to := (s*steps + k) * n
			for c := range n {
				want[to+c] = math.Exp(at64(x, at+c)) / sum / (samples * steps)
			}
			want[to+int(target.Data().([]int64)[s*steps+k])] -= 1.0 / (samples * steps)
		}
	}
	checkValues(t, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		y, err := Transpose(in[0], []int{1, 0, 2})
		if err != nil {
			return nil, err
		}
		loss, err := CrossEntropy(y, in[1])
		if err != nil {
			return nil, err
		}
		scores, _ := Scores(loss)
		d, err := gorgonia.Grad(loss, scores)
		if err != nil {
			return nil, err
		}
		return OutputOrder(loss, d[0])
	}, func(i int) float64 { return want[i] }, x, target)
}

func oneOf(dt tensor.Dtype) gorgonia.Value {
	if dt == tensor.Float64 {
		return gorgonia.NewF64(1)
	}
	return gorgonia.NewF32(1)
}
