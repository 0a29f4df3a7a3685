//go:build !noasm

package kernels

// slideAsm is slide of the first rows; it returns how many. Rows are computed in whole vectors, where there is room.
func slideAsm[T Float](op slideOp, dst []T, ldd int, src []T, lds, step, taps, tapStep, rows, cols int) int {
	if !isFloat32[T]() || cpuLevel < levelAVX2 || step > 3 {
		return 0
	}
	n := roundUp(cols, 8)
	rows = min(rows, fitting(len(dst), n, ldd), fitting(len(src), (taps-1)*tapStep+n*step, lds))
	if rows < 1 {
		return 0
	}
	// Direct calls: what is passed to a function value would be allocated.
	d, from := first(dst), first(src)
	switch {
	case op == slideMax && step == 1:
		slideMax1AVX2(d, ldd, from, lds, taps, tapStep, rows, n/8)
	case op == slideMax && step == 2:
		slideMax2AVX2(d, ldd, from, lds, taps, tapStep, rows, n/8)
	case op == slideMax:
		slideMax3AVX2(d, ldd, from, lds, taps, tapStep, rows, n/8)
	case step == 1:
		slideSum1AVX2(d, ldd, from, lds, taps, tapStep, rows, n/8)
	case step == 2:
		slideSum2AVX2(d, ldd, from, lds, taps, tapStep, rows, n/8)
	default:
		slideSum3AVX2(d, ldd, from, lds, taps, tapStep, rows, n/8)
	}
	return rows
}

// fitting returns how many rows of n elements, ld apart, are inside a slice.
func fitting(length, n, ld int) int {
	if length < n {
		return 0
	}
	return (length-n)/ld + 1
}

// maxGradAsm is MaxPoolGrad for windows of k x k, side by side; dx is zero. It returns false if there is none.
func maxGradAsm[T Float](p *Pool, k int, dx, dy, x, y []T) bool {
	if !isFloat32[T]() || cpuLevel < levelAVX2 {
		return false
	}
	q := *p
	planes := len(x) / (p.H * p.W)
	if p.OH*k == p.H {
		// All planes are one.
		q.H, q.OH, planes = planes*p.H, planes*p.OH, 1
	}
	vectors := ceilDiv(p.OW, 8)
	// The last vector of a row overlaps the one before; if it is the only one, its tail gives nothing away.
	last := max(p.OW-8, 0)
	var tail [8]uint32
	for i := range min(p.OW, 8) {
		tail[i] = ^uint32(0)
	}
	for range planes {
		// Rows are computed in whole vectors, where there is room.
		rows := min(q.OH, fitting(len(x), (k-1)*p.W+k*(last+8), k*p.W), fitting(len(y), last+8, p.OW))
		nan := false
		switch {
		case rows < 1:
		case k == 2:
			nan = maxGrad2x2AVX2(first(dx), first(x), p.W, first(dy), first(y), p.OW, rows, vectors, last, &tail[0])
		default:
			nan = maxGrad3x3AVX2(first(dx), first(x), p.W, first(dy), first(y), p.OW, rows, vectors, last, &tail[0])
		}
		if nan {
			clear(dx[:rows*k*p.W])
			maxGradRows(&q, k, dx, dy, x, y, 0, rows)
		}
		maxGradRows(&q, k, dx, dy, x, y, max(rows, 0), q.OH)
		x, dx, y, dy = x[q.H*q.W:], dx[q.H*q.W:], y[q.OH*q.OW:], dy[q.OH*q.OW:]
	}
	return true
}

// overlapping3x3GradAsm is overlapping3x3Grad of n windows. It works in whole vectors, where there is room behind the
// windows in all slices, and returns false if there is not.
func overlapping3x3GradAsm[T Float](dx, dy, x, y []T, w, stride, n int) bool {
	vectors, last := ceilDiv(n, 8), max(n-8, 0)
	if !isFloat32[T]() || cpuLevel < levelAVX2 || stride != 2 || len(x) < 2*w+2*(last+9) || len(y) < last+8 {
		return false
	}
	// Where the last vector overlaps the one before, the windows there have given theirs.
	var tail [8]uint32
	for i := range tail {
		if j := last + i; j >= 8*(vectors-1) && j < n {
			tail[i] = ^uint32(0)
		}
	}
	if maxGrad3x3By2AVX2(first(dx), first(x), w, first(dy), first(y), 0, 1, vectors, last, &tail[0]) {
		for j, m := range y[:n] {
			if m != m {
				at := find(window{0, 3, 1, 2 * j, 2*j + 3, 1}, x, w, m)
				dx[at] += dy[j]
			}
		}
	}
	return true
}
