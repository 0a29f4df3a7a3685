//go:build !amd64 || noasm

package kernels

func conv3InputAsm[T Float](dst []T, next int, src []T, at *[lanes]int, ld int) bool    { return false }
func conv3GradientAsm[T Float](dst []T, next int, src []T, at *[lanes]int, ld int) bool { return false }
func conv3WeightsAsm[T Float](dst []T, next int, src []T, nexts int) bool               { return false }
func conv3GradWeightsAsm[T Float](dst []T, next int, src []T, nexts int) bool           { return false }
func conv3OutputAsm[T Float](dst []T, at *[lanes]int, ld int, src []T, next int, bias T) bool {
	return false
}
