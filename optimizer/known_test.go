package optimizer

import (
	"math"
	"slices"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// The chain x' = x' - eta'(h x') + noise around x = 0, h = a + gamma, on f = a/2 x^2, forgets its start and has
// the variance eps^2 / (h (2 - eta' h)) for noise of sqrt(eta') eps a step, and twice that for the programs'
// sqrt(2 eta') eps. All weights are independent copies of it, and a sample variance of n normals has the
// standard error sqrt(2/n).
func TestStationaryVariance(t *testing.T) {
	const n, a = 40000, 1.5
	for _, compat := range []Compat{Paper, Lua, Torch} {
		m := &EntropySGD{L: 1000, LR: 1, InnerLR: 0.2, Alpha: 0.5, Noise: 0.3, Gamma: 0.5, Seed: 12, Compat: compat}
		s := m.Init(make([]float32, n), nil)
		grad := make([]float32, n)
		for range 60 { // (1 - 0.2*2)^60 = 5e-14
			for i, p := range s.Vecs[vecProbe] {
				grad[i] = a * p
			}
			m.Tell(s, []Result{{Grad: grad}})
		}
		h := a + m.Gamma
		want := m.Noise * m.Noise / (h * (2 - m.InnerLR*h))
		if compat != Paper {
			want *= 2
		}
		var squares float64
		for _, p := range s.Vecs[vecProbe] {
			squares += float64(p) * float64(p)
		}
		off := squares/n/want - 1
		t.Logf("%q: variance %.6f, want %.6f, %.1f standard errors off", compat, squares/n, want, off/math.Sqrt(2.0/n))
		if math.Abs(off) > 4*math.Sqrt(2.0/n) {
			t.Errorf("%q: variance %v, want %v", compat, squares/n, want)
		}
	}
}

// The mean of mu_L over a run with several outer steps follows the affine recursion
// x <- (1-eta) x + eta E[mu_L | x], where E[mu_L | x] is linear in x on a quadratic around c.
func TestMeanOfManyOuterSteps(t *testing.T) {
	const n, a, c, outer = 40000, 2.0, -1.0, 5
	m := &EntropySGD{L: 8, LR: 0.7, InnerLR: 0.15, Alpha: 0.75, Noise: 0.4, Gamma: 0.9, Seed: 21}
	s := m.Init(slices.Repeat([]float32{2}, n), nil)
	grad := make([]float32, n)
	mean, variance := 2.0, 0.0
	for range outer {
		probe, mu, spread := mean, mean, 0.0
		rate := 1 - m.InnerLR*(a+m.Gamma)
		for range m.L {
			probe = rate*probe + m.InnerLR*(a*c+m.Gamma*mean)
			mu = (1-m.Alpha)*mu + m.Alpha*probe
		}
		for k := range m.L { // the noise of step k in mu_L
			var w, at float64
			at = 1
			for l := k; l < m.L; l++ {
				w = (1-m.Alpha)*w + m.Alpha*at
				at *= rate
			}
			spread += w * w * m.InnerLR * m.Noise * m.Noise
		}
		// d mu_L / d x, from the same recursion with x = 1 and c = 0.
		p1, m1 := 1.0, 1.0
		for range m.L {
			p1 = rate*p1 + m.InnerLR*m.Gamma
			m1 = (1-m.Alpha)*m1 + m.Alpha*p1
		}
		mean = (1-m.LR)*mean + m.LR*mu
		gain := 1 - m.LR + m.LR*m1
		variance = gain*gain*variance + m.LR*m.LR*spread
		for range m.L {
			for i, p := range s.Vecs[vecProbe] {
				grad[i] = float32(a * (float64(p) - c))
			}
			m.Tell(s, []Result{{Grad: grad}})
		}
		var sum float64
		for _, x := range m.Params(s) {
			sum += float64(x)
		}
		off := (sum/n - mean) / math.Sqrt(variance/n)
		t.Logf("outer step %d: mean %.6f, want %.6f, %.1f standard errors off", s.Outer, sum/n, mean, off)
		if math.Abs(off) > 4 {
			t.Errorf("outer step %d: mean %v, want %v", s.Outer, sum/n, mean)
		}
	}
}

// valleys is a function of ten weights with two valleys: a wide one around (2, 0, ...) with the value 0 at its
// lowest, and a sharp one around 0 that is twenty times as narrow and lower.
type valleys struct{}

const (
	valleysDim = 10
	depth      = 3.0
	width      = 0.15
	curvature  = 0.5
)

// at is the value at x, its gradient, and whether x is in the sharp valley.
func (valleys) at(grad, x []float32) (value float64, sharp bool) {
	var near float64
	for i, v := range x {
		d := float64(v)
		near += d * d
		if i == 0 {
			d -= 2
		}
		value += curvature / 2 * d * d
		grad[i] = float32(curvature * d)
	}
	bump := depth * math.Exp(-near/(2*width*width))
	for i, v := range x {
		grad[i] += float32(bump * float64(v) / (width * width))
	}
	return value - bump, near < 9*width*width
}

// From starts in the sharp valley, SGD ends at its bottom and Entropy-SGD in the wide valley, of a higher value,
// for as many gradients at the same rate. So Entropy-SGD prefers width, as the paper claims; it does not just
// descend better. With the noise off it stays where SGD does.
func TestTwoValleys(t *testing.T) {
	const runs, gradients = 100, 4000
	var sgd, entropy, quiet int
	for seed := range uint64(runs) {
		start := make([]float32, valleysDim)
		rng.Stream{Seed: seed, Purpose: rng.Init}.Normals(start, 0)
		for i := range start {
			start[i] *= 0.03
		}
		end := func(m Settled) bool {
			s := m.Init(start, nil)
			grad := make([]float32, valleysDim)
			for range gradients / m.OuterEvals() * m.OuterEvals() {
				valleys{}.at(grad, m.Ask(s, nil)[0].Point)
				m.Tell(s, []Result{{Grad: grad}})
			}
			_, sharp := valleys{}.at(grad, m.Params(s))
			return sharp
		}
		e := &EntropySGD{L: 20, LR: 1, InnerLR: 0.005, Alpha: 0.75, Noise: 1, Gamma: 0.05, Seed: seed}
		if end(&SGD{LR: e.InnerLR}) {
			sgd++
		}
		if !end(e) {
			entropy++
		}
		e.Noise = 0
		if end(e) {
			quiet++
		}
	}
	t.Logf("of %d runs of %d gradients: SGD ends in the sharp valley in %d, Entropy-SGD in the wide one in %d, without noise in the sharp one in %d",
		runs, gradients, sgd, entropy, quiet)
	if sgd != runs || entropy < 95 || quiet != runs {
		t.Error("Entropy-SGD does not tell wide from sharp")
	}
}
