package kernels

// A product of few rows with a transposed B, as of a small batch and the weights of a fully connected layer, would spend much of its
// time packing B, for few rows to share. So it is turned: the rows of B are multiplied where they lie, as those of a left operand
// are, with the transposed A, which is packed once, and each block is transposed into C. The products and their order are the same.

const (
	// The rows of a product that is turned: with fewer, most of a tile is empty; with more, nothing is gained. 32 x 1024 x 1024
	// products take 0.79 of the time, those of 64 rows 0.88, of 96 0.95.
	leastTurned, mostTurned = 12, 128
	// turnedDepth times as many products as rows make up for the transposition of C: of 64 x 1024 elements, sums of 64 take 1.3 times as
	// long turned, of 256 as long.
	turnedDepth = 6
	// maxTurnedCols is the largest width of a block: so many rows of B are gone through for each panel of A.
	maxTurnedCols = 8 * maxTileRows
)

func (g *Gemm) turned() bool {
	return g.TransB && !g.TransA && !g.PackB && !g.Accumulate && g.M >= leastTurned && g.M <= mostTurned && g.K >= turnedDepth*g.M &&
		g.N > 2*stripCols && g.slices() == 1
}

// turnedBlockCols is the width of the blocks, which have all rows: in whole tiles of rows of B.
func (g *Gemm) turnedBlockCols() int {
	cols := max(ceilDiv(g.N*max(1, g.Stack), enoughParts), minBlockProduct/(g.M*g.K))
	return min(roundUp(cols, maxTileRows), maxTurnedCols)
}

// rightA is the product whose right operand is the transposed A.
func (g *Gemm) rightA() *Gemm { return &Gemm{TransB: true, N: g.M, K: g.K, LDB: g.LDA} }

// turnedScratch is what all parts of a product share, and what each worker needs: rows of B, for a kernel that wants them packed, and
// the sums of a block.
func (g *Gemm) turnedScratch() (shared, worker int) {
	_, cols := g.block()
	return g.rightA().PackedB(), packedA(cols, min(g.K, kBlock)) + cols*g.turnedLD()
}

// turnedLD is the distance of the rows of sums.
func (g *Gemm) turnedLD() int { return roundUp(g.M, packedCols) }

// turnedBlock computes a block of C from the transposed A packed.
func turnedBlock[T Float](g *Gemm, part int, c, packed, b, bias, worker []T) {
	_, _, col0, col1 := g.productBlock(part)
	cols, step, ld := col1-col0, blockStep(g.K, kBlock), g.turnedLD()
	room := packedA(cols, step)
	sums := worker[room:]
	right, axes := g.rightA(), *g
	axes.Bias = [...]BiasAxis{NoBias: NoBias, ColumnBias: RowBias, RowBias: ColumnBias}[g.Bias]
	for k0 := 0; k0 < g.K; k0 += step {
		k := min(step, g.K-k0)
		left := leftOperand(worker[:room], b[col0*g.LDB+k0:], g.LDB, false, cols, k, false)
		for row := 0; row < g.M; row += packedCols {
			e := epilogue[T]{accumulate: k0 > 0}
			if k0+k == g.K {
				e.finish(&axes, bias, col0, row)
			}
			multiplyTiles(cols, min(packedCols, g.M-row), k, left, packedPanel(right, packed, row, k0), sums[row:], ld, &e)
		}
	}
	transposeRows(c[col0:], sums, ld, g.M, cols, g.LDC)
}
