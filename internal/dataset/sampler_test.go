package dataset

import (
	"slices"
	"testing"
)

func TestSamplerEpochs(t *testing.T) {
	for _, c := range []struct{ n, batch, batches, last int }{
		{10, 3, 4, 1}, {10, 5, 2, 5}, {10, 100, 1, 10}, {1, 1, 1, 1}, {1000, 128, 8, 104},
	} {
		s, err := NewShuffle(c.n, c.batch, 7, true)
		if err != nil {
			t.Fatal(err)
		}
		if s.Batches() != c.batches {
			t.Errorf("%d samples by %d: %d batches, want %d", c.n, c.batch, s.Batches(), c.batches)
		}
		var before []int
		for epoch := range 3 {
			var all []int
			for b := range c.batches {
				idx := s.Batch(uint64(epoch*c.batches + b))
				want := c.batch
				if b == c.batches-1 {
					want = c.last
				}
				if len(idx) != want {
					t.Errorf("%d samples by %d: batch %d has %d, want %d", c.n, c.batch, b, len(idx), want)
				}
				all = append(all, idx...)
			}
			if c.n >= 10 && slices.Equal(all, before) {
				t.Errorf("%d samples: epoch %d has the order of the one before", c.n, epoch)
			}
			before = slices.Clone(all)
			slices.Sort(all)
			for i, v := range all {
				if v != i {
					t.Fatalf("%d samples: epoch %d lacks sample %d", c.n, epoch, i)
				}
			}
			if len(all) != c.n {
				t.Errorf("%d samples: epoch of %d", c.n, len(all))
			}
		}
	}
}

// A batch is the same whatever was asked for before it, by any sampler of the same seed.
func TestSamplerRandomAccess(t *testing.T) {
	a, _ := NewShuffle(100, 7, 42, true)
	var order [][]int
	for k := range uint64(60) {
		order = append(order, slices.Clone(a.Batch(k)))
	}
	for _, k := range []uint64{59, 3, 0, 31, 30, 14, 15, 59} {
		fresh, _ := NewShuffle(100, 7, 42, true)
		if !slices.Equal(a.Batch(k), order[k]) || !slices.Equal(fresh.Batch(k), order[k]) {
			t.Errorf("batch %d depends on what came before", k)
		}
	}
	other, _ := NewShuffle(100, 7, 43, true)
	if slices.Equal(other.Batch(0), order[0]) {
		t.Error("two seeds give one order")
	}
}

func TestSamplerFileOrder(t *testing.T) {
	s, _ := NewShuffle(5, 2, 1, false)
	for k, want := range [][]int{{0, 1}, {2, 3}, {4}, {0, 1}} {
		if got := s.Batch(uint64(k)); !slices.Equal(got, want) {
			t.Errorf("batch %d is %v, want %v", k, got, want)
		}
	}
}

// Over many epochs each of the 24 orders of four samples comes up about equally often: chi² with 23 degrees
// of freedom exceeds 49.7 once in a thousand seeds.
func TestSamplerUniform(t *testing.T) {
	s, _ := NewShuffle(4, 4, 5, true)
	count := map[[4]int]int{}
	const epochs = 24_000
	for k := range uint64(epochs) {
		count[[4]int(s.Batch(k))]++
	}
	chi := 0.0
	for _, n := range count {
		d := float64(n) - epochs/24
		chi += d * d / (epochs / 24)
	}
	if len(count) != 24 || chi > 49.7 {
		t.Errorf("%d orders, chi² %.1f", len(count), chi)
	}
}

func TestSamplerErrors(t *testing.T) {
	for _, c := range []struct {
		n, batch int
		want     string
	}{
		{0, 1, "dataset: no mini-batches can be drawn from 0 samples"},
		{5, 0, "dataset: a mini-batch of 0 samples; it must have at least 1"},
	} {
		if _, err := NewShuffle(c.n, c.batch, 0, true); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
