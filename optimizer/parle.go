package optimizer

import (
	"math"
	"slices"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// Parle trains N replicas of the weights that pull each other together (Chaudhari, Baldassi, Zecchina,
// Soatto, Talwalkar, Oberman: "Parle: parallelizing stochastic gradient descent", SysML 2018, arXiv 1707.00424,
// equations 8 and 9, with gamma and rho for its 1/gamma and 1/rho). Replica a has the weights xa. It takes L
// steps around them, with va = 0 at the start of the run,
//
//	g  = grad f(y) + wd y + gamma (y - xa)
//	va = m va + g
//	y  = y - eta' (g + m va)
//	za = (1-alpha) za + alpha y
//
// and then, with xbar the mean of the za, and Va = 0 at the start of the run,
//
//	d  = (xa - za) + rho (xa - xbar)
//	Va = M Va + d
//	xa = xa - eta (d + M Va)
//	y  = za = xa
//
// gamma and rho of outer step t = 0, 1, ... are gamma0 (1+scoping)^t and rho0 (1+scoping)^t, up to GammaMax and
// RhoMax. Params is the mean of the xa. With N = 1 and rho 0 this is Entropy-SGD with momentum kept and without
// noise; with L = 1 and gamma 0 it is Elastic-SGD.
//
// Each Ask has N queries, of mini-batches of their own, which the driver may answer at the same time; an outer
// step costs N L gradients. In a group with LRScale c the inner rate is c eta'.
//
// Make one with DefaultParle or DefaultElasticSGD and change its fields; the zero value is not valid. Vecs of
// the state are the mean, and for each replica x, y, z, v and V; v and V are empty if their momentum is 0.
type Parle struct {
	N             int     // replicas
	L             int     // inner steps in an outer step
	LR            float64 // eta: the rate of the outer step
	InnerLR       float64 // eta': the rate of the inner steps, never annealed
	Alpha         float64 // alpha: the weight of the new iterate in za
	Gamma         float64 // gamma0: the pull of y to xa
	GammaMax      float64
	Rho           float64 // rho0: the pull of xa to the mean
	RhoMax        float64
	Scoping       float64 // the growth of gamma and rho with each outer step
	Momentum      float64 // m: Nesterov momentum of the inner steps, kept
	OuterMomentum float64 // M: Nesterov momentum of the outer steps, kept
	WeightDecay   float64 // wd: in the inner steps; not in groups without Decay

	Schedule Schedule `json:"-"` // anneals LR alone, once an outer step; nil: constant
	Total    uint64   // gradients of the run, for Schedule
	Threads  int      // 0 and 1: the caller's goroutine alone; the results do not depend on it

	sweep sweep
	inner parleInner
	outer parleOuter
}

// DefaultParle returns the paper's settings with three replicas.
func DefaultParle() *Parle {
	return &Parle{N: 3, L: 25, LR: 0.1, InnerLR: 0.1, Alpha: 0.25, Gamma: 0.01, GammaMax: 1, Rho: 1, RhoMax: 10, Scoping: 1e-3,
		Momentum: 0.9, OuterMomentum: 0.9}
}

// DefaultElasticSGD returns Elastic-SGD (Zhang, Choromanska, LeCun: "Deep learning with Elastic Averaging
// SGD", NIPS 2015) as a case of Parle, with three replicas: each gradient is an SGD step of every replica and
// a pull of a tenth of its distance to the mean.
func DefaultElasticSGD() *Parle {
	return &Parle{N: 3, L: 1, LR: 1, InnerLR: 0.1, Alpha: 1, Rho: 0.1, RhoMax: 0.1, Momentum: 0.9}
}

// Places of a replica's vectors in State.Vecs, after the mean.
const (
	parleX = 1 + iota
	parleY
	parleZ
	parleV
	parleOuterV
	parleVecs = 5 // of each replica
)

// Validate names every setting that is out of range, or without effect.
func (m *Parle) Validate() error {
	var s settings
	s.must(m.N >= 1 && m.N <= math.MaxUint16, "N", float64(m.N), "at least 1 and at most 65535")
	s.must(m.L >= 1 && int64(m.L) < math.MaxUint32, "L", float64(m.L), "at least 1")
	s.must(m.LR > 0, "LR", m.LR, "above 0")
	s.must(m.InnerLR > 0, "InnerLR", m.InnerLR, "above 0")
	s.must(m.Alpha > 0 && m.Alpha <= 1, "Alpha", m.Alpha, "above 0 and at most 1")
	s.must(m.Gamma >= 0, "Gamma", m.Gamma, "at least 0")
	s.must(m.GammaMax >= m.Gamma, "GammaMax", m.GammaMax, "at least Gamma")
	s.must(m.Rho >= 0, "Rho", m.Rho, "at least 0")
	s.must(m.RhoMax >= m.Rho, "RhoMax", m.RhoMax, "at least Rho")
	s.must(m.Scoping >= 0, "Scoping", m.Scoping, "at least 0")
	s.must(m.Momentum >= 0 && m.Momentum < 1, "Momentum", m.Momentum, "at least 0 and below 1")
	s.must(m.OuterMomentum >= 0 && m.OuterMomentum < 1, "OuterMomentum", m.OuterMomentum, "at least 0 and below 1")
	s.must(m.WeightDecay >= 0, "WeightDecay", m.WeightDecay, "at least 0")
	if m.N == 1 && m.Rho != 0 {
		s.add("Rho is %v; it must be 0 with one replica, which has none to be pulled to", m.Rho)
	}
	if still := func(v, top float64) bool { return v == 0 || v >= top }; m.Scoping > 0 && still(m.Gamma, m.GammaMax) && still(m.Rho, m.RhoMax) {
		s.add("Scoping has no effect, because Gamma and Rho are 0 or at their limits; set it to 0")
	}
	s.schedule(m.Schedule, m.Total, m.Threads)
	return s.err("Parle")
}

// Init implements Method. All replicas start at x.
func (m *Parle) Init(x []float32, groups []Group) *State {
	s := start(x, groups, 1+parleVecs*m.N)
	for a := range m.N {
		v := s.Vecs[parleVecs*a:]
		v[parleX], v[parleY], v[parleZ] = slices.Clone(x), slices.Clone(x), slices.Clone(x)
		if m.Momentum != 0 {
			v[parleV] = make([]float32, len(x))
		}
		if m.OuterMomentum != 0 {
			v[parleOuterV] = make([]float32, len(x))
		}
	}
	return s
}

// CheckState implements Settled.
func (m *Parle) CheckState(s *State, n int) error {
	vecs := []int{n}
	for range m.N {
		v := []int{n, n, n, 0, 0}
		if m.Momentum != 0 {
			v[parleV-1] = n
		}
		if m.OuterMomentum != 0 {
			v[parleOuterV-1] = n
		}
		vecs = append(vecs, v...)
	}
	return form{vecs: vecs, phases: m.L, evals: uint64(m.N)}.check(s, n)
}

// OuterEvals is N times L.
func (m *Parle) OuterEvals() int { return times(m.N, m.L) }

// Replicas is N.
func (m *Parle) Replicas() int { return m.N }

// NeedsLoss is false.
func (m *Parle) NeedsLoss() bool { return false }

// Ask wants a gradient at each y, on mini-batches of their own.
func (m *Parle) Ask(s *State, q []Query) []Query {
	for a := range m.N {
		e := s.Evals + uint64(a)
		q = append(q, Query{Draw{Replica: a, Batch: e, Eval: e}, s.Vecs[parleVecs*a+parleY]})
	}
	return q
}

// Tell does an inner step of every replica, and after each L of them the outer step.
func (m *Parle) Tell(s *State, r []Result) (outer bool) {
	checkResults(r, m.N, weightsOf(s))
	t := float64(s.Outer)
	growth := math.Pow(1+m.Scoping, t)
	for a := range m.N {
		m.inner = parleInner{m, s.Vecs[parleVecs*a:], r[a].Grad, min(m.Gamma*growth, m.GammaMax)}
		m.sweep.run(m.Threads, s, &m.inner)
	}
	m.inner = parleInner{}
	s.Evals += uint64(m.N)
	s.Phase++
	if int64(s.Phase) < int64(m.L) {
		return false
	}
	m.outer = parleOuter{m, s.Vecs, m.rate(s.Evals), min(m.Rho*growth, m.RhoMax)}
	m.sweep.run(m.Threads, s, &m.outer)
	m.outer = parleOuter{}
	s.Outer++
	s.Phase = 0
	return true
}

// rate is that of the outer step that ends after so many gradients.
func (m *Parle) rate(evals uint64) float64 {
	return rateBefore(m.Schedule, m.LR, evals, uint64(m.OuterEvals()), m.Total)
}

// Params is the mean of the replicas after the last outer step.
func (m *Parle) Params(s *State) []float32 { return s.Vecs[0] }

// Move puts every replica at x.
func (m *Parle) Move(s *State, x []float32) {
	copy(s.Vecs[0], x)
	for a := range m.N {
		v := s.Vecs[parleVecs*a:]
		copy(v[parleX], x)
		copy(v[parleY], x)
		copy(v[parleZ], x)
	}
}

// Stats is the rate, gamma and rho.
func (m *Parle) Stats(s *State) Stats {
	st := noStats(m.rate(s.Evals - uint64(s.Phase)*uint64(m.N)))
	growth := math.Pow(1+m.Scoping, float64(max(s.Outer, 1)-1))
	st.Gamma, st.Rho = min(m.Gamma*growth, m.GammaMax), min(m.Rho*growth, m.RhoMax)
	return st
}

type parleInner struct {
	m     *Parle
	vecs  [][]float32 // of the replica, one place further
	grad  []float32
	gamma float64
}

func (u *parleInner) pass(g Group, from, to int) {
	m, v := u.m, u.vecs
	c := kernels.ParleStep{LR: float32(m.InnerLR * float64(g.LRScale)), Gamma: float32(u.gamma), Momentum: float32(m.Momentum),
		Alpha: float32(m.Alpha), Keep: float32(1 - m.Alpha)}
	if g.Decay {
		c.Decay = float32(m.WeightDecay)
	}
	kernels.ParleInner(v[parleY][from:to], v[parleZ][from:to], piece(v[parleV], from, to), v[parleX][from:to], u.grad[from:to], c)
}

type parleOuter struct {
	m       *Parle
	vecs    [][]float32
	lr, rho float64
}

func (u *parleOuter) pass(_ Group, from, to int) {
	m := u.m
	mean := u.vecs[0][from:to]
	u.average(mean, parleZ, from, to)
	for a := range m.N {
		v := u.vecs[parleVecs*a:]
		kernels.ParleOuter(v[parleX][from:to], v[parleY][from:to], v[parleZ][from:to], piece(v[parleOuterV], from, to), mean,
			float32(u.lr), float32(u.rho), float32(m.OuterMomentum))
	}
	u.average(mean, parleX, from, to)
}

// average sets mean to that of the replicas' vectors of a kind, added in order.
func (u *parleOuter) average(mean []float32, kind, from, to int) {
	copy(mean, u.vecs[kind][from:to])
	for a := 1; a < u.m.N; a++ {
		scale := float32(1)
		if a == u.m.N-1 {
			scale = float32(1 / float64(u.m.N))
		}
		kernels.AddScaled(mean, u.vecs[parleVecs*a+kind][from:to], scale)
	}
}

// piece is a range of a vector, empty if the vector is.
func piece(v []float32, from, to int) []float32 {
	if len(v) == 0 {
		return nil
	}
	return v[from:to]
}
