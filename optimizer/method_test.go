package optimizer

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// fresh returns new methods with settings of every kind. All take whole outer steps in 60 gradients.
func fresh() map[string]Settled {
	sgd := func() Settled { return &SGD{LR: 0.1, Momentum: 0.9, WeightDecay: 0.01} }
	adamW := DefaultAdamW()
	adamW.Schedule, adamW.Total = WarmUp(0.3, Linear), 60
	m := map[string]Settled{
		"sgd":        &SGD{LR: 0.1},
		"nesterov":   &SGD{LR: 0.1, Momentum: 0.9, Nesterov: true, WeightDecay: 0.1, Schedule: Cosine, Total: 15},
		"adam":       &Adam{LR: 0.01, Beta1: 0.9, Beta2: 0.99, Epsilon: 1e-8, WeightDecay: 0.01},
		"adamw":      adamW,
		"clip":       &Clip{Base: sgd(), Norm: 2, Value: 0.3},
		"accumulate": &Accumulate{Base: sgd(), K: 3},
		"sam":        &SAM{Base: sgd(), Radius: 0.3},
		"lookahead":  &Lookahead{Base: sgd(), K: 4, Alpha: 0.7},
		"swa":        &SWA{Base: sgd(), Start: 0.3, Every: 2, Total: 60},
		"wrapped": &SWA{Base: &Lookahead{Base: &Clip{Base: &Accumulate{Base: &SAM{Base: small(&EntropySGD{L: 1, Statistics: true}), Radius: 0.1}, K: 2},
			Norm: 3}, K: 2, Alpha: 0.5}, Start: 0.1, Every: 1, Total: 60},
		"wrapped parle":     &Accumulate{Base: &SAM{Base: &Parle{N: 3, L: 2, LR: 0.5, InnerLR: 0.1, Alpha: 0.5, Rho: 0.1, RhoMax: 1, Scoping: 0.1}, Radius: 0.1}, K: 2},
		"auto in lookahead": &Lookahead{Base: &Accumulate{Base: small(&EntropySGD{L: 3, AutoGamma: true}), K: 2}, K: 5, Alpha: 0.5},
	}
	for name, e := range variants() {
		m["entropy "+name] = e
	}
	for name, e := range parles() {
		m["parle "+name] = e
	}
	return m
}

// small sets what m needs to be valid.
func small(m *EntropySGD) *EntropySGD {
	m.LR, m.InnerLR, m.Alpha = 0.9, 0.1, 0.6
	return m
}

