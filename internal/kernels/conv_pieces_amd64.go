//go:build !noasm

package kernels

func gatherPiecesAsm[T Float](dst []T, ld int, src []T, rows []int, p *pieces) bool {
	if !isFloat32[T]() || cpuLevel < levelAVX2 {
		return false
	}
	if len(rows) > 0 {
		d, s := &float32s(dst)[0], &float32s(src)[0]
		if p.width == maxPiece {
			gatherPieces8AVX2(d, ld, s, &rows[0], len(rows), &p.list[0].from, p.n)
		} else {
			gatherPieces4AVX2(d, ld, s, &rows[0], len(rows), &p.list[0].from, p.n)
		}
	}
	return true
}

// takeAsm and addToAsm do the first elements in groups of eight, and touch what lies between them, but nothing
// behind the last; they return how many.
func takeAsm[T Float](dst, src []T, step int) int {
	if !isFloat32[T]() || cpuLevel < levelAVX2 || step != 2 || len(dst) <= 8 {
		return 0
	}
	blocks := (len(dst) - 1) / 8
	_ = src[16*blocks]
	take2AVX2(&float32s(dst)[0], &float32s(src)[0], blocks)
	return 8 * blocks
}

func addToAsm[T Float](dst, src []T, step int) int {
	if !isFloat32[T]() || cpuLevel < levelAVX2 || step != 2 || len(src) <= 8 {
		return 0
	}
	blocks := (len(src) - 1) / 8
	_ = dst[16*blocks]
	addTo2AVX2(&float32s(dst)[0], &float32s(src)[0], blocks)
	return 8 * blocks
}
