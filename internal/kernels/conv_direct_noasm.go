//go:build !amd64 || noasm

package kernels

func directAsm[T Float](dst []T, stepM, ldy int, src []T, lds int, taps []int, w []T, r, rows, cols int, narrow []T) bool {
	return false
}

func correlateAsm[T Float](sums, dy []T, stepM, ldy int, src []T, lds int, taps []int, r, rows, cols int) bool {
	return false
}

func addScaledAsm[T Float](dst []T, ldd int, src []T, lds int, w T, rows, cols int) bool {
	return false
}
