package optimizer

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// slope is the gradient of the tests: element by element, different for each mini-batch, and not linear.
func slope(i int, x float32, batch uint64) float32 {
	target := float32(math.Sin(float64(i)*0.7 + float64(batch)*1.3))
	d := x - target
	return d / (1 + d*d)
}

// weights returns n starting weights.
func weights(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.Cos(float64(i)))
	}
	return x
}

// advance gives a method evals gradients and losses.
func advance(m Method, s *State, evals int) {
	var q []Query
	var r []Result
	for evals > 0 {
		q = m.Ask(s, q[:0])
		for len(r) < len(q) {
			r = append(r, Result{Grad: make([]float32, len(m.Params(s)))})
		}
		for k := range q {
			for i, x := range q[k].Point {
				r[k].Grad[i] = slope(i, x, q[k].At.Batch)
			}
			r[k].Loss = height(q[k].At.Batch)
		}
		m.Tell(s, r)
		evals -= len(q)
	}
}

// height is the loss of the tests; methods that use it use it as it is.
func height(batch uint64) float64 { return 1 + 0.5*math.Cos(float64(batch)) }

// oracle is algorithm 1 of the paper with everything that can be set, as three nested loops over one weight at
// a time. float32(...) is where a product is rounded.
func oracle(m *EntropySGD, x []float32, groups []Group, steps int) []float32 {
	x = slices.Clone(x)
	n := len(x)
	group := make([]Group, n)
	for _, g := range groups {
		for i := g.From; i < g.To; i++ {
			group[i] = g
		}
	}
	lua, torch := m.Compat == "lua", m.Compat == "torch"
	fresh, variance, first := m.Alpha, 1.0, 0
	if lua || torch {
		fresh, variance = 1-m.Alpha, 2
	}
	if lua {
		first = 1
	}
	inside := torch || !lua && (m.DecayPlace == "" || m.DecayPlace == "both")
	late := lua || m.DecayPlace == "late"
	outside := torch || m.DecayPlace == "outer" || m.DecayPlace == "both"
	decay := func(i int, here bool) float32 {
		if here && group[i].Decay {
			return float32(m.WeightDecay)
		}
		return 0
	}
	adam := func(first, second *float32, g float32, rate float64, t int) float32 {
		*first = float32(float32(m.Beta1)**first) + float32(float32(1-m.Beta1)*g)
		*second = float32(float32(m.Beta2)**second) + float32(float32(float32(1-m.Beta2)*g)*g)
		scaled := float32(float32(1/math.Sqrt(1-math.Pow(m.Beta2, float64(t)))) * float32(math.Sqrt(float64(*second))))
		return float32(float32(rate/(1-math.Pow(m.Beta1, float64(t))))**first) / (scaled + float32(m.Epsilon))
	}
	outerVelocity, outerSquares := make([]float32, n), make([]float32, n)
	evals := uint64(0)
	gamma0 := m.Gamma
	for t := range steps {
		power := float64(t + first)
		if torch {
			power = 0
		}
		exact := gamma0 * math.Pow(1+m.Scoping, power)
		if m.AutoGamma {
			exact = min(exact, 1/m.InnerLR)
		}
		gamma := float32(exact)
		eta := m.LR
		if m.Schedule != nil {
			eta = m.Schedule(m.LR, min(1, float64(t*m.OuterEvals())/float64(m.Total)))
		}
		if lua || torch {
			for i := range n {
				if t == 0 && torch {
					outerVelocity[i] = slope(i, x[i], evals)
				}
			}
			evals++
		}
		probe, mu, velocity, squares := slices.Clone(x), slices.Clone(x), make([]float32, n), make([]float32, n)
		var losses, distances float64
		for l := range m.L {
			losses += height(evals)
			for i := range n {
				if group[i].LRScale == 0 {
					continue
				}
				rate := m.InnerLR * float64(group[i].LRScale)
				g := slope(i, probe[i], evals) + float32(decay(i, inside)*probe[i])
				pull := float32(gamma * (x[i] - probe[i]))
				extra := float32(decay(i, late) * probe[i])
				var next float32
				if m.InnerAdam {
					next = probe[i] - adam(&velocity[i], &squares[i], g, rate, l+1) - float32(float32(rate)*(extra-pull))
				} else {
					velocity[i] = float32(float32(m.Momentum)*velocity[i]) + g
					step := g + float32(float32(m.Momentum)*velocity[i])
					if late {
						step = step + extra
					}
					next = probe[i] - float32(float32(rate)*(step-pull))
				}
				if m.Noise != 0 {
					var xi [1]float32
					rng.Stream{Seed: m.Seed, Purpose: rng.Noise, Eval: evals}.Normals(xi[:], i)
					next = next + float32(float32(math.Sqrt(variance*rate)*m.Noise)*xi[0])
				}
				probe[i] = next
				mu[i] = float32(float32(1-fresh)*mu[i]) + float32(float32(fresh)*next)
				distances += (float64(next) - float64(x[i])) * (float64(next) - float64(x[i]))
			}
			evals++
		}
		if m.AutoGamma && t == 0 {
			gamma0 = min(losses/(distances/2), 1/m.InnerLR)
			exact = gamma0
		}
		for i := range n {
			if group[i].LRScale == 0 {
				continue
			}
			d := x[i] - mu[i]
			if m.OuterGamma {
				d = float32(float32(exact) * d)
			}
			d = d + float32(decay(i, outside)*x[i])
			var xi [1]float32
			if m.OuterNoise != 0 {
				rng.Stream{Seed: m.Seed, Purpose: rng.Outer, Eval: uint64(t)}.Normals(xi[:], i)
			}
			kick := float32(float32(math.Sqrt(eta)*m.OuterNoise) * xi[0])
			if m.OuterAdam {
				x[i] = x[i] - adam(&outerVelocity[i], &outerSquares[i], d, eta, t+1) + kick
				continue
			}
			if m.OuterMomentum != 0 {
				outerVelocity[i] = float32(float32(m.OuterMomentum)*outerVelocity[i]) + d
				d = d + float32(float32(m.OuterMomentum)*outerVelocity[i])
			}
			x[i] = x[i] - float32(float32(eta)*d) + kick
		}
	}
	return x
}

