package kernels

import "testing"

// All that was added is taken once, whatever the pieces, and a nil Ahead has nothing.
func TestAhead(t *testing.T) {
	if s := (*Ahead[float32])(nil).take(10); s != nil {
		t.Errorf("nothing gave %d elements", len(s))
	}
	for _, lines := range []int{1, 3, 1000} {
		var a Ahead[float32]
		taken := map[*float32]bool{}
		for _, n := range []int{0, 1, 16, 17, 500} {
			a.Add(make([]float32, n))
		}
		for s := a.take(lines); s != nil; s = a.take(lines) {
			if len(s) > 16*lines {
				t.Fatalf("%d elements in %d lines", len(s), lines)
			}
			for i := range s {
				taken[&s[i]] = true
			}
		}
		if len(taken) != 534 {
			t.Errorf("%d lines at a time: %d elements of 534", lines, len(taken))
		}
	}
	var full Ahead[float32]
	for range 20 {
		full.Add(make([]float32, 1))
	}
}
