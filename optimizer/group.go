package optimizer

import (
	"fmt"
	"math"
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
