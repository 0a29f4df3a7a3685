//go:build !noasm

package kernels

func copyRowsAsm[T Float](dst, src rects[T], count, rows, cols int) bool {
	if !isFloat32[T]() || cpuLevel < levelAVX2 {
		return false
	}
	copyRowsAVX2(&float32s(dst.data)[0], dst.next, dst.ld, &float32s(src.data)[0], src.next, src.ld, count, rows, cols)
	return true
}

func addRowsAsm[T Float](dst, src rects[T], count, rows, cols int) bool {
	if !isFloat32[T]() || cpuLevel < levelAVX2 {
		return false
	}
	addRowsAVX2(&float32s(dst.data)[0], dst.next, dst.ld, &float32s(src.data)[0], src.next, src.ld, count, rows, cols)
	return true
}

// transpose4Asm is transpose4 of the first columns; it returns how many.
func transpose4Asm[T Float](dst []T, ldd int, src []T, lds, n int) int {
	if !isFloat32[T]() || cpuLevel < levelAVX2 || n < 4 {
		return 0
	}
	transpose4AVX2(&float32s(dst)[0], ldd, &float32s(src)[0], lds, n/4)
	return n / 4 * 4
}

// transpose16Asm is transpose16 of the first columns; it returns how many.
func transpose16Asm[T Float](dst []T, ldd int, src []T, lds, n int) int {
	if !isFloat32[T]() || cpuLevel < levelAVX512 || n < 16 {
		return 0
	}
	transpose16AVX512(&float32s(dst)[0], ldd, &float32s(src)[0], lds, n/16)
	return n / 16 * 16
}
