package optimizer

import (
	"math"
	"slices"
	"testing"
)

// plainSGD is a step of plain SGD on one weight.
func plainSGD(x *float32, lr, grad float32) { *x = *x - float32(lr*grad) }

func TestSAMEqualsNestedLoops(t *testing.T) {
	const n, steps, lr, radius = part + 333, 7, float32(0.2), 0.4
	for _, threads := range []int{1, 3} {
		m := &SAM{Base: &SGD{LR: float64(lr)}, Radius: radius, Threads: threads}
		s := m.Init(weights(n), nil)
		advance(m, s, 2*steps)
		x := weights(n)
		for k := range steps {
			var square float64
			g := make([]float32, n)
			for i := range g {
				g[i] = slope(i, x[i], uint64(k))
				square += float64(g[i]) * float64(g[i])
			}
			scale := float32(radius / math.Sqrt(square))
			for i := range x {
				plainSGD(&x[i], lr, slope(i, x[i]+float32(scale*g[i]), uint64(k)))
			}
		}
		// The sum of squares is added in another order: its root may round to a neighbouring float32.
		for i, got := range m.Params(s) {
			if math.Abs(float64(got-x[i])) > 1e-6 {
				t.Fatalf("weight %d is %v, want %v", i, got, x[i])
			}
		}
	}
}

// Both gradients of a step are of one mini-batch and one dropout mask; with a gradient of 0 both are at w.
func TestSAMAsksTwice(t *testing.T) {
	m := DefaultSAM(DefaultSGD())
	s := m.Init([]float32{1, 2}, nil)
	for k, grad := range [][]float32{{3, 4}, {1, 1}, {0, 0}, {1, 1}} {
		q := m.Ask(s, nil)
		if len(q) != 1 || q[0].At != (Draw{Batch: uint64(k / 2), Eval: uint64(k / 2)}) {
			t.Fatalf("query %d: %+v", k, q)
		}
		at := m.Params(s)
		want := slices.Clone(at)
		if k == 1 {
			want = []float32{1 + 0.03, 2 + 0.04}
		}
		for i := range want {
			if math.Abs(float64(q[0].Point[i]-want[i])) > 1e-7 {
				t.Fatalf("query %d is at %v, want %v", k, q[0].Point, want)
			}
		}
		m.Tell(s, []Result{{Grad: grad}})
	}
}

func TestLookaheadEqualsNestedLoops(t *testing.T) {
	const n, steps, k, lr, momentum = 700, 4, 5, float32(0.2), float32(0.5)
	m := &Lookahead{Base: &SGD{LR: float64(lr), Momentum: float64(momentum)}, K: k, Alpha: 0.3}
	s := m.Init(weights(n), nil)
	advance(m, s, steps*k+2) // in the middle of an outer step
	for i, slow := range weights(n) {
		fast, v := slow, float32(0)
		for b := range steps * k {
			v = float32(momentum*v) + slope(i, fast, uint64(b))
			plainSGD(&fast, lr, v)
			if b%k == k-1 {
				slow = slow + float32(float32(0.3)*(fast-slow))
				fast = slow
			}
		}
		if got := m.Params(s)[i]; got != slow {
			t.Fatalf("weight %d is %v, want %v", i, got, slow)
		}
	}
	if s.Outer != steps || s.Phase != 2 {
		t.Errorf("%d outer steps and place %d", s.Outer, s.Phase)
	}
}

// The mean is that of the base's own trajectory, which SWA does not change.
func TestSWAIsTheMean(t *testing.T) {
	const n, steps = 300, 23
	for _, c := range []struct {
		start float64
		every int
		first int // outer step, from 1
	}{{0, 1, 1}, {0.5, 1, 12}, {0.5, 4, 12}, {0.9, 2, 21}} {
		m := &SWA{Base: &SGD{LR: 0.1, Momentum: 0.9}, Start: c.start, Every: c.every, Total: steps}
		if err := m.Validate(); err != nil {
			t.Fatal(err)
		}
		s := m.Init(weights(n), nil)
		base := &SGD{LR: 0.1, Momentum: 0.9}
		alone := base.Init(weights(n), nil)
		sum, count := make([]float64, n), 0
		for k := 1; k <= steps; k++ {
			advance(m, s, 1)
			advance(base, alone, 1)
			if !slices.Equal(s.Inner.Vecs[0], alone.Vecs[0]) {
				t.Fatalf("step %d: SWA changes the run", k)
			}
			if k >= c.first && (k-c.first)%c.every == 0 {
				count++
				for i, x := range base.Params(alone) {
					sum[i] += float64(x)
				}
			}
			for i, got := range m.Params(s) {
				want := float64(base.Params(alone)[i])
				if count > 0 {
					want = sum[i] / float64(count)
				}
				if math.Abs(float64(got)-want) > 1e-6 {
					t.Fatalf("%+v, step %d: weight %d is %v, want %v", c, k, i, got, want)
				}
			}
		}
	}
}

