package kernels

// Packed describes Count matrices of K x N, packed once and then multiplied with at every step of a
// recurrence. With Trans the matrices are stored as their transposes (N x K); LD is the distance from one
// stored row to the next, and matrix i starts at i times the size of one.
type Packed struct {
	Count, K, N, LD int
	Trans           bool
}

// RecurrentColumns is what the first column of a block must be a multiple of.
const RecurrentColumns = maxTileCols

// Size is the number of elements of the packed matrices.
func (p *Packed) Size() int { return p.Count * p.size() }

func (p *Packed) size() int { return p.K * roundUp(p.N, maxTileCols) }

// Worker is the number of elements of memory that MulPacked needs for m rows.
func (p *Packed) Worker(m int) int { return packedA(m, min(p.K, kBlock)) }

// Parts is the number of parts that the packing is cut into.
func (p *Packed) Parts() int { return p.Count * p.across() }

func (p *Packed) across() int { return ceilDiv(p.N, p.width()) }

// width is the number of columns of one part of the packing.
func (p *Packed) width() int { return max(maxTileCols, packPart/p.K/maxTileCols*maxTileCols) }

// PackPart packs one part of the matrices b into dst.
func PackPart[T Float](p *Packed, part int, dst, b []T) {
	matrix, col0 := part/p.across(), part%p.across()*p.width()
	cols := min(p.width(), p.N-col0)
	at := matrix*p.stored() + col0
	if p.Trans {
		at = matrix*p.stored() + col0*p.LD
	}
	packB(dst[matrix*p.size()+col0*p.K:], b[at:], p.LD, p.Trans, p.K, cols)
}

// stored is the distance from one matrix to the next before packing.
func (p *Packed) stored() int {
	if p.Trans {
		return p.N * p.LD
	}
	return p.K * p.LD
}

// MulPacked multiplies the m x K matrix a with columns [col0, col1) of matrices [from, to): product i goes to,
// or is added to, the m x (col1-col0) matrix at c[(i-from)*stepC]. col0 is a multiple of RecurrentColumns.
// The order of the sums is that of Gemm. ahead may be nil.
func MulPacked[T Float](p *Packed, from, to, m, col0, col1 int, a []T, lda int, packed, c []T, ldc, stepC int, accumulate bool, ahead *Ahead[T], worker []T) {
	_, tileCols := tile[T]()
	step := blockStep(p.K, kBlock)
	for k0 := 0; k0 < p.K; k0 += step {
		k := min(step, p.K-k0)
		left := leftOperand(worker, a[k0:], lda, false, m, k, false)
		for i := from; i < to; i++ {
			right := bands[T]{panels: panels[T]{packed[i*p.size()+col0*p.K+k0*tileCols:], tileCols, p.K * tileCols}, size: tileCols}
			multiplyTiles(m, col1-col0, k, left, right, c[(i-from)*stepC:], ldc, &epilogue[T]{accumulate: accumulate || k0 > 0, ahead: ahead})
		}
	}
}
