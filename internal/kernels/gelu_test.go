package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

// normalPhi and normalDensity belong to the normal distribution.
func normalPhi(x float64) float64     { return 0.5 * math.Erfc(-x/math.Sqrt2) }
func normalDensity(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }

// TestComposedActivations compares float32 results with formulas in float64, at every level, in place and over more than one
// piece: within 4 units in the last place of the larger of x and the result.
func TestComposedActivations(t *testing.T) {
	const c = 0.044715
	u := func(x float64) float64 { return math.Sqrt(2/math.Pi) * (x + c*x*x*x) }
	for _, f := range []struct {
		name    string
		run     func(y, x []float32)
		want    func(x float64) float64
		product bool // a factor of dy is what the function computes
	}{
		{"Gelu", Gelu[float32], func(x float64) float64 { return x * normalPhi(x) }, false},
		{"GeluGrad", func(y, x []float32) { GeluGrad(y, x, y) }, func(x float64) float64 { return normalPhi(x) + x*normalDensity(x) }, true},
		{"GeluTanh", GeluTanh[float32], func(x float64) float64 { return x / (1 + math.Exp(-2*u(x))) }, false},
		{"GeluTanhGrad", func(y, x []float32) { GeluTanhGrad(y, x, y) }, func(x float64) float64 {
			s := 1 / (1 + math.Exp(-2*u(x)))
			return s + x*2*s*(1-s)*math.Sqrt(2/math.Pi)*(1+3*c*x*x)
		}, true},
		{"Swish", func(y, x []float32) { Swish(y, x, 1.5) }, func(x float64) float64 { return x / 2 * (1 + math.Tanh(0.75*x)) }, false},
		{"SwishGrad", func(y, x []float32) { SwishGrad(y, x, y, 1.5) }, func(x float64) float64 {
			s := 1 / (1 + math.Exp(-1.5*x))
			return s + 1.5*x*s*(1-s)
		}, true},
		{"HardSwish", HardSwish[float32], func(x float64) float64 { return x * max(0, min(1, (x+3)/6)) }, false},
	} {
		t.Run(f.name, func(t *testing.T) {
			eachLevel(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(9, 9))
				for _, n := range []int{0, 1, 15, passLen, 2*passLen + 33} {
					x, y := guarded(t, make([]float32, n)), guarded(t, make([]float32, n))
					for i := range x {
						x[i] = float32(4 * r.NormFloat64())
						y[i] = 1
					}
					f.run(y, x)
					for i, v := range x {
						want := f.want(float64(v))
						if scale := max(math.Abs(float64(v)), math.Abs(want), 1e-3); !(math.Abs(float64(y[i])-want) <= 4*scale/(1<<23)) {
							t.Fatalf("%s(%g) is %g, want %g", f.name, v, y[i], want)
						}
					}
					if !f.product {
						f.run(x, x)
						for i := range x {
							if !sameBits(x[i], y[i]) {
								t.Fatalf("element %d in place: %g, not %g", i, x[i], y[i])
							}
						}
					}
				}
			})
		})
	}
	for name, run := range map[string]func(y, x []float32){"Gelu": Gelu[float32], "Swish": func(y, x []float32) { Swish(y, x, 1) }, "HardSwish": HardSwish[float32]} {
		x := []float32{float32(math.NaN()), float32(math.Inf(1)), 0}
		if run(x, x); x[0] == x[0] || !math.IsInf(float64(x[1]), 1) || x[2] != 0 {
			t.Errorf("%s of NaN, infinity and 0 is %v", name, x)
		}
	}
}

func BenchmarkGelu(b *testing.B) {
	x := make([]float32, 1<<14)
	for i := range x {
		x[i] = float32(i%100-50) / 10
	}
	y := make([]float32, len(x))
	b.SetBytes(int64(8 * len(x)))
	for b.Loop() {
		Gelu(y, x)
	}
}
