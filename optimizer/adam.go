package optimizer

import (
	"math"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// Adam is the method of Kingma and Ba: "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm
// 1, and, if Decoupled, AdamW of Loshchilov and Hutter: "Decoupled Weight Decay Regularization", ICLR 2019,
// algorithm 2 in the convention of torch.optim.AdamW, where the rate multiplies the decay. With m = v = 0 at
// the start of the run, step t = 1, 2, ... is
//
//	g = grad f(x) + wd x              (AdamW: g = grad f(x), and x = x - lr wd x)
//	m = beta1 m + (1-beta1) g
//	v = beta2 v + (1-beta2) g^2
//	x = x - lr (m / (1-beta1^t)) / (sqrt(v / (1-beta2^t)) + epsilon)
//
// Make one with DefaultAdam or DefaultAdamW and change its fields; the zero value is not valid. Each
// gradient is an outer step. Vecs of the state are x, m and v.
type Adam struct {
	LR           float64 // lr
	Beta1, Beta2 float64
	Epsilon      float64
	WeightDecay  float64 // wd: not in groups without Decay
	Decoupled    bool    // AdamW; only with a weight decay

	Schedule Schedule `json:"-"` // anneals LR, each step; nil: constant
	Total    uint64   // gradients of the run, for Schedule
	Threads  int      // 0 and 1: the caller's goroutine alone; the results do not depend on it

	single
	sweep sweep
	step  adamUpdate
}

// DefaultAdam returns the settings of the Adam paper, which are those of the Entropy-SGD paper's baseline for
// MNIST too: rate 0.001.
func DefaultAdam() *Adam { return &Adam{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8} }

// DefaultAdamW returns DefaultAdam with the decoupled weight decay of 0.01 that torch.optim.AdamW has.
func DefaultAdamW() *Adam {
	m := DefaultAdam()
	m.WeightDecay, m.Decoupled = 0.01, true
	return m
}

// Places in State.Vecs, after vecX.
const (
	vecFirst  = 1 // m
	vecSecond = 2 // v
)

// Validate names every setting that is out of range.
func (m *Adam) Validate() error {
	var s settings
	s.must(m.LR > 0, "LR", m.LR, "above 0")
	s.adam(m.Beta1, m.Beta2, m.Epsilon)
	s.must(m.WeightDecay >= 0, "WeightDecay", m.WeightDecay, "at least 0")
	if m.Decoupled && m.WeightDecay == 0 {
		s.add("Decoupled has no effect with WeightDecay 0; unset it, or set a decay")
	}
	s.schedule(m.Schedule, m.Total, m.Threads)
	return s.err("Adam")
}

// Init implements Method.
func (m *Adam) Init(x []float32, groups []Group) *State {
	s := start(x, groups, 3)
	s.Vecs[vecFirst] = make([]float32, len(x))
	s.Vecs[vecSecond] = make([]float32, len(x))
	return s
}

// CheckState implements Settled.
func (m *Adam) CheckState(s *State, n int) error {
	if err := (form{vecs: lengths(n, 3), phases: 1, evals: 1}).check(s, n); err != nil {
		return err
	}
	return checkSquares(s, vecSecond)
}

// OuterEvals is 1.
func (m *Adam) OuterEvals() int { return 1 }

// Ask wants a gradient at x.
func (m *Adam) Ask(s *State, q []Query) []Query {
	return append(q, Query{Draw{Batch: s.Evals, Eval: s.Evals}, s.Vecs[vecX]})
}

// Tell does a step.
func (m *Adam) Tell(s *State, r []Result) (outer bool) {
	m.step = adamUpdate{m, s, gradient(r, len(s.Vecs[vecX])), rate(m.Schedule, m.LR, s.Evals, m.Total)}
	m.sweep.run(m.Threads, s, &m.step)
	m.step = adamUpdate{}
	s.Evals++
	s.Outer++
	return true
}

// Params is x.
func (m *Adam) Params(s *State) []float32 { return s.Vecs[vecX] }

// Move implements Settled.
func (m *Adam) Move(s *State, x []float32) { copy(s.Vecs[vecX], x) }

// Stats is the rate.
func (m *Adam) Stats(s *State) Stats {
	return noStats(rateBefore(m.Schedule, m.LR, s.Evals, 1, m.Total))
}

type adamUpdate struct {
	m    *Adam
	s    *State
	grad []float32
	lr   float64
}

func (u *adamUpdate) pass(g Group, from, to int) {
	m, v := u.m, u.s.Vecs
	lr := u.lr * float64(g.LRScale)
	c := adamStep(lr, m.Beta1, m.Beta2, m.Epsilon, u.s.Evals+1)
	if g.Decay && m.Decoupled {
		c.Shrink = float32(1 - lr*m.WeightDecay)
	} else if g.Decay {
		c.Decay = float32(m.WeightDecay)
	}
	kernels.Adam(v[vecX][from:to], v[vecFirst][from:to], v[vecSecond][from:to], u.grad[from:to], c)
}

// adamStep holds the coefficients of step t, from 1, without decay.
func adamStep(lr, beta1, beta2, epsilon float64, t uint64) kernels.AdamStep {
	return kernels.AdamStep{
		LR:      float32(lr / (1 - math.Pow(beta1, float64(t)))),
		Root:    float32(1 / math.Sqrt(1-math.Pow(beta2, float64(t)))),
		Beta1:   float32(beta1),
		Beta2:   float32(beta2),
		New1:    float32(1 - beta1),
		New2:    float32(1 - beta2),
		Epsilon: float32(epsilon),
		Shrink:  1,
	}
}
