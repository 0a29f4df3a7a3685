package runner

import (
	"context"
	"fmt"
	"math"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// Config of Train.
type Config struct {
	// Batch is the number of samples of a gradient. The last batch of an epoch may have fewer.
	Batch int
	// Evals is the number of gradient evaluations to spend, rounded up to whole outer steps; see Budget.
	Evals uint64
	// MaxOuter, when not 0, also ends the run after so many outer steps.
	MaxOuter uint64
	// Seed is that of the order of the samples, which is the source's own if InOrder is set.
	Seed    uint64
	InOrder bool
	// Weights and Running are the start; nil means those of the network's file.
	Weights, Running []float32
	// Test, when not nil, is evaluated at the end, and every EvalEvery gradients if that is not 0.
	Test      Source
	EvalEvery uint64
	// KeepStatistics leaves the running statistics as they are. Else they are estimated from the first
	// StatisticsSamples (0: 10,000) samples of the training source before each evaluation and at the end.
	KeepStatistics    bool
	StatisticsSamples int
	// Observe, when not nil, is called after every outer step, and before the first.
	Observe func(Progress)
	// Gradient, when not nil, is called after every gradient with the number of them so far and the
	// loss of its mini-batch.
	Gradient func(evals uint64, loss float64)
}

// Progress is the state of a run after an outer step.
type Progress struct {
	Evals, Budget uint64   // gradient evaluations so far, and at the end
	Outer         uint64   // outer steps so far
	Epoch         float64  // passes over the data, counted in gradient evaluations
	Loss          float64  // mean training loss of the outer step's mini-batches; NaN before the first
	Test          *Metrics // when the test source was evaluated after this step
}

// Report is the outcome of a run.
type Report struct {
	Weights, Running []float32 // to export: Method.Params and the statistics estimated there
	Evals, Outer     uint64
	Epochs           float64
	Loss             float64  // mean training loss of the last outer step
	Test             *Metrics // nil without Config.Test
}

// A DivergedError ends a run whose loss is no longer a finite number.
type DivergedError struct {
	Evals, Outer uint64
	Loss         float64
}

func (e *DivergedError) Error() string {
	if e.Evals == 1 {
		return fmt.Sprintf("runner: the loss is %v before the first step: the weights or the data hold values that are not finite or too large", e.Loss)
	}
	return fmt.Sprintf("runner: the loss became %v at gradient evaluation %d (outer step %d); try a smaller learning rate", e.Loss, e.Evals, e.Outer)
}

// Budget is the number of gradient evaluations in the given number of passes over n samples.
func Budget(n, batch int, epochs float64) uint64 {
	return uint64(math.Ceil(epochs * float64((n+batch-1)/batch)))
}

// Groups describes the network's weights to an optimizer: no weight decay on biases and normalisation.
func Groups(net *onnxload.Net) []optimizer.Group {
	var gs []optimizer.Group
	for _, p := range net.Params {
		if k := len(gs) - 1; k >= 0 && gs[k].Decay == p.Decay && gs[k].To == p.From {
			gs[k].To = p.To
			continue
		}
		gs = append(gs, optimizer.Group{From: p.From, To: p.To, LRScale: 1, Decay: p.Decay})
	}
	return gs
}

// Train spends cfg.Evals gradients of s over src as the method m asks. When ctx ends, it returns ctx's error
// with the report of the last whole outer step; a diverged run gives a *DivergedError, likewise.
func Train(ctx context.Context, s *Step, m optimizer.Method, src Source, cfg Config) (*Report, error) {
	if cfg.Evals == 0 {
		return nil, fmt.Errorf("runner: a budget of 0 gradient evaluations")
	}
	if v, ok := m.(optimizer.Settled); ok {
		if err := v.Validate(); err != nil {
			return nil, fmt.Errorf("runner: %w", err)
		}
		cfg.Evals = optimizer.RoundBudget(v, cfg.Evals)
	}
	sampler, err := dataset.NewSampler(src.Len(), cfg.Batch, cfg.Seed, !cfg.InOrder)
	if err != nil {
		return nil, fmt.Errorf("runner: %w", err)
	}
	r := &run{s: s, m: m, src: src, cfg: cfg, sampler: sampler, running: cfg.Running}
	x := cfg.Weights
	if x == nil {
		x = s.net.Weights()
	}
	if r.running == nil {
		r.running = s.net.Running()
	}
	if len(x) != s.Dim() || len(r.running) != s.net.NumRunning() {
		return nil, fmt.Errorf("runner: the start has %d weights and %d running statistics, the network %d and %d", len(x), len(r.running), s.Dim(), s.net.NumRunning())
	}
	if r.cfg.StatisticsSamples == 0 {
		r.cfg.StatisticsSamples = 10000
	}
	r.state = m.Init(x, Groups(s.net))
	return r.train(ctx)
}

// run is what lives between two gradients.
type run struct {
	s       *Step
	m       optimizer.Method
	src     Source
	cfg     Config
	sampler *dataset.Sampler
	state   *optimizer.State
	running []float32

	queries []optimizer.Query
	results []optimizer.Result
	batch   Batch
}

func (r *run) train(ctx context.Context) (*Report, error) {
	rep := &Report{Loss: math.NaN()}
	r.keep(rep)
	r.observe(rep, nil)
	var sum float64
	var count, evaluated uint64
	for {
		losses, outer, err := r.step(ctx)
		if err != nil {
			return rep, err
		}
		sum += losses
		count += uint64(len(r.results))
		if !outer {
			continue
		}
		rep.Loss = sum / float64(count)
		sum, count = 0, 0
		r.keep(rep)
		last := rep.Evals >= r.cfg.Evals || r.cfg.MaxOuter > 0 && rep.Outer >= r.cfg.MaxOuter
		var test *Metrics
		if last || r.cfg.EvalEvery > 0 && rep.Evals/r.cfg.EvalEvery > evaluated {
			if r.cfg.EvalEvery > 0 {
				evaluated = rep.Evals / r.cfg.EvalEvery
			}
			if test, err = r.evaluate(ctx, rep, last); err != nil {
				return rep, err
			}
		}
		r.observe(rep, test)
		if last {
			return rep, nil
		}
	}
}

// step answers the method's queries once and returns the sum of the losses.
func (r *run) step(ctx context.Context) (losses float64, outer bool, err error) {
	r.queries = r.m.Ask(r.state, r.queries[:0])
	for len(r.results) < len(r.queries) {
		r.results = append(r.results, optimizer.Result{Grad: make([]float32, r.s.Dim())})
	}
	r.results = r.results[:len(r.queries)]
	for i, q := range r.queries {
		if err := r.src.Read(&r.batch, r.sampler.Batch(q.At.Batch)); err != nil {
			return 0, false, err
		}
		loss, err := r.s.Grad(ctx, r.results[i].Grad, q.Point, &r.batch, q.At)
		if err != nil {
			return 0, false, err
		}
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return 0, false, &DivergedError{r.state.Evals + uint64(i) + 1, r.state.Outer, loss}
		}
		r.results[i].Loss = loss
		losses += loss
		if r.cfg.Gradient != nil {
			r.cfg.Gradient(r.state.Evals+uint64(i)+1, loss)
		}
	}
	return losses, r.m.Tell(r.state, r.results), nil
}

