package optimizer

import (
	"math"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// Accumulate tells a method the mean of K gradients at one point, each of a mini-batch of its own, which is
// like a batch K times as large in the memory of one, and without BatchNormalization the same gradient but for rounding:
// that normalises each mini-batch by its own mean and variance, not by those of all K. A smaller last mini-batch of an
// epoch has the same weight as the others. Mini-batch b of Base becomes K b to K b + K-1.
//
// Vecs of the state are the sum of the gradients so far, for each of Base's queries, and Scalars the sums of
// their losses. Inner is Base's state.
type Accumulate struct {
	Base    Settled
	K       int
	Threads int // 0 and 1: the caller's goroutine alone; the results do not depend on it

	sweep sweep
	add   accumulateUpdate
}

// Validate names every setting that is out of range, of Base too.
func (m *Accumulate) Validate() error {
	var s settings
	s.must(m.K >= 2 && m.K <= 1e6, "K", float64(m.K), "at least 2 and at most 1e6")
	s.must(m.Threads >= 0, "Threads", float64(m.Threads), "at least 0")
	s.base(m.Base)
	return s.err("Accumulate")
}

// Init implements Method.
func (m *Accumulate) Init(x []float32, groups []Group) *State {
	inner := m.Base.Init(x, groups)
	s := start(x, groups, m.Replicas())
	s.Inner, s.Scalars = inner, make([]float64, m.Replicas())
	for i := range s.Vecs {
		s.Vecs[i] = make([]float32, len(x))
	}
	return s
}

// CheckState implements Settled.
func (m *Accumulate) CheckState(s *State, n int) error {
	f := form{vecs: lengths(n, m.Replicas()), scalars: m.Replicas(), phases: m.K, inner: m.Base}
	if err := f.check(s, n); err != nil {
		return err
	}
	if s.Outer != s.Inner.Outer {
		return errInner(s)
	}
	for _, loss := range s.Scalars {
		if s.Phase == 0 && loss != 0 {
			return errInner(s)
		}
	}
	return countsInner(s, uint64(m.K), uint64(m.Replicas()))
}

// OuterEvals is K times Base's.
func (m *Accumulate) OuterEvals() int { return times(m.K, m.Base.OuterEvals()) }

// Replicas is Base's.
func (m *Accumulate) Replicas() int { return m.Base.Replicas() }

// NeedsLoss is Base's.
func (m *Accumulate) NeedsLoss() bool { return m.Base.NeedsLoss() }

// Ask asks K times where Base asks once.
func (m *Accumulate) Ask(s *State, q []Query) []Query {
	from := len(q)
	q = m.Base.Ask(s.Inner, q)
	for i := from; i < len(q); i++ {
		at := &q[i].At
		at.Batch = at.Batch*uint64(m.K) + uint64(s.Phase)
		at.Eval = at.Eval*uint64(m.K) + uint64(s.Phase)
	}
	return q
}

// Tell adds the gradients up, and tells Base the mean of each K.
func (m *Accumulate) Tell(s *State, r []Result) (outer bool) {
	checkResults(r, m.Replicas(), weightsOf(s))
	s.Evals += uint64(len(r))
	last := int(s.Phase) == m.K-1
	for i := range r {
		s.Scalars[i] += r[i].Loss
		switch {
		case s.Phase == 0:
			copy(s.Vecs[i], r[i].Grad)
			continue
		case last:
			m.add = accumulateUpdate{r[i].Grad, s.Vecs[i], float32(1 / float64(m.K))}
		default:
			m.add = accumulateUpdate{s.Vecs[i], r[i].Grad, 1}
		}
		m.sweep.run(m.Threads, s, &m.add)
	}
	m.add = accumulateUpdate{}
	if !last {
		s.Phase++
		return false
	}
	for i := range r {
		r[i].Loss, s.Scalars[i] = s.Scalars[i]/float64(m.K), 0
	}
	s.Phase = 0
	outer = m.Base.Tell(s.Inner, r)
	s.Outer = s.Inner.Outer
	return outer
}

// Params is Base's.
func (m *Accumulate) Params(s *State) []float32 { return m.Base.Params(s.Inner) }

// Move implements Settled.
func (m *Accumulate) Move(s *State, x []float32) { m.Base.Move(s.Inner, x) }

// Stats is Base's.
func (m *Accumulate) Stats(s *State) Stats { return m.Base.Stats(s.Inner) }

type accumulateUpdate struct {
	to, from []float32
	scale    float32
}

func (u *accumulateUpdate) pass(_ Group, from, to int) {
	kernels.AddScaled(u.to[from:to], u.from[from:to], u.scale)
}

// countsInner checks Evals of a wrapper that asks k times, at places of its own, where the wrapped method
// asks once, which is for the given number of gradients.
func countsInner(s *State, k, replicas uint64) error {
	if s.Inner.Evals > math.MaxUint64/k || s.Evals != s.Inner.Evals*k+uint64(s.Phase)*replicas {
		return errInner(s)
	}
	return nil
}
