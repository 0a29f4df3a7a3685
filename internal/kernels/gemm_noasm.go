//go:build !amd64 || noasm

package kernels

// tile returns the size of a tile of C.
func tile[T Float]() (rows, cols int) { return genericRows, genericCols }

// panelRows returns the height of the panels of an A of m rows.
func panelRows[T Float](m int) int { return genericRows }

// multiplyAsm is multiply if there is assembly for it.
func multiplyAsm[T Float](m, n, k, rows int, a, b bands[T], c []T, ldc int, accumulate bool) bool {
	return false
}
