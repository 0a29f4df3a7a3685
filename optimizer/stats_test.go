package optimizer

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Statistics against sums over the trajectory, for a rate other than 1 and momentum in the outer step.
func TestStatistics(t *testing.T) {
	const n, steps = part + 50, 4
	m := &EntropySGD{L: 3, LR: 0.6, InnerLR: 0.1, Alpha: 0.7, Gamma: 0.2, Scoping: 0.5, Momentum: 0.5, OuterMomentum: 0.5, OuterNoise: 0.01,
		Statistics: true, Schedule: Linear, Total: 12, Threads: 2}
	s := m.Init(weights(n), nil)
	if st := m.Stats(s); st.LR != 0.6 || st.Gamma != 0.2 || !math.IsNaN(st.Distance) || !math.IsNaN(st.Rho) {
		t.Errorf("before the first step: %+v", st)
	}
	travelled := 0.0
	for k := range steps {
		x := slices.Clone(m.Params(s))
		advance(m, s, 2)
		// The third inner step changes mu, which the outer step overwrites: do it alone.
		alone := &EntropySGD{L: 4, LR: 1, InnerLR: 0.1, Alpha: 0.7, Gamma: 0.2 * math.Pow(1.5, float64(k)), Momentum: 0.5, OuterMomentum: 0.5}
		peek := &State{Evals: s.Evals, Phase: 2, Groups: s.Groups, Scalars: slices.Clone(s.Scalars)}
		for _, v := range s.Vecs {
			peek.Vecs = append(peek.Vecs, slices.Clone(v))
		}
		advance(alone, peek, 1)
		mu := peek.Vecs[vecMu]
		advance(m, s, 1)
		var dd, gg, dg, moved float64
		for i := range n {
			d, g := float64(x[i])-float64(mu[i]), float64(slope(i, x[i], uint64(3*k)))
			dd, gg, dg = dd+d*d, gg+g*g, dg+d*g
			moved += math.Pow(float64(m.Params(s)[i])-float64(x[i]), 2)
		}
		travelled += math.Sqrt(moved)
		st := m.Stats(s)
		for name, c := range map[string][2]float64{
			"rate": {st.LR, 0.6 * (1 - float64(k)/4)}, "gamma": {st.Gamma, 0.2 * math.Pow(1.5, float64(k))},
			"distance": {st.Distance, math.Sqrt(dd)}, "gradient": {st.Gradient, math.Sqrt(gg)},
			"cosine": {st.Cosine, dg / math.Sqrt(dd*gg)}, "travelled": {st.Travelled, travelled},
		} {
			if math.Abs(c[0]-c[1]) > 1e-9*math.Abs(c[1]) {
				t.Errorf("step %d: %s is %v, want %v", k+1, name, c[0], c[1])
			}
		}
	}
}

// gamma0 is the loss over half the squared distance; then it grows.
func TestAutoScoping(t *testing.T) {
	run := func(loss, slope float32) (*EntropySGD, *State) {
		m := &EntropySGD{L: 2, LR: 1, InnerLR: 0.1, Alpha: 1, Scoping: 0.5, AutoGamma: true}
		s := m.Init([]float32{0, 0}, nil)
		for range 2 {
			if g := m.gamma(s); g != 0 {
				t.Errorf("gamma is %v in the first outer step", g)
			}
			m.Tell(s, []Result{{Loss: float64(loss), Grad: []float32{slope, 0}}})
		}
		return m, s
	}
	if _, s := run(3, 2); s.Scalars[autoGamma] != 10 { // 6 over half of 0.04 + 0.16 is 60
		t.Errorf("gamma0 is %v; it is at most 1/InnerLR = 10", s.Scalars[autoGamma])
	}
	m, s := run(3, 20) // 100 times as far
	if g := s.Scalars[autoGamma]; math.Abs(g-0.6) > 1e-6 || math.Abs(m.gamma(s)-0.9) > 1e-6 {
		t.Errorf("gamma0 is %v and then %v, want 0.6 and 0.9", g, m.gamma(s))
	}
	s.Outer = 300 // 1.5^300
	if g := m.gamma(s); g != 10 {
		t.Errorf("gamma has grown to %v, beyond 1/InnerLR = 10", g)
	}
	for _, c := range [][2]float32{{-3, 20}, {0, 20}, {0, 0}} {
		if _, s := run(c[0], c[1]); s.Scalars[autoGamma] != 0 {
			t.Errorf("loss %v, gradient %v: gamma0 is %v, want 0", c[0], c[1], s.Scalars[autoGamma])
		}
	}
	if _, s := run(1, 0); s.Scalars[autoGamma] != 10 { // no distance
		t.Errorf("gamma0 is %v where nothing moves", s.Scalars[autoGamma])
	}
}

