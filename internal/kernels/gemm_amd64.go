//go:build !noasm

package kernels

const avx2Rows, avx2Cols = 6, 16

// tile returns the size of a tile of C.
func tile[T Float]() (rows, cols int) {
	if isFloat32[T]() && cpuLevel >= levelAVX2 {
		return avx2Rows, avx2Cols
	}
	return genericRows, genericCols
}

// panelRows returns the height of the panels of an A of m rows. A tile of r rows takes r cycles a
// product, but at least 4, since its 2r sums wait for themselves: 20 rows are better cut into 5+5+5+5
// than into 6+6+6+2.
func panelRows[T Float](m int) int {
	if !isFloat32[T]() || cpuLevel < levelAVX2 {
		return genericRows
	}
	best, least := avx2Rows, 0
	for r := avx2Rows; r >= 4; r-- {
		cycles := m / r * r
		if m%r > 0 {
			cycles += max(4, m%r)
		}
		if r == avx2Rows || cycles < least {
			best, least = r, cycles
		}
	}
	return best
}

// multiplyAsm is multiply in tiles of the given rows if there is assembly for it.
func multiplyAsm[T Float](m, n, k, rows int, a, b bands[T], c []T, ldc int, accumulate bool) bool {
	if !isFloat32[T]() || cpuLevel < levelAVX2 {
		return false
	}
	multiplyAVX2(m, n, k, rows,
		bands[float32]{panels[float32]{float32s(a.data), a.ld, a.stride}, a.size},
		bands[float32]{panels[float32]{float32s(b.data), b.ld, b.stride}, b.size}, float32s(c), ldc, accumulate)
	return true
}

func multiplyAVX2(m, n, k, height int, a, b bands[float32], c []float32, ldc int, accumulate bool) {
	var edge [avx2Rows * avx2Cols]float32
	for j := 0; j < n; j += avx2Cols {
		bj := &b.data[b.at(j)]
		cols := min(avx2Cols, n-j)
		// The place of row i in its panel, and of the panel.
		at, panel := 0, 0
		for i := 0; i < m; i += height {
			ai := &a.data[panel+at]
			if at += height; at == a.size {
				at = 0
				panel += a.stride
			}
			rows := min(height, m-i)
			if cols == avx2Cols || cols == avx2Cols/2 {
				microAVX2(k, ai, a.ld, bj, b.ld, &c[i*ldc+j], ldc, rows, cols, accumulate)
				continue
			}
			// A narrow tile goes through memory of its own: the kernels store 8 or 16 columns.
			width := avx2Cols
			if cols < avx2Cols/2 {
				width = avx2Cols / 2
			}
			microAVX2(k, ai, a.ld, bj, b.ld, &edge[0], avx2Cols, rows, width, false)
			for r := range rows {
				cr := c[(i+r)*ldc+j:][:cols]
				for s, v := range edge[r*avx2Cols:][:cols] {
					if accumulate {
						v += cr[s]
					}
					cr[s] = v
				}
			}
		}
	}
}

// microAVX2 sets the rows x cols tile c to the product of k columns of a (lda apart) and k rows of b (ldb
// apart), or adds it with accumulate: rows in 1..6, cols 8 or 16, k >= 1.
func microAVX2(k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc, rows, cols int, accumulate bool) {
	switch rows + cols {
	case 16 + 6:
		gemmAVX2x6x16(k, a, lda, b, ldb, c, ldc, accumulate)
	case 16 + 5:
		gemmAVX2x5x16(k, a, lda, b, ldb, c, ldc, accumulate)
	case 16 + 4:
		gemmAVX2x4x16(k, a, lda, b, ldb, c, ldc, accumulate)
	case 16 + 3:
		gemmAVX2x3x16(k, a, lda, b, ldb, c, ldc, accumulate)
	case 16 + 2:
		gemmAVX2x2x16(k, a, lda, b, ldb, c, ldc, accumulate)
	case 16 + 1:
		gemmAVX2x1x16(k, a, lda, b, ldb, c, ldc, accumulate)
	case 8 + 6:
		gemmAVX2x6x8(k, a, lda, b, ldb, c, ldc, accumulate)
	case 8 + 5:
		gemmAVX2x5x8(k, a, lda, b, ldb, c, ldc, accumulate)
	case 8 + 4:
		gemmAVX2x4x8(k, a, lda, b, ldb, c, ldc, accumulate)
	case 8 + 3:
		gemmAVX2x3x8(k, a, lda, b, ldb, c, ldc, accumulate)
	case 8 + 2:
		gemmAVX2x2x8(k, a, lda, b, ldb, c, ldc, accumulate)
	case 8 + 1:
		gemmAVX2x1x8(k, a, lda, b, ldb, c, ldc, accumulate)
	default:
		panic("kernels: no AVX2 kernel for this tile")
	}
}
