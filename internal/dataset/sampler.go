package dataset

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// A Sampler says which samples mini-batches hold. Its choices are functions of the seed and, for Oddball, of the
// errors that it was told; a run that goes on at any batch sees the same samples as one that was never stopped.
type Sampler interface {
	// Batches is the number of mini-batches in an epoch.
	Batches() int
	// Batch gives the samples of mini-batch k, counted from 0 over all epochs. The slice is valid until the
	// next call and must not be changed.
	Batch(k uint64) []int
}

// A Shuffle cuts epochs into mini-batches. Each epoch has an order of its own, a pure function of the seed and the
// epoch's number.
type Shuffle struct {
	n, batch int
	seed     uint64
	shuffle  bool
	order    []int  // of epoch
	epoch    uint64 // math.MaxUint64: none yet
}

// NewShuffle makes a sampler of n samples in mini-batches of the given size. Without shuffle each epoch is in file
// order.
func NewShuffle(n, batch int, seed uint64, shuffle bool) (*Shuffle, error) {
	if err := checkSizes(n, batch); err != nil {
		return nil, err
	}
	s := &Shuffle{n: n, batch: batch, seed: seed, shuffle: shuffle, order: make([]int, n), epoch: math.MaxUint64}
	for i := range s.order {
		s.order[i] = i
	}
	return s, nil
}

func checkSizes(n, batch int) error {
	if n < 1 || int64(n) > math.MaxUint32 {
		return fmt.Errorf("dataset: no mini-batches can be drawn from %d samples", n)
	}
	if batch < 1 {
		return fmt.Errorf("dataset: a mini-batch of %d samples; it must have at least 1", batch)
	}
	return nil
}

// Batches is the number of mini-batches in an epoch. The last one may be smaller than the others.
func (s *Shuffle) Batches() int { return (s.n-1)/s.batch + 1 }

// Batch implements Sampler.
func (s *Shuffle) Batch(k uint64) []int {
	per := uint64(s.Batches())
	if e := k / per; s.shuffle && e != s.epoch {
		s.permute(e)
	}
	from := int(k%per) * s.batch
	return s.order[from:min(s.n, from+s.batch)]
}

// permute puts the order of an epoch, by Fisher and Yates from the identity. A position is the high word of
// a 64-bit random number times the count of choices, whose bias is below 2^-32 for any n.
func (s *Shuffle) permute(epoch uint64) {
	s.epoch = epoch
	for i := range s.order {
		s.order[i] = i
	}
	stream := rng.Stream{Seed: s.seed, Purpose: rng.Shuffle, Eval: epoch}
	for i := s.n - 1; i > 0; i-- {
		b := stream.Block(uint32(i))
		j, _ := bits.Mul64(uint64(b[0])<<32|uint64(b[1]), uint64(i)+1)
		s.order[i], s.order[j] = s.order[j], s.order[i]
	}
}
