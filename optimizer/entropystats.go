package optimizer

import (
	"math"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// Stats implements Settled. Gamma is that of the outer step that ended last: with AutoGamma 0 for the first.
func (m *EntropySGD) Stats(s *State) Stats {
	st := noStats(m.outerRate(s.Evals - uint64(s.Phase)))
	last := *s
	last.Outer = max(s.Outer, 1) - 1
	st.Gamma = m.gamma(&last)
	if m.AutoGamma && s.Outer <= 1 {
		st.Gamma = 0
	}
	if m.Statistics && s.Outer > 0 {
		st.Distance, st.Gradient = s.Scalars[statDistance], s.Scalars[statGradient]
		st.Cosine, st.Travelled = s.Scalars[statCosine], s.Scalars[statTravelled]
	}
	return st
}

// measure finds the statistics before the outer step. The gradient of the local entropy is gamma (x - mu), and the
// angle does not depend on gamma.
func (m *EntropySGD) measure(s *State) {
	u := &m.products
	u.vecs = s.Vecs
	u.sums.reset(weightsOf(s))
	m.sweep.run(m.Threads, s, u)
	u.vecs = nil
	sum := u.sums.total()
	distance, gradient := math.Sqrt(sum[0]), math.Sqrt(sum[1])
	s.Scalars[statDistance], s.Scalars[statGradient] = distance, gradient
	s.Scalars[statCosine] = sum[2] / (distance * gradient)
}

type productsUpdate struct {
	vecs [][]float32
	sums totals
}

func (u *productsUpdate) pass(_ Group, from, to int) {
	v, sum := u.vecs, u.sums.at(from)
	dd, gg, dg := kernels.Products(v[vecX][from:to], v[vecMu][from:to], v[vecGradient][from:to])
	sum[0] += dd
	sum[1] += gg
	sum[2] += dg
}
