package ops

import (
	"slices"

	"gorgonia.org/gorgonia"
)

// What works on the rows along the last axis gives the same in whatever order the rows are. So where rows have been
// brought into another order, as those of a recurrent network from time-major to batch-major, MatMul with one matrix,
// Add of a vector and the losses work on the rows as they were, and the order is changed behind them, or in the targets
// alone. Nothing is moved where nobody asks for the moved rows.

// permutedRows returns x and perm if y is Transpose(x, perm) with the last axis where it was, else nil.
func permutedRows(y *gorgonia.Node) (x *gorgonia.Node, perm []int) {
	o, ok := y.Op().(*region)
	if last := y.Dims() - 1; !ok || o.perm == nil || last < 1 || o.perm[last] != last {
		return nil, nil
	}
	return childrenOf(y)[0], o.perm
}

// inverse returns the permutation that undoes perm.
func inverse(perm []int) []int {
	inv := make([]int, len(perm))
	for i, p := range perm {
		inv[p] = i
	}
	return inv
}

// behind applies f to the rows x and then the permutation.
func behind(x *gorgonia.Node, perm []int, f func(x *gorgonia.Node) (*gorgonia.Node, error)) (*gorgonia.Node, error) {
	y, err := f(x)
	if err != nil {
		return nil, err
	}
	return Transpose(y, perm)
}

// A rowOrder is a position of the rows in the order that they were brought into.
type rowOrder struct {
	shape []int // of the rows as they are
	perm  []int // nil for the same order
}

// of returns the number, in the other order, of row i.
func (p rowOrder) of(i int) int {
	if p.perm == nil {
		return i
	}
	at := make([]int, len(p.shape))
	for k, n := range slices.Backward(p.shape) {
		at[k], i = i%n, i/n
	}
	for _, k := range p.perm {
		i = i*p.shape[k] + at[k]
	}
	return i
}
