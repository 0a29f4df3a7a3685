package runner

import (
	"context"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// A Sequence is a Source of windows of streams that are read from front to back, such as text: sample
// w*Streams()+s is window w of stream s. Train takes the windows in this order, Streams of them as a mini-batch, and
// carries the recurrent states (onnxload.Net.States) from each to the next, as Evaluate does.
//
// An epoch begins with states of zeros. In it, gradient k takes the next window and starts from the states that
// gradient k-1 ended with, at whatever weights that was: with Entropy-SGD every inner step reads on, from the state
// at its own probe point, and nothing is computed again when the outer step moves the weights. No derivative goes
// back over the border of a window. A method that asks twice for the same mini-batch, such as SAM, starts from the same states
// twice. Each replica reads on by itself: of n, replica a starts a/n of the way into the streams.
type Sequence interface {
	Source
	// Streams is the number of streams.
	Streams() int
	// Positions is how many of the positions of sample i count, from its first on: fewer than all where a
	// stream ends inside the window. Train wants all to count.
	Positions(i int) int
}

// carried is what one replica remembers.
type carried struct {
	valid  bool
	batch  uint64 // Draw.Batch of the mini-batch that was read last,
	window uint64 // its number in the epoch,
	before [][]float32
	after  [][]float32 // and the states in front of it and behind it
}

// carry gives the mini-batch of a query its window of the streams and the states in front of it.
func (r *run) carry(b *Batch, at optimizer.Draw) {
	per, n := uint64(r.sampler.Batches()), uint64(replicasOf(r.m))
	window := (at.Batch/n + uint64(at.Replica)*per/n) % per
	c := &r.carried[at.Replica]
	if len(c.before) == 0 { // also of a copy
		c.before, c.after = r.s.zeroStates(), r.s.zeroStates()
	}
	switch {
	case c.valid && at.Batch == c.batch:
	case c.valid && window == c.window+1:
		c.before, c.after = c.after, c.before
	default:
		for _, v := range c.before {
			clear(v)
		}
	}
	c.valid, c.batch, c.window = true, at.Batch, window
	b.States, b.Finals = c.before, c.after
}

// zeroStates are states for the batch that the step was compiled for.
func (s *Step) zeroStates() [][]float32 {
	var z [][]float32
	for _, st := range s.net.States {
		z = append(z, make([]float32, st.In.Shape().TotalSize()))
	}
	return z
}

func cloneCarried(dst, src []carried) []carried {
	if src == nil {
		return nil
	}
	if dst == nil {
		dst = make([]carried, len(src))
	}
	for i, c := range src {
		before, after := dst[i].before, dst[i].after
		dst[i] = c
		dst[i].before, dst[i].after = cloneVecs(before, c.before), cloneVecs(after, c.after)
	}
	return dst
}

func cloneVecs(dst, src [][]float32) [][]float32 {
	for i, v := range src {
		if i == len(dst) {
			dst = append(dst, nil)
		}
		dst[i] = append(dst[i][:0], v...)
	}
	return dst[:len(src)]
}

// checkSequence tells what makes src no source of training windows.
func checkSequence(src Sequence, cfg *Config, m optimizer.Method) error {
	switch n := src.Streams(); {
	case cfg.Batch != n:
		return fmt.Errorf("runner: mini-batches of %d samples from a sequence of %d streams; the numbers must agree", cfg.Batch, n)
	case n < 1 || src.Len()%n != 0 || src.Len() == 0:
		return fmt.Errorf("runner: a sequence of %d windows in %d streams", src.Len(), n)
	case cfg.Sampling != Shuffle:
		return fmt.Errorf("runner: sampling %v of a sequence, which is read from front to back", cfg.Sampling)
	case !ReadsOn(m):
		return fmt.Errorf("runner: Accumulate around SAM or several replicas does not read a sequence from front to back; take more streams instead")
	}
	return nil
}

// ReadsOn tells whether each replica of m asks for the next window of a Sequence, or for the last once more, and so can
// be trained on one. Accumulate goes back to the first of its mini-batches around SAM, and around several replicas leaves windows out.
func ReadsOn(m optimizer.Method) bool {
	accumulates := false
	for _, of := range optimizer.Chain(m) {
		switch of.(type) {
		case *optimizer.Accumulate:
			accumulates = true
		case *optimizer.SAM:
			if accumulates {
				return false
			}
		}
	}
	return !accumulates || replicasOf(m) == 1
}

// replicasOf is the number of replicas that a method trains.
func replicasOf(m optimizer.Method) int {
	if r, ok := m.(interface{ Replicas() int }); ok {
		return r.Replicas()
	}
	return 1
}

// evaluateSequence is Evaluate with the states carried: the mean is over all positions that count.
func (s *Step) evaluateSequence(ctx context.Context, x, running []float32, src Sequence) (Metrics, error) {
	var m Metrics
	var loss float64
	var before, after [][]float32
	wrong, at := 0, 0
	p := s.Predictor(x, running)
	err := inOrder(src, src.Len(), src.Streams(), func(b *Batch, n int) error {
		c, err := s.compile(forLoss, b)
		if err != nil {
			return err
		}
		if before == nil {
			for _, st := range c.states {
				before, after = append(before, make([]float32, len(st.zeros))), append(after, make([]float32, len(st.zeros)))
			}
		}
		b.States, b.Finals = before, after
		if _, err := p.infer(ctx, forLoss, b); err != nil {
			return err
		}
		before, after = after, before
		t, ok := b.Targets[0].Data().([]int64)
		if !ok {
			return fmt.Errorf("runner: the targets of a sequence are classes, int64, not %v", b.Targets[0].Dtype())
		}
		a := newAnswers(c.vm.Buf(c.net.Outputs[s.o.Output]).F32, c.net.Outputs[s.o.Output].Shape(), b.Targets[0].Shape())
		per, count := len(t)/n, 0
		var part float64 // of the windows in which a stream ends
		for i := range n {
			k := src.Positions(at + i)
			count += k
			for p := i * per; p < i*per+k; p++ {
				if a.misses(p, t[p]) {
					wrong++
				}
				part += a.loss(p, t[p])
			}
		}
		if count == len(t) { // as the loss has it
			part = float64(c.vm.Buf(c.loss).F32[0]) * float64(count)
		}
		at += n
		loss += part
		m.Count += count
		return nil
	})
	if err != nil {
		return Metrics{}, err
	}
	m.Loss, m.Error = loss/float64(m.Count), float64(wrong)/float64(m.Count)
	return m, nil
}

// answers are a network's outputs of classes at positions.
type answers struct {
	y              []float32
	classes, inner int
}

// newAnswers takes the outputs y of the given shape, and the shape of their targets.
func newAnswers(y []float32, shape, tshape tensor.Shape) answers {
	axis := classAxis(shape, tshape)
	inner := 1
	for _, d := range shape[axis+1:] {
		inner *= d
	}
	return answers{y, shape[axis], inner}
}

// misses tells whether the largest output at position p is not the target.
func (a answers) misses(p int, target int64) bool {
	at := p/a.inner*a.classes*a.inner + p%a.inner
	best, known := 0, true
	for c := range a.classes {
		v := a.y[at+c*a.inner]
		known = known && v == v // NaN is no answer
		if v > a.y[at+best*a.inner] {
			best = c
		}
	}
	return int64(best) != target || !known
}

// loss is -log softmax(y)[target] at position p, which for logarithms of probabilities is -y[target].
func (a answers) loss(p int, target int64) float64 {
	at := p/a.inner*a.classes*a.inner + p%a.inner
	top := math.Inf(-1)
	for c := range a.classes {
		top = max(top, float64(a.y[at+c*a.inner]))
	}
	var sum float64
	for c := range a.classes {
		sum += math.Exp(float64(a.y[at+c*a.inner]) - top)
	}
	return top + math.Log(sum) - float64(a.y[at+int(target)*a.inner])
}
