//go:build !noasm

package kernels

func directAsm[T Float](dst []T, stepM, ldy int, src []T, lds int, taps []int, w []T, r, rows, cols int, narrow []T) bool {
	if !isFloat32[T]() || cpuLevel < levelAVX2 {
		return false
	}
	width := max(cols, 8)
	for _, at := range taps {
		if at+(rows-1)*lds+width > len(src) {
			return false
		}
	}
	_, _ = dst[(r-1)*stepM+(rows-1)*ldy+cols-1], w[(len(taps)+1)*r-1]
	to, step, ld := dst, stepM, ldy
	if cols < 8 {
		to, step, ld = narrow[:r*rows*8], rows*8, 8
	}
	// Direct calls: what is passed to a function value would be allocated.
	switch {
	case r == 1 && len(taps) == 9:
		direct3x3AVX2(first(to), ld, first(src), lds, &taps[0], first(w), rows, width)
	case r == 1:
		direct1AVX2(first(to), step, ld, first(src), lds, &taps[0], len(taps), first(w), rows, width)
	case r == 2:
		direct2AVX2(first(to), step, ld, first(src), lds, &taps[0], len(taps), first(w), rows, width)
	default:
		direct4AVX2(first(to), step, ld, first(src), lds, &taps[0], len(taps), first(w), rows, width)
	}
	if cols < 8 {
		copyRows(rects[T]{dst, stepM, ldy}, rects[T]{narrow, step, ld}, r, rows, cols)
	}
	return true
}

// tails[n] selects the first n lanes.
var tails = func() (t [8][8]uint32) {
	for n := range t {
		for i := range n {
			t[n][i] = ^uint32(0)
		}
	}
	return t
}()

func correlateAsm[T Float](sums, dy []T, stepM, ldy int, src []T, lds int, taps []int, r, rows, cols int) bool {
	if !isFloat32[T]() || cpuLevel < levelAVX2 {
		return false
	}
	_, _ = sums[r*len(taps)*lanesOfSums-1], dy[(r-1)*stepM+(rows-1)*ldy+cols-1]
	for _, at := range taps {
		_ = src[at+(rows-1)*lds+cols-1]
	}
	to, g, x, k, tail := first(sums), first(dy), first(src), &taps[0], &tails[cols%8][0]
	switch 5*(r-1) + len(taps) {
	case 1:
		correlate1x1AVX2(to, g, stepM, ldy, x, lds, k, rows, cols, tail)
	case 2:
		correlate1x2AVX2(to, g, stepM, ldy, x, lds, k, rows, cols, tail)
	case 3:
		correlate1x3AVX2(to, g, stepM, ldy, x, lds, k, rows, cols, tail)
	case 4:
		correlate1x4AVX2(to, g, stepM, ldy, x, lds, k, rows, cols, tail)
	case 5:
		correlate1x5AVX2(to, g, stepM, ldy, x, lds, k, rows, cols, tail)
	case 6:
		correlate2x1AVX2(to, g, stepM, ldy, x, lds, k, rows, cols, tail)
	case 7:
		correlate2x2AVX2(to, g, stepM, ldy, x, lds, k, rows, cols, tail)
	case 8:
		correlate2x3AVX2(to, g, stepM, ldy, x, lds, k, rows, cols, tail)
	case 9:
		correlate2x4AVX2(to, g, stepM, ldy, x, lds, k, rows, cols, tail)
	case 10:
		correlate2x5AVX2(to, g, stepM, ldy, x, lds, k, rows, cols, tail)
	}
	return true
}

func addScaledAsm[T Float](dst []T, ldd int, src []T, lds int, w T, rows, cols int) bool {
	if !isFloat32[T]() || cpuLevel < levelAVX2 {
		return false
	}
	_, _ = dst[(rows-1)*ldd+roundUp(cols, 8)-1], src[(rows-1)*lds+cols-1]
	addScaledAVX2(first(dst), ldd, first(src), lds, float32(w), rows, cols, &tails[cols%8][0])
	return true
}
