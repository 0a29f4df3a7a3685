package optimizer

import "github.com/onnx-entropy/onnx-entropy/internal/kernels"

// SGD is gradient descent with momentum in the convention of torch.optim.SGD without dampening: v is a
// sum of gradients, not of steps, so a change of the rate acts on the momentum at once. With v = 0 at
// the start of the run, a step is
//
//	g = grad f(x) + wd x
//	v = m v + g
//	x = x - lr (g + m v)     (Nesterov)
//	x = x - lr v             (plain)
//
// Make one with DefaultSGD and change its fields; the zero value is not valid. Each gradient is an outer
// step. Vecs of the state are x and v, which is empty if m is 0. Scalars is empty.
type SGD struct {
	LR          float64 // lr
	Momentum    float64 // m
	Nesterov    bool    // only with a momentum
	WeightDecay float64 // wd: not in groups without Decay

	Schedule Schedule `json:"-"` // anneals LR, each step; nil: constant
	Total    uint64   // gradients of the run, for Schedule
	Threads  int      // 0 and 1: the caller's goroutine alone; the results do not depend on it

	single
	sweep sweep
	step  sgdUpdate
}

// DefaultSGD returns the settings of the paper's baseline for CIFAR: rate 0.1, Nesterov momentum 0.9.
func DefaultSGD() *SGD { return &SGD{LR: 0.1, Momentum: 0.9, Nesterov: true} }

const vecMomentum = 1 // place in State.Vecs, after vecX

// Validate names every setting that is out of range.
func (m *SGD) Validate() error {
	var s settings
	s.must(m.LR > 0, "LR", m.LR, "above 0")
	s.must(m.Momentum >= 0 && m.Momentum < 1, "Momentum", m.Momentum, "at least 0 and below 1")
	if m.Nesterov && m.Momentum == 0 {
		s.add("Nesterov has no effect with Momentum 0; unset it, or set a momentum")
	}
	s.must(m.WeightDecay >= 0, "WeightDecay", m.WeightDecay, "at least 0")
	s.schedule(m.Schedule, m.Total, m.Threads)
	return s.err("SGD")
}

// Init implements Method.
func (m *SGD) Init(x []float32, groups []Group) *State {
	s := start(x, groups, 2)
	if m.Momentum != 0 {
		s.Vecs[vecMomentum] = make([]float32, len(x))
	}
	return s
}

// CheckState implements Settled.
func (m *SGD) CheckState(s *State, n int) error {
	vecs := []int{n, 0}
	if m.Momentum != 0 {
		vecs[vecMomentum] = n
	}
	return form{vecs: vecs, phases: 1, evals: 1}.check(s, n)
}

// OuterEvals is 1.
func (m *SGD) OuterEvals() int { return 1 }

// Ask wants a gradient at x.
func (m *SGD) Ask(s *State, q []Query) []Query {
	return append(q, Query{Draw{Batch: s.Evals, Eval: s.Evals}, s.Vecs[vecX]})
}

// Tell does a step.
func (m *SGD) Tell(s *State, r []Result) (outer bool) {
	m.step = sgdUpdate{m, s.Vecs, gradient(r, len(s.Vecs[vecX])), rate(m.Schedule, m.LR, s.Evals, m.Total)}
	m.sweep.run(m.Threads, s, &m.step)
	m.step = sgdUpdate{}
	s.Evals++
	s.Outer++
	return true
}

// Params is x.
func (m *SGD) Params(s *State) []float32 { return s.Vecs[vecX] }

// Move implements Settled.
func (m *SGD) Move(s *State, x []float32) { copy(s.Vecs[vecX], x) }

// Stats is the rate.
func (m *SGD) Stats(s *State) Stats {
	return noStats(rateBefore(m.Schedule, m.LR, s.Evals, 1, m.Total))
}

type sgdUpdate struct {
	m    *SGD
	vecs [][]float32
	grad []float32
	lr   float64
}

func (u *sgdUpdate) pass(g Group, from, to int) {
	var v []float32
	var decay float32
	if len(u.vecs[vecMomentum]) != 0 {
		v = u.vecs[vecMomentum][from:to]
	}
	if g.Decay {
		decay = float32(u.m.WeightDecay)
	}
	kernels.SGD(u.vecs[vecX][from:to], v, u.grad[from:to], float32(u.lr*float64(g.LRScale)),
		float32(u.m.Momentum), decay, u.m.Nesterov)
}
