package kernels

//go:generate sh -c "cd _gen && go run ./gemm -out ../gemm_amd64.s -stubs ../gemm_stubs_amd64.go -pkg kernels"

// Gemm is the matrix product C = A*B, or C += A*B with Accumulate, where A is M x K, B is K x N and C is
// M x N. Matrices are row-major with LDA, LDB, LDC elements from one row to the next; with TransA the
// slice of A holds its transpose (K x M), with TransB that of B (N x K).
//
// The work is cut into phases and parts by the sizes alone, see Phases. Every element of C is the sum of
// blocks of kBlock products: the products of a block are added in ascending order to zero, then the
// blocks in ascending order to C. So an element's value depends neither on the partition nor on the size
// of the tile, only on whether the processor rounds between multiplication and addition: the float32
// kernels for AVX2 don't (FMA), the generic ones do.
type Gemm struct {
	TransA, TransB bool
	M, N, K        int
	LDA, LDB, LDC  int
	Accumulate     bool
}

const (
	// kBlock products are summed in registers. A panel of B, 256 x 16 float32, is 16 KiB: half of a first-level cache.
	kBlock = 256
	// Packed matrices have room for panels of every level: the height and width of a tile divide these.
	maxTileRows = 12
	maxTileCols = 32
	// packPart is about the number of elements of B that one part packs.
	packPart = 1 << 15
	// A block of C is one part. Blocks get smaller until there are enoughParts for many threads, but not
	// below about minBlockProduct multiplications, a few microseconds.
	enoughParts, minBlockProduct = 16, 1 << 17
)

// Phases returns the number of parts of each phase: first B is packed, then blocks of C are computed.
func (g *Gemm) Phases() []int {
	if g.M == 0 || g.N == 0 {
		return []int{0, 0}
	}
	rows, cols := g.block()
	if g.K == 0 {
		return []int{0, ceilDiv(g.M, rows) * ceilDiv(g.N, cols)}
	}
	return []int{ceilDiv(g.N, g.packCols()), ceilDiv(g.M, rows) * ceilDiv(g.N, cols)}
}

// Scratch returns how many elements of memory all parts share, and how many each worker needs besides.
func (g *Gemm) Scratch() (shared, worker int) {
	if g.M == 0 || g.N == 0 {
		return 0, 0
	}
	rows, _ := g.block()
	return g.K * roundUp(g.N, maxTileCols), packedA(rows, min(g.K, kBlock))
}

// Block returns the rows and columns of C that a part of the last phase writes.
func (g *Gemm) Block(part int) (row0, row1, col0, col1 int) {
	rows, cols := g.block()
	across := ceilDiv(g.N, cols)
	row0, col0 = part/across*rows, part%across*cols
	return row0, min(row0+rows, g.M), col0, min(col0+cols, g.N)
}

// GemmPart runs one part of one phase. c must not overlap a or b; shared must be the same memory in all
// phases, worker is used by one part at a time.
func GemmPart[T Float](g *Gemm, phase, part int, c, a, b, shared, worker []T) {
	if phase == 0 {
		width := g.packCols()
		col0 := part * width
		cols := min(width, g.N-col0)
		if g.TransB {
			b = b[col0*g.LDB:]
		} else {
			b = b[col0:]
		}
		packB(shared[col0*g.K:], b, g.LDB, g.TransB, g.K, cols)
		return
	}
	row0, row1, col0, col1 := g.Block(part)
	rows, cols := row1-row0, col1-col0
	c = c[row0*g.LDC+col0:]
	if g.K == 0 && !g.Accumulate {
		for i := range rows {
			clear(c[i*g.LDC:][:cols])
		}
	}
	_, tileCols := tile[T]()
	for k0 := 0; k0 < g.K; k0 += kBlock {
		k := min(kBlock, g.K-k0)
		at := row0*g.LDA + k0
		if g.TransA {
			at = k0*g.LDA + row0
		}
		pa := packA(worker, a[at:], g.LDA, g.TransA, rows, k)
		pb := panels[T]{shared[col0*g.K+k0*tileCols:], tileCols, g.K * tileCols}
		multiply(rows, cols, k, pa, pb, c, g.LDC, g.Accumulate || k0 > 0)
	}
}

// block returns the size of the blocks of C: smaller than the largest until there are enough of them. Rows
// go first, because A is packed again for each block of columns, B for none.
func (g *Gemm) block() (rows, cols int) {
	sizes := [...][2]int{{96, 256}, {48, 256}, {48, 128}, {24, 128}, {24, 64}}
	for _, s := range sizes {
		rows, cols = s[0], s[1]
		if ceilDiv(g.M, rows)*ceilDiv(g.N, cols) >= enoughParts || rows*cols*g.K <= minBlockProduct {
			break
		}
	}
	return min(rows, max(g.M, 1)), cols
}

// packCols is the number of columns of B that one part packs.
func (g *Gemm) packCols() int {
	return max(maxTileCols, packPart/max(g.K, 1)/maxTileCols*maxTileCols)
}

// panels is a matrix cut along its outer dimension into panels as high (A) or wide (B) as a tile: panel i
// starts at data[i*stride], and its vector for product k at k*ld from there.
type panels[T Float] struct {
	data       []T
	ld, stride int
}

// bands is a matrix in panels that hold one tile or several side by side: size rows (A) or columns (B).
type bands[T Float] struct {
	panels[T]
	size int
}

// at returns where row or column i begins.
func (b *bands[T]) at(i int) int { return i/b.size*b.stride + i%b.size }

// multiply computes the m x n matrix c = a*b, or c += a*b, from packed a (tile rows from packA) and from
// b in panels of the tile's columns; k is at least 1. b must be readable up to a multiple of the tile's columns.
func multiply[T Float](m, n, k int, a, b panels[T], c []T, ldc int, accumulate bool) {
	_, cols := tile[T]()
	multiplyBands(m, n, k, bands[T]{a, a.ld}, bands[T]{b, cols}, c, ldc, accumulate)
}

// multiplyBands is multiply for panels of several tiles. They must be readable to the full size of a tile.
func multiplyBands[T Float](m, n, k int, a, b bands[T], c []T, ldc int, accumulate bool) {
	if m == 0 || n == 0 {
		return
	}
	rows, cols := tile[T]()
	rows = min(rows, a.size)
	if a.size%rows != 0 || b.size%cols != 0 {
		panic("kernels: panels are not cut into tiles")
	}
	// The kernels don't check bounds: this does.
	_ = a.data[a.at((m-1)/rows*rows)+(k-1)*a.ld+rows-1]
	_ = b.data[b.at((n-1)/cols*cols)+(k-1)*b.ld+cols-1]
	_ = c[(m-1)*ldc+n-1]
	if multiplyAsm(m, n, k, rows, a, b, c, ldc, accumulate) {
		return
	}
	for j := 0; j < n; j += cols {
		bj := b.data[b.at(j):]
		for i := 0; i < m; i += rows {
			micro(k, a.data[a.at(i):], a.ld, bj, b.ld, c[i*ldc+j:], ldc, min(rows, m-i), min(cols, n-j), accumulate)
		}
	}
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
func roundUp(a, b int) int { return ceilDiv(a, b) * b }
