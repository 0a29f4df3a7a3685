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

func takeRowsAsm[T Float](dst []T, ldd int, src []T, lds, step, rows, cols int) bool {
	if !isFloat32[T]() || cpuLevel < levelAVX2 || step != 2 {
		return false
	}
	take2AVX2(first(dst), ldd, first(src), lds, rows, cols)
	return true
}

func addToRowsAsm[T Float](dst []T, ldd int, src []T, lds, step, rows, cols int) bool {
	if !isFloat32[T]() || cpuLevel < levelAVX2 || step != 2 {
		return false
	}
	addTo2AVX2(first(dst), ldd, first(src), lds, rows, cols)
	return true
}