// Accumulating three mini-batches is SGD with the mean of their gradients.
func TestAccumulateEqualsNestedLoops(t *testing.T) {
	const n, steps, k, lr = 100, 5, 3, float32(0.2)
	m := &Accumulate{Base: &SGD{LR: float64(lr)}, K: k}
	s := m.Init(weights(n), nil)
	advance(m, s, k*steps)
	for i, x := range weights(n) {
		for b := range steps {
			var sum float32
			for j := range k {
				sum += slope(i, x, uint64(k*b+j))
			}
			plainSGD(&x, lr, float32(sum*float32(1.0/k)))
		}
		if got := m.Params(s)[i]; got != x {
			t.Fatalf("weight %d is %v, want %v", i, got, x)
		}
	}
}

// told is a method that keeps what it is told.
type told struct {
	SGD
	grad []float32
	loss float64
}

func (m *told) Tell(s *State, r []Result) bool {
	m.grad, m.loss = slices.Clone(r[0].Grad), r[0].Loss
	return m.SGD.Tell(s, r)
}

// What the wrappers tell of the loss: the mean of the mini-batches, and of SAM that of the first points. Each gradient has
// a mini-batch and dropout masks of its own, but for SAM's second.
func TestLossAndDrawsOfWrappers(t *testing.T) {
	base := &told{SGD: SGD{LR: 1}}
	m := &Accumulate{Base: &SAM{Base: base, Radius: 1}, K: 2}
	s := m.Init(make([]float32, 2), nil)
	for k, c := range []struct {
		loss  float64
		batch uint64
	}{{1, 0}, {2, 1}, {30, 0}, {40, 1}, {5, 2}, {7, 3}, {60, 2}, {80, 3}} {
		if at := m.Ask(s, nil)[0].At; at != (Draw{Batch: c.batch, Eval: c.batch}) {
			t.Errorf("gradient %d is of %+v, want %d", k, at, c.batch)
		}
		m.Tell(s, []Result{{Loss: c.loss, Grad: []float32{1, 0}}})
		if want := []float64{0, 0, 0, 1.5, 1.5, 1.5, 1.5, 6}[k]; base.loss != want {
			t.Errorf("after gradient %d the loss told last is %v, want %v", k, base.loss, want)
		}
	}
}

func TestClip(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		norm, value float64
		in, want    []float32 // the last weight holds still
	}{
		{5, 0, []float32{6, 8, 100}, []float32{3, 4, 100}},
		{5, 0, []float32{3, -4, 100}, []float32{3, -4, 100}},
		{0, 2, []float32{3, -4, 100}, []float32{2, -2, 100}},
		{1, 2, []float32{3, -1, 0}, []float32{float32(2 / math.Sqrt(5)), float32(-1 / math.Sqrt(5)), 0}},
		{1, 2, []float32{nan, 9, 0}, []float32{nan, 2, 0}}, // left for the driver to find
	} {
		base := &told{SGD: SGD{LR: 1}}
		m := &Clip{Base: base, Norm: c.norm, Value: c.value}
		s := m.Init(make([]float32, 3), []Group{{To: 2, LRScale: 1}, {From: 2, To: 3}})
		m.Tell(s, []Result{{Grad: slices.Clone(c.in)}})
		for i, want := range c.want {
			if got := base.grad[i]; !(math.Abs(float64(got-want)) < 1e-6 || got != got && want != want) {
				t.Errorf("norm %v, value %v: %v becomes %v, want %v", c.norm, c.value, c.in, base.grad, c.want)
				break
			}
		}
	}
}

// States of wrappers that no run has are named as wrong, however the counts were changed.
func TestWrappersCheckTheirStates(t *testing.T) {
	const n = 20
	for name := range fresh() {
		m := fresh()[name]
		for i, change := range []func(s *State){
			func(s *State) { s.Evals++ },
			func(s *State) { s.Evals += uint64(m.OuterEvals()) },
			func(s *State) { s.Outer++ },
			func(s *State) { s.Outer-- },
			func(s *State) { s.Phase++ },
			func(s *State) { s.Phase = math.MaxUint32 },
			func(s *State) { s.Evals, s.Outer = math.MaxUint64, math.MaxUint64 },
			func(s *State) { s.Vecs = append(s.Vecs, nil) },
			func(s *State) { s.Vecs = nil },
			func(s *State) { s.Scalars = append(s.Scalars, 0) },
			func(s *State) { s.Groups = []Group{{To: n, LRScale: -1}} },
			func(s *State) { s.Groups = nil },
			func(s *State) {
				if s.Inner == nil {
					s.Inner = s
				} else {
					s.Inner = nil
				}
			},
			func(s *State) {
				if s.Inner == nil {
					s.Groups[0].To++
				} else {
					s.Inner.Outer++
				}
			},
			func(s *State) {
				if s.Inner == nil {
					s.Groups[0].From--
				} else {
					s.Inner.Groups = []Group{{To: n, LRScale: 1}}
				}
			},
		} {
			s := m.Init(weights(n), sections(n))
			advance(m, s, 60)
			if err := m.CheckState(s, n); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			change(s)
			if m.CheckState(s, n) == nil {
				t.Errorf("%s: change %d passes", name, i)
			}
		}
		if m.CheckState(nil, n) == nil {
			t.Errorf("%s: no state passes", name)
		}
		if m.CheckState(m.Init(weights(n), nil), n+1) == nil {
			t.Errorf("%s: another number of weights passes", name)
		}
	}
}
