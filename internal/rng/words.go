package rng

// Words sets w, whose length is a multiple of 4, to the blocks of s from the given one on: w[4i+k] is
// Block(block+i)[k].
func (s Stream) Words(w []uint32, block uint32) { s.words(w, block) }