// variants are settings that reach every branch of the method.
func variants() map[string]*EntropySGD {
	plain := DefaultEntropySGD()
	plain.L, plain.Noise, plain.Momentum, plain.Scoping = 3, 0, 0, 0
	byDefault := DefaultEntropySGD()
	byDefault.L = 4
	all := &EntropySGD{L: 5, LR: 0.8, InnerLR: 0.07, Alpha: 0.6, Noise: 0.05, Gamma: 0.3, Scoping: 0.5, Momentum: 0.7,
		OuterMomentum: 0.4, WeightDecay: 0.02, Seed: 77, Schedule: Cosine, Total: 18}
	m := map[string]*EntropySGD{"plain": plain, "default": byDefault, "all": all}
	for name, change := range map[string]func(m *EntropySGD){
		"lua":         func(m *EntropySGD) { m.Compat = Lua },
		"lua decay":   func(m *EntropySGD) { m.Compat, m.WeightDecay = Lua, 0.02 },
		"torch":       func(m *EntropySGD) { m.Compat, m.Scoping = Torch, 0 },
		"torch outer": func(m *EntropySGD) { m.Compat, m.Scoping, m.OuterMomentum, m.WeightDecay = Torch, 0, 0.5, 0.02 },
		"late":        func(m *EntropySGD) { m.DecayPlace, m.WeightDecay = DecayLate, 0.02 },
		"outer decay": func(m *EntropySGD) { m.DecayPlace, m.WeightDecay = DecayOuter, 0.02 },
		"both decays": func(m *EntropySGD) { m.DecayPlace, m.WeightDecay = DecayBoth, 0.02 },
		"outer gamma": func(m *EntropySGD) { m.OuterGamma, m.LR, m.OuterMomentum = true, 2, 0.3 },
		"sgld":        func(m *EntropySGD) { m.OuterNoise = 0.01 },
		"inner adam":  func(m *EntropySGD) { m.InnerAdam, m.Momentum = true, 0 },
		"outer adam":  func(m *EntropySGD) { m.OuterAdam, m.LR, m.OuterMomentum, m.OuterNoise = true, 0.05, 0, 0.01 },
		"adams": func(m *EntropySGD) {
			m.InnerAdam, m.OuterAdam, m.Momentum, m.LR, m.WeightDecay, m.DecayPlace = true, true, 0, 0.05, 0.02, DecayLate
		},
		"statistics":    func(m *EntropySGD) { m.Statistics = true },
		"linear scope":  func(m *EntropySGD) { m.Scope, m.Scoping = LinearScope, 0 },
		"auto":          func(m *EntropySGD) { m.AutoGamma, m.Gamma, m.OuterGamma = true, 0, true },
		"auto and adam": func(m *EntropySGD) { m.AutoGamma, m.Gamma, m.InnerAdam, m.Momentum = true, 0, true, 0 },
	} {
		e := DefaultEntropySGD()
		e.L, e.Noise, e.Gamma, e.Scoping, e.Seed = 5, 0.02, 0.3, 0.2, 9
		change(e)
		if e.Compat != Paper {
			e.L = 4 // 5 gradients
		}
		if e.InnerAdam || e.OuterAdam {
			e.Beta1, e.Beta2, e.Epsilon = 0.8, 0.95, 1e-6
		}
		m[name] = e
	}
	return m
}

