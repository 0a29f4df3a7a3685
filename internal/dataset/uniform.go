package dataset

import (
	"math/bits"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// Uniform draws every sample of every mini-batch uniformly from all, with replacement, as the programs of
// Entropy-SGD's authors do. A mini-batch is a pure function of the seed and its number; all are of one size.
type Uniform struct {
	n, epoch int
	seed     uint64
	idx      []int
}

// NewUniform makes a sampler of n samples in mini-batches of the given size.
func NewUniform(n, batch int, seed uint64) (*Uniform, error) {
	if err := checkSizes(n, batch); err != nil {
		return nil, err
	}
	return &Uniform{n: n, epoch: (n-1)/batch + 1, seed: seed, idx: make([]int, min(n, batch))}, nil
}

// Batches is the number of mini-batches that cost as much as one pass over all samples.
func (s *Uniform) Batches() int { return s.epoch }

// Batch implements Sampler.
func (s *Uniform) Batch(k uint64) []int {
	stream := rng.Stream{Seed: s.seed, Purpose: rng.Draws, Eval: k}
	for i := range s.idx {
		s.idx[i] = below(stream.Block(uint32(i)), s.n)
	}
	return s.idx
}

// below makes a number in [0, n) of the first two words: the high word of a 64-bit random number times n, whose
// bias is below 2^-32 for any n.
func below(w [4]uint32, n int) int {
	j, _ := bits.Mul64(uint64(w[0])<<32|uint64(w[1]), uint64(n))
	return int(j)
}
