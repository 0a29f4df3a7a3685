//go:build !noasm

package kernels

// tileScratch holds the eight matrices between the two passes of a transformation.
type tileScratch [6 * 6 * lanes]float32

func asmTiles[T Float]() bool { return isFloat32[T]() && cpuLevel >= levelAVX2 }

func checkPlaces[T Float](s []T, at *[lanes]int, ld, n int) {
	for _, p := range at {
		_ = s[p : p+(n-1)*ld+n]
	}
}

func conv3InputAsm[T Float](dst []T, next int, src []T, at *[lanes]int, ld int) bool {
	if !asmTiles[T]() {
		return false
	}
	checkPlaces(src, at, ld, 6)
	var tmp tileScratch
	conv3InputAVX2(&float32s(dst)[0], next, &float32s(src)[0], &at[0], ld, &tmp[0])
	return true
}

func conv3OutputAsm[T Float](dst []T, at *[lanes]int, ld int, src []T, next int, bias T) bool {
	if !asmTiles[T]() {
		return false
	}
	checkPlaces(dst, at, ld, 4)
	var tmp tileScratch
	conv3OutputAVX2(&float32s(dst)[0], &at[0], ld, &float32s(src)[0], next, float32(bias), &tmp[0])
	return true
}

func conv3GradientAsm[T Float](dst []T, next int, src []T, at *[lanes]int, ld int) bool {
	if !asmTiles[T]() {
		return false
	}
	checkPlaces(src, at, ld, 4)
	var tmp tileScratch
	conv3GradientAVX2(&float32s(dst)[0], next, &float32s(src)[0], &at[0], ld, &tmp[0])
	return true
}

func conv3WeightsAsm[T Float](dst []T, next int, src []T, nexts int) bool {
	if !asmTiles[T]() {
		return false
	}
	var tmp tileScratch
	conv3WeightsAVX2(&float32s(dst)[0], next, &float32s(src)[0], nexts, &tmp[0])
	return true
}

func conv3GradWeightsAsm[T Float](dst []T, next int, src []T, nexts int) bool {
	if !asmTiles[T]() {
		return false
	}
	var tmp tileScratch
	conv3GradWeightsAVX2(&float32s(dst)[0], next, &float32s(src)[0], nexts, &tmp[0])
	return true
}
