// Package rng makes random numbers from a counter: each is a pure function of a Stream and an index, so
// there is no generator state to save, and any part of a sequence can be made by any thread.
//
// The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2,
// 3", SC 2011).
package rng

import "math/bits"

// A Stream names one sequence of random numbers. Streams that differ in any field are independent.
type Stream struct {
	Seed    uint64
	Purpose uint32 // what the numbers are for; see the constants
	Replica uint16
	Eval    uint64 // number of the gradient evaluation, or of the epoch; 48 bits are used
}

// Purposes. Dropout nodes use Dropout plus their number in the graph.
const (
	Noise   uint32 = 1
	Shuffle uint32 = 2
	Init    uint32 = 3
	Digits  uint32 = 4
	Dropout uint32 = 1 << 16
)

const (
	mul0, mul1   = 0xD2511F53, 0xCD9E8D57
	weyl0, weyl1 = 0x9E3779B9, 0xBB67AE85
)

// Block returns the four words with index i, which is below 2^32.
func (s Stream) Block(i uint32) [4]uint32 {
	c := [4]uint32{i, s.Purpose, uint32(s.Eval), uint32(s.Eval>>32)<<16 | uint32(s.Replica)}
	return philox(c, [2]uint32{uint32(s.Seed), uint32(s.Seed >> 32)})
}

// philox is ten rounds of the bijection on counter c under key k.
func philox(c [4]uint32, k [2]uint32) [4]uint32 {
	for range 10 {
		hi0, lo0 := bits.Mul32(mul0, c[0])
		hi1, lo1 := bits.Mul32(mul1, c[2])
		c = [4]uint32{hi1 ^ c[1] ^ k[0], lo1, hi0 ^ c[3] ^ k[1], lo0}
		k[0] += weyl0
		k[1] += weyl1
	}
	return c
}

// Uniform maps a word to (0, 1): the odd multiples of 2^-25, so neither 0 nor 1 occurs.
func Uniform(w uint32) float32 {
	return float32(w>>8)*(1.0/(1<<24)) + 1.0/(1<<25)
}
