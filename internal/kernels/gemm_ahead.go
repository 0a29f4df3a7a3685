package kernels

// An Ahead is memory that is needed soon. The next product fetches it into the cache while it computes: the processor's
// own prefetching does not know what comes after the product.
type Ahead[T Float] struct {
	parts [8]aheadPart[T]
	n     int
}

// An aheadPart is rows of aheadCols elements, ld apart.
type aheadPart[T Float] struct {
	data     []T
	ld, rows int
}

// aheadCols float32 are fetched together: two lines of the cache.
const aheadCols = 32

// Add adds memory; what is too much is left out.
func (a *Ahead[T]) Add(s []T) {
	a.addRows(s, aheadCols, ceilDiv(len(s), aheadCols))
}

// addRows adds the first aheadCols elements of rows that are ld apart.
func (a *Ahead[T]) addRows(s []T, ld, rows int) {
	if rows > 0 && a.n < len(a.parts) {
		a.parts[a.n] = aheadPart[T]{s, ld, rows}
		a.n++
	}
}

// take returns the memory to be fetched, up to most rows of it; there are none if nothing is left. A part is not fetched
// together with the next one.
func (a *Ahead[T]) take(most int) aheadPart[T] {
	if a == nil || a.n == 0 || most < 1 {
		return aheadPart[T]{}
	}
	last := &a.parts[a.n-1]
	p := *last
	p.rows = min(p.rows, most)
	if last.rows -= p.rows; last.rows == 0 {
		a.n--
	} else {
		last.data = last.data[p.rows*p.ld:]
	}
	return p
}

// aheadOf is what the next block of a slice needs: the rows [from, from+k) of A and B, if they lie together.
func aheadOf[T Float](g *Gemm, rows, cols, from, k int, a, b []T) (next Ahead[T]) {
	if g.slices() == 1 || k < 1 || g.PackB {
		return next
	}
	if g.TransA && rows == g.LDA {
		next.Add(a[from*g.LDA:][:k*g.LDA])
	}
	if !g.TransB && cols == g.LDB {
		next.Add(b[from*g.LDB:][:k*g.LDB])
	}
	return next
}

// afterPanel is what is needed after the products [k0, k1) of the panel at column j of a packed B: the same products of the
// next panel of the block [col0, col1), or else the next products, up to k2, of the first.
func afterPanel[T Float](g *Gemm, b []T, j, col0, col1, k0, k1, k2 int) (next Ahead[T]) {
	switch {
	case j+packedCols < col1:
		next.Add(b[(j+packedCols)*g.K:][k0*packedCols : k1*packedCols])
	case k1 < k2:
		next.Add(b[col0*g.K:][k1*packedCols : k2*packedCols])
	}
	return next
}

// afterColumns is afterPanel for a B that is read where it is. After the last panel come the first products of the block to
// the right, which mostly is the next part of the same worker.
func afterColumns[T Float](g *Gemm, b []T, j, col0, col1, k0, k1, k2 int) (next Ahead[T]) {
	switch {
	case j+packedCols < col1:
		next.addRows(b[k0*g.LDB+j+packedCols:], g.LDB, k1-k0)
	case k1 < k2:
		next.addRows(b[k1*g.LDB+col0:], g.LDB, k2-k1)
	case col1 < g.N:
		next.addRows(b[col1:], g.LDB, k1-k0)
	}
	return next
}
