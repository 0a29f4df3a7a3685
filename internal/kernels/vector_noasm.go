//go:build !amd64 || noasm

package kernels

func unaryAsm[T Float](op vectorOp, y, x []T) int                                     { return 0 }
func binaryAsm[T Float](op vectorOp, y, a, b []T) int                                 { return 0 }
func scalarAsm[T Float](op vectorOp, y, a []T, s T) int                               { return 0 }
func rectifiedGradAsm[T Float](dx, y, dy []T, scale T) int                            { return 0 }
func leakyReluGradAsm[T Float](dx, x, dy []T, alpha T) int                            { return 0 }
func clipAsm[T Float](y, x []T, lo, hi T) int                                         { return 0 }
func withinAsm[T Float](dx, x, dy []T, lo, hi T) int                                  { return 0 }
func normaliseAsm[T Float](y, x []T, mean, a, b T) int                                { return 0 }
func normaliseRowsAsm[T Float](y, x []T, ld, rows int, mean, a, b []T, relu bool) int { return 0 }
func normaliseGradAsm[T Float](dx, x, dy []T, mean, a, b, c T) int                    { return 0 }
func normaliseGradRowsAsm[T Float](dx, x, dy, y []T, ld, rows int, mean, a, b, c []T, scale T) int {
	return 0
}

func sumAsm[T Float](x []T, s *Sums) int                                                 { return 0 }
func maxAsm[T Float](x []T) (top T, n int)                                               { return 0, 0 }
func sumRowsAsm[T Float](sum *[Tile]float64, x []T, ld, rows, n int) int                 { return 0 }
func momentsAsm[T Float](x []T, k float64, s *Sums) int                                  { return 0 }
func dotCentredAsm[T Float](x, dy []T, mean float64, s *Sums) int                        { return 0 }
func momentsRowsAsm[T Float](sum, square *[Tile]float64, x []T, ld, rows int, k []T) int { return 0 }
func dotRectifiedRowsAsm[T Float](sum, dot *[Tile]float64, x, dy, y []T, ld, rows int, mean []T, scale T) int {
	return 0
}
func dotCentredRowsAsm[T Float](sum, dot *[Tile]float64, x, dy []T, ld, rows int, mean []T) int {
	return 0
}
func lstmStepAsm[T Float](gates, bias []T, stride int, before, c, tanh, h []T) int { return 0 }
func lstmGradAsm[T Float](da, gates []T, stride int, dc, dh, tanh, before []T) int { return 0 }

func gruCellAsm[T Float](h, z, n, before []T) int              { return 0 }
func mulAddAsm[T Float](y, a, b []T) int                       { return 0 }
func gruCellGradAsm[T Float](dZ, dN, dh, z, n, before []T) int { return 0 }
func gruResetGradAsm[T Float](dR, dq, d, r, q []T) int         { return 0 }
