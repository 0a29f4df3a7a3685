package kernels

// An Ahead is memory that is needed soon. The next product fetches it into the cache while it computes: the processor's
// own prefetching does not know what comes after the product.
type Ahead[T Float] struct {
	parts [8][]T
	n     int
}

// aheadLine is the size of a line of the cache in bytes.
const aheadLine = 64

// Add adds memory; what is too much is left out.
func (a *Ahead[T]) Add(s []T) {
	if len(s) > 0 && a.n < len(a.parts) {
		a.parts[a.n] = s
		a.n++
	}
}

// take returns the memory to be fetched in a number of lines, nil if there is none. A part is not fetched together
// with the next one.
func (a *Ahead[T]) take(lines int) []T {
	if a == nil || a.n == 0 {
		return nil
	}
	last := &a.parts[a.n-1]
	n := min(len(*last), lines*aheadLine/4)
	s := (*last)[:n]
	if *last = (*last)[n:]; len(*last) == 0 {
		a.n--
	}
	return s
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
