package optimizer

import (
	"bytes"
	"encoding/gob"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// fresh returns new methods with settings of every kind.
func fresh() map[string]Settled {
	m := map[string]Settled{
		"sgd":      &SGD{LR: 0.1},
		"nesterov": &SGD{LR: 0.1, Momentum: 0.9, Nesterov: true, WeightDecay: 0.1, Schedule: Cosine, Total: 15},
	}
	for name, e := range variants() {
		m["entropy "+name] = e
	}
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
	const n, evals = 300, 12
	for name := range fresh() {
		m := fresh()[name]
		s := m.Init(weights(n), sections(n))
		advance(m, s, evals)
		want := encode(t, s)
		for cut := range evals + 1 {
			m := fresh()[name]
			s := m.Init(weights(n), sections(n))
			advance(m, s, cut)
			before := encode(t, s)
			m.Ask(s, nil)
			m.Params(s)
			if !bytes.Equal(before, encode(t, s)) {
				t.Fatalf("%s: Ask or Params changed the state", name)
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
	}
}

func TestThreadsChangeNoBit(t *testing.T) {
	const n = 3*part + 5
	m := &SGD{LR: 0.1, Momentum: 0.9, Nesterov: true, WeightDecay: 0.1}
	s := m.Init(weights(n), sections(n))
	advance(m, s, 5)
	for _, threads := range []int{2, 3} {
		p := &SGD{LR: 0.1, Momentum: 0.9, Nesterov: true, WeightDecay: 0.1, Threads: threads}
		got := p.Init(weights(n), sections(n))
		advance(p, got, 5)
		if !reflect.DeepEqual(got, s) {
			t.Errorf("%d threads: another result", threads)
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
		advance(m, s, 12)
		if got := m.Params(s); !slices.Equal(got[4:], weights(10)[4:]) || slices.Equal(got[:4], weights(10)[:4]) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	const n = part + 100
	for _, threads := range []int{1, 2} {
		e := DefaultEntropySGD()
		e.L, e.Threads, e.Schedule, e.Total = 2, threads, Cosine, 100
		for name, m := range map[string]Method{"entropy": e, "sgd": &SGD{LR: 0.1, Momentum: 0.9, Threads: threads}} {
			s := m.Init(weights(n), sections(n))
			q := m.Ask(s, nil)
			r := []Result{{Grad: make([]float32, n)}}
			if a := testing.AllocsPerRun(20, func() { // runs it once before it counts
				q = m.Ask(s, q[:0])
				m.Tell(s, r)
			}); a != 0 {
				t.Errorf("%s, %d threads: %v allocations in Ask and Tell", name, threads, a)
			}
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
	if err := DefaultSGD().Validate(); err != nil {
		t.Error(err)
	}
	nan := math.NaN()
	for _, c := range []struct {
		m      Settled
		fields string
	}{
		{&EntropySGD{}, "L LR InnerLR Alpha"},
		{&EntropySGD{L: -1, LR: -1, InnerLR: math.Inf(1), Alpha: 1.1, Noise: -1, Gamma: nan, Scoping: -0.1, Momentum: 1,
			OuterMomentum: -0.1, WeightDecay: nan, Schedule: Cosine, Threads: -1},
			"L LR InnerLR Alpha Noise Gamma Scoping Momentum OuterMomentum WeightDecay Schedule Threads"},
		{&SGD{LR: nan, Momentum: 1, WeightDecay: -1, Schedule: Step, Threads: -2}, "LR Momentum WeightDecay Schedule Threads"},
		{&SGD{LR: 1, Nesterov: true}, "Nesterov"},
	} {
		err := c.m.Validate()
		if err == nil {
			t.Fatalf("%+v passes", c.m)
		}
		_, text, _ := strings.Cut(err.Error(), "SGD: ")
		var named []string
		for complaint := range strings.SplitSeq(text, "; ") {
			if field, _, ok := strings.Cut(complaint, " "); ok && field[0] < 'a' {
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
		{func(s *State) { s.Vecs[4] = make([]float32, 9) }, "a momentum was 0"},
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
	} {
		f, err := ParseSchedule(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if got := f(2, c.progress); math.Abs(got-c.value) > 1e-15 {
			t.Errorf("%s at %v: %v, want %v", c.name, c.progress, got, c.value)
		}
	}
	if _, err := ParseSchedule("linear"); err == nil || !strings.Contains(err.Error(), `"linear"`) {
		t.Errorf("ParseSchedule: %v", err)
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
	for name, m := range map[string]Method{"entropy": DefaultEntropySGD(), "sgd": DefaultSGD()} {
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
