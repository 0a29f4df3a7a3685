package kernels

import "testing"

// All that was added is taken once, whatever the pieces, and a nil Ahead has nothing.
func TestAhead(t *testing.T) {
	if p := (*Ahead[float32])(nil).take(10); p.rows != 0 {
		t.Errorf("nothing gave %d rows", p.rows)
	}
	for _, most := range []int{1, 3, 1000} {
		var a Ahead[float32]
		want, taken := map[*float32]bool{}, map[*float32]bool{}
		for _, n := range []int{0, 1, 32, 33, 500} {
			s := make([]float32, n)
			a.Add(s)
			for i := 0; i < n; i += aheadCols {
				want[&s[i]] = true
			}
		}
		s := make([]float32, 5*70+aheadCols)
		a.addRows(s, 70, 6)
		for i := range 6 {
			want[&s[i*70]] = true
		}
		for p := a.take(most); p.rows > 0; p = a.take(most) {
			if p.rows > most {
				t.Fatalf("%d rows, asked for %d", p.rows, most)
			}
			for i := range p.rows {
				at := &p.data[i*p.ld]
				if !want[at] || taken[at] {
					t.Fatal("a row that was not added, or the same twice")
				}
				taken[at] = true
			}
		}
		if len(taken) != len(want) {
			t.Errorf("%d rows at a time: %d rows of %d", most, len(taken), len(want))
		}
	}
	var full Ahead[float32]
	for range 20 {
		full.Add(make([]float32, 1))
	}
}