func encode(t *testing.T, s *State) []byte {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A run that is cut at any query, written to bytes, and read by a new method ends with the same bits.
func TestResumeAtEveryQuery(t *testing.T) {
	const n, evals = 100, 60
	for name := range fresh() {
		m := fresh()[name]
		s := m.Init(weights(n), sections(n))
		advance(m, s, evals)
		want := encode(t, s)
		for cut := 0; cut <= evals; cut += m.Replicas() {
			m := fresh()[name]
			s := m.Init(weights(n), sections(n))
			advance(m, s, cut)
			before := encode(t, s)
			m.Ask(s, nil)
			m.Params(s)
			m.Stats(s)
			if !bytes.Equal(before, encode(t, s)) {
				t.Fatalf("%s: Ask, Params or Stats changed the state", name)
			}
			var copied State
			if err := gob.NewDecoder(bytes.NewReader(before)).Decode(&copied); err != nil {
				t.Fatal(err)
			}
			m = fresh()[name]
			if err := m.CheckState(&copied, n); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			advance(m, &copied, evals-cut)
			if !bytes.Equal(encode(t, &copied), want) {
				t.Errorf("%s: the run that was cut after %d gradients ends elsewhere", name, cut)
			}
		}
		if s.Evals != evals || s.Outer != evals/uint64(m.OuterEvals()) || !slices.Equal(s.Groups, sections(n)) {
			t.Errorf("%s: %d gradients and %d outer steps were counted", name, s.Evals, s.Outer)
		}
	}
}

// setThreads sets the field of m and of what it is wrapped around.
func setThreads(m Settled, threads int) {
	v := reflect.ValueOf(m).Elem()
	v.FieldByName("Threads").SetInt(int64(threads))
	if base := v.FieldByName("Base"); base.IsValid() {
		setThreads(base.Interface().(Settled), threads)
	}
}

func TestThreadsChangeNoBit(t *testing.T) {
	const n, evals = 3*part + 5, 12
	for name := range fresh() {
		var want []byte
		for _, threads := range []int{1, 2, 3} {
			m := fresh()[name]
			setThreads(m, threads)
			s := m.Init(weights(n), sections(n))
			advance(m, s, evals)
			if got := encode(t, s); threads == 1 {
				want = got
			} else if !bytes.Equal(got, want) {
				t.Errorf("%s, %d threads: another result", name, threads)
			}
		}
	}
}

func TestInitCopies(t *testing.T) {
	for name, m := range fresh() {
		x, groups := weights(4), []Group{{To: 4, LRScale: 1}}
		s := m.Init(x, groups)
		x[0], groups[0].To = 99, 2
		if s.Vecs[0][0] == 99 || s.Groups[0].To == 2 {
			t.Errorf("%s: Init keeps the caller's memory", name)
		}
	}
}

func TestStillGroupDoesNotMove(t *testing.T) {
	for name, m := range fresh() {
		s := m.Init(weights(10), []Group{{To: 4, LRScale: 1}, {From: 4, To: 10}})
		advance(m, s, 60)
		if got := m.Params(s); !slices.Equal(got[4:], weights(10)[4:]) || slices.Equal(got[:4], weights(10)[:4]) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	const n = part + 100
	for _, threads := range []int{1, 2} {
		for name, m := range fresh() {
			setThreads(m, threads)
			s := m.Init(weights(n), sections(n))
			q := m.Ask(s, nil)
			r := make([]Result, m.Replicas())
			for i := range r {
				r[i].Grad = make([]float32, n)
			}
			for range m.OuterEvals() {
				m.Tell(s, r)
			}
			if a := testing.AllocsPerRun(20, func() { // runs it once before it counts
				q = m.Ask(s, q[:0])
				m.Tell(s, r)
			}); a != 0 {
				t.Errorf("%s, %d threads: %v allocations in Ask and Tell", name, threads, a)
			}
		}
	}
}

// Move puts the weights elsewhere between two outer steps, and no group that holds still moves after it.
func TestMove(t *testing.T) {
	for name, m := range fresh() {
		s := m.Init(weights(10), nil)
		advance(m, s, m.OuterEvals())
		to := slices.Repeat([]float32{7}, 10)
		m.Move(s, to)
		to[0] = 0
		if swa, ok := m.(*SWA); ok {
			m, s = swa.Base, s.Inner // the mean stays
		}
		if p := m.Params(s); !slices.Equal(p, slices.Repeat([]float32{7}, 10)) {
			t.Errorf("%s: Params are %v", name, p)
		}
		for i, q := range m.Ask(s, nil) {
			if q.Point[3] != 7 {
				t.Errorf("%s: query %d is at %v", name, i, q.Point)
			}
		}
		if err := m.CheckState(s, 10); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateNamesEveryField(t *testing.T) {
	for name, m := range fresh() {
		if err := m.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := DefaultEntropySGD().Validate(); err != nil {
		t.Error(err)
	}
	for _, m := range []Settled{DefaultSGD(), DefaultAdam(), DefaultAdamW(), DefaultEntropyAdam(), DefaultEntropySGLD(), DefaultParle(), DefaultElasticSGD(),
		DefaultSAM(DefaultSGD()), DefaultLookahead(DefaultSGD())} {
		if err := m.Validate(); err != nil {
			t.Error(err)
		}
	}
	nan := math.NaN()
	for _, c := range []struct {
		m      Settled
		fields string
	}{
		{&EntropySGD{}, "L LR InnerLR Alpha"},
		{&EntropySGD{L: -1, LR: -1, InnerLR: math.Inf(1), Alpha: 1.1, Noise: -1, Gamma: nan, Scoping: -0.1, Momentum: 1,
			OuterMomentum: -0.1, WeightDecay: nan, OuterNoise: -1, Schedule: Cosine, Threads: -1},
			"L LR InnerLR Alpha Noise Gamma Scoping Momentum OuterMomentum WeightDecay OuterNoise Schedule Threads"},
		{small(&EntropySGD{L: 1, AutoGamma: true, Gamma: 1}), "Gamma"},
		{small(&EntropySGD{L: 1, Gamma: 1, Scoping: 0.1, Total: 100}), "Scoping"}, // 1.1^99 > 2/0.1
		{small(&EntropySGD{L: 1, Gamma: 20, Total: 1}), "Gamma"},                  // 0.1*20 = 2
		{small(&EntropySGD{L: 1, Beta1: 0.9}), "Beta1"},
		{small(&EntropySGD{L: 1, InnerAdam: true, OuterAdam: true, Momentum: 0.1, OuterMomentum: 0.1}), "Momentum OuterMomentum Epsilon"},
		{small(&EntropySGD{L: 1, DecayPlace: DecayLate}), "DecayPlace"},
		{small(&EntropySGD{L: 1, DecayPlace: "here"}), "DecayPlace"},
		{small(&EntropySGD{L: 1, Compat: "c"}), "Compat"},
		{small(&EntropySGD{L: 1, Compat: Lua, OuterMomentum: 0.1, OuterGamma: true, OuterNoise: 1}), "OuterGamma OuterMomentum Compat"},
		{small(&EntropySGD{L: 1, Compat: Torch, Scoping: 0.1, DecayPlace: DecayInner, WeightDecay: 1}), "Scoping"},
		{small(&EntropySGD{L: 1, Compat: Torch, DecayPlace: DecayLate, WeightDecay: 1}), "DecayPlace"},
		{&SGD{LR: nan, Momentum: 1, WeightDecay: -1, Schedule: Step, Threads: -2}, "LR Momentum WeightDecay Schedule Threads"},
		{&SGD{LR: 1, Nesterov: true}, "Nesterov"},
		{&Adam{Beta1: 1, Beta2: -1, WeightDecay: -1, Threads: -1}, "LR Beta1 Beta2 Epsilon WeightDecay Threads"},
		{&Adam{LR: 1, Epsilon: 1, Decoupled: true}, "Decoupled"},
		{&Parle{Gamma: 2, Rho: -1, RhoMax: -2, Scoping: -1, Momentum: 1, OuterMomentum: 1, WeightDecay: -1, Threads: -1},
			"N L LR InnerLR Alpha GammaMax Rho RhoMax Scoping Momentum OuterMomentum WeightDecay Threads"},
		{&Parle{N: 1, L: 1, LR: 1, InnerLR: 1, Alpha: 1, Rho: 1, RhoMax: 1}, "Rho"},
		{&Parle{N: 1, L: 1, LR: 1, InnerLR: 1, Alpha: 1, Scoping: 1}, "Scoping"},
		{&Clip{}, "Norm Base"},
		{&Clip{Norm: -1, Value: nan, Threads: -1, Base: DefaultSGD()}, "Norm Value Threads"},
		{&Accumulate{K: 1, Threads: -1}, "K Threads Base"},
		{&SAM{Threads: -1}, "Radius Threads Base"},
		{&Lookahead{Alpha: 1.1, Threads: -1}, "K Alpha Threads Base"},
		{&SWA{Start: 1, Threads: -1}, "Start Every Total Threads Base"},
		{&SAM{Radius: 1, Base: &SGD{Momentum: 1}}, "SGD: Momentum"}, // named by the method inside
	} {
		err := c.m.Validate()
		if err == nil {
			t.Fatalf("%+v passes", c.m)
		}
		_, text, _ := strings.Cut(strings.TrimPrefix(err.Error(), "optimizer: "), ": ")
		var named []string
		for complaint := range strings.SplitSeq(text, "; ") {
			if field, _, ok := strings.Cut(complaint, " "); ok && field[0] < 'a' {
				field = strings.TrimRight(field, ",")
				named = append(named, field)
			}
		}
		if got := strings.Join(named, " "); got != c.fields {
			t.Errorf("named %q, want %q: %v", got, c.fields, err)
		}
	}
}

func TestCheckState(t *testing.T) {
	m := DefaultEntropySGD()
	for _, c := range []struct {
		change func(*State)
		want   string
	}{
		{func(*State) {}, ""},
		{func(s *State) { s.Vecs = s.Vecs[:3] }, "another method"},
		{func(s *State) { s.Vecs[2] = s.Vecs[2][:3] }, "vector 2"},
		{func(s *State) { s.Vecs[4] = make([]float32, 9) }, "another setting"},
		{func(s *State) { s.Scalars = s.Scalars[:2] }, "another method"},
		{func(s *State) { s.Inner = &State{} }, "another method"},
		{func(s *State) { s.Scalars[0] = 1 }, "auto-scoping"},
		{func(s *State) { s.Scalars[6] = -1 }, "travelled"},
		{func(s *State) { s.Outer = 1 }, "which no run has"},
		{func(s *State) { s.Evals, s.Outer = 1<<63, 1<<63/20 }, "which no run has"},
		{func(s *State) { s.Phase, s.Evals = 20, 20 }, "place 20"},
		{func(s *State) { s.Evals = 3 }, "3 gradients"},
		{func(s *State) { s.Groups[0].To = 8 }, "8 of 9"},
		{func(s *State) { s.Groups = nil }, "0 of 9"},
	} {
		s := m.Init(weights(9), nil)
		c.change(s)
		err := m.CheckState(s, 9)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestCheckGroups(t *testing.T) {
	for _, c := range []struct {
		groups []Group
		want   string
	}{
		{[]Group{{0, 3, 1, true}, {3, 3, 0, false}, {3, 9, 2, false}}, ""},
		{[]Group{{0, 3, 1, true}, {4, 9, 1, true}}, "group 1 starts at 4"},
		{[]Group{{0, 5, 1, true}, {4, 9, 1, true}}, "group 1 starts at 4"},
		{[]Group{{0, -3, 1, true}}, "before its start"},
		{[]Group{{0, 9, -1, true}}, "LRScale -1"},
		{[]Group{{0, 9, float32(math.NaN()), true}}, "LRScale NaN"},
		{[]Group{{0, 10, 1, true}}, "10 of 9"},
	} {
		err := CheckGroups(9, c.groups)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.groups, err, c.want)
		}
	}
}

func TestRoundBudget(t *testing.T) {
	m := DefaultEntropySGD()
	for evals, want := range map[uint64]uint64{0: 0, 1: 20, 19: 20, 20: 20, 2345: 2360} {
		if got := RoundBudget(m, evals); got != want {
			t.Errorf("RoundBudget(%d) = %d, want %d", evals, got, want)
		}
	}
	if got := RoundBudget(DefaultSGD(), 7); got != 7 {
		t.Errorf("SGD: %d", got)
	}
}

func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		name            string
		progress, value float64
	}{
		{"constant", 0.9, 2}, {"step", 0, 2}, {"step", 0.39, 2}, {"step", 0.4, 0.2}, {"step", 1, 0.2},
		{"cosine", 0, 2}, {"cosine", 1.0 / 3, 1.5}, {"cosine", 0.5, 1}, {"cosine", 1, 0},
		{"linear", 0, 2}, {"linear", 0.25, 1.5}, {"linear", 1, 0},
		{"step:0.5@0.25,0.75", 0.2, 2}, {"step:0.5@0.25,0.75", 0.25, 1}, {"step:0.5@0.25,0.75", 0.8, 0.5},
	} {
		f, err := ParseSchedule(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if got := f(2, c.progress); math.Abs(got-c.value) > 1e-15 {
			t.Errorf("%s at %v: %v, want %v", c.name, c.progress, got, c.value)
		}
	}
	for _, name := range []string{"", "exponential", "step:", "step:0.5", "step:0.5@", "step:2@0.5", "step:0@0.5", "step:0.5@0.5,0.4", "step:0.5@1", "step:0.5@x"} {
		if _, err := ParseSchedule(name); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", name)) {
			t.Errorf("ParseSchedule(%q): %v", name, err)
		}
	}
	warm := WarmUp(0.2, Linear)
	for progress, want := range map[float64]float64{0: 0.5, 0.1: 2.75, 0.2: 5, 0.6: 2.5, 1: 0} {
		if got := warm(5, progress); math.Abs(got-want) > 1e-14 {
			t.Errorf("WarmUp at %v: %v, want %v", progress, got, want)
		}
	}
	f := Drops(0.5, 0.25, 0.75)
	for progress, want := range map[float64]float64{0: 8, 0.25: 4, 0.74: 4, 0.75: 2, 1: 2} {
		if got := f(8, progress); got != want {
			t.Errorf("Drops at %v: %v, want %v", progress, got, want)
		}
	}
}

func BenchmarkTell(b *testing.B) {
	const n = 131220 // the weights of mnistconv
	for name, m := range map[string]Method{"entropy": DefaultEntropySGD(), "entropy adam": DefaultEntropyAdam(), "sgd": DefaultSGD(), "adam": DefaultAdam(),
		"clip": &Clip{Base: DefaultSGD(), Norm: 1}} {
		b.Run(name, func(b *testing.B) {
			s := m.Init(weights(n), nil)
			r := []Result{{Grad: make([]float32, n)}}
			b.ReportAllocs()
			for b.Loop() {
				m.Tell(s, r)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/weight")
		})
	}
}
