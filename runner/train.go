package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/internal/exec"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// Config of Train.
type Config struct {
	// Batch is the number of samples of a gradient. The last batch of an epoch may have fewer. Of a Sequence it
	// is the number of streams.
	Batch int
	// Evals is the number of gradient evaluations to spend, rounded up to whole outer steps; see Budget.
	Evals uint64
	// MaxOuter, when not 0, also ends the run after so many outer steps.
	MaxOuter uint64
	// Seed is that of the order of the samples, which is the source's own if InOrder is set and for a Sequence.
	Seed    uint64
	InOrder bool
	// Sampling is how mini-batches are drawn. OddballFloor, in [0, 1], is the share of Oddball's draws that are
	// uniform; with OddballWeights the loss of a sample of probability p, of N, has the weight 1/(N p), so that the
	// gradient is an unbiased estimate of that of the mean loss.
	Sampling       Sampling
	OddballFloor   float64
	OddballWeights bool
	// DecayAll lets the method's weight decay act on biases and the weights of normalisation too, as torch.optim has it.
	DecayAll bool
	// Weights and Running are the start; nil means those of the network's file.
	Weights, Running []float32
	// Test, when not nil, is evaluated at the end, and every EvalEvery gradients if that is not 0.
	Test      Source
	EvalEvery uint64
	// KeepStatistics leaves the running statistics as they are. Else they are estimated from the first
	// StatisticsSamples (0: 10,000) samples of the training source before each evaluation and at the end.
	KeepStatistics    bool
	StatisticsSamples int
	// Checkpoints, when not nil, saves the run so that it can be resumed.
	Checkpoints *Checkpoints
	// OnNaN says what becomes of a run whose loss or gradient is no longer finite.
	OnNaN OnNaN
	// Observe, when not nil, is called after every outer step, and before the first of a new run.
	Observe func(Progress)
	// Gradient, when not nil, is called after every gradient with the number of them so far and the
	// loss of its mini-batch.
	Gradient func(evals uint64, loss float64)
	// RolledBack, when not nil, is called when the run went back because of the given error.
	RolledBack func(*DivergedError)
}

// Progress is the state of a run after an outer step.
type Progress struct {
	Evals, Budget uint64   // gradient evaluations so far, and at the end
	Outer         uint64   // outer steps so far
	Epoch         float64  // passes over the data, counted in gradient evaluations
	Loss          float64  // mean training loss of the outer step's mini-batches; NaN before the first
	Test          *Metrics // when the test source was evaluated after this step
	// Stats is what the method says of the step, nil if it does not; it is valid during the call.
	Stats *optimizer.Stats
}

// MarshalJSON gives numbers by the names of the fields in small letters; those that are not finite, which JSON cannot hold,
// are null.
func (p Progress) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Evals  uint64           `json:"evals"`
		Budget uint64           `json:"budget"`
		Outer  uint64           `json:"outer"`
		Epoch  float64          `json:"epoch"`
		Loss   *float64         `json:"loss"`
		Test   *Metrics         `json:"test,omitempty"`
		Stats  *optimizer.Stats `json:"stats,omitempty"`
	}{p.Evals, p.Budget, p.Outer, p.Epoch, finite(p.Loss), p.Test, p.Stats})
}

// finite is v, nil if it is NaN or infinite.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// Report is the outcome of a run.
type Report struct {
	Weights, Running []float32 // to export: Method.Params and the statistics estimated there
	Evals, Outer     uint64
	Epochs           float64
	Loss             float64  // mean training loss of the last outer step
	Test             *Metrics // nil without Config.Test
	Rollbacks        int      // how often the run went back because of numbers that were not finite
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

// Train spends cfg.Evals gradients of s over src as the method m asks. When ctx ends, it saves a checkpoint, if
// there are any, and returns ctx's error with the report of the last whole outer step; a diverged run gives a
// *DivergedError, likewise.
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
	if err := s.Fits(m); err != nil {
		return nil, err
	}
	sequence, ok := src.(Sequence)
	if ok {
		if err := checkSequence(sequence, &cfg, m); err != nil {
			return nil, err
		}
		cfg.InOrder = true
	}
	sampler, err := newSampler(src.Len(), &cfg, m)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.errors = cfg.Sampling == Oddball
	s.mu.Unlock()
	r := &run{s: s, m: m, src: src, cfg: cfg, sampler: sampler, running: cfg.Running, best: math.Inf(1)}
	if sequence != nil {
		r.carried = make([]carried, replicasOf(m))
	}
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
	groups := Groups(s.net)
	if cfg.DecayAll {
		groups = nil // one of all weights
	}
	r.state = m.Init(x, groups)
	return r.train(ctx)
}

