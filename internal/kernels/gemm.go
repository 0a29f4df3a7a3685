package kernels

//go:generate sh -c "cd _gen && go run ./gemm -out ../gemm_amd64.s -stubs ../gemm_stubs_amd64.go -pkg kernels"

// Gemm is the matrix product C = act(A*B + bias), or C = act(C + A*B + bias) with Accumulate, where A is M x K, B
// is K x N and C is M x N. Matrices are row-major with LDA, LDB, LDC elements from one row to the next; with
// TransA the slice of A holds its transpose (K x M), with TransB that of B (N x K).
//
// Bias and Act are applied while an element is in a register, after its last product: a caller that would
// pass over C again to add a bias or to take the positive part sets them instead, and runs GemmBiasPart.
//
// The work is cut into phases and parts by the sizes alone, see Phases. An element of C is a sum of slices of K, mostly
// of one, each slice a sum of blocks of at most kBlock products: the products of a block are added in ascending order to
// zero, then the blocks in ascending order, then the slices, to C if it is kept, then the bias. Sizes alone determine
// slices and blocks. So an element's value depends neither on the number of threads nor on the size of the
// tile, only on whether the processor rounds between multiplication and addition: the float32 kernels for AVX2
// and AVX-512 don't (FMA), the generic ones do.
type Gemm struct {
	TransA, TransB bool
	M, N, K        int
	LDA, LDB, LDC  int
	Accumulate     bool
	Bias           BiasAxis
	Act            GemmAct
	Stack          int  // products of this kind that run at once; the partition of each is coarser then
	PackB          bool // B has been packed by PackBPart; TransB and LDB are those it had before
}

// A BiasAxis says which elements of C one element of the bias is added to.
type BiasAxis uint8

const (
	NoBias     BiasAxis = iota
	ColumnBias          // a bias for each of the N columns, as of a fully connected layer
	RowBias             // a bias for each of the M rows, as of the channels of a convolution
)

// A GemmAct is applied to the complete elements of C.
type GemmAct uint8

const (
	NoAct   GemmAct = iota
	ReluAct         // as Relu
)

const (
	// kBlock products are summed in registers. A panel of B, 256 x 32 float32, is 32 KiB: it streams from the
	// second-level cache, 128 bytes every 24 multiplications and additions of 16 lanes.
	kBlock = 256
	// Packed matrices have room for panels of every level: the height and width of a tile divide these.
	maxTileRows = 12
	maxTileCols = 32
	// stripCols columns of B are packed at a time, by the part that multiplies with them.
	stripCols = 64
	// packPart is about the number of elements that one part packs or copies.
	packPart = 1 << 15
	// A block of C is one part. Blocks get smaller until there are enoughParts for many threads to end together, but not
	// below about minBlockProduct multiplications, a few microseconds.
	enoughParts, minBlockProduct = 32, 1 << 17
	// convParts is enoughParts of convolutions: with twice as many a gradient of mnistconv takes 2 to 3 % longer.
	convParts = 16
	// Rows of A whose distance is a multiple of crowded bytes lie in the same lines of a first-level cache.
	crowded = 2048
	// packDepth rows of A at least are packed together.
	packDepth = 32
)

// Phases returns the number of parts of each phase: first A is copied or packed where its place is bad for
// the cache, then blocks of C are computed, and where K is cut, their slices are added up in a third phase.
func (g *Gemm) Phases() []int {
	if g.M == 0 || g.N == 0 {
		return []int{0, 0}
	}
	copies := 0
	switch {
	case g.turned():
		copies = g.rightA().PackBParts()
	case g.copiesA():
		copies = ceilDiv(g.M, g.copyRows())
	case g.packsA():
		copies = g.packAParts()
	}
	blocks := g.blocks()
	if slices := g.slices(); slices > 1 {
		return []int{copies, blocks * slices, ceilDiv(g.M, g.sumRows())}
	}
	return []int{copies, blocks}
}

// Final is the phase that completes the elements of C.
func (g *Gemm) Final() int {
	if g.slices() > 1 {
		return 2
	}
	return 1
}

