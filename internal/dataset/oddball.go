package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// Oddball draws samples, with replacement, in proportion to their errors (Simpson: "Oddball SGD: Novelty Driven
// Stochastic Gradient Descent for Training Deep Neural Networks", 2015): sample i with the probability
//
//	p[i] = (1-floor) e[i] / sum(e) + floor / n
//
// where e[i] is the error of the last time that it was used. The first epoch is a shuffled pass over all samples,
// after which every error is known. Unlike that of the other samplers, its future depends on what it was told:
// State holds that.
//
// Drawing by error changes what is minimised: the mean over samples is weighted by their errors. Weights undo it.
type Oddball struct {
	n, batch int
	seed     uint64
	floor    float64
	first    *Shuffle
	tree     []float64 // tree[1] is the sum of the errors, node k that of nodes 2k and 2k+1, tree[size+i] is e[i]
	size     int
	drawn    []draw // the last mini-batches, which may be asked for again before the errors are told
	keep     int
}

// draw is a mini-batch and the probabilities that its samples had.
type draw struct {
	k   uint64
	idx []int
	p   []float64
}

// NewOddball makes a sampler of n samples in mini-batches of the given size. floor, in [0, 1], is the share of the
// draws that are uniform. Of the last keep mini-batches, each can be asked for again.
func NewOddball(n, batch int, seed uint64, floor float64, keep int) (*Oddball, error) {
	first, err := NewShuffle(n, batch, seed, true)
	if err != nil {
		return nil, err
	}
	if !(floor >= 0 && floor <= 1) {
		return nil, fmt.Errorf("dataset: a floor of %v for the probability of samples; it must be in [0, 1]", floor)
	}
	size := 1
	for size < n {
		size *= 2
	}
	return &Oddball{n: n, batch: batch, seed: seed, floor: floor, first: first, tree: make([]float64, 2*size), size: size, keep: max(1, keep)}, nil
}

// Batches is the number of mini-batches that cost as much as one pass over all samples.
func (s *Oddball) Batches() int { return s.first.Batches() }

// Batch implements Sampler. A mini-batch is drawn when it is asked for the first time.
func (s *Oddball) Batch(k uint64) []int { return s.draw(k).idx }

func (s *Oddball) draw(k uint64) *draw {
	if i := slices.IndexFunc(s.drawn, func(d draw) bool { return d.k == k }); i >= 0 {
		return &s.drawn[i]
	}
	d := draw{k: k}
	if len(s.drawn) >= s.keep { // its memory serves again
		d.idx, d.p = s.drawn[0].idx[:0], s.drawn[0].p[:0]
		s.drawn = slices.Delete(s.drawn, 0, 1)
	}
	if k < uint64(s.Batches()) {
		for _, i := range s.first.Batch(k) {
			d.idx, d.p = append(d.idx, i), append(d.p, 1/float64(s.n))
		}
	} else {
		stream := rng.Stream{Seed: s.seed, Purpose: rng.Draws, Eval: k}
		for j := range min(s.batch, s.n) {
			i := s.pick(stream.Block(uint32(j)))
			d.idx, d.p = append(d.idx, i), append(d.p, s.probability(i))
		}
	}
	s.drawn = append(s.drawn, d)
	return &s.drawn[len(s.drawn)-1]
}

// pick draws a sample: the last word decides whether uniformly.
func (s *Oddball) pick(w [4]uint32) int {
	if float64(rng.Uniform(w[3])) < s.floor || !(s.tree[1] > 0) {
		return below(w, s.n)
	}
	// 53 random bits are a number in [0, 1).
	x := float64(uint64(w[0])<<21|uint64(w[1])>>11) / (1 << 53) * s.tree[1]
	k := 1
	for k < s.size {
		k *= 2
		// Rounding must not lead where there is nothing.
		if (x >= s.tree[k] || s.tree[k] == 0) && s.tree[k+1] > 0 {
			x -= s.tree[k]
			k++
		}
	}
	return k - s.size
}

func (s *Oddball) probability(i int) float64 {
	if !(s.tree[1] > 0) {
		return 1 / float64(s.n)
	}
	return (1-s.floor)*s.tree[s.size+i]/s.tree[1] + s.floor/float64(s.n)
}

// Weights sets w to 1/(n p) for the samples of mini-batch k, with the probabilities that they were drawn with: the
// weighted mean of their losses is then an unbiased estimate of the mean over all samples.
func (s *Oddball) Weights(w []float32, k uint64) {
	for j, p := range s.draw(k).p {
		w[j] = float32(1 / (float64(s.n) * p))
	}
}

// Tell takes the errors of the samples of mini-batch k, in their order; where a sample occurs twice, the last counts.
// An error that is no number of at least 0 is taken to be 0.
func (s *Oddball) Tell(k uint64, errors []float32) {
	for j, i := range s.draw(k).idx {
		e := float64(errors[j])
		if !(e >= 0) || math.IsInf(e, 0) {
			e = 0
		}
		at := s.size + i
		s.tree[at] = e
		for at /= 2; at > 0; at /= 2 {
			// From the leaves up, not by differences: the sums are then a function of the errors alone.
			s.tree[at] = s.tree[2*at] + s.tree[2*at+1]
		}
	}
}

// State is what Restore needs to go on from here.
func (s *Oddball) State() []byte {
	var b bytes.Buffer
	put := func(v any) { binary.Write(&b, binary.LittleEndian, v) } // to memory: it cannot fail
	put(uint64(s.n))
	for _, e := range s.tree[s.size : s.size+s.n] {
		put(float32(e))
	}
	put(uint64(len(s.drawn)))
	for _, d := range s.drawn {
		put(d.k)
		put(uint64(len(d.idx)))
		for j, i := range d.idx {
			put(uint64(i))
			put(d.p[j])
		}
	}
	return b.Bytes()
}

// Restore makes s what it was when State was called.
func (s *Oddball) Restore(state []byte) error {
	r := bytes.NewReader(state)
	damaged := fmt.Errorf("dataset: the state of the sampler is damaged or of other data")
	var n, draws uint64
	if binary.Read(r, binary.LittleEndian, &n) != nil || n != uint64(s.n) {
		return damaged
	}
	errors := make([]float32, s.n)
	if binary.Read(r, binary.LittleEndian, errors) != nil || binary.Read(r, binary.LittleEndian, &draws) != nil || draws > uint64(s.keep) {
		return damaged
	}
	for i, e := range errors {
		s.tree[s.size+i] = float64(e)
	}
	for k := s.size - 1; k > 0; k-- {
		s.tree[k] = s.tree[2*k] + s.tree[2*k+1]
	}
	s.drawn = nil
	for range draws {
		var head [2]uint64
		if binary.Read(r, binary.LittleEndian, &head) != nil || head[1] > uint64(s.batch) {
			return damaged
		}
		d := draw{k: head[0]}
		for range head[1] {
			var i uint64
			var p float64
			if binary.Read(r, binary.LittleEndian, &i) != nil || binary.Read(r, binary.LittleEndian, &p) != nil || i >= n || !(p > 0) {
				return damaged
			}
			d.idx, d.p = append(d.idx, int(i)), append(d.p, p)
		}
		s.drawn = append(s.drawn, d)
	}
	if r.Len() != 0 {
		return damaged
	}
	return nil
}
