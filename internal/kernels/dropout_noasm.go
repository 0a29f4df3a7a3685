//go:build noasm || !amd64

package kernels

func dropoutAsm[T Float](d *Drop, y, x []T, block uint32) int { return 0 }

func dropoutRowsAsm[T Float](d *Drop, y, x []T, first, ld, rows, n int) int { return 0 }