// run is what lives between two gradients.
type run struct {
	s       *Step
	m       optimizer.Method
	src     Source
	cfg     Config
	sampler dataset.Sampler
	state   *optimizer.State
	running []float32

	sum       float64 // of the losses of the outer step that has begun,
	count     uint64  // and their number
	evaluated uint64  // evaluations that were due so far
	best      float64 // least test error

	skipped uint64           // mini-batches that rolling back passed over
	retries int              // rollbacks to good so far
	good    *optimizer.State // the state to roll back to; nil unless the run rolls back

	carried     []carried // by replica; nil unless the source is a Sequence
	goodCarried []carried // with good

	identity    map[string]string // of checkpoints
	saved       time.Time         // when the last checkpoint was made
	savedNumber uint64            // and its number

	queries []optimizer.Query
	results []optimizer.Result
	batches []*Batch
	errors  []float32 // of samples, for the sampler
	stats   optimizer.Stats
}

func (r *run) train(ctx context.Context) (*Report, error) {
	rep := &Report{Loss: math.NaN()}
	if err := r.begin(rep); err != nil {
		return nil, err
	}
	r.keep(rep)
	if r.cfg.Checkpoints == nil || !r.cfg.Checkpoints.Resume {
		r.observe(rep, nil)
	}
	r.remember()
	for !r.finished(rep) {
		losses, outer, err := r.step(ctx)
		var diverged *DivergedError
		switch {
		case errors.As(err, &diverged) && r.rollBack(rep, diverged):
			continue
		case err != nil && ctx.Err() != nil:
			r.saveNow(rep)
			return rep, err
		case err != nil:
			return rep, err
		}
		r.sum += losses
		r.count += uint64(len(r.results))
		if outer {
			if err := r.outer(ctx, rep); err != nil {
				return rep, err
			}
		}
		r.saveIfDue(rep)
	}
	return rep, nil
}

// finished tells whether the budget is spent.
func (r *run) finished(rep *Report) bool {
	return rep.Evals >= r.cfg.Evals || r.cfg.MaxOuter > 0 && rep.Outer >= r.cfg.MaxOuter
}

// outer reports and evaluates after an outer step.
func (r *run) outer(ctx context.Context, rep *Report) error {
	rep.Loss = r.sum / float64(r.count)
	r.sum, r.count = 0, 0
	r.keep(rep)
	r.remember()
	last := r.finished(rep)
	var test *Metrics
	if last || r.cfg.EvalEvery > 0 && rep.Evals/r.cfg.EvalEvery > r.evaluated {
		if r.cfg.EvalEvery > 0 {
			r.evaluated = rep.Evals / r.cfg.EvalEvery
		}
		var err error
		if test, err = r.evaluate(ctx, rep, last); err != nil {
			return err
		}
	}
	r.observe(rep, test)
	if test != nil {
		r.saveBest(rep)
	}
	return nil
}

// step answers the method's queries once and returns the sum of the losses.
func (r *run) step(ctx context.Context) (losses float64, outer bool, err error) {
	r.queries = r.m.Ask(r.state, r.queries[:0])
	for len(r.results) < len(r.queries) {
		r.results = append(r.results, optimizer.Result{Grad: make([]float32, r.s.Dim())})
	}
	r.results = r.results[:len(r.queries)]
	for i := range r.queries {
		at := &r.queries[i].At
		at.Batch += r.skipped
		at.Eval += r.skipped
		if err := r.read(i, *at); err != nil {
			return 0, false, err
		}
	}
	if err := r.s.Grads(ctx, r.queries, r.batches[:len(r.queries)], r.results); err != nil {
		return 0, false, err
	}
	for i, q := range r.queries {
		loss, grad, evals := r.results[i].Loss, r.results[i].Grad, r.state.Evals+uint64(i)+1
		if math.IsNaN(loss) || math.IsInf(loss, 0) || !exec.Finite(grad) {
			e := &DivergedError{Evals: evals, Outer: r.state.Outer, Loss: loss}
			e.First, e.Data = r.s.firstNonFinite(ctx, grad, q.Point, r.batches[i], r.samples(q.At), q.At)
			return 0, false, e
		}
		if err := r.tell(i, len(r.queries), q.At); err != nil {
			return 0, false, err
		}
		losses += loss
		if r.cfg.Gradient != nil {
			r.cfg.Gradient(evals, loss)
		}
	}
	outer = r.m.Tell(r.state, r.results)
	if x := r.m.Params(r.state); outer && !exec.Finite(x) {
		e := &DivergedError{Evals: r.state.Evals, Outer: r.state.Outer - 1, Loss: losses / float64(len(r.queries)), Weights: true}
		e.First = fmt.Sprintf("the weights %q", r.s.firstParam(x))
		return 0, false, e
	}
	return losses, outer, nil
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
	p := Progress{Evals: rep.Evals, Budget: r.cfg.Evals, Outer: rep.Outer, Epoch: rep.Epochs, Loss: rep.Loss, Test: test}
	if m, ok := r.m.(optimizer.Settled); ok {
		r.stats = m.Stats(r.state)
		p.Stats = &r.stats
	}
	r.cfg.Observe(p)
}
