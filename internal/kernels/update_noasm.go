//go:build !amd64 || noasm

package kernels

func innerAsm(p, mu, v, x, grad []float32, from int, c *InnerStep) int { return 0 }

func outerAsm(x, mu, p, inner, v []float32, lr, momentum float32) int { return 0 }

func sgdAsm(x, v, grad []float32, lr, momentum, decay float32, nesterov bool) int { return 0 }