// Scratch returns how many elements of memory all parts share, and how many each worker needs besides.
func (g *Gemm) Scratch() (shared, worker int) {
	if g.M == 0 || g.N == 0 {
		return 0, 0
	}
	switch {
	case g.turned():
		return g.turnedScratch()
	case g.copiesA():
		shared = g.M * g.copyLD()
	case g.packsA():
		shared = packedA(g.M, g.K)
	}
	if slices := g.slices(); slices > 1 {
		shared = slices * g.M * g.N
	}
	rows, cols := g.block()
	k := min(g.K, kBlock)
	return shared, packedA(rows, k) + k*min(stripCols, roundUp(cols, maxTileCols))
}

// blocks is the number of blocks of C.
func (g *Gemm) blocks() int {
	rows, cols := g.block()
	return ceilDiv(g.M, rows) * ceilDiv(g.N, cols)
}

// Block returns the rows and columns of C that a part of the final phase writes.
func (g *Gemm) Block(part int) (row0, row1, col0, col1 int) {
	if g.slices() > 1 {
		return part * g.sumRows(), min((part+1)*g.sumRows(), g.M), 0, g.N
	}
	return g.productBlock(part)
}

// productBlock is Block for the phase of the products.
func (g *Gemm) productBlock(part int) (row0, row1, col0, col1 int) {
	rows, cols := g.block()
	across := ceilDiv(g.N, cols)
	row0, col0 = part/across*rows, part%across*cols
	return row0, min(row0+rows, g.M), col0, min(col0+cols, g.N)
}

// GemmPart runs one part of one phase of a product without bias. c must not overlap a or b; shared must be the
// same memory in all phases, worker is used by one part at a time.
func GemmPart[T Float](g *Gemm, phase, part int, c, a, b, shared, worker []T) {
	GemmBiasPart(g, phase, part, c, a, b, nil, shared, worker)
}

// GemmBiasPart is GemmPart with a bias of M or N elements, as g.Bias says.
func GemmBiasPart[T Float](g *Gemm, phase, part int, c, a, b, bias, shared, worker []T) {
	switch turned := g.turned(); {
	case phase == 0 && turned:
		PackBPart(g.rightA(), part, shared, a)
		return
	case phase == 0:
		prepareA(g, part, shared, a)
		return
	case turned:
		turnedBlock(g, part, c, shared, b, bias, worker)
		return
	}
	lda := g.LDA
	switch {
	case g.copiesA():
		a, lda = shared, g.copyLD()
	case g.packsA():
		a = shared
	}
	switch slices := g.slices(); {
	case slices == 1:
		multiplyBlock(g, part, 0, g.K, c, a, lda, b, bias, worker)
	case phase == g.Final():
		sumSlices(g, part, slices, c, bias, shared)
	default:
		multiplySlice(g, part, slices, a, b, shared, worker)
	}
}

// prepareA copies or packs a part of A.
func prepareA[T Float](g *Gemm, part int, shared, a []T) {
	if g.packsA() {
		packAPart(g, part, shared, a)
		return
	}
	row0 := part * g.copyRows()
	rows := min(g.copyRows(), g.M-row0)
	copyRows(rects[T]{shared[row0*g.copyLD():], 0, g.copyLD()}, rects[T]{a[row0*g.LDA:], 0, g.LDA}, 1, rows, g.K)
}

