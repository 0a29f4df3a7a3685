package optimizer

import (
	"math"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

func (m *EntropySGD) innerStep(s *State, grad []float32, c conventions) {
	m.inner = innerUpdate{m, s, c, grad, m.gamma(s)}
	m.sweep.run(m.Threads, s, &m.inner)
	m.inner = innerUpdate{}
}

type innerUpdate struct {
	m     *EntropySGD
	s     *State
	c     conventions
	grad  []float32
	gamma float64
}

func (u *innerUpdate) pass(g Group, from, to int) {
	m, v := u.m, u.s.Vecs
	lr := m.InnerLR * float64(g.LRScale)
	c := kernels.InnerStep{
		LR:       float32(lr),
		Gamma:    float32(u.gamma),
		Momentum: float32(m.Momentum),
		Alpha:    float32(m.Alpha),
		Keep:     float32(1 - m.Alpha),
		Noise:    float32(math.Sqrt(u.c.variance*lr) * m.Noise),
		Stream:   rng.Stream{Seed: m.Seed, Purpose: rng.Noise, Eval: u.s.Evals},
	}
	if u.c.old {
		c.Alpha, c.Keep = c.Keep, c.Alpha
	}
	var late float32
	if g.Decay {
		switch u.c.decay {
		case DecayInner, DecayBoth:
			c.Decay = float32(m.WeightDecay)
		case DecayLate:
			late = float32(m.WeightDecay)
		}
	}
	p, mu, first, x, grad := v[vecProbe][from:to], v[vecMu][from:to], v[vecInner][from:to], v[vecX][from:to], u.grad[from:to]
	switch {
	case m.InnerAdam:
		a := adamStep(lr, m.Beta1, m.Beta2, m.Epsilon, uint64(u.s.Phase)+1) // with Adam no gradient is in front of the loop
		kernels.EntropyInnerAdam(p, mu, first, v[vecInnerSquares][from:to], x, grad, from, late, c, a)
	case late != 0:
		kernels.EntropyInnerLate(p, mu, first, x, grad, from, late, c)
	default:
		kernels.EntropyInner(p, mu, first, x, grad, from, c)
	}
}

func (m *EntropySGD) outerStep(s *State, c conventions) {
	if m.Statistics {
		m.measure(s)
	}
	u := &m.outer
	u.m, u.s, u.c = m, s, c
	u.lr = m.outerRate(s.Evals)
	u.gamma = 1
	if m.OuterGamma {
		u.gamma = m.gamma(s)
	}
	if m.Statistics {
		u.moved.reset(weightsOf(s))
	}
	m.sweep.run(m.Threads, s, u)
	if m.Statistics {
		s.Scalars[statTravelled] += math.Sqrt(u.moved.total()[0])
	}
	*u = outerUpdate{moved: u.moved}
}

// outerRate is the rate of the outer step that ends after so many gradients: that of its start.
func (m *EntropySGD) outerRate(evals uint64) float64 {
	return rateBefore(m.Schedule, m.LR, evals, uint64(m.OuterEvals()), m.Total)
}

type outerUpdate struct {
	m         *EntropySGD
	s         *State
	c         conventions
	lr, gamma float64
	moved     totals // squared length of the step
}

func (u *outerUpdate) pass(g Group, from, to int) {
	if !u.m.Statistics {
		u.step(g, from, to)
		return
	}
	var old [256]float32
	x := u.s.Vecs[vecX]
	for ; from < to; from += len(old) {
		end := min(from+len(old), to)
		copy(old[:], x[from:end])
		u.step(g, from, end)
		u.moved.at(from)[0] += kernels.DistanceSum(x[from:end], old[:end-from])
	}
}

func (u *outerUpdate) step(g Group, from, to int) {
	m, v := u.m, u.s.Vecs
	cut := func(k int) []float32 {
		if len(v[k]) == 0 {
			return nil
		}
		return v[k][from:to]
	}
	c := kernels.OuterStep{
		LR:       float32(u.lr),
		Scale:    float32(u.gamma),
		Momentum: float32(m.OuterMomentum),
		Noise:    float32(math.Sqrt(u.lr) * m.OuterNoise),
		Stream:   rng.Stream{Seed: m.Seed, Purpose: rng.Outer, Eval: u.s.Outer},
	}
	if g.Decay && (u.c.decay == DecayOuter || u.c.decay == DecayBoth) {
		c.Decay = float32(m.WeightDecay)
	}
	x, mu, p, inner := cut(vecX), cut(vecMu), cut(vecProbe), cut(vecInner)
	clear(cut(vecInnerSquares))
	if m.OuterAdam {
		a := adamStep(u.lr, m.Beta1, m.Beta2, m.Epsilon, u.s.Outer+1)
		kernels.EntropyOuterAdam(x, mu, p, inner, cut(vecOuter), cut(vecOuterSquares), from, c, a)
		return
	}
	if c.Scale == 1 && c.Decay == 0 && c.Noise == 0 {
		kernels.EntropyOuter(x, mu, p, inner, cut(vecOuter), c.LR, c.Momentum)
		return
	}
	kernels.EntropyOuterGeneral(x, mu, p, inner, cut(vecOuter), from, c)
}
