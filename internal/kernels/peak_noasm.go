//go:build !amd64 || noasm

package kernels

// PeakFLOPS is 0: there are no instructions to measure the limit with.
func PeakFLOPS(int) float64 { return 0 }