// multiplyBlock computes a block of C from the products [from, to).
func multiplyBlock[T Float](g *Gemm, part, from, to int, c, a []T, lda int, b, bias, worker []T) {
	row0, row1, col0, col1 := g.productBlock(part)
	rows := row1 - row0
	step, sliced := blockStep(to-from, kBlock), to-from < g.K
	if sliced {
		step = blockStep(to-from, sliceBlock)
	}
	roomA := packedA(rows, step)
	strip := stripCols
	keeps := false
	switch {
	case g.PackB:
		strip = packedCols
	case rightDirectly[T](g.TransB, rows, col1-col0):
		strip = col1 - col0
	case keepsRight[T](g.TransB, rows):
		strip, keeps = packedCols, true
	}
	for k0 := from; k0 < to; k0 += step {
		k := min(step, to-k0)
		var left strided[T]
		if g.packsA() {
			left = packedLeft(g, a, row0, rows, k0).left()
		} else {
			at := row0*lda + k0
			if g.TransA {
				at = k0*lda + row0
			}
			left = leftOperand(worker[:roomA], a[at:], lda, g.TransA, rows, k, sliced)
		}
		ahead := aheadOf(g, rows, col1-col0, k0+k, min(step, to-k0-k), a, b)
		for j := col0; j < col1; j += strip {
			cols := min(strip, col1-j)
			at := k0*g.LDB + j
			if g.TransB {
				at = j*g.LDB + k0
			}
			var right bands[T]
			if g.PackB {
				right = packedPanel(g, b, j, k0)
				ahead = afterPanel(g, b, j, col0, col1, k0, k0+k, min(k0+k+step, to))
			} else {
				right = rightOperand(worker[roomA:], b[at:], g.LDB, g.TransB, rows, k, cols)
				if keeps && !sliced {
					ahead = afterColumns(g, b, j, col0, col1, k0, k0+k, min(k0+k+step, to))
				}
			}
			e := epilogue[T]{accumulate: g.Accumulate || k0 > from, ahead: &ahead}
			if k0+k == to {
				e.finish(g, bias, row0, j)
			}
			multiplyTiles(rows, cols, k, left, right, c[row0*g.LDC+j:], g.LDC, &e)
		}
	}
	if from == to {
		e := epilogue[T]{accumulate: g.Accumulate}
		e.finish(g, bias, row0, col0)
		emptyProduct(rows, col1-col0, c[row0*g.LDC+col0:], g.LDC, &e)
	}
}

// copiesA tells whether rows of A are copied to a better distance: when all columns of a row of tiles lie in a
// few sets of the cache, each is read from the second level for every strip of B.
func (g *Gemm) copiesA() bool {
	return !g.TransA && g.LDA%(crowded/4) == 0 && g.M > 4 && g.N > 2*stripCols && g.K > 0 && g.slices() == 1
}

// copyLD is the distance of the copied rows: an odd number of cache lines of float32.
func (g *Gemm) copyLD() int { return roundUp(g.K, 32) + 16 }

// packsA tells whether A is packed before the products: a transposed one, whose rows of a tile's columns each lie in another
// page, and mostly in the same few sets of the cache. The products run at 0.98 of the peak instead of 0.78 then.
func (g *Gemm) packsA() bool {
	return g.TransA && g.M > 4*maxTileRows && g.N > 2*stripCols && g.K > packDepth && g.K <= 2*kBlock && g.slices() == 1
}

func (g *Gemm) copyRows() int { return max(1, packPart/g.K) }

// block returns the size of the blocks of C: smaller than the largest until there are enough of them. Columns
// go first, because every block of rows packs B again.
func (g *Gemm) block() (rows, cols int) {
	if g.slices() > 1 {
		rows = roundUp(ceilDiv(g.M, ceilDiv(g.M, sliceRows)), maxTileRows)
		return rows, sliceCols
	}
	if g.turned() {
		return g.M, g.turnedBlockCols()
	}
	sizes := [...][2]int{{384, 512}, {384, 256}, {384, 128}, {384, 64}, {192, 64}, {192, 32}, {96, 32}, {48, 32}, {24, 32}}
	for _, s := range sizes {
		rows, cols = s[0], s[1]
		down, across := ceilDiv(g.M, rows), ceilDiv(g.N, cols)
		// Blocks of about the same size, in whole tiles.
		rows = roundUp(ceilDiv(g.M, max(down, 1)), maxTileRows)
		if down*across*max(1, g.Stack) >= g.enough() || min(rows, g.M)*min(cols, g.N)*g.K <= minBlockProduct {
			break
		}
	}
	return max(rows, 1), cols
}

// enough is the number of blocks from which on they don't get smaller. Where both operands are read along their rows, and A has few, wide
// blocks take B in long pieces: 128 x 1024 x 1024 products take 0.965 of the time with half as many blocks, 128 x 512 x 128 and
// 32 x 1024 x 1024 products 0.92 and 0.94, on two threads; 768 x 768 x 768 products take 1.02. More than 16 threads would want more.
func (g *Gemm) enough() int {
	const fewRows = 384 // all in one block
	if !g.TransA && !g.TransB && !g.PackB && g.M <= fewRows {
		return enoughParts / 2
	}
	return enoughParts
}

// panels is a matrix cut along its outer dimension into panels as high (A) or wide (B) as a tile: panel i
// starts at data[i*stride], and its vector for product k at k*ld from there.
type panels[T Float] struct {
	data       []T
	ld, stride int
}

