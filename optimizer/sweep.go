package optimizer

import "github.com/onnx-entropy/onnx-entropy/internal/parallel"

// A sweep runs an update over all weights, in parts on several threads. The parts are fixed ranges of the
// flat vector and updates work element by element, so the number of threads changes no bit.
type sweep struct {
	pool   *parallel.Pool
	asked  int // threads of pool; it may have fewer
	groups []Group
	n      int
	update update
}

// An update is a pass over elements from to before to, which are in one group. Passes over different
// ranges run at the same time.
type update interface {
	pass(g Group, from, to int)
}

// part is the number of weights in a part: some tens of microseconds of work, against about one for
// handing a part to a goroutine.
const part = 1 << 14

// run has no allocation after the first call if u is a pointer.
func (w *sweep) run(threads int, s *State, u update) {
	w.groups, w.n, w.update = s.Groups, weightsOf(s), u
	parts := (w.n + part - 1) / part
	if threads > 1 {
		if w.asked != threads {
			w.pool, w.asked = parallel.New(threads), threads
		}
		w.pool.Run(parts, w)
	} else {
		for i := range parts {
			w.Part(0, i)
		}
	}
	w.groups, w.update = nil, nil
}

// Part implements parallel.Task.
func (w *sweep) Part(_, i int) {
	lo, hi := i*part, min((i+1)*part, w.n)
	for _, g := range w.groups[firstAfter(w.groups, lo):] {
		if g.From >= hi {
			break
		}
		if from, to := max(lo, g.From), min(hi, g.To); from < to && g.LRScale != 0 {
			w.update.pass(g, from, to)
		}
	}
}

// firstAfter is the index of the first group that ends after element i.
func firstAfter(groups []Group, i int) int {
	lo, hi := 0, len(groups)
	for lo < hi {
		if mid := (lo + hi) / 2; groups[mid].To > i {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

// totals are sums over all weights that do not depend on the number of threads: each part adds to its own,
// and total adds the parts in order.
type totals struct{ parts [][3]float64 }

// reset makes room for n weights. It allocates the first time.
func (t *totals) reset(n int) {
	parts := (n + part - 1) / part
	if cap(t.parts) < parts {
		t.parts = make([][3]float64, parts)
	}
	t.parts = t.parts[:parts]
	clear(t.parts)
}

// at is the sum of the part that element from is in.
func (t *totals) at(from int) *[3]float64 { return &t.parts[from/part] }

func (t *totals) total() (sum [3]float64) {
	for _, p := range t.parts {
		for k, v := range p {
			sum[k] += v
		}
	}
	return sum
}
