//go:build !amd64 || noasm

package kernels

// tile returns the size of a tile of C.
func tile[T Float]() (rows, cols int) { return genericRows, genericCols }

// vectorCols is the number of columns that are read together.
func vectorCols[T Float]() int { return genericCols }

// panelRows returns the height of the panels of an A of m rows.
func panelRows[T Float](m int) int { return genericRows }

// readsDirectly tells whether operands may be read where they are.
func readsDirectly[T Float]() bool { return false }

// multiplyAsm is multiplyTiles if there is assembly for it.
func multiplyAsm[T Float](m, n, k, rows, cols int, a strided[T], b bands[T], c []T, ldc int, e *epilogue[T]) bool {
	return false
}