// left is the view of panels of A that are packed.
func (p panels[T]) left() strided[T] { return strided[T]{p.data, 1, p.ld, p.ld, p.stride} }

// bands is a matrix in panels that hold one tile or several side by side: size rows (A) or columns (B).
type bands[T Float] struct {
	panels[T]
	size int
	keep []T // of B, in whole panels: where they are packed while the first row of tiles is computed, nil if they aren't
}

// at returns where row or column i begins.
func (b *bands[T]) at(i int) int { return i/b.size*b.stride + i%b.size }

// strided is a left operand in panels of size rows. Panel i starts at data[i*stride]; its element of row r for
// product k is at r*row + k*step from there.
type strided[T Float] struct {
	data                    []T
	row, step, size, stride int
}

func (s *strided[T]) at(i int) int { return i/s.size*s.stride + i%s.size*s.row }

// interleaved is the view of panels whose columns are contiguous.
func (b *bands[T]) interleaved() strided[T] { return strided[T]{b.data, 1, b.ld, b.size, b.stride} }

// An epilogue says what becomes of the sums of a tile: C is added if accumulate, then the bias, then act is applied.
type epilogue[T Float] struct {
	accumulate bool
	axis       BiasAxis
	act        GemmAct
	bias       []T       // from the first row or column on
	ahead      *Ahead[T] // nil for nothing
}

// finish adds the bias from row0 or col0 on and the activation of g.
func (e *epilogue[T]) finish(g *Gemm, bias []T, row0, col0 int) {
	e.axis, e.act = g.Bias, g.Act
	switch g.Bias {
	case ColumnBias:
		e.bias = bias[col0:]
	case RowBias:
		e.bias = bias[row0:]
	}
}

// multiply computes the m x n matrix c = a*b, or c += a*b, from packed a (tile rows from packA) and from
// b in panels of the tile's columns; k is at least 1. b must be readable up to a multiple of the tile's columns.
func multiply[T Float](m, n, k int, a, b panels[T], c []T, ldc int, accumulate bool) {
	_, cols := tile[T]()
	multiplyBands(m, n, k, bands[T]{panels: a, size: a.ld}, bands[T]{panels: b, size: cols}, c, ldc, accumulate)
}

// multiplyBands is multiply for panels of several tiles. They must be readable to the full size of a tile.
func multiplyBands[T Float](m, n, k int, a, b bands[T], c []T, ldc int, accumulate bool) {
	multiplyTiles(m, n, k, a.interleaved(), b, c, ldc, &epilogue[T]{accumulate: accumulate})
}

// multiplyTiles is multiplyBands for a left operand of any strides, with an epilogue. Where there is no assembly
// the columns of a must be contiguous.
func multiplyTiles[T Float](m, n, k int, a strided[T], b bands[T], c []T, ldc int, e *epilogue[T]) {
	if m == 0 || n == 0 {
		return
	}
	rows, cols := tile[T]()
	rows, cols = min(rows, a.size), min(cols, b.size)
	if a.size%rows != 0 || b.size%cols != 0 {
		panic("kernels: panels are not cut into tiles")
	}
	// The kernels don't check bounds: this does.
	_ = a.data[a.at(m-1)+(k-1)*a.step]
	_ = b.data[b.at((n-1)/cols*cols)+(k-1)*b.ld+min(cols, roundUp(n-(n-1)/cols*cols, vectorCols[T]()))-1]
	_ = c[(m-1)*ldc+n-1]
	if b.keep != nil {
		_, _ = b.keep[k*roundUp(n, cols)-1], a.data[a.at(rows-1)]
	}
	switch e.axis {
	case ColumnBias:
		_ = e.bias[n-1]
	case RowBias:
		_ = e.bias[m-1]
	}
	if multiplyAsm(m, n, k, rows, cols, a, b, c, ldc, e) {
		return
	}
	for j := 0; j < n; j += cols {
		bj := b.data[b.at(j):]
		for i := 0; i < m; i += rows {
			micro(k, a.data[a.at(i):], a.step, bj, b.ld, c[i*ldc+j:], ldc, min(rows, m-i), min(cols, n-j), e.accumulate)
		}
	}
	e.apply(m, n, c, ldc)
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
func roundUp(a, b int) int { return ceilDiv(a, b) * b }
