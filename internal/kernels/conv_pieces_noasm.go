//go:build !amd64 || noasm

package kernels

func gatherPiecesAsm[T Float](dst []T, ld int, src []T, rows []int, p *pieces) bool { return false }

func takeRowsAsm[T Float](dst []T, ldd int, src []T, lds, step, rows, cols int) bool  { return false }
func addToRowsAsm[T Float](dst []T, ldd int, src []T, lds, step, rows, cols int) bool { return false }
