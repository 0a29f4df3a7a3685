package dataset

import (
	"math"
	"slices"
	"testing"
)

// TestUniform draws often and compares frequencies with 1/n by a chi-square statistic.
func TestUniform(t *testing.T) {
	const n, batch, batches = 50, 64, 2000
	s, err := NewUniform(n, 20, 3)
	if err != nil || s.Batches() != 3 || len(s.Batch(0)) != 20 {
		t.Fatalf("%v; %d batches of %d", err, s.Batches(), len(s.Batch(0)))
	}
	s, _ = NewUniform(n, batch, 3)
	count := make([]float64, n)
	for k := range uint64(batches) {
		for _, i := range s.Batch(k) {
			count[i]++
		}
	}
	mean := float64(min(n, batch)*batches) / n
	chi := 0.0
	for _, c := range count {
		chi += (c - mean) * (c - mean) / mean
	}
	if chi < 20 || chi > 95 { // 49 degrees of freedom: 49 ± 9.9
		t.Errorf("chi-square of the frequencies is %.1f; about 49 is due", chi)
	}
	if slices.Equal(slices.Clone(s.Batch(4)), slices.Clone(s.Batch(5))) {
		t.Error("two mini-batches are equal")
	}
}

// oddball is a sampler after its first epoch, told that sample i has the error errs[i].
func oddball(t *testing.T, errs []float32, batch int, floor float64) *Oddball {
	t.Helper()
	s, err := NewOddball(len(errs), batch, 11, floor, 2)
	if err != nil {
		t.Fatal(err)
	}
	tell(s, errs)
	return s
}

// tell goes through the first epoch, whose samples are all different.
func tell(s *Oddball, errs []float32) {
	for k := range uint64(s.Batches()) {
		var e []float32
		for _, i := range s.Batch(k) {
			e = append(e, errs[i])
		}
		s.Tell(k, e)
	}
}

// TestOddballFrequencies compares frequencies with the probabilities of the formula, and the weighted mean of any
// function of the samples with its mean over all.
func TestOddballFrequencies(t *testing.T) {
	errs := []float32{0, 1, 2, 4, 0.5, 0, 8, 0.001, 3, 1, 1}
	for _, floor := range []float64{0, 0.2, 1} {
		s := oddball(t, errs, 8, floor)
		var sum float64
		for _, e := range errs {
			sum += float64(e)
		}
		n := float64(len(errs))
		count := make([]float64, len(errs))
		const batches = 20000
		var weighted, all float64
		w := make([]float32, 8)
		for k := uint64(s.Batches()); k < uint64(s.Batches()+batches); k++ {
			idx := s.Batch(k)
			s.Weights(w, k)
			for j, i := range idx {
				count[i]++
				weighted += float64(w[j]) * float64(i*i)
			}
			var e []float32
			for _, i := range idx {
				e = append(e, errs[i]) // the errors stay as they are
			}
			s.Tell(k, e)
		}
		draws := 8.0 * batches
		for i, e := range errs {
			p := (1-floor)*float64(e)/sum + floor/n
			sd := math.Sqrt(draws * p * (1 - p))
			if math.Abs(count[i]-draws*p) > 4.5*sd || p == 0 && count[i] > 0 {
				t.Errorf("floor %v: sample %d of error %v was drawn %v times; %.0f ± %.0f are due", floor, i, e, count[i], draws*p, sd)
			}
			all += float64(i*i) / n
		}
		if floor > 0 { // without it, samples of error 0 are never seen and the mean is biased
			if got := weighted / draws; math.Abs(got/all-1) > 0.03 {
				t.Errorf("floor %v: the weighted mean is %.3f, over all samples %.3f", floor, got, all)
			}
		}
	}
}

// A mini-batch that is asked for again is the same, though its errors have been told in between; and a sampler
// that was restored goes on as the one whose state it has.
func TestOddballStateAndRepetition(t *testing.T) {
	errs := make([]float32, 100)
	for i := range errs {
		errs[i] = float32(i % 7)
	}
	a := oddball(t, errs, 16, 0.1)
	run := func(s *Oddball, from, to uint64) (all [][]int) {
		for k := from; k < to; k++ {
			idx := slices.Clone(s.Batch(k))
			var e []float32
			for j, i := range idx {
				e = append(e, errs[i]*float32(j)/8)
			}
			s.Tell(k, e)
			if !slices.Equal(s.Batch(k), idx) {
				t.Fatalf("batch %d changes when it is asked for again", k)
			}
			all = append(all, idx)
		}
		return all
	}
	run(a, 7, 20)
	state := a.State()
	b, err := NewOddball(100, 16, 11, 0.1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Restore(state); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(b.Batch(19), a.Batch(19)) {
		t.Error("the last mini-batch is lost")
	}
	x, y := run(a, 20, 60), run(b, 20, 60)
	for k := range x {
		if !slices.Equal(x[k], y[k]) {
			t.Fatalf("batch %d differs after Restore", 20+k)
		}
	}
	for cut := range state {
		if b.Restore(state[:cut]) == nil {
			t.Fatalf("a state cut at %d of %d bytes was accepted", cut, len(state))
		}
	}
	other, _ := NewOddball(99, 16, 11, 0.1, 2)
	if other.Restore(state) == nil {
		t.Error("a state of 100 samples was accepted for 99")
	}
}

// Errors that cannot be errors must not reach the sums.
func TestOddballOddErrors(t *testing.T) {
	errs := []float32{float32(math.NaN()), float32(math.Inf(1)), -3, 0}
	s := oddball(t, errs, 4, 0)
	for k := uint64(1); k < 50; k++ {
		for _, i := range s.Batch(k) {
			if i < 0 || i > 3 {
				t.Fatalf("sample %d", i)
			}
		}
	}
	s = oddball(t, append(errs, 2), 4, 0)
	for k := uint64(2); k < 50; k++ {
		for _, i := range s.Batch(k) {
			if i != 4 {
				t.Fatalf("sample %d of error 0 was drawn", i)
			}
		}
	}
}