// sections cuts n weights into groups of each kind, some within a part and some across parts.
func sections(n int) []Group {
	return []Group{
		{From: 0, To: n / 10, LRScale: 1, Decay: true}, {From: n / 10, To: n/10 + 7, LRScale: 0.5},
		{From: n/10 + 7, To: n / 2, LRScale: 0}, {From: n / 2, To: n / 2}, {From: n / 2, To: n, LRScale: 2, Decay: true},
	}
}

func TestEntropySGDEqualsNestedLoops(t *testing.T) {
	const n, steps = 2*part + 1234, 3
	groups := sections(n)
	for name, m := range variants() {
		want := oracle(m, weights(n), groups, steps)
		for _, threads := range []int{1, 2, 5} {
			t.Run(fmt.Sprintf("%s/threads=%d", name, threads), func(t *testing.T) {
				m.Threads = threads
				if err := m.Validate(); err != nil {
					t.Fatal(err)
				}
				s := m.Init(weights(n), groups)
				advance(m, s, steps*m.OuterEvals())
				if s.Outer != steps || s.Phase != 0 || s.Evals != uint64(steps*m.OuterEvals()) {
					t.Fatalf("evals %d, outer %d, phase %d", s.Evals, s.Outer, s.Phase)
				}
				for i, x := range m.Params(s) {
					if math.Float32bits(x) != math.Float32bits(want[i]) {
						t.Fatalf("weight %d is %v, want %v", i, x, want[i])
					}
				}
			})
		}
	}
}

