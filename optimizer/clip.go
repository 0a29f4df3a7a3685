package optimizer

import (
	"math"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// Clip limits the gradients that a method is told: first each element to [-Value, Value], then the whole
// to a length of at most Norm, as torch.nn.utils.clip_grad_norm_ does (without its 1e-6 in the divisor). A
// limit of 0 is none. Weights of groups with LRScale 0 do not count. Each replica's gradient is limited alone.
//
// It has no memory: its states are those of Base.
type Clip struct {
	Base        Settled
	Norm, Value float64
	Threads     int // 0 and 1: the caller's goroutine alone; the results do not depend on it

	sweep sweep
	pass  clipUpdate
}

// Validate names every setting that is out of range, of Base too.
func (m *Clip) Validate() error {
	var s settings
	s.must(m.Norm >= 0, "Norm", m.Norm, "at least 0")
	s.must(m.Value >= 0, "Value", m.Value, "at least 0")
	if m.Norm == 0 && m.Value == 0 {
		s.add("Norm and Value are 0 and clip nothing; set one, or leave both out")
	}
	s.must(m.Threads >= 0, "Threads", float64(m.Threads), "at least 0")
	s.base(m.Base)
	return s.err("Clip")
}

// Init implements Method.
func (m *Clip) Init(x []float32, groups []Group) *State { return m.Base.Init(x, groups) }

// CheckState implements Settled.
func (m *Clip) CheckState(s *State, n int) error { return m.Base.CheckState(s, n) }

// OuterEvals is Base's.
func (m *Clip) OuterEvals() int { return m.Base.OuterEvals() }

// Replicas is Base's.
func (m *Clip) Replicas() int { return m.Base.Replicas() }

// NeedsLoss is Base's.
func (m *Clip) NeedsLoss() bool { return m.Base.NeedsLoss() }

// Ask asks what Base asks.
func (m *Clip) Ask(s *State, q []Query) []Query { return m.Base.Ask(s, q) }

// Tell tells Base the limited gradients.
func (m *Clip) Tell(s *State, r []Result) (outer bool) {
	checkResults(r, m.Replicas(), weightsOf(s))
	for i := range r {
		m.pass.grad = r[i].Grad
		m.limit(s)
	}
	m.pass.grad = nil
	return m.Base.Tell(s, r)
}

// limit changes the gradient of the pass.
func (m *Clip) limit(s *State) {
	u := &m.pass
	u.top, u.scale = float32(m.Value), 1
	if m.Value != 0 {
		u.what = clipValue
		m.sweep.run(m.Threads, s, u)
	}
	if m.Norm == 0 {
		return
	}
	if length := u.length(&m.sweep, m.Threads, s); length > m.Norm {
		u.what, u.scale = clipScale, float32(m.Norm/length)
		m.sweep.run(m.Threads, s, u)
	}
}

// Params is Base's.
func (m *Clip) Params(s *State) []float32 { return m.Base.Params(s) }

// Move implements Settled.
func (m *Clip) Move(s *State, x []float32) { m.Base.Move(s, x) }

// Stats is Base's.
func (m *Clip) Stats(s *State) Stats { return m.Base.Stats(s) }

// clipUpdate measures or changes a gradient.
type clipUpdate struct {
	grad       []float32
	what       int
	top, scale float32
	sums       totals
}

const (
	clipMeasure = iota
	clipValue
	clipScale
)

// length is the length of the gradient.
func (u *clipUpdate) length(w *sweep, threads int, s *State) float64 {
	u.what = clipMeasure
	u.sums.reset(weightsOf(s))
	w.run(threads, s, u)
	return math.Sqrt(u.sums.total()[0])
}

func (u *clipUpdate) pass(_ Group, from, to int) {
	g := u.grad[from:to]
	switch u.what {
	case clipMeasure:
		u.sums.at(from)[0] += kernels.SquareSum(g)
	case clipValue:
		kernels.Limit(g, u.top)
	case clipScale:
		kernels.Multiply(g, u.scale)
	}
}
