package optimizer

import "math"

// SWA is stochastic weight averaging (Izmailov, Podoprikhin, Garipov, Vetrov, Wilson: "Averaging Weights Leads
// to Wider Optima and Better Generalization", UAI 2018, algorithm 1) around any method, which runs as if SWA
// were not there. Params are the mean of Base's weights after the outer steps in the last part of the run, and
// before that Base's weights. The running statistics of BatchNormalization have to be estimated at Params,
// which runner does for every method. The paper keeps the rate high while it averages; Base's schedule says.
//
// Vecs of the state is the mean. Inner is Base's state.
type SWA struct {
	Base    Settled
	Start   float64 // the progress through the run, in [0, 1), from which weights are averaged
	Every   int     // outer steps between two weights of the mean
	Total   uint64  // gradients of the run
	Threads int     // 0 and 1: the caller's goroutine alone; the results do not depend on it

	sweep sweep
	step  lerpUpdate
}

// DefaultSWA returns the paper's share of a run around base, its last quarter, and averages each outer step.
// Total has to be set.
func DefaultSWA(base Settled) *SWA { return &SWA{Base: base, Start: 0.75, Every: 1} }

// Validate names every setting that is out of range, of Base too.
func (m *SWA) Validate() error {
	var s settings
	s.must(m.Start >= 0 && m.Start < 1, "Start", m.Start, "at least 0 and below 1")
	s.must(m.Every >= 1 && m.Every <= 1e9, "Every", float64(m.Every), "at least 1 and at most 1e9")
	s.must(m.Total > 0 && m.Total < maxEvals, "Total", float64(m.Total), "the number of gradients of the run")
	s.must(m.Threads >= 0, "Threads", float64(m.Threads), "at least 0")
	s.base(m.Base)
	return s.err("SWA")
}

// Init implements Method.
func (m *SWA) Init(x []float32, groups []Group) *State {
	inner := m.Base.Init(x, groups)
	s := start(x, groups, 1)
	s.Inner = inner
	return s
}

// CheckState implements Settled.
func (m *SWA) CheckState(s *State, n int) error {
	f := form{vecs: []int{n}, phases: 1, inner: m.Base}
	if err := f.check(s, n); err != nil {
		return err
	}
	if s.Evals != s.Inner.Evals || s.Outer != s.Inner.Outer {
		return errInner(s)
	}
	return nil
}

// OuterEvals is Base's.
func (m *SWA) OuterEvals() int { return m.Base.OuterEvals() }

// Replicas is Base's.
func (m *SWA) Replicas() int { return m.Base.Replicas() }

// NeedsLoss is Base's.
func (m *SWA) NeedsLoss() bool { return m.Base.NeedsLoss() }

// Ask asks what Base asks.
func (m *SWA) Ask(s *State, q []Query) []Query { return m.Base.Ask(s.Inner, q) }

// Tell tells Base, and averages.
func (m *SWA) Tell(s *State, r []Result) (outer bool) {
	outer = m.Base.Tell(s.Inner, r)
	s.Evals, s.Outer = s.Inner.Evals, s.Inner.Outer
	if !outer {
		return false
	}
	count, new := m.count(s.Outer)
	switch {
	case count == 1 && new:
		copy(s.Vecs[0], m.Base.Params(s.Inner))
	case new:
		m.step = lerpUpdate{s.Vecs[0], m.Base.Params(s.Inner), float32(1 / float64(count))}
		m.sweep.run(m.Threads, s, &m.step)
		m.step = lerpUpdate{}
	}
	return true
}

// count is the number of weights in the mean after so many outer steps; new says whether the last of them
// gave one.
func (m *SWA) count(outer uint64) (count uint64, new bool) {
	first := uint64(max(1, math.Ceil(m.Start*float64(m.Total)/float64(m.Base.OuterEvals()))))
	if outer < first {
		return 0, false
	}
	every := uint64(m.Every)
	return (outer-first)/every + 1, (outer-first)%every == 0
}

// Params is the mean, or Base's before there is one.
func (m *SWA) Params(s *State) []float32 {
	if count, _ := m.count(s.Outer); count == 0 {
		return m.Base.Params(s.Inner)
	}
	return s.Vecs[0]
}

// Move implements Settled. The mean is not moved.
func (m *SWA) Move(s *State, x []float32) { m.Base.Move(s.Inner, x) }

// Stats is Base's.
func (m *SWA) Stats(s *State) Stats { return m.Base.Stats(s.Inner) }
