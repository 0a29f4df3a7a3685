package ops

import (
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// drawn runs an operator that draws numbers, its parts from the last to the first.
func drawn(t *testing.T, n *gorgonia.Node, env Env) *Buf {
	t.Helper()
	op := n.Op().(Op)
	out := poisoned(n.Dtype(), n.Shape())
	for phase, parts := range op.Phases() {
		for part := parts - 1; part >= 0; part-- {
			if err := op.Run(&env, 0, phase, part, out, []*Buf{NewBuf(n.Dtype(), nil)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

func scalarInput(dt tensor.Dtype) *gorgonia.Node {
	return gorgonia.NewScalar(gorgonia.NewGraph(), dt, gorgonia.WithName("any"))
}

// TestRandomStream takes each number alone from the generator.
func TestRandomStream(t *testing.T) {
	const n = chunk + 261
	env := Env{Seed: 5, Replica: 2, Eval: 77}
	s := rng.Stream{Seed: 5, Purpose: rng.Random + 3, Replica: 2, Eval: 77}
	normal, err := RandomNormal(scalarInput(tensor.Float64), []int{n}, 2, 3, 3)
	if err != nil {
		t.Fatal(err)
	}
	uniform, err := RandomUniform(scalarInput(tensor.Float64), []int{n}, -1, 3, 3)
	if err != nil {
		t.Fatal(err)
	}
	a, b := drawn(t, normal, env).F64, drawn(t, uniform, env).F64
	var one [1]float32
	for i := range n {
		s.Normals(one[:], i)
		if want := 2 + 3*float64(one[0]); a[i] != want {
			t.Fatalf("normal number %d is %v, want %v", i, a[i], want)
		}
		if want := -1 + 4*float64(rng.Uniform(s.Block(uint32(i / 4))[i%4])); b[i] != want {
			t.Fatalf("uniform number %d is %v, want %v", i, b[i], want)
		}
	}
	env.Eval++
	if c := drawn(t, normal, env).F64; slices.Equal(a[:8], c[:8]) {
		t.Error("the next gradient has the same numbers")
	}
}

// TestRandomMoments compares the first four moments with those of the distributions, within five standard errors.
func TestRandomMoments(t *testing.T) {
	const n = 1 << 17
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		normal, err := RandomNormal(scalarInput(dt), []int{n / 256, 256}, 0, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		uniform, err := RandomUniform(scalarInput(dt), []int{n / 256, 256}, 0, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			of      *gorgonia.Node
			moments [8]float64 // of order 1 to 8
		}{
			{normal, [8]float64{0, 1, 0, 3, 0, 15, 0, 105}},
			{uniform, [8]float64{1. / 2, 1. / 3, 1. / 4, 1. / 5, 1. / 6, 1. / 7, 1. / 8, 1. / 9}},
		} {
			x := drawn(t, c.of, Env{Seed: 1})
			for k := 1; k <= 4; k++ {
				sum := 0.0
				for i := range n {
					v := 0.0
					if dt == tensor.Float64 {
						v = x.F64[i]
					} else {
						v = float64(x.F32[i])
					}
					sum += math.Pow(v, float64(k))
				}
				want := c.moments[k-1]
				e := math.Sqrt((c.moments[2*k-1] - want*want) / n)
				if got := sum / n; math.Abs(got-want) > 5*e {
					t.Errorf("%v: moment %d is %v, want %v ± %v", c.of.Op(), k, got, want, e)
				}
			}
		}
	}
}

// TestRandomGrad differentiates mu + sigma*e: the derivative by sigma is e.
func TestRandomGrad(t *testing.T) {
	for _, f := range []func(*gorgonia.Node, []int, float64, float64, uint32) (*gorgonia.Node, error){RandomNormal, RandomUniform} {
		checkGrad(t, func(g *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
			e, err := f(in[0], in[0].Shape(), 0.5, 1.5, 0)
			if err != nil {
				return nil, err
			}
			if e, err = Mul(e, in[1]); err != nil {
				return nil, err
			}
			return Add(in[0], e)
		}, randn(1, 3, 5), randn(2, 3, 5))
	}
}

func TestRandomErrors(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		if _, err := RandomNormal(scalarInput(tensor.Float32), []int{2}, 0, bad, 0); err == nil {
			t.Errorf("a deviation of %v is taken", bad)
		}
	}
	if _, err := RandomUniform(scalarInput(tensor.Int64), []int{2}, 0, 1, 0); err == nil {
		t.Error("an integer operand is taken")
	}
	if _, err := RandomUniform(scalarInput(tensor.Float32), []int{1 << 18, 1 << 17}, 0, 1, 0); err == nil {
		t.Error("more numbers than a stream has are taken")
	}
}
