//go:build !noasm

package rng

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Every level makes the words and the normal numbers of the Go loops, bit for bit.
func TestLevelsAgree(t *testing.T) {
	best := cpuLevel
	defer func() { cpuLevel = best }()
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		s := Stream{Seed: r.Uint64(), Purpose: r.Uint32(), Replica: uint16(r.Uint32()), Eval: r.Uint64() >> 16}
		n, from := r.IntN(400), int(r.Uint64()>>31)
		want, wantWords := make([]float32, n), make([]uint32, n&^3)
		cpuLevel = levelGeneric
		s.Normals(want, from)
		s.Words(wantWords, uint32(from>>2))
		for cpuLevel = levelAVX2; cpuLevel <= best; cpuLevel++ {
			got, words := make([]float32, n+1), make([]uint32, n&^3+1)
			s.Normals(got[:n], from)
			if !slices.Equal(got[:n], want) || got[n] != 0 {
				t.Fatalf("level %d: %d normal numbers from %d of %+v differ", cpuLevel, n, from, s)
			}
			s.Words(words[:n&^3], uint32(from>>2))
			if !slices.Equal(words[:n&^3], wantWords) || words[n&^3] != 0 {
				t.Fatalf("level %d: %d words from block %d of %+v differ", cpuLevel, n&^3, from>>2, s)
			}
		}
	}
}
