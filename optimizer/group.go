package optimizer

import (
	"fmt"
	"math"
	"slices"
)

// A Group is a range of the flat vector, from From to before To, that is updated alike.
type Group struct {
	From, To int
	// LRScale multiplies the learning rate: of SGD the only one, of Entropy-SGD the inner one, eta'. 0
	// holds the weights still.
	LRScale float32
	// Decay is false where weight decay does not apply: biases, and the weights of normalisation.
	Decay bool
}

// CheckGroups says what is wrong with groups for a vector of n weights. They are sorted, do not overlap
// and cover the vector.
func CheckGroups(n int, groups []Group) error {
	end := 0
	for i, g := range groups {
		switch {
		case g.From != end:
			return fmt.Errorf("optimizer: group %d starts at %d, but the groups before it end at %d; sort them and leave no gap", i, g.From, end)
		case g.To < g.From:
			return fmt.Errorf("optimizer: group %d ends at %d, before its start %d", i, g.To, g.From)
		case !(g.LRScale >= 0) || math.IsInf(float64(g.LRScale), 1):
			return fmt.Errorf("optimizer: group %d has LRScale %v; it must be a number and not negative", i, g.LRScale)
		}
		end = g.To
	}
	if end != n {
		return fmt.Errorf("optimizer: the groups end at %d of %d weights", end, n)
	}
	return nil
}

// start makes a state whose first vector is a copy of x.
func start(x []float32, groups []Group, vecs int) *State {
	if groups == nil {
		groups = []Group{{To: len(x), LRScale: 1, Decay: true}}
	}
	if err := CheckGroups(len(x), groups); err != nil {
		panic("optimizer: Init was called with groups that CheckGroups rejects: " + err.Error())
	}
	s := &State{Groups: slices.Clone(groups), Vecs: make([][]float32, vecs)}
	s.Vecs[0] = slices.Clone(x)
	return s
}

// checkState is the part of CheckState that methods share: lengths of the vectors, and groups.
func checkState(s *State, n int, lengths []int, phases int) error {
	if len(s.Vecs) != len(lengths) {
		return fmt.Errorf("optimizer: the state has %d vectors instead of %d; it is of another method", len(s.Vecs), len(lengths))
	}
	for i, l := range lengths {
		if len(s.Vecs[i]) != l {
			return fmt.Errorf("optimizer: vector %d of the state has %d elements instead of %d; it is of another model, or a momentum was 0", i, len(s.Vecs[i]), l)
		}
	}
	if int64(s.Phase) >= int64(phases) {
		return fmt.Errorf("optimizer: the state is at place %d of an outer step of %d gradients", s.Phase, phases)
	}
	if want := s.Outer*uint64(phases) + uint64(s.Phase); s.Evals != want {
		return fmt.Errorf("optimizer: the state has consumed %d gradients, not the %d of %d outer steps of %d and %d more", s.Evals, want, s.Outer, phases, s.Phase)
	}
	return CheckGroups(n, s.Groups)
}

// gradient is the gradient of the only result of a method with one query.
func gradient(r []Result, n int) []float32 {
	if len(r) != 1 || len(r[0].Grad) != n {
		panic("optimizer: Tell takes one result, with a gradient as long as the weights")
	}
	return r[0].Grad
}
