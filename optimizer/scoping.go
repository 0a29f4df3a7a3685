package optimizer

import (
	"math"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// A Scope gives gamma, the pull to x, in the outer step with index t = 0, 1, ... It is a function of t and not a
// factor that is multiplied step after step, so that it is the same after a resume.
type Scope func(gamma0, gamma1 float64, t uint64) float64

// Exponential is gamma0 (1+gamma1)^t, the paper's. It is what a nil Scope means.
func Exponential(gamma0, gamma1 float64, t uint64) float64 {
	return gamma0 * math.Pow(1+gamma1, float64(t))
}

// LinearScope is gamma0 (1 + gamma1 t).
func LinearScope(gamma0, gamma1 float64, t uint64) float64 {
	return gamma0 * (1 + gamma1*float64(t))
}

// Bounded is Exponential up to a limit, as in Parle. A gamma0 above the limit stays as it is.
func Bounded(limit float64) Scope {
	return func(gamma0, gamma1 float64, t uint64) float64 {
		return min(Exponential(gamma0, gamma1, t), max(gamma0, limit))
	}
}

// gamma is the pull in the outer step that s is in. With AutoGamma it is 0 in the first.
func (m *EntropySGD) gamma(s *State) float64 {
	if m.AutoGamma {
		return min(m.grown(s.Scalars[autoGamma], s), m.autoLimit())
	}
	return m.grown(m.Gamma, s)
}

// grown is what gamma0 has become.
func (m *EntropySGD) grown(gamma0 float64, s *State) float64 {
	c := m.conventions()
	if c.fixed {
		return gamma0
	}
	scope := m.Scope
	if scope == nil {
		scope = Exponential
	}
	return scope(gamma0, m.Scoping, s.Outer+c.power)
}

// autoLimit is the largest gamma of auto-scoping: with it a step of the pull alone ends at x. Validate cannot know
// where gamma will go, and from twice as much on the inner steps diverge.
func (m *EntropySGD) autoLimit() float64 { return 1 / m.InnerLR }

// validateScoping names what is wrong with the settings of gamma.
func (m *EntropySGD) validateScoping(s *settings) {
	s.must(m.Gamma >= 0, "Gamma", m.Gamma, "at least 0")
	s.must(m.Scoping >= 0, "Scoping", m.Scoping, "at least 0 (0.001 lets gamma grow by a thousandth)")
	if m.AutoGamma && m.Gamma != 0 {
		s.add("Gamma is %v; it must be 0, because AutoGamma finds it", m.Gamma)
	}
	if len(*s) > 0 || m.Total == 0 || m.AutoGamma || m.Compat == Torch {
		return
	}
	if !(m.InnerLR*m.Gamma < 2) {
		s.add("Gamma is %v; it must be lower, because the inner rate times gamma must stay below 2", m.Gamma)
		return
	}
	last := &State{Outer: (m.Total - 1) / uint64(m.OuterEvals()), Scalars: make([]float64, scalarsCount)}
	if g := m.gamma(last); !(m.InnerLR*g < 2) {
		s.add("Scoping is %v; it must be lower, because gamma would have grown to %.3g in outer step %d, the run's last, and the inner rate times gamma must stay below 2; or bound gamma", m.Scoping, g, last.Outer+1)
	}
}

// observe adds the loss of a mini-batch and the distance of x' from x to the sums of auto-scoping.
func (m *EntropySGD) observe(s *State, loss float64) {
	n := weightsOf(s)
	m.distance = distanceUpdate{s.Vecs[vecProbe], s.Vecs[vecX], m.distance.sums}
	m.distance.sums.reset(n)
	m.sweep.run(m.Threads, s, &m.distance)
	m.distance.x, m.distance.y = nil, nil
	s.Scalars[autoLoss] += loss
	s.Scalars[autoDistance] += m.distance.sums.total()[0]
}

// settle finds gamma0 at the end of the first outer step.
func (m *EntropySGD) settle(s *State) {
	gamma := s.Scalars[autoLoss] / (0.5 * s.Scalars[autoDistance])
	if !(gamma > 0) {
		gamma = 0
	}
	s.Scalars[autoGamma] = min(gamma, m.autoLimit())
}

type distanceUpdate struct {
	x, y []float32
	sums totals
}

func (u *distanceUpdate) pass(_ Group, from, to int) {
	u.sums.at(from)[0] += kernels.DistanceSum(u.x[from:to], u.y[from:to])
}
