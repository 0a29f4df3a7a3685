//go:build !amd64 || noasm

package kernels

func gatherPiecesAsm[T Float](dst []T, ld int, src []T, rows []int, p *pieces) bool { return false }

func takeAsm[T Float](dst, src []T, step int) int  { return 0 }
func addToAsm[T Float](dst, src []T, step int) int { return 0 }
