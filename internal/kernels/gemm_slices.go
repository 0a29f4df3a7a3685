package kernels

// A product of few elements, each a sum of many products, as the gradient of weights that all steps of a sequence share,
// has too few blocks for many threads unless they are small, and small blocks read A and B again and again. So K is
// cut into slices: each gives all of C from products of its own, in memory of its own, and the last phase adds them up.

const (
	// Slices are for sums of at least longProducts, and not shorter than leastSlice.
	longProducts, leastSlice = 8 * kBlock, 2 * kBlock
	// The largest block of C of a slice: A and B should be read once, and whole rows of them.
	sliceRows, sliceCols = 512, 256
)

// slices is the number of ranges that K is cut into.
func (g *Gemm) slices() int {
	if g.K < longProducts {
		return 1
	}
	blocks := ceilDiv(g.M, sliceRows) * ceilDiv(g.N, sliceCols) * max(1, g.Stack)
	return max(1, min(ceilDiv(enoughParts, blocks), g.K/leastSlice))
}

// slice returns the range of K of slice i.
func (g *Gemm) slice(i, slices int) (from, to int) {
	return i * g.K / slices, (i + 1) * g.K / slices
}

// blockStep is the length of the blocks of a sum of k products: about equal, and at most kBlock.
func blockStep(k int) int {
	if k <= kBlock {
		return k
	}
	return roundUp(ceilDiv(k, ceilDiv(k, kBlock)), 4)
}

// multiplySlice computes a block of a slice.
func multiplySlice[T Float](g *Gemm, part, slices int, a, b, shared, worker []T) {
	i, part := part/g.blocks(), part%g.blocks()
	from, to := g.slice(i, slices)
	alone := *g
	alone.LDC, alone.Accumulate, alone.Bias, alone.Act = g.N, false, NoBias, NoAct
	multiplyBlock(&alone, part, from, to, shared[i*g.M*g.N:], a, g.LDA, b, nil, worker)
}

// sumSlices completes a block of C from the slices.
func sumSlices[T Float](g *Gemm, part, slices int, c, bias, shared []T) {
	row0, row1, col0, col1 := g.Block(part)
	for i := row0; i < row1; i++ {
		ci := c[i*g.LDC+col0 : i*g.LDC+col1]
		from := 0
		if !g.Accumulate {
			copy(ci, shared[i*g.N+col0:])
			from = 1
		}
		for s := from; s < slices; s++ {
			Add(ci, ci, shared[(s*g.M+i)*g.N+col0:][:len(ci)])
		}
	}
	var e epilogue[T]
	e.finish(g, bias, row0, col0)
	e.apply(row1-row0, col1-col0, c[row0*g.LDC+col0:], g.LDC)
}
