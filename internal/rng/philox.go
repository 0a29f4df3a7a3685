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

// Purposes. Dropout nodes use Dropout plus their number in the graph, nodes that draw numbers Random plus theirs.
const (
	Noise   uint32 = 1
	Shuffle uint32 = 2
	Init    uint32 = 3
	Digits  uint32 = 4
	Outer   uint32 = 5 // noise of an outer step
	Draws   uint32 = 6 // samples drawn with replacement
	Dropout uint32 = 1 << 16
	Random  uint32 = 1 << 30
)

const (
	mul0, mul1   = 0xD2511F53, 0xCD9E8D57
	weyl0, weyl1 = 0x9E3779B9, 0xBB67AE85
)

// Block returns the four words with index i, which is below 2^32.
func (s Stream) Block(i uint32) (w [4]uint32) {
	s.words(w[:], i)
	return w
}

// Words sets w to the words from the given block on: word i is Block(block+i/4)[i%4].
func (s Stream) Words(w []uint32, block uint32) {
	done := s.wordsAsm(w, block)
	whole := len(w) &^ 3
	s.words(w[done:whole], block+uint32(done/4))
	if whole < len(w) {
		four := s.Block(block + uint32(whole/4))
		copy(w[whole:], four[:])
	}
}

// words sets w, whose length is a multiple of 4, to the blocks from the given one on: ten rounds of the
// bijection on the counter (block, purpose, eval, replica) under the seed. The words stay in registers, which
// makes it twice as fast as with arrays.
func (s Stream) words(w []uint32, block uint32) {
	seed0, seed1 := uint32(s.Seed), uint32(s.Seed>>32)
	for i := 0; i+4 <= len(w); i += 4 {
		c0, c1, c2, c3 := block, s.Purpose, uint32(s.Eval), uint32(s.Eval>>32)<<16|uint32(s.Replica)
		k0, k1 := seed0, seed1
		for range 10 {
			p0, p1 := uint64(c0)*mul0, uint64(c2)*mul1
			c0, c1, c2, c3 = uint32(p1>>32)^c1^k0, uint32(p1), uint32(p0>>32)^c3^k1, uint32(p0)
			k0 += weyl0
			k1 += weyl1
		}
		w[i], w[i+1], w[i+2], w[i+3] = c0, c1, c2, c3
		block++
	}
}

// Uniform maps a word to (0, 1): the odd multiples of 2^-24, so neither 0 nor 1 occurs.
func Uniform(w uint32) float32 {
	return float32(w>>9)*(1.0/(1<<23)) + 1.0/(1<<24)
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
