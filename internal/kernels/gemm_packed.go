package kernels

// A right operand of many products can be packed once: in panels of packedCols columns that hold all of K, product by product.
// A panel's columns beyond N are undefined.
const packedCols = maxTileCols

// PackedB is the number of elements of B packed.
func (g *Gemm) PackedB() int { return roundUp(g.N, packedCols) * g.K }

// PackBParts is the number of parts of PackBPart.
func (g *Gemm) PackBParts() int {
	if g.K == 0 {
		return 0
	}
	return ceilDiv(g.N, packedCols)
}

// PackBPart packs one part of b into dst, for a Gemm with PackB set and otherwise like g. It does not look at g.PackB.
func PackBPart[T Float](g *Gemm, part int, dst, b []T) {
	j := part * packedCols
	at := j
	if g.TransB {
		at = j * g.LDB
	}
	packBands(dst[j*g.K:], b[at:], g.LDB, g.TransB, g.K, min(packedCols, g.N-j), packedCols)
}

// packedPanel returns the panel of a packed b from column j on, for the products from k0 on.
func packedPanel[T Float](g *Gemm, b []T, j, k0 int) bands[T] {
	return bands[T]{panels: panels[T]{b[j*g.K+k0*packedCols:], packedCols, packedCols * g.K}, size: packedCols}
}

// packAParts is the number of parts of packAPart: each packs up to packDepth rows of the transposed A for a row of blocks of C.
func (g *Gemm) packAParts() int {
	rows, _ := g.block()
	return ceilDiv(g.M, rows) * ceilDiv(g.K, packDepth)
}

// packAPart packs one part of a transposed A into dst: the panels of each row of blocks hold all of K. Only in the last row
// of blocks can a panel have fewer rows than its height.
func packAPart[T Float](g *Gemm, part int, dst, a []T) {
	rows, _ := g.block()
	deep := ceilDiv(g.K, packDepth)
	row0, k0 := part/deep*rows, part%deep*packDepth
	rows = min(rows, g.M-row0)
	packPanels(packedLeft(g, dst, row0, rows, k0), a[k0*g.LDA+row0:], g.LDA, true, rows, min(packDepth, g.K-k0))
}

// packedLeft is the panels of packAPart for the row of blocks that begins at row0, from product k0 on.
func packedLeft[T Float](g *Gemm, packed []T, row0, rows, k0 int) panels[T] {
	high := panelRows[T](rows)
	return panels[T]{packed[row0*g.K+k0*high:], high, high * g.K}
}
