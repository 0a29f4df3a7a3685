package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/exec"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// Metrics is what Evaluate measures.
type Metrics struct {
	Loss  float64 // mean over the samples
	Error float64 // fraction of positions whose largest output is not the target, of BCE whose decision is wrong; NaN if targets are values
	Count int     // positions: samples, unless the network gives several answers a sample
}

// MarshalJSON is as Progress.MarshalJSON.
func (m Metrics) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Loss  *float64 `json:"loss"`
		Error *float64 `json:"error"`
		Count int      `json:"count"`
	}{finite(m.Loss), finite(m.Error), m.Count})
}

// Predict returns the trained output for the inputs of b, in inference mode: dropout off, running statistics.
// The tensor is the caller's.
func (s *Step) Predict(ctx context.Context, x, running []float32, b *Batch) (*tensor.Dense, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Predictor(x, running).predict(ctx, b)
}

// A Predictor computes outputs at weights that stay as they are. What depends on the weights alone, such as a convolution's
// weights in the order in which they are used, it computes at the first batch of a size; later ones take less time than
// with Step.Predict. Several goroutines may use it; they take turns, with all that the Step does.
type Predictor struct {
	s          *Step
	x, running []float32
}

// Predictor returns a Predictor at the weights x and the running statistics. It reads them when it is used, and they must not
// change as long as it is.
func (s *Step) Predictor(x, running []float32) *Predictor { return &Predictor{s, x, running} }

// Predict is Step.Predict.
func (p *Predictor) Predict(ctx context.Context, b *Batch) (*tensor.Dense, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	return p.predict(ctx, b)
}

func (p *Predictor) predict(ctx context.Context, b *Batch) (*tensor.Dense, error) {
	c, err := p.infer(ctx, forInference, b)
	if err != nil {
		return nil, err
	}
	return dense(c.vm.Buf(c.net.Outputs[p.s.o.Output])), nil
}

func (p *Predictor) infer(ctx context.Context, u use, b *Batch) (*compiled, error) {
	s, x, running := p.s, p.x, p.running
	if len(x) != s.Dim() || len(running) != s.net.NumRunning() {
		return nil, fmt.Errorf("runner: %d weights and %d running statistics for a network of %d and %d", len(x), len(running), s.Dim(), s.net.NumRunning())
	}
	c, err := s.compile(u, b)
	if err != nil {
		return nil, err
	}
	if c.owner != p {
		c.owner = p
		c.vm.Changed()
	}
	return c, c.run(ctx, x, running, b, exec.Draw{})
}

// evalBatch is the default of Options.EvalBatch.
const evalBatch = 256

// Evaluate measures loss and error over all of src at the weights x, in inference mode. Of a Sequence it carries the
// recurrent states, and positions that do not count have no part in the means.
func (s *Step) Evaluate(ctx context.Context, x, running []float32, src Source) (Metrics, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q, ok := src.(Sequence); ok {
		return s.evaluateSequence(ctx, x, running, q)
	}
	var m Metrics
	var loss float64
	wrong, classes := 0, true
	p := s.Predictor(x, running)
	err := inOrder(src, src.Len(), s.o.EvalBatch, func(b *Batch, n int) error {
		c, err := p.infer(ctx, forLoss, b)
		if err != nil {
			return err
		}
		loss += float64(c.vm.Buf(c.loss).F32[0]) * float64(n)
		y := c.vm.Buf(c.net.Outputs[s.o.Output])
		if t, ok := b.Targets[0].Data().([]int64); ok {
			wrong += misses(y.F32, y.Shape, t, b.Targets[0].Shape())
			m.Count += len(t)
		} else if x, binary := ops.Scores(c.loss); binary {
			yes := float32(0.5) // of probabilities
			if x == c.net.Outputs[s.o.Output] {
				yes = 0 // of logits
			}
			t := b.Targets[0].Data().([]float32)
			wrong += binaryMisses(y.F32, t, yes)
			m.Count += len(t)
		} else {
			classes = false
			m.Count += n
		}
		return nil
	})
	if err != nil {
		return Metrics{}, err
	}
	m.Loss = loss / float64(src.Len())
	m.Error = float64(wrong) / float64(m.Count)
	if !classes {
		m.Error = math.NaN()
	}
	return m, nil
}

// inOrder reads the first n samples of src in batches.
func inOrder(src Source, n, batch int, f func(b *Batch, n int) error) error {
	if n == 0 {
		return fmt.Errorf("runner: the data has no samples")
	}
	var b Batch
	idx := make([]int, 0, min(n, batch))
	for from := 0; from < n; from += len(idx) {
		idx = idx[:0]
		for i := from; i < n && len(idx) < batch; i++ {
			idx = append(idx, i)
		}
		if err := src.Read(&b, idx); err != nil {
			return err
		}
		if err := f(&b, len(idx)); err != nil {
			return err
		}
	}
	return nil
}

// binaryMisses counts the elements of y that are on the other side of yes than the targets t of a half; NaN is on none.
func binaryMisses(y, t []float32, yes float32) int {
	wrong := 0
	for i, v := range y {
		if v != v || (v >= yes) != (t[i] >= 0.5) {
			wrong++
		}
	}
	return wrong
}

// misses counts the positions at which the largest of y along the class axis is not the target.
func misses(y []float32, shape []int, target []int64, tshape tensor.Shape) int {
	a := newAnswers(y, shape, tshape)
	wrong := 0
	for p, t := range target {
		if a.misses(p, t) {
			wrong++
		}
	}
	return wrong
}

// Statistics estimates the running statistics of BatchNormalization at the weights x with dropout off: the
// averages of the means and variances of batches of the first n samples of src in order, each weighted by
// its number of samples. Below opset 14 the variances are unbiased. A network without BatchNormalization
// gets back the statistics of its file.
func (s *Step) Statistics(ctx context.Context, x []float32, src Source, n, batch int) ([]float32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	running := s.net.Running()
	if len(s.net.Stats) == 0 {
		return running, nil
	}
	n = min(n, src.Len())
	sums := make([]float64, len(running))
	err := inOrder(src, n, batch, func(b *Batch, count int) error {
		c, err := s.compile(forStatistics, b)
		if err != nil {
			return err
		}
		if err := c.run(ctx, x, nil, b, exec.Draw{}); err != nil {
			return err
		}
		for _, st := range c.net.Stats {
			v := c.vm.Buf(st.Node).F32
			channels := len(v) / 2
			scale := float64(count)
			mean, variance := c.net.Buffers[st.Mean].From, c.net.Buffers[st.Var].From
			correction := 1.0
			if st.Unbiased && st.Count > 1 {
				correction = float64(st.Count) / float64(st.Count-1)
			}
			for k := range channels {
				sums[mean+k] += scale * float64(v[k])
				sums[variance+k] += scale * correction * float64(v[channels+k])
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, st := range s.net.Stats {
		for _, b := range []int{st.Mean, st.Var} {
			for i := s.net.Buffers[b].From; i < s.net.Buffers[b].To; i++ {
				running[i] = float32(sums[i] / float64(n))
			}
		}
	}
	return running, nil
}
