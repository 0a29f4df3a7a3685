//go:build !amd64 || noasm

package kernels

func copyRowsAsm[T Float](dst, src rects[T], count, rows, cols int) bool { return false }
func addRowsAsm[T Float](dst, src rects[T], count, rows, cols int) bool  { return false }
func transpose4Asm[T Float](dst []T, ldd int, src []T, lds, n int) int   { return 0 }
func transpose16Asm[T Float](dst []T, ldd int, src []T, lds, n int) int  { return 0 }
