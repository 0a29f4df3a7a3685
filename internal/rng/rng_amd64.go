//go:build !noasm

package rng

import (
	"math/bits"

	"golang.org/x/sys/cpu"
)

//go:generate sh -c "cd _gen && go run ./rng -out ../rng_amd64.s -stubs ../rng_stubs_amd64.go -pkg rng"

// A level is a set of instructions that there is assembly for.
type level int

const (
	levelGeneric level = iota
	levelAVX2
	levelAVX512 // F and DQ
)

// cpuLevel is the best level of this processor (and its operating system). Only tests change it.
var cpuLevel = detect()

func detect() level {
	switch {
	case !cpu.X86.HasAVX2:
		return levelGeneric
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ:
		return levelAVX512
	}
	return levelAVX2
}

// maxRun is the largest number of words, or of normal numbers, that the assembly makes at once.
const maxRun = 64

// run is that number at the level in use: 0 for none.
func run() int { return [...]int{levelGeneric: 0, levelAVX2: 32, levelAVX512: 64}[cpuLevel] }

// wordsAsm sets the first words of w by assembly, and returns how many.
func (s Stream) wordsAsm(w []uint32, block uint32) int {
	run := run()
	if run == 0 || len(w) < run {
		return 0
	}
	table := s.Schedule()
	runs := len(w) / run
	if cpuLevel == levelAVX512 {
		wordsAVX512(&w[0], runs, &table, block)
	} else {
		wordsAVX2(&w[0], runs, &table, block)
	}
	return runs * run
}

// normalsAsm sets the first elements of dst by assembly, from number 4*block on, and returns how many.
func (s Stream) normalsAsm(dst []float32, block uint32) int {
	run := run()
	if run == 0 || len(dst) < 4 {
		return 0
	}
	table := s.Schedule()
	runs := len(dst) / run
	if runs > 0 {
		normalsRuns(&dst[0], runs, &table, block)
	}
	if rest := dst[runs*run:]; len(rest) > 0 {
		var last [maxRun]float32
		normalsRuns(&last[0], 1, &table, block+uint32(runs*(run/4)))
		copy(rest, last[:])
	}
	return len(dst)
}

func normalsRuns(dst *float32, runs int, table *[19]uint32, block uint32) {
	if cpuLevel == levelAVX512 {
		normalsAVX512(dst, runs, table, block)
	} else {
		normalsAVX2(dst, runs, table, block)
	}
}

// Schedule is the part of the computation that all blocks of the stream share: what the vector generator
// of _gen/vector, which names the elements, reads in place of the stream. With the counter (block, c1,
// c2, c3), half of the words of the first two rounds do not depend on the block.
func (s Stream) Schedule() (t [19]uint32) {
	k0, k1 := uint32(s.Seed), uint32(s.Seed>>32)
	c1, c2, c3 := s.Purpose, uint32(s.Eval), uint32(s.Eval>>32)<<16|uint32(s.Replica)

	t[0] = c3 ^ k1
	high, low := bits.Mul32(c2, mul1)
	c0, c1 := high^c1^k0, low
	k0, k1 = k0+weyl0, k1+weyl1

	high, c3 = bits.Mul32(c0, mul0)
	t[1], t[2] = c1^k0, high^k1
	k0, k1 = k0+weyl0, k1+weyl1

	t[3], t[4] = k0, c3^k1
	for i := 5; i < len(t); i += 2 {
		k0, k1 = k0+weyl0, k1+weyl1
		t[i], t[i+1] = k0, k1
	}
	return t
}
