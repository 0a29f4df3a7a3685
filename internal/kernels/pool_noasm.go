//go:build !amd64 || noasm

package kernels

func slideAsm[T Float](op slideOp, dst []T, ldd int, src []T, lds, step, taps, tapStep, rows, cols int) int {
	return 0
}

func maxGradAsm[T Float](p *Pool, k int, dx, dy, x, y []T) bool { return false }

func overlapping3x3GradAsm[T Float](dx, dy, x, y []T, w, stride, n int) bool { return false }
