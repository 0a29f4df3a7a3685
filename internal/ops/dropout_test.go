package ops

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// drop runs Dropout on x with the given Env and returns the result.
func drop(t *testing.T, env Env, ratio float64, number uint32, x []float64) []float64 {
	t.Helper()
	g := gorgonia.NewGraph()
	n, err := Dropout(newInput(g, tensor.Float64, "x", []int{len(x)}), ratio, number)
	if err != nil {
		t.Fatal(err)
	}
	op := n.Op().(Op)
	out := poisoned(tensor.Float64, []int{len(x)})
	for phase, parts := range op.Phases() {
		for part := parts - 1; part >= 0; part-- {
			if err := op.Run(&env, 0, phase, part, out, []*Buf{{Shape: []int{len(x)}, F64: x}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out.F64
}

func ones(n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = 1
	}
	return x
}

// TestDropoutMask computes the mask from its definition, element by element.
func TestDropoutMask(t *testing.T) {
	const n = 2*chunk + 7
	env := Env{Seed: 11, Replica: 3, Eval: 1<<40 + 5}
	const ratio, number = 0.3, 2
	got := drop(t, env, ratio, number, ones(n))
	s := rng.Stream{Seed: 11, Purpose: rng.Dropout + 2, Replica: 3, Eval: 1<<40 + 5}
	for i, v := range got {
		want := 0.0
		if float64(s.Block(uint32(i / 4))[i%4]) >= ratio*(1<<32) {
			want = 1 / (1 - ratio)
		}
		if v != want {
			t.Fatalf("element %d is %v, want %v", i, v, want)
		}
	}
}

func TestDropoutStatistics(t *testing.T) {
	const n = 1 << 17
	for _, ratio := range []float64{0.1, 0.25, 0.5, 0.9} {
		kept := 0
		pairs := 0 // neighbours that are both kept
		y := drop(t, Env{Seed: 1}, ratio, 0, ones(n))
		for i, v := range y {
			if v != 0 {
				kept++
				if i > 0 && y[i-1] != 0 {
					pairs++
				}
			}
		}
		p := 1 - ratio
		// Five standard deviations of a binomial distribution; neighbours have a little more than p^2's.
		if d := math.Abs(float64(kept) - p*n); d > 5*math.Sqrt(n*p*ratio) {
			t.Errorf("ratio %v: %d of %d are kept", ratio, kept, n)
		}
		if d := math.Abs(float64(pairs) - p*p*n); d > 10*math.Sqrt(n*p*p*(1-p*p)) {
			t.Errorf("ratio %v: %d pairs of %d are kept", ratio, pairs, n)
		}
	}
	if y := drop(t, Env{}, 1, 0, ones(100)); sum(y) != 0 {
		t.Error("ratio 1 keeps an element")
	}
}

func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}

// TestDropoutStreams asks that every field of Env, and the number, changes the mask.
func TestDropoutStreams(t *testing.T) {
	base := drop(t, Env{Seed: 1}, 0.5, 0, ones(256))
	for name, other := range map[string][]float64{
		"seed":    drop(t, Env{Seed: 2}, 0.5, 0, ones(256)),
		"replica": drop(t, Env{Seed: 1, Replica: 1}, 0.5, 0, ones(256)),
		"eval":    drop(t, Env{Seed: 1, Eval: 1}, 0.5, 0, ones(256)),
		"number":  drop(t, Env{Seed: 1}, 0.5, 1, ones(256)),
	} {
		same := 0
		for i := range base {
			if base[i] == other[i] {
				same++
			}
		}
		if same < 88 || same > 168 { // 128 +- 5 standard deviations
			t.Errorf("another %s: %d of 256 elements are the same", name, same)
		}
	}
}

func TestDropoutGrad(t *testing.T) {
	build := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Dropout(x, 0.4, 7) })
	for _, shape := range [][]int{{}, {5}, {3, 7}} {
		checkGrad(t, build, distinct(1, shape...))
	}
	// The derivative's mask is the output's, across parts.
	x := fill(func(int) float64 { return 1 }, 2*chunk+9)
	in := []*Buf{{Shape: x.Shape(), F64: x.Float64s()}}
	tr := newTrial(t, build, tensor.Float64, in, []int{0})
	out := tr.eval(t, in, append(gorgonia.Nodes{tr.out}, tr.deriv...)...)
	for i, y := range out[0].F64 {
		if d := out[1].F64[i]; d != y*weight(i) {
			t.Fatalf("element %d is %v, its derivative %v", i, y, d/weight(i))
		}
	}
}

func TestDropoutRatio(t *testing.T) {
	g := gorgonia.NewGraph()
	x := newInput(g, tensor.Float32, "x", []int{3})
	if y, err := Dropout(x, 0, 0); err != nil || y != x {
		t.Errorf("ratio 0 gives %v, %v, not x itself", y, err)
	}
	for _, ratio := range []float64{-0.1, 1.1, math.NaN()} {
		if _, err := Dropout(x, ratio, 0); err == nil {
			t.Errorf("ratio %v is accepted", ratio)
		}
	}
}
