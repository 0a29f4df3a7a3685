package optimizer

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// parles are settings that reach every branch of Parle.
func parles() map[string]*Parle {
	elastic := DefaultElasticSGD()
	elastic.N, elastic.WeightDecay = 2, 0.01
	return map[string]*Parle{
		"elastic": elastic,
		"all": {N: 3, L: 4, LR: 0.3, InnerLR: 0.1, Alpha: 0.3, Gamma: 0.2, GammaMax: 0.25, Rho: 0.5, RhoMax: 0.6, Scoping: 0.2, Momentum: 0.6,
			OuterMomentum: 0.5, WeightDecay: 0.02, Schedule: Cosine, Total: 60},
		"one": {N: 1, L: 3, LR: 1, InnerLR: 0.1, Alpha: 0.7, Gamma: 0.3, GammaMax: 1, Scoping: 0.1, WeightDecay: 0.01},
	}
}

// parleOracle is Parle as nested loops over replicas and weights; it returns the mean of the replicas.
func parleOracle(m *Parle, start []float32, groups []Group, steps int) []float32 {
	n := len(start)
	group := make([]Group, n)
	for _, g := range groups {
		for i := g.From; i < g.To; i++ {
			group[i] = g
		}
	}
	x, v, outer := make([][]float32, m.N), make([][]float32, m.N), make([][]float32, m.N)
	for a := range x {
		x[a], v[a], outer[a] = slices.Clone(start), make([]float32, n), make([]float32, n)
	}
	mean := func(z [][]float32, i int) float32 {
		sum := z[0][i]
		for a := 1; a < m.N-1; a++ {
			sum += z[a][i]
		}
		if m.N == 1 {
			return sum
		}
		return float32((sum + z[m.N-1][i]) * float32(1/float64(m.N)))
	}
	evals := 0
	for t := range steps {
		eta := m.LR
		if m.Schedule != nil {
			eta = m.Schedule(m.LR, min(1, float64(evals)/float64(m.Total)))
		}
		gamma := float32(min(m.GammaMax, m.Gamma*math.Pow(1+m.Scoping, float64(t))))
		rho := float32(min(m.RhoMax, m.Rho*math.Pow(1+m.Scoping, float64(t))))
		y, z := make([][]float32, m.N), make([][]float32, m.N)
		for a := range m.N {
			y[a], z[a] = slices.Clone(x[a]), slices.Clone(x[a])
		}
		for range m.L {
			for a := range m.N {
				for i := range n {
					if group[i].LRScale == 0 {
						continue
					}
					g := slope(i, y[a][i], uint64(evals))
					if group[i].Decay {
						g = g + float32(float32(m.WeightDecay)*y[a][i])
					}
					g = g + float32(gamma*(y[a][i]-x[a][i]))
					v[a][i] = float32(float32(m.Momentum)*v[a][i]) + g
					step := g
					if m.Momentum != 0 {
						step = g + float32(float32(m.Momentum)*v[a][i])
					}
					y[a][i] = y[a][i] - float32(float32(m.InnerLR*float64(group[i].LRScale))*step)
					z[a][i] = float32(float32(1-m.Alpha)*z[a][i]) + float32(float32(m.Alpha)*y[a][i])
				}
				evals++
			}
		}
		for i := range n {
			if group[i].LRScale == 0 {
				continue
			}
			bar := mean(z, i)
			for a := range m.N {
				d := (x[a][i] - z[a][i]) + float32(rho*(x[a][i]-bar))
				if m.OuterMomentum != 0 {
					outer[a][i] = float32(float32(m.OuterMomentum)*outer[a][i]) + d
					d = d + float32(float32(m.OuterMomentum)*outer[a][i])
				}
				x[a][i] = x[a][i] - float32(float32(eta)*d)
			}
		}
	}
	out := slices.Clone(start)
	for i := range n {
		if group[i].LRScale != 0 {
			out[i] = mean(x, i)
		}
	}
	return out
}

func TestParleEqualsNestedLoops(t *testing.T) {
	const n, steps = part + 1234, 3
	for name, m := range parles() {
		for _, threads := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/threads=%d", name, threads), func(t *testing.T) {
				m.Threads = threads
				s := m.Init(weights(n), sections(n))
				advance(m, s, steps*m.OuterEvals())
				if want := parleOracle(m, weights(n), sections(n), steps); s.Outer != steps || !slices.Equal(m.Params(s), want) {
					t.Error("other weights than the oracle's")
				}
			})
		}
	}
}

// Every replica has mini-batches and dropout masks of its own.
func TestParleAsks(t *testing.T) {
	m := parles()["all"]
	s := m.Init(weights(5), nil)
	for k := range uint64(6) {
		for a, q := range m.Ask(s, nil) {
			if n := 3*k + uint64(a); q.At != (Draw{Replica: a, Batch: n, Eval: n}) || &q.Point[0] != &s.Vecs[parleVecs*a+parleY][0] {
				t.Errorf("query %d of replica %d: %+v", k, a, q.At)
			}
		}
		advance(m, s, 3)
	}
}

// One replica without momentum is Entropy-SGD without momentum and noise, to the bit.
func TestOneReplicaIsEntropySGD(t *testing.T) {
	const n = 500
	p := parles()["one"]
	e := &EntropySGD{L: p.L, LR: p.LR, InnerLR: p.InnerLR, Alpha: p.Alpha, Gamma: p.Gamma, Scoping: p.Scoping, WeightDecay: p.WeightDecay}
	a, b := p.Init(weights(n), sections(n)), e.Init(weights(n), sections(n))
	advance(p, a, 30)
	advance(e, b, 30)
	if !slices.Equal(p.Params(a), e.Params(b)) {
		t.Error("the weights differ")
	}
}

// Elastic-SGD without a pull between the replicas is SGD of each alone.
func TestElasticSGDWithoutPullIsSGD(t *testing.T) {
	const n, steps = 50, 20
	p := DefaultElasticSGD()
	p.N, p.Rho = 2, 0
	s := p.Init(weights(n), nil)
	advance(p, s, p.N*steps)
	for a := range p.N {
		m := DefaultSGD()
		one := m.Init(weights(n), nil)
		grad := make([]float32, n)
		for k := range steps {
			for i, x := range m.Params(one) {
				grad[i] = slope(i, x, uint64(p.N*k+a))
			}
			m.Tell(one, []Result{{Grad: grad}})
		}
		for i, x := range s.Vecs[parleVecs*a+parleX] {
			if want := m.Params(one)[i]; math.Abs(float64(x-want)) > 1e-6 { // x - (x - y) is y but for rounding
				t.Fatalf("replica %d: weight %d is %v, SGD has %v", a, i, x, want)
			}
		}
	}
}
