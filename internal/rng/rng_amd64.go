//go:build !noasm

package rng

import "golang.org/x/sys/cpu"

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
