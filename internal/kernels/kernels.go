// Package kernels holds the numeric loops, on slices and sizes, without any notion of a graph.
//
// The generic code here is the specification: it runs for float32 and float64, on every processor.
package kernels

import "unsafe"

// Float is the element type of a kernel.
type Float interface{ ~float32 | ~float64 }

// isFloat32 tells which of the two types T is.
func isFloat32[T Float]() bool { return unsafe.Sizeof(T(0)) == 4 }

// bit is 1 for true. The compiler makes no jump of it.
func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
