//go:build !amd64 || noasm

package kernels

func unaryAsm[T Float](op vectorOp, y, x []T) int                                  { return 0 }
func binaryAsm[T Float](op vectorOp, y, a, b []T) int                              { return 0 }
func scalarAsm[T Float](op vectorOp, y, a []T, s T) int                            { return 0 }
func leakyReluGradAsm[T Float](dx, x, dy []T, alpha T) int                         { return 0 }
func clipAsm[T Float](y, x []T, lo, hi T) int                                      { return 0 }
func withinAsm[T Float](dx, x, dy []T, lo, hi T) int                               { return 0 }
func dropMaskAsm[T Float](y, x []T, words []uint32, threshold uint32, scale T) int { return 0 }
func normaliseAsm[T Float](y, x []T, mean, a, b T) int                             { return 0 }
func normaliseRowAsm[T Float](y, x, mean, a, b []T) int                            { return 0 }
func normaliseGradAsm[T Float](dx, x, dy []T, mean, a, b, c T) int                 { return 0 }
func normaliseGradRowAsm[T Float](dx, x, dy, mean, a, b, c []T) int                { return 0 }
