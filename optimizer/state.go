package optimizer

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// start makes a state whose first vector is a copy of x.
func start(x []float32, groups []Group, vecs int) *State {
	if groups == nil {
		groups = []Group{{To: len(x), LRScale: 1, Decay: true}}
	}
	if err := CheckGroups(len(x), groups); err != nil {
		panic("optimizer: Init was called with groups that CheckGroups rejects: " + err.Error())
	}
	s := &State{Groups: slices.Clone(groups), Vecs: make([][]float32, vecs)}
	if vecs > 0 {
		s.Vecs[0] = slices.Clone(x)
	}
	return s
}

// maxEvals is beyond any run; random numbers have 48 bits for the number of the evaluation.
const maxEvals = 1 << 48

// A form is what a state of a method looks like, for CheckState.
type form struct {
	vecs    []int // length of each vector
	scalars int
	phases  int    // Phase is below
	evals   uint64 // gradients of a phase; 0: the method checks Evals itself
	inner   Settled
}

// check is the part of CheckState that methods share.
func (f form) check(s *State, n int) error {
	if s == nil {
		return fmt.Errorf("optimizer: the state is missing")
	}
	if len(s.Vecs) != len(f.vecs) || len(s.Scalars) != f.scalars || (s.Inner != nil) != (f.inner != nil) {
		return fmt.Errorf("optimizer: the state has %d vectors and %d numbers instead of %d and %d; it is of another method", len(s.Vecs), len(s.Scalars), len(f.vecs), f.scalars)
	}
	for i, l := range f.vecs {
		if len(s.Vecs[i]) != l {
			return fmt.Errorf("optimizer: vector %d of the state has %d elements instead of %d; it is of another model, or of another setting", i, len(s.Vecs[i]), l)
		}
	}
	if s.Evals >= maxEvals || s.Outer > s.Evals {
		return fmt.Errorf("optimizer: the state counts %d gradients and %d outer steps, which no run has", s.Evals, s.Outer)
	}
	if int64(s.Phase) >= int64(f.phases) {
		return fmt.Errorf("optimizer: the state is at place %d of an outer step of %d", s.Phase, f.phases)
	}
	if f.evals != 0 {
		if err := counts(s, uint64(f.phases), f.evals); err != nil {
			return err
		}
	}
	if err := CheckGroups(n, s.Groups); err != nil {
		return err
	}
	if f.inner == nil {
		return nil
	}
	if err := f.inner.CheckState(s.Inner, n); err != nil {
		return err
	}
	if !slices.Equal(s.Groups, s.Inner.Groups) {
		return fmt.Errorf("optimizer: the state and the one inside it have different groups")
	}
	return nil
}

// counts checks that Evals follows from the number of steps.
func counts(s *State, phases, evals uint64) error {
	high, whole := bits.Mul64(s.Outer, phases)
	whole, carry := bits.Add64(whole, uint64(s.Phase), 0)
	high2, want := bits.Mul64(whole, evals)
	if high|carry|high2 != 0 || s.Evals != want {
		return fmt.Errorf("optimizer: the state counts %d gradients, which is not %d outer steps and %d more places", s.Evals, s.Outer, s.Phase)
	}
	return nil
}

// checkSquares finds what no running mean of squares is. NaN is one of a run that has diverged.
func checkSquares(s *State, vecs ...int) error {
	for _, v := range vecs {
		for i, x := range s.Vecs[v] {
			if x < 0 {
				return fmt.Errorf("optimizer: element %d of vector %d of the state is %v, and it is a mean of squares", i, v, x)
			}
		}
	}
	return nil
}

// gradient is the gradient of the only result of a method with one query.
func gradient(r []Result, n int) []float32 {
	checkResults(r, 1, n)
	return r[0].Grad
}

// checkResults panics unless there are the results that were asked for.
func checkResults(r []Result, queries, n int) {
	if len(r) != queries {
		panic("optimizer: Tell takes one result for each query")
	}
	for i := range r {
		if len(r[i].Grad) != n {
			panic("optimizer: Tell takes gradients as long as the weights")
		}
	}
}

// weightsOf is the number of weights of a run.
func weightsOf(s *State) int {
	if len(s.Groups) == 0 {
		return 0
	}
	return s.Groups[len(s.Groups)-1].To
}

// lengths is n, k times.
func lengths(n, k int) []int { return slices.Repeat([]int{n}, k) }

// times is a product that stays at the largest int instead of overflowing. The factors are positive.
func times(a, b int) int {
	if b > 0 && a > math.MaxInt/b {
		return math.MaxInt
	}
	return a * b
}

// errInner says that a state does not fit the one inside it.
func errInner(s *State) error {
	return fmt.Errorf("optimizer: the state counts %d gradients, %d outer steps and place %d, and the one inside it %d and %d, which do not fit",
		s.Evals, s.Outer, s.Phase, s.Inner.Evals, s.Inner.Outer)
}
