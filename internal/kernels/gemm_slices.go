package kernels

// A product of few elements, each a sum of many products, as the gradient of weights that all steps of a sequence share,
// has too few blocks for many threads unless they are small, and small blocks read A and B again and again. So K is
// cut into slices: each gives all of C from products of its own, in memory of its own, and the last phase adds them up.

const (
	// Slices are for sums of at least longProducts, and not shorter than leastSlice; and not for manyElements of C, which are
	// blocks enough: 197 x 768 elements of 3072 products take 0.75 of the time without.
	longProducts, leastSlice, manyElements = 8 * kBlock, 2 * kBlock, 1 << 17
	// Slices sum at most so many products in registers: 512 rows of A, those of the block after, and C of 512 x 128
	// are together in a second-level cache of a megabyte.
	sliceBlock = 128
	// The largest block of C of a slice: A and B should be read once, and whole rows of them.
	sliceRows, sliceCols = 512, 256
	// About the number of elements that one part of the last phase adds up: they stay in a first-level cache.
	sumPart = 1 << 12
)

// sumRows is the number of rows of C of a part of the last phase.
func (g *Gemm) sumRows() int { return max(1, sumPart/g.N) }

// slices is the number of ranges that K is cut into.
func (g *Gemm) slices() int {
	if g.K < longProducts || g.M*g.N >= manyElements {
		return 1
	}
	blocks := ceilDiv(g.M, sliceRows) * ceilDiv(g.N, sliceCols) * max(1, g.Stack)
	return max(1, min(ceilDiv(enoughParts, blocks), g.K/leastSlice))
}

// slice returns the range of K of slice i.
func (g *Gemm) slice(i, slices int) (from, to int) {
	return i * g.K / slices, (i + 1) * g.K / slices
}

// blockStep is the length of the blocks of a sum of k products: about equal, and no more than most.
func blockStep(k, most int) int {
	if k <= most {
		return k
	}
	return roundUp(ceilDiv(k, ceilDiv(k, most)), 4)
}

// multiplySlice computes a block of a slice.
func multiplySlice[T Float](g *Gemm, part, slices int, a, b, shared, worker []T) {
	i, part := part/g.blocks(), part%g.blocks()
	from, to := g.slice(i, slices)
	alone := *g
	alone.LDC, alone.Accumulate, alone.Bias, alone.Act = g.N, false, NoBias, NoAct
	multiplyBlock(&alone, part, from, to, shared[i*g.M*g.N:], a, g.LDA, b, nil, worker)
}

// sumSlices completes some rows of C from the slices.
func sumSlices[T Float](g *Gemm, part, slices int, c, bias, shared []T) {
	row0, row1, _, _ := g.Block(part)
	rows, n := row1-row0, g.N
	if g.LDC == g.N {
		rows, n = 1, rows*n // as one
	}
	for i := range rows {
		ci := c[row0*g.LDC+i*g.LDC:][:n]
		from := 0
		if !g.Accumulate {
			copy(ci, shared[row0*g.N+i*g.N:])
			from = 1
		}
		for s := from; s < slices; s++ {
			Add(ci, ci, shared[(s*g.M+row0+i)*g.N:][:n])
		}
	}
	var e epilogue[T]
	e.finish(g, bias, row0, 0)
	e.apply(row1-row0, g.N, c[row0*g.LDC:], g.LDC)
}
