package optimizer

import "github.com/onnx-entropy/onnx-entropy/internal/kernels"

// Lookahead is the method of Zhang, Lucas, Hinton, Ba: "Lookahead Optimizer: k steps forward, 1 step back",
// NeurIPS 2019, algorithm 1, around any method, whose weights are the fast ones. After each K outer steps
// of Base
//
//	slow = slow + Alpha (fast - slow)
//	fast = slow
//
// which is an outer step of Lookahead. Base's momentum is kept. Params are the slow weights.
//
// Vecs of the state is slow; Phase counts Base's outer steps. Inner is Base's state.
type Lookahead struct {
	Base    Settled
	K       int
	Alpha   float64 // the slow weights' step
	Threads int     // 0 and 1: the caller's goroutine alone; the results do not depend on it

	sweep sweep
	step  lerpUpdate
}

// DefaultLookahead returns the paper's setting for CIFAR around base: 5 steps, Alpha 0.8.
func DefaultLookahead(base Settled) *Lookahead { return &Lookahead{Base: base, K: 5, Alpha: 0.8} }

// Validate names every setting that is out of range, of Base too.
func (m *Lookahead) Validate() error {
	var s settings
	s.must(m.K >= 1 && m.K <= 1e6, "K", float64(m.K), "at least 1 and at most 1e6")
	s.must(m.Alpha > 0 && m.Alpha <= 1, "Alpha", m.Alpha, "above 0 and at most 1")
	s.must(m.Threads >= 0, "Threads", float64(m.Threads), "at least 0")
	s.base(m.Base)
	return s.err("Lookahead")
}

// Init implements Method.
func (m *Lookahead) Init(x []float32, groups []Group) *State {
	inner := m.Base.Init(x, groups)
	s := start(x, groups, 1)
	s.Inner = inner
	return s
}

// CheckState implements Settled.
func (m *Lookahead) CheckState(s *State, n int) error {
	f := form{vecs: []int{n}, phases: m.K, inner: m.Base}
	if err := f.check(s, n); err != nil {
		return err
	}
	if s.Evals != s.Inner.Evals || s.Inner.Outer < uint64(s.Phase) ||
		(s.Inner.Outer-uint64(s.Phase))%uint64(m.K) != 0 || (s.Inner.Outer-uint64(s.Phase))/uint64(m.K) != s.Outer {
		return errInner(s)
	}
	return nil
}

// OuterEvals is K times Base's.
func (m *Lookahead) OuterEvals() int { return times(m.K, m.Base.OuterEvals()) }

// Replicas is Base's.
func (m *Lookahead) Replicas() int { return m.Base.Replicas() }

// NeedsLoss is Base's.
func (m *Lookahead) NeedsLoss() bool { return m.Base.NeedsLoss() }

// Ask asks what Base asks.
func (m *Lookahead) Ask(s *State, q []Query) []Query { return m.Base.Ask(s.Inner, q) }

// Tell tells Base, and moves the slow weights after each K of its outer steps.
func (m *Lookahead) Tell(s *State, r []Result) (outer bool) {
	outer = m.Base.Tell(s.Inner, r)
	s.Evals = s.Inner.Evals
	if !outer {
		return false
	}
	if s.Phase++; int(s.Phase) < m.K {
		return false
	}
	s.Phase = 0
	s.Outer++
	m.step = lerpUpdate{s.Vecs[0], m.Base.Params(s.Inner), float32(m.Alpha)}
	m.sweep.run(m.Threads, s, &m.step)
	m.step = lerpUpdate{}
	m.Base.Move(s.Inner, s.Vecs[0])
	return true
}

// Params is the slow weights.
func (m *Lookahead) Params(s *State) []float32 { return s.Vecs[0] }

// Move implements Settled.
func (m *Lookahead) Move(s *State, x []float32) {
	copy(s.Vecs[0], x)
	m.Base.Move(s.Inner, x)
}

// Stats is Base's.
func (m *Lookahead) Stats(s *State) Stats { return m.Base.Stats(s.Inner) }

// lerpUpdate moves y to x by the fraction t.
type lerpUpdate struct {
	y, x []float32
	t    float32
}

func (u *lerpUpdate) pass(_ Group, from, to int) {
	kernels.Lerp(u.y[from:to], u.x[from:to], u.t)
}
