package optimizer

import (
	"math"
	"slices"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// EntropySGD is the method of Chaudhari et al.: "Entropy-SGD: Biasing Gradient Descent Into Wide
// Valleys", ICLR 2017, arXiv 1611.01838, algorithm 1. Instead of the loss f it descends the negative
// local entropy, whose gradient is gamma (x - <x'>); the mean <x'> is estimated by L Langevin steps
// around x. With v = 0 at the start of each outer step, each inner step is
//
//	g  = grad f(x') + wd x'
//	v  = m v + g
//	x' = x' - eta' (g + m v - gamma (x - x')) + sqrt(eta') eps xi,   xi ~ N(0, I)
//	mu = (1-alpha) mu + alpha x'
//
// and the outer step, with V = 0 at the start of the run, is
//
//	d  = x - mu
//	V  = M V + d
//	x  = x - eta (d + M V)
//	x' = mu = x
//
// The outer step leaves out the factor gamma of the gradient, as the paper does in practice. Scoping
// makes gamma grow: the outer step with index t = 0, 1, ... uses gamma0 (1+gamma1)^t.
//
// In a group with LRScale c the inner rate is c eta', in the pull to x and under the root of the noise
// too. The outer rate is not scaled: mu is already c times as far from x.
//
// Make one with DefaultEntropySGD and change its fields; the zero value is not valid. Vecs of the state
// are x, x', mu, v and V, which is empty if M is 0. Scalars is empty.
type EntropySGD struct {
	L             int     // L: gradients in an outer step, which costs as much as L steps of SGD
	LR            float64 // eta: the rate of the outer step; 1 moves x to mu
	InnerLR       float64 // eta': the rate of the inner steps, never annealed
	Alpha         float64 // alpha: the weight of the new iterate in mu, as in the paper; the authors' programs give 0.75 to the old mu
	Noise         float64 // eps: a step's noise is sqrt(eta') eps, as in the paper; the authors' programs have sqrt(2 eta') eps
	Gamma         float64 // gamma0: the pull to x, of the first outer step
	Scoping       float64 // gamma1: the growth of gamma with each outer step; 0.001 makes it 1.001 times as large
	Momentum      float64 // m: Nesterov momentum of the inner steps, 0 at each outer step; pull and noise are outside it
	OuterMomentum float64 // M: Nesterov momentum of the outer steps; 0 as in the authors' Lua program
	WeightDecay   float64 // wd: inside the inner momentum; not in the outer step; not in groups without Decay
	Seed          uint64  // of the noise

	Schedule Schedule `json:"-"` // anneals LR alone, once an outer step; nil: constant
	Total    uint64   // gradients of the run, for Schedule
	Threads  int      // 0 and 1: the caller's goroutine alone; the results do not depend on it

	sweep sweep
	inner innerUpdate
	outer outerUpdate
}

// DefaultEntropySGD returns the settings of the paper for MNIST, except that the momentum is of the inner
// steps alone: with LR 1, an OuterMomentum of 0.9 makes the outer step ten times as long.
func DefaultEntropySGD() *EntropySGD {
	return &EntropySGD{L: 20, LR: 1, InnerLR: 0.1, Alpha: 0.75, Noise: 1e-3, Gamma: 1e-4, Scoping: 1e-3, Momentum: 0.9}
}

// Places of the vectors in State.Vecs.
const (
	vecX      = iota
	vecProbe  // x'
	vecMu     // mu
	vecInner  // v
	vecOuter  // V
	vecsCount // of Entropy-SGD
)

// Validate names every setting that is out of range.
func (m *EntropySGD) Validate() error {
	var s settings
	s.must(m.L >= 1 && int64(m.L) <= math.MaxUint32, "L", float64(m.L), "at least 1")
	s.must(m.LR > 0, "LR", m.LR, "above 0")
	s.must(m.InnerLR > 0, "InnerLR", m.InnerLR, "above 0")
	s.must(m.Alpha > 0 && m.Alpha <= 1, "Alpha", m.Alpha, "above 0 and at most 1")
	s.must(m.Noise >= 0, "Noise", m.Noise, "at least 0")
	s.must(m.Gamma >= 0, "Gamma", m.Gamma, "at least 0")
	s.must(m.Scoping >= 0, "Scoping", m.Scoping, "at least 0 (0.001 lets gamma grow by a thousandth)")
	s.must(m.Momentum >= 0 && m.Momentum < 1, "Momentum", m.Momentum, "at least 0 and below 1")
	s.must(m.OuterMomentum >= 0 && m.OuterMomentum < 1, "OuterMomentum", m.OuterMomentum, "at least 0 and below 1")
	s.must(m.WeightDecay >= 0, "WeightDecay", m.WeightDecay, "at least 0")
	s.schedule(m.Schedule, m.Total, m.Threads)
	return s.err("EntropySGD")
}

// Init implements Method.
func (m *EntropySGD) Init(x []float32, groups []Group) *State {
	s := start(x, groups, vecsCount)
	s.Vecs[vecProbe] = slices.Clone(x)
	s.Vecs[vecMu] = slices.Clone(x)
	s.Vecs[vecInner] = make([]float32, len(x))
	if m.OuterMomentum != 0 {
		s.Vecs[vecOuter] = make([]float32, len(x))
	}
	return s
}

// CheckState implements Settled.
func (m *EntropySGD) CheckState(s *State, n int) error {
	lengths := []int{n, n, n, n, 0}
	if m.OuterMomentum != 0 {
		lengths[vecOuter] = n
	}
	return checkState(s, n, lengths, m.L)
}

// OuterEvals is L.
func (m *EntropySGD) OuterEvals() int { return m.L }

// Ask wants a gradient at x', on a new mini-batch each time.
func (m *EntropySGD) Ask(s *State, q []Query) []Query {
	return append(q, Query{Draw{Batch: s.Evals, Eval: s.Evals}, s.Vecs[vecProbe]})
}

// Tell does an inner step, and after each L of them the outer step.
func (m *EntropySGD) Tell(s *State, r []Result) (outer bool) {
	m.inner = innerUpdate{m, s, gradient(r, len(s.Vecs[vecX])), m.gamma(s.Outer)}
	m.sweep.run(m.Threads, s, &m.inner)
	m.inner = innerUpdate{}
	s.Evals++
	s.Phase++
	if int64(s.Phase) < int64(m.L) {
		return false
	}
	before := s.Evals - uint64(s.Phase) // the rate is that of the outer step's start
	m.outer = outerUpdate{s.Vecs, float32(rate(m.Schedule, m.LR, before, m.Total)), float32(m.OuterMomentum)}
	m.sweep.run(m.Threads, s, &m.outer)
	m.outer = outerUpdate{}
	s.Outer++
	s.Phase = 0
	return true
}

// Params is x.
func (m *EntropySGD) Params(s *State) []float32 { return s.Vecs[vecX] }

// gamma is the pull in the outer step with index t, from 0. It comes from t alone, not from a product
// kept from step to step, so that it is the same after a resume.
func (m *EntropySGD) gamma(t uint64) float64 { return m.Gamma * math.Pow(1+m.Scoping, float64(t)) }

type innerUpdate struct {
	m     *EntropySGD
	s     *State
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
		Noise:    float32(math.Sqrt(lr) * m.Noise),
		Stream:   rng.Stream{Seed: m.Seed, Purpose: rng.Noise, Eval: u.s.Evals},
	}
	if g.Decay {
		c.Decay = float32(m.WeightDecay)
	}
	kernels.EntropyInner(v[vecProbe][from:to], v[vecMu][from:to], v[vecInner][from:to], v[vecX][from:to],
		u.grad[from:to], from, c)
}

type outerUpdate struct {
	vecs         [][]float32
	lr, momentum float32
}

func (u *outerUpdate) pass(_ Group, from, to int) {
	v := u.vecs
	var momentum []float32
	if len(v[vecOuter]) != 0 {
		momentum = v[vecOuter][from:to]
	}
	kernels.EntropyOuter(v[vecX][from:to], v[vecMu][from:to], v[vecProbe][from:to], v[vecInner][from:to],
		momentum, u.lr, u.momentum)
}
