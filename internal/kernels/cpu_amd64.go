//go:build !noasm

package kernels

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// A level is a set of instructions that kernels are written for. Levels are ordered: a processor that has one
// has those before it.
type level int

const (
	levelGeneric level = iota
	levelAVX2          // AVX2 and FMA
)

// cpuLevel is the best level of this processor (and its operating system). Only tests change it.
var cpuLevel = detect()

func detect() level {
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		return levelAVX2
	}
	return levelGeneric
}

func isFloat32[T Float]() bool { return unsafe.Sizeof(T(0)) == 4 }

// float32s is s, whose elements must be float32, as a slice of that type.
func float32s[T Float](s []T) []float32 { return *(*[]float32)(unsafe.Pointer(&s)) }
