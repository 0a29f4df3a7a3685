package runner

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// Sampling says how mini-batches are drawn. All are deterministic in Config.Seed, and a resumed run goes on with
// the same samples.
type Sampling uint8

const (
	// Shuffle takes every sample once an epoch, in an order of the epoch's own.
	Shuffle Sampling = iota
	// Uniform draws each sample from all, with replacement.
	Uniform
	// Oddball draws in proportion to the error that a sample had the last time (Simpson: "Oddball SGD", 2015), with
	// replacement, after a first epoch of Shuffle. The error is the sum over the sample's outputs of the absolute
	// derivative of its loss; for cross-entropy that is the distance between probabilities and label,
	// sum |softmax(y) - onehot|.
	Oddball
)

func (s Sampling) String() string { return [...]string{"shuffle", "uniform", "oddball"}[s] }

// SamplingByName returns the Sampling of that String.
func SamplingByName(name string) (Sampling, error) {
	for s := Shuffle; s <= Oddball; s++ {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("runner: sampling %q: known are shuffle, uniform, oddball", name)
}

// newSampler makes the sampler of a run.
func newSampler(n int, cfg *Config, m optimizer.Method) (dataset.Sampler, error) {
	switch {
	case cfg.InOrder && cfg.Sampling != Shuffle:
		return nil, fmt.Errorf("runner: InOrder has no effect with %v", cfg.Sampling)
	case cfg.Sampling != Oddball && (cfg.OddballFloor != 0 || cfg.OddballWeights):
		return nil, fmt.Errorf("runner: OddballFloor and OddballWeights have no effect with %v", cfg.Sampling)
	case cfg.OddballWeights && !(cfg.OddballFloor > 0):
		return nil, fmt.Errorf("runner: OddballWeights need an OddballFloor above 0: a sample of probability 0 would have an infinite weight")
	}
	var s dataset.Sampler
	var err error
	switch cfg.Sampling {
	case Uniform:
		s, err = dataset.NewUniform(n, cfg.Batch, cfg.Seed)
	case Oddball:
		s, err = dataset.NewOddball(n, cfg.Batch, cfg.Seed, cfg.OddballFloor, recalled(m))
	default:
		s, err = dataset.NewShuffle(n, cfg.Batch, cfg.Seed, !cfg.InOrder)
	}
	if err != nil {
		return nil, fmt.Errorf("runner: %w", err)
	}
	return s, nil
}

// recalled is the number of the last mini-batches of which m may ask for any again. A method may ask for a mini-batch
// twice, and for all its replicas' before the first is answered; Accumulate around SAM asks for K of them before the first
// comes again.
func recalled(m optimizer.Method) int {
	n := 2 * replicasOf(m)
	for _, of := range optimizer.Chain(m) {
		if a, ok := of.(*optimizer.Accumulate); ok && n < 1<<30/a.K {
			n *= a.K
		}
	}
	return n
}

// read fills the mini-batch of query i, with weights if the run has them.
func (r *run) read(i int, at optimizer.Draw) error {
	for len(r.batches) <= i {
		r.batches = append(r.batches, new(Batch))
	}
	b := r.batches[i]
	if r.carried != nil {
		r.carry(b, at)
	}
	idx := r.samples(at)
	if !r.cfg.OddballWeights {
		return r.src.Read(b, idx)
	}
	var weights *tensor.Dense
	if n := len(b.Targets); n > 0 {
		weights, b.Targets = b.Targets[n-1], b.Targets[:n-1]
	}
	if err := r.src.Read(b, idx); err != nil {
		return err
	}
	weights = Reuse(weights, tensor.Float32, len(idx), nil)
	r.sampler.(*dataset.Oddball).Weights(weights.Float32s(), at.Batch)
	b.Targets = append(b.Targets, weights)
	return nil
}

// samples are the numbers of those in the mini-batch of a query, valid until the next call.
func (r *run) samples(at optimizer.Draw) []int {
	if r.carried != nil {
		return r.sampler.Batch(r.carried[at.Replica].window)
	}
	return r.sampler.Batch(at.Batch)
}

// tell lets the sampler know the errors of the mini-batch of query i of so many.
func (r *run) tell(i, queries int, at optimizer.Draw) error {
	s, ok := r.sampler.(*dataset.Oddball)
	if !ok {
		return nil
	}
	n := r.batches[i].Inputs[0].Shape()[0]
	for len(r.errors) < n {
		r.errors = append(r.errors, 0)
	}
	errors := r.errors[:n]
	if err := r.s.sampleErrors(errors, r.batches[i], i, queries); err != nil {
		return err
	}
	if r.cfg.OddballWeights { // the error is that of the loss without the weight
		w := r.batches[i].Targets[len(r.batches[i].Targets)-1].Float32s()
		for j := range errors {
			errors[j] /= w[j]
		}
	}
	s.Tell(at.Batch, errors)
	return nil
}

// sampleErrors sets e to the error of each sample of b, the mini-batch of query i of so many in the last Grads: the
// sum of |d loss / d output| over the sample's outputs, times the number of samples, because the loss is their mean.
func (s *Step) sampleErrors(e []float32, b *Batch, i, queries int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.compile(forGradient, b)
	if err != nil {
		return err
	}
	if queries > 1 {
		c = c.forks[i]
	}
	d := c.vm.Buf(c.outputGrad).F32
	per := len(d) / len(e)
	for j := range e {
		var sum float64
		for _, v := range d[j*per : (j+1)*per] {
			sum += math.Abs(float64(v))
		}
		e[j] = float32(sum * float64(len(e)))
	}
	return nil
}
