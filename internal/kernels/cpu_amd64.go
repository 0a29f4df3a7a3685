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
	levelAVX512        // AVX-512 F, VL, DQ and BW: 32 registers of 64 bytes, masks on every instruction
)

// cpuLevel is the best level of this processor (and its operating system). Only tests change it; a whole program
// runs at a lower one with GODEBUG=cpu.avx512f=off or cpu.avx2=off.
var cpuLevel = detect()

func detect() level {
	x := &cpu.X86
	switch {
	case !x.HasAVX2 || !x.HasFMA:
		return levelGeneric
	// x/sys clears the flags of AVX-512 if the operating system does not save its registers.
	case x.HasAVX512F && x.HasAVX512VL && x.HasAVX512DQ && x.HasAVX512BW:
		return levelAVX512
	}
	return levelAVX2
}

// float32s is s, whose elements must be float32, as a slice of that type.
func float32s[T Float](s []T) []float32 { return *(*[]float32)(unsafe.Pointer(&s)) }
