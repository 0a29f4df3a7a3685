package optimizer

import "github.com/onnx-entropy/onnx-entropy/internal/kernels"

// SAM is sharpness-aware minimisation (Foret, Kleiner, Mobahi, Neyshabur: "Sharpness-Aware Minimization for
// Efficiently Improving Generalization", ICLR 2021, algorithm 1 with p = 2) around any method: where Base asks
// for a gradient at w, it is told the one at
//
//	w + Radius g/|g|,   g = grad f(w)
//
// of the same mini-batch with the same dropout, so each step costs two gradients. Weight decay is Base's and
// has no part in g. Where g is 0 the second point is w. Base is told the loss at w.
//
// Vecs of the state are the second points, one for each of Base's queries, and Scalars the losses at the
// first. Inner is Base's state.
type SAM struct {
	Base    Settled
	Radius  float64 // rho
	Threads int     // 0 and 1: the caller's goroutine alone; the results do not depend on it

	queries []Query
	sweep   sweep
	measure clipUpdate
	climb   samUpdate
}

// DefaultSAM returns the paper's setting for CIFAR around base: Radius 0.05.
func DefaultSAM(base Settled) *SAM { return &SAM{Base: base, Radius: 0.05} }

// Validate names every setting that is out of range, of Base too.
func (m *SAM) Validate() error {
	var s settings
	s.must(m.Radius > 0, "Radius", m.Radius, "above 0")
	s.must(m.Threads >= 0, "Threads", float64(m.Threads), "at least 0")
	s.base(m.Base)
	return s.err("SAM")
}

// Init implements Method.
func (m *SAM) Init(x []float32, groups []Group) *State {
	inner := m.Base.Init(x, groups)
	s := start(x, groups, m.Replicas())
	s.Inner, s.Scalars = inner, make([]float64, m.Replicas())
	m.reset(s, x)
	return s
}

// reset puts the second points at x, where weights of groups that hold still stay.
func (m *SAM) reset(s *State, x []float32) {
	for i := range s.Vecs {
		s.Vecs[i] = append(s.Vecs[i][:0], x...)
	}
}

// CheckState implements Settled.
func (m *SAM) CheckState(s *State, n int) error {
	f := form{vecs: lengths(n, m.Replicas()), scalars: m.Replicas(), phases: 2, inner: m.Base}
	if err := f.check(s, n); err != nil {
		return err
	}
	if s.Outer != s.Inner.Outer {
		return errInner(s)
	}
	return countsInner(s, 2, uint64(m.Replicas()))
}

// OuterEvals is twice Base's.
func (m *SAM) OuterEvals() int { return times(2, m.Base.OuterEvals()) }

// Replicas is Base's.
func (m *SAM) Replicas() int { return m.Base.Replicas() }

// NeedsLoss is Base's.
func (m *SAM) NeedsLoss() bool { return m.Base.NeedsLoss() }

// Ask wants gradients where Base does, and then at the second points.
func (m *SAM) Ask(s *State, q []Query) []Query {
	from := len(q)
	q = m.Base.Ask(s.Inner, q)
	if s.Phase == 1 {
		for i := range q[from:] {
			q[from+i].Point = s.Vecs[i]
		}
	}
	return q
}

// Tell finds the second points, and then tells Base the gradients there.
func (m *SAM) Tell(s *State, r []Result) (outer bool) {
	checkResults(r, m.Replicas(), weightsOf(s))
	s.Evals += uint64(len(r))
	if s.Phase == 0 {
		m.queries = m.Base.Ask(s.Inner, m.queries[:0])
		for i, q := range m.queries {
			s.Scalars[i] = r[i].Loss
			m.climb = samUpdate{s.Vecs[i], q.Point, r[i].Grad, 0}
			m.measure.grad = r[i].Grad
			if length := m.measure.length(&m.sweep, m.Threads, s); length > 0 {
				m.climb.t = float32(m.Radius / length)
			}
			m.sweep.run(m.Threads, s, &m.climb)
		}
		m.climb, m.measure.grad = samUpdate{}, nil
		clear(m.queries)
		s.Phase = 1
		return false
	}
	for i := range r {
		r[i].Loss = s.Scalars[i]
	}
	s.Phase = 0
	outer = m.Base.Tell(s.Inner, r)
	s.Outer = s.Inner.Outer
	return outer
}

// Params is Base's.
func (m *SAM) Params(s *State) []float32 { return m.Base.Params(s.Inner) }

// Move implements Settled.
func (m *SAM) Move(s *State, x []float32) {
	m.Base.Move(s.Inner, x)
	m.reset(s, x)
}

// Stats is Base's.
func (m *SAM) Stats(s *State) Stats { return m.Base.Stats(s.Inner) }

type samUpdate struct {
	probe, x, grad []float32
	t              float32
}

func (u *samUpdate) pass(_ Group, from, to int) {
	kernels.Along(u.probe[from:to], u.x[from:to], u.grad[from:to], u.t)
}