// keep puts the state after an outer step into the report.
func (r *run) keep(rep *Report) {
	rep.Weights = append(rep.Weights[:0], r.m.Params(r.state)...)
	rep.Running = append(rep.Running[:0], r.running...)
	rep.Evals, rep.Outer = r.state.Evals, r.state.Outer
	rep.Epochs = float64(rep.Evals) / float64(r.sampler.Batches())
}

// evaluate estimates the running statistics and measures the test source.
func (r *run) evaluate(ctx context.Context, rep *Report, last bool) (*Metrics, error) {
	if !r.cfg.KeepStatistics && (last || r.cfg.Test != nil) {
		running, err := r.s.Statistics(ctx, rep.Weights, r.src, r.cfg.StatisticsSamples, r.cfg.Batch)
		if err != nil {
			return nil, err
		}
		r.running = running
		rep.Running = append(rep.Running[:0], running...)
	}
	if r.cfg.Test == nil {
		return nil, nil
	}
	m, err := r.s.Evaluate(ctx, rep.Weights, rep.Running, r.cfg.Test)
	if err != nil {
		return nil, err
	}
	rep.Test = &m
	return &m, nil
}

func (r *run) observe(rep *Report, test *Metrics) {
	if r.cfg.Observe == nil {
		return
	}
	r.cfg.Observe(Progress{Evals: rep.Evals, Budget: r.cfg.Evals, Outer: rep.Outer, Epoch: rep.Epochs, Loss: rep.Loss, Test: test})
}
