//go:build !amd64 || noasm

package kernels

func adamAsm(x, m, v, grad []float32, c *AdamStep) int { return 0 }

func parleAsm(y, z, v, x, grad []float32, c *ParleStep) int { return 0 }

func squaresAsm(x []float32, sums *[8]float64) int { return 0 }