// Without noise, against the equations in float64 arithmetic. A rounding of the weights is 6e-8, the
// method contracts here, and about a hundred steps add up.
func TestEntropySGDAgainstFloat64(t *testing.T) {
	const n, steps = 50, 8
	for _, name := range []string{"plain", "default", "all"} {
		m := variants()[name]
		m.Noise = 0
		s := m.Init(weights(n), nil)
		advance(m, s, steps*m.L)
		for i, x0 := range weights(n) {
			x, big := float64(x0), 0.0
			for k := range steps {
				gamma, eta := m.Gamma, m.LR
				for range k {
					gamma *= 1 + m.Scoping
				}
				if m.Schedule != nil {
					eta *= (1 + math.Cos(math.Pi*min(1, float64(k*m.L)/float64(m.Total)))) / 2
				}
				probe, mu, v := x, x, 0.0
				for l := range m.L {
					d := probe - math.Sin(float64(i)*0.7+float64(k*m.L+l)*1.3)
					g := d/(1+d*d) + m.WeightDecay*probe
					v = m.Momentum*v + g
					probe -= m.InnerLR * (g + m.Momentum*v + gamma*(probe-x))
					mu += m.Alpha * (probe - mu)
				}
				big = m.OuterMomentum*big + x - mu
				x -= eta * (x - mu + m.OuterMomentum*big)
			}
			if got := float64(m.Params(s)[i]); math.Abs(got-x) > 3e-6 {
				t.Errorf("%s: weight %d is %v, want %v", name, i, got, x)
			}
		}
	}
}

// On f = h/2 x^2 with eta = 1 and no momentum all weights are independent copies of one linear walk,
// x' = a x' + eta' gamma x + sqrt(eta') eps xi with a = 1 - eta'(h+gamma), and mu is a weighted sum of its
// places. So the mean and the variance over many weights after an outer step are known; the bounds are
// four standard errors.
func TestEntropySGDOnQuadratic(t *testing.T) {
	const n, h = 40000, 2.0
	m := &EntropySGD{L: 6, LR: 1, InnerLR: 0.15, Alpha: 0.7, Noise: 0.5, Gamma: 0.8, Seed: 4}
	x := slices.Repeat([]float32{1}, n)
	s := m.Init(x, nil)
	grad := make([]float32, n)
	for range m.L {
		for i, p := range s.Vecs[vecProbe] {
			grad[i] = h * p
		}
		m.Tell(s, []Result{{Grad: grad}})
	}
	a := 1 - m.InnerLR*(h+m.Gamma)
	fixed := m.Gamma / (h + m.Gamma) // where the mean of x' tends to, from 1
	mean := math.Pow(1-m.Alpha, float64(m.L))
	for l := 1; l <= m.L; l++ {
		mean += m.Alpha * math.Pow(1-m.Alpha, float64(m.L-l)) * (fixed + (1-fixed)*math.Pow(a, float64(l)))
	}
	var variance float64
	for k := 1; k <= m.L; k++ { // the noise of step k is in every later x'
		var c float64
		for l := k; l <= m.L; l++ {
			c += m.Alpha * math.Pow(1-m.Alpha, float64(m.L-l)) * math.Pow(a, float64(l-k))
		}
		variance += c * c * m.InnerLR * m.Noise * m.Noise
	}
	var sum, squares float64
	for _, v := range m.Params(s) {
		sum += float64(v)
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	if d := math.Abs(sum/n - mean); d > 4*math.Sqrt(variance/n) {
		t.Errorf("mean %v, want %v", sum/n, mean)
	}
	if d := math.Abs(squares/n/variance - 1); d > 4*math.Sqrt(2.0/n) {
		t.Errorf("variance %v, want %v", squares/n, variance)
	}
}

func TestEntropySGDAsksAtTheProbe(t *testing.T) {
	m := DefaultEntropySGD()
	m.L = 3
	s := m.Init(weights(5), nil)
	for k := range 7 {
		q := m.Ask(s, nil)
		if len(q) != 1 || q[0].At != (Draw{Batch: uint64(k), Eval: uint64(k)}) {
			t.Fatalf("query %d: %+v", k, q)
		}
		if same := slices.Equal(q[0].Point, m.Params(s)); same != (k%3 == 0) {
			t.Fatalf("query %d: at Params %v", k, same)
		}
		if outer := m.Tell(s, []Result{{Grad: make([]float32, 5)}}); outer != (k%3 == 2) {
			t.Fatalf("query %d: outer step %v", k, outer)
		}
	}
}