func TestScopes(t *testing.T) {
	for _, c := range []struct {
		f    Scope
		t    uint64
		want float64
	}{
		{Exponential, 0, 2}, {Exponential, 3, 2 * 1.1 * 1.1 * 1.1}, {LinearScope, 0, 2}, {LinearScope, 5, 3},
		{Bounded(2.5), 1, 2.2}, {Bounded(2.5), 3, 2.5}, {Bounded(2.5), 1e6, 2.5}, {Bounded(1), 7, 2},
	} {
		if got := c.f(2, 0.1, c.t); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("at %d: %v, want %v", c.t, got, c.want)
		}
	}
}

// Whatever is changed in a state at random, CheckState finds it or the method goes on without a panic.
func TestStatesFromAHostileFile(t *testing.T) {
	const n = 20
	r := rand.New(rand.NewPCG(5, 6))
	number := func() uint64 {
		return []uint64{0, 1, 2, uint64(r.IntN(100)), r.Uint64(), math.MaxUint64, 1 << 47}[r.IntN(7)]
	}
	float := func() float64 {
		return []float64{0, -1, 1, math.NaN(), math.Inf(1), math.Inf(-1), r.NormFloat64(), 1e300}[r.IntN(8)]
	}
	var change func(s *State)
	change = func(s *State) {
		switch r.IntN(10) {
		case 0:
			s.Evals = number()
		case 1:
			s.Outer = number()
		case 2:
			s.Phase = uint32(number())
		case 3:
			if len(s.Scalars) > 0 {
				s.Scalars[r.IntN(len(s.Scalars))] = float()
			}
		case 4:
			s.Scalars = make([]float64, r.IntN(9))
		case 5:
			if v := s.Vecs; len(v) > 0 {
				v[r.IntN(len(v))] = make([]float32, r.IntN(2)*n)
			}
		case 6:
			if v := s.Vecs; len(v) > 0 && len(v[len(v)-1]) > 0 {
				v[r.IntN(len(v))] = slices.Repeat([]float32{float32(float())}, n)
			}
		case 7:
			if len(s.Groups) == 0 {
				return
			}
			g := &s.Groups[r.IntN(len(s.Groups))]
			*g = Group{From: int(number()), To: int(number()), LRScale: float32(float())}
		case 8:
			s.Vecs = s.Vecs[:r.IntN(len(s.Vecs)+1)]
		case 9:
			if s.Inner != nil {
				change(s.Inner)
			} else if r.IntN(3) == 0 {
				s.Inner = &State{}
			}
		}
	}
	passed := 0
	for _, name := range slices.Sorted(maps.Keys(fresh())) { // the same changes in every run of the test
		for range 400 {
			m := fresh()[name]
			s := m.Init(weights(n), sections(n))
			advance(m, s, r.IntN(20)*m.Replicas())
			for range 1 + r.IntN(2) {
				change(s)
			}
			if m.CheckState(s, n) != nil {
				continue
			}
			passed++
			m.Stats(s)
			advance(m, s, 15)
			m.Stats(s)
			if len(m.Params(s)) != n {
				t.Fatalf("%s: %d weights", name, len(m.Params(s)))
			}
		}
	}
	if passed < 100 {
		t.Errorf("only %d changed states passed", passed)
	}
}
