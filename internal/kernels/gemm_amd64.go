//go:build !noasm

package kernels

import "unsafe"

const (
	avx2Rows, avx2Cols     = 6, 16
	avx512Rows, avx512Cols = 12, 32
)

// tile returns the size of a tile of C.
func tile[T Float]() (rows, cols int) {
	switch {
	case !isFloat32[T]() || cpuLevel < levelAVX2:
		return genericRows, genericCols
	case cpuLevel < levelAVX512:
		return avx2Rows, avx2Cols
	}
	return avx512Rows, avx512Cols
}

// vectorCols is the number of columns that are read together.
func vectorCols[T Float]() int {
	_, cols := tile[T]()
	if cols == genericCols {
		return cols
	}
	return cols / 2
}

// panelRows returns the height of the panels of an A of m rows. An AVX2 tile of r rows takes r cycles a
// product, but at least 4, since its 2r sums wait for themselves: 20 rows are better cut into 5+5+5+5
// than into 6+6+6+2. AVX-512 has a multiplication and addition a cycle, so two rows keep it busy.
func panelRows[T Float](m int) int {
	rows, _ := tile[T]()
	if rows != avx2Rows {
		return rows
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

// readsDirectly tells whether operands may be read where they are.
func readsDirectly[T Float]() bool { return isFloat32[T]() && cpuLevel >= levelAVX2 }

// tileArgs are the arguments of the kernels, which compute count tiles of the same size below one another.
// Distances are in bytes. The assembly knows the places of the fields.
type tileArgs struct {
	k                  int
	a                  *float32
	aRow, aStep, aNext int // from row to row, product to product, tile to tile
	b                  *float32
	bStep              int
	c                  *float32
	cRow               int
	count              int
	lastCols           int // columns in the last vector of a row, at least 1
	flags              int
	bias               *float32
	ahead              *float32 // rows of aheadRow bytes that are fetched into the cache
	aheadStep          int
	aheadRows          int // how many they are, and how many are fetched at a time
	aheadEach          int
	chunk              int      // products from one time that something is fetched to the next: a row of the next tile of C
	cThen              *float32 // the tile of C after the last one
	kept               *float32 // where a kernel packs B that does
}

const (
	flagAccumulate = 1 << iota
	flagColumnBias
	flagRowBias
	flagRelu
)

// multiplyAsm is multiplyTiles if there is assembly for it.
func multiplyAsm[T Float](m, n, k, rows, cols int, a strided[T], b bands[T], c []T, ldc int, e *epilogue[T]) bool {
	if !isFloat32[T]() || cpuLevel < levelAVX2 {
		return false
	}
	ad, bd, cd, bias := float32s(a.data), float32s(b.data), float32s(c), float32s(e.bias)
	t := tileArgs{k: k, aRow: 4 * a.row, aStep: 4 * a.step, cRow: 4 * ldc}
	if e.accumulate {
		t.flags |= flagAccumulate
	}
	if e.act == ReluAct {
		t.flags |= flagRelu
	}
	switch e.axis {
	case ColumnBias:
		t.flags |= flagColumnBias
	case RowBias:
		t.flags |= flagRowBias
	}
	lanes := 8
	if cpuLevel >= levelAVX512 {
		lanes = 16
	}
	broad := 0
	if b.stride == b.size {
		broad = broadCols(m, lanes)
	}
	for j, width := 0, 0; j < n; j += width {
		t.b, t.bStep = &bd[b.at(j)], 4*b.ld
		if width = min(cols, n-j); broad > 0 && n-j >= broad {
			width = broad
		}
		t.lastCols = (width-1)%lanes + 1
		if e.axis == ColumnBias {
			t.bias = &bias[j]
		}
		// Tiles of equal height in one panel, or in panels of one tile each, are one run. The first tile packs B.
		for i := 0; i < m; {
			height := min(rows, m-i)
			t.count = 1
			keeps := i == 0 && b.keep != nil
			if height == rows && !keeps {
				t.aNext = 4 * rows * a.row
				whole := (m - i) / rows
				if a.size == rows {
					t.aNext = 4 * a.stride
				} else {
					whole = min(whole, (a.size-i%a.size)/rows)
				}
				t.count = whole
			}
			t.a, t.c = &ad[a.at(i)], &cd[i*ldc+j]
			t.chunk = roundUp(ceilDiv(k, height), 4) // the AVX2 loop has four products
			switch next := i + t.count*height; {
			case next < m:
				t.cThen = &cd[next*ldc+j]
			case j+width+cols <= min(ldc, len(cd)):
				t.cThen = &cd[j+width]
			default:
				t.cThen = t.c
			}
			if e.axis == RowBias {
				t.bias = &bias[i]
			}
			times := t.count * ceilDiv(k, t.chunk)
			next := e.ahead.take(t.count * k / 4)
			t.aheadRows, t.aheadEach, t.aheadStep = next.rows, ceilDiv(next.rows, times), 4*next.ld
			if next.rows > 0 {
				t.ahead = &float32s(next.data)[0]
			}
			switch {
			case keeps:
				t.kept = &float32s(b.keep)[j*k]
				keepTile(lanes, &t)
				t.b, t.bStep = t.kept, 4*cols
			case lanes == 16:
				tilesAVX512(height, width, &t)
			default:
				tilesAVX2(height, width, &t)
			}
			i += t.count * height
		}
	}
	return true
}

// broadCols returns the columns of a tile for a product of m rows whose B is read where it is, 0 for those of any other:
// one or two rows need more sums than two vectors of columns to keep the processor busy, and longer pieces of B's
// rows to read at the speed of the cache.
func broadCols(m, lanes int) int {
	switch {
	case m == 1, m == 2 && lanes == 16:
		return 8 * lanes
	case m == 2:
		return 4 * lanes
	}
	return 0
}

// keepTile computes one whole tile and packs the columns of B.
func keepTile(lanes int, t *tileArgs) {
	p := (*uintptr)(unsafe.Pointer(t))
	if lanes == 16 {
		gemmAVX512x12x32Keep(p)
	} else {
		gemmAVX2x6x16Keep(p)
	}
}

func tilesAVX2(rows, cols int, t *tileArgs) {
	p := (*uintptr)(unsafe.Pointer(t))
	if cols > 16 {
		switch rows {
		case 2:
			gemmAVX2x2x32(p)
		case 1:
			gemmAVX2x1x64(p)
		}
	} else if cols > 8 {
		switch rows {
		case 6:
			gemmAVX2x6x16(p)
		case 5:
			gemmAVX2x5x16(p)
		case 4:
			gemmAVX2x4x16(p)
		case 3:
			gemmAVX2x3x16(p)
		case 2:
			gemmAVX2x2x16(p)
		case 1:
			gemmAVX2x1x16(p)
		}
	} else {
		switch rows {
		case 6:
			gemmAVX2x6x8(p)
		case 5:
			gemmAVX2x5x8(p)
		case 4:
			gemmAVX2x4x8(p)
		case 3:
			gemmAVX2x3x8(p)
		case 2:
			gemmAVX2x2x8(p)
		case 1:
			gemmAVX2x1x8(p)
		}
	}
}

func tilesAVX512(rows, cols int, t *tileArgs) {
	p := (*uintptr)(unsafe.Pointer(t))
	if cols > 32 {
		switch rows {
		case 2:
			gemmAVX512x2x128(p)
		case 1:
			gemmAVX512x1x128(p)
		}
	} else if cols > 16 {
		switch rows {
		case 12:
			gemmAVX512x12x32(p)
		case 11:
			gemmAVX512x11x32(p)
		case 10:
			gemmAVX512x10x32(p)
		case 9:
			gemmAVX512x9x32(p)
		case 8:
			gemmAVX512x8x32(p)
		case 7:
			gemmAVX512x7x32(p)
		case 6:
			gemmAVX512x6x32(p)
		case 5:
			gemmAVX512x5x32(p)
		case 4:
			gemmAVX512x4x32(p)
		case 3:
			gemmAVX512x3x32(p)
		case 2:
			gemmAVX512x2x32(p)
		case 1:
			gemmAVX512x1x32(p)
		}
	} else {
		switch rows {
		case 12:
			gemmAVX512x12x16(p)
		case 11:
			gemmAVX512x11x16(p)
		case 10:
			gemmAVX512x10x16(p)
		case 9:
			gemmAVX512x9x16(p)
		case 8:
			gemmAVX512x8x16(p)
		case 7:
			gemmAVX512x7x16(p)
		case 6:
			gemmAVX512x6x16(p)
		case 5:
			gemmAVX512x5x16(p)
		case 4:
			gemmAVX512x4x16(p)
		case 3:
			gemmAVX512x3x16(p)
		case 2:
			gemmAVX512x2x16(p)
		case 1:
			gemmAVX512x1x16(p)
		}
	}
}
