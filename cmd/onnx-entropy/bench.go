package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

type benchCmd struct {
	Model   string        `arg:"" help:"ONNX file, or the name of an embedded model."`
	Batch   int           `default:"128" placeholder:"N" help:"Samples a gradient or inference (default ${default})."`
	Threads int           `placeholder:"N" help:"Threads (default: one a processor)."`
	Time    time.Duration `default:"3s" placeholder:"TIME" help:"How long to measure (default ${default}); at least 10 gradients or 5 inferences."`
	Ops     bool          `help:"Also show the time of every operator."`
	JSON    bool          `name:"json" help:"Print one JSON object."`

	Inference bool `help:"Measure outputs in inference mode, as predict computes them, not gradients."`

	outputFlag `embed:""`
	graphFlags `embed:""`
}

// benchmark is what bench prints as JSON.
type benchmark struct {
	Model      string   `json:"model"`
	Batch      int      `json:"batch"`
	Open       int      `json:"open,omitempty"` // size of what the file leaves open besides the batch
	Threads    int      `json:"threads"`
	Gradients  int      `json:"gradients,omitempty"` // measured
	GradientMS float64  `json:"gradient_ms,omitempty"`
	StepMS     float64  `json:"step_ms,omitempty"`
	Inferences int      `json:"inferences,omitempty"` // measured, with --inference
	ForwardMS  float64  `json:"inference_ms,omitempty"`
	FLOPs      float64  `json:"flops,omitempty"` // of a gradient or inference, see runner.OpCost
	GFLOPS     float64  `json:"gflops,omitempty"`
	PeakGFLOPS float64  `json:"peak_gflops,omitempty"` // of the processor on so many threads, measured
	Allocs     float64  `json:"allocs"`                // a gradient or inference
	PeakRSSMB  *float64 `json:"peak_rss_mb,omitempty"`

	Ops   []opTime `json:"ops,omitempty"` // with --ops
	Kinds []opTime `json:"kinds,omitempty"`
}

// maxBenchBatch keeps a slip of the finger from asking for all memory.
const maxBenchBatch = 1 << 16

// Run measures on random normal inputs: a gradient, and an inner step of Entropy-SGD, which is a gradient and
// the update; or an inference.
func (c *benchCmd) Run(e *env) error {
	if c.Batch < 1 || c.Batch > maxBenchBatch {
		return usagef("--batch is %d; it must be from 1 to %d", c.Batch, maxBenchBatch)
	}
	if err := checkThreads(c.Threads); err != nil {
		return err
	}
	if c.Threads == 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	m, err := openModel(c.Model)
	if err != nil {
		return err
	}
	if err := c.bound(m); err != nil {
		return err
	}
	if err := c.choose(m); err != nil {
		return err
	}
	net, open, err := m.buildOpen(c.Batch, onnxload.Options{Training: !c.Inference})
	if err != nil {
		return err
	}
	b, loss, err := randomBatch(m, net)
	if err != nil {
		return err
	}
	step, err := runner.Compile(net, loss, runner.Options{Threads: c.Threads, Seed: 1, Inference: c.Inference})
	if err != nil {
		return fmt.Errorf("%s: %w", m.label, err)
	}
	r := benchmark{Model: m.label, Batch: c.Batch, Open: open, Threads: c.Threads}
	if c.Inference {
		err = r.measureInference(e, step, b, c)
	} else {
		err = r.measure(e, step, b, c)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.label, err)
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(r)
	}
	r.print(e)
	return nil
}

// unit is what was measured, and its time.
func (r *benchmark) unit() (name string, ms float64) {
	if r.Inferences > 0 {
		return "inference", r.ForwardMS
	}
	return "gradient", r.GradientMS
}

func (r *benchmark) print(e *env) {
	sizes := ""
	if r.Open > 0 {
		sizes = fmt.Sprintf(", open sizes %d", r.Open)
	}
	e.printf("%s, %s%s, %s", r.Model, report.Plural(r.Batch, "sample", "samples"), sizes, report.Plural(r.Threads, "thread", "threads"))
	unit, ms := r.unit()
	each := "a " + unit
	if r.Inferences > 0 {
		each = "an " + unit
	}
	e.printf("%-9s %.3f ms (median of %d)", unit, ms, r.Gradients+r.Inferences)
	if r.Inferences == 0 {
		e.printf("step      %.3f ms (gradient and update of Entropy-SGD's inner step)", r.StepMS)
	}
	if r.FLOPs > 0 {
		e.printf("rate      %.1f GFLOP/s (%.4g GFLOP %s in products of weights)", r.GFLOPS, r.FLOPs/1e9, each)
	}
	if r.PeakGFLOPS > 0 {
		e.printf("          %.0f %% of the %.0f GFLOP/s that multiply-adds in registers reach here", 100*r.GFLOPS/r.PeakGFLOPS, r.PeakGFLOPS)
	}
	e.printf("memory    %.1f allocations %s", r.Allocs, each)
	if r.PeakRSSMB != nil {
		e.printf("peak      %.0f MB resident", *r.PeakRSSMB)
	}
	if r.Ops != nil {
		r.printOps(e)
	}
}

// The first benchWarm gradients or inferences are not measured, then at least benchLeast are, or leastInferences.
const benchWarm, benchLeast, leastInferences = 2, 10, 5

// measure times gradients and updates in turns.
func (r *benchmark) measure(e *env, step *runner.Step, b *runner.Batch, c *benchCmd) error {
	m := optimizer.DefaultEntropySGD()
	m.Threads = r.Threads
	s := m.Init(step.Net().Weights(), runner.Groups(step.Net()))
	result := []optimizer.Result{{Grad: make([]float32, step.Dim())}}
	var queries []optimizer.Query
	var gradient, whole []float64
	for start := time.Now(); ; {
		queries = m.Ask(s, queries[:0])
		t0 := time.Now()
		loss, err := step.Grad(e.ctx, result[0].Grad, queries[0].Point, b, queries[0].At)
		t1 := time.Now()
		if err != nil {
			return err
		}
		result[0].Loss = loss
		m.Tell(s, result)
		t2 := time.Now()
		if s.Evals <= benchWarm {
			start = t2
			continue
		}
		gradient = append(gradient, t1.Sub(t0).Seconds()*1e3)
		whole = append(whole, t2.Sub(t0).Seconds()*1e3)
		if len(gradient) >= benchLeast && t2.Sub(start) >= c.Time {
			break
		}
	}
	r.Gradients, r.GradientMS, r.StepMS = len(gradient), median(gradient), median(whole)
	return r.complete(c, r.GradientMS, r.Gradients,
		func() error {
			_, err := step.Grad(e.ctx, result[0].Grad, queries[0].Point, b, queries[0].At)
			return err
		},
		func(runs int) ([]runner.OpCost, error) {
			return step.Profile(e.ctx, result[0].Grad, queries[0].Point, b, queries[0].At, runs)
		})
}

// measureInference times outputs.
func (r *benchmark) measureInference(e *env, step *runner.Step, b *runner.Batch, c *benchCmd) error {
	p := step.Predictor(step.Net().Weights(), step.Net().Running())
	once := func() error {
		_, err := p.Predict(e.ctx, b)
		return err
	}
	var forward []float64
	for n, start := 0, time.Now(); len(forward) < leastInferences || time.Since(start) < c.Time; n++ {
		t0 := time.Now()
		if err := once(); err != nil {
			return err
		}
		if n < benchWarm {
			start = time.Now()
			continue
		}
		forward = append(forward, time.Since(t0).Seconds()*1e3)
	}
	r.Inferences, r.ForwardMS = len(forward), median(forward)
	return r.complete(c, r.ForwardMS, r.Inferences, once, func(runs int) ([]runner.OpCost, error) {
		return p.Profile(e.ctx, b, runs)
	})
}

// complete adds all but times to a benchmark of something that takes ms and was measured so often.
func (r *benchmark) complete(c *benchCmd, ms float64, count int, once func() error, profile func(runs int) ([]runner.OpCost, error)) error {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range leastInferences {
		if err := once(); err != nil {
			return err
		}
	}
	runtime.ReadMemStats(&after)
	r.Allocs = float64(after.Mallocs-before.Mallocs) / leastInferences
	r.PeakRSSMB = peakRSS()
	runs := 0
	if c.Ops {
		runs = max(benchLeast, min(count, 200))
	}
	costs, err := profile(runs)
	if err != nil {
		return err
	}
	for _, o := range costs {
		r.FLOPs += o.FLOPs
	}
	r.GFLOPS = r.FLOPs / (ms * 1e6)
	r.PeakGFLOPS = kernels.PeakFLOPS(r.Threads) / 1e9
	if c.Ops {
		r.Ops, r.Kinds = opTimes(costs)
	}
	return nil
}

func median(v []float64) float64 {
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// randomBatch makes inputs and fitting targets, always the same: normal numbers, and integers below the number of
// classes, as those of characters are.
func randomBatch(m *model, net *onnxload.Net) (*runner.Batch, runner.Loss, error) {
	r := rand.New(rand.NewPCG(1, 2))
	out := net.Outputs[net.Output()].Shape()
	axis := 1 // of classes
	if len(out) == 3 {
		axis = 2 // steps come before
	}
	b := &runner.Batch{}
	for _, n := range net.Inputs {
		switch {
		case n.Dtype() == tensor.Float32:
			b.Inputs = append(b.Inputs, normal(r, n.Shape()))
		case axis < len(out):
			b.Inputs = append(b.Inputs, integers(r, out[axis], n.Shape()))
		default:
			return nil, nil, fmt.Errorf("%s: its input %q takes integers and its output has no classes, so nothing says which integers mean something", m.label, n.Name())
		}
	}
	if axis >= len(out) {
		b.Targets = []*tensor.Dense{normal(r, out)}
		return b, runner.MSE, nil
	}
	b.Targets = []*tensor.Dense{integers(r, out[axis], slices.Delete(slices.Clone(out), axis, axis+1))}
	return b, runner.CrossEntropy, nil
}

func integers(r *rand.Rand, below int, shape []int) *tensor.Dense {
	x := make([]int64, product(shape))
	for i := range x {
		x[i] = r.Int64N(int64(below))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))
}

func normal(r *rand.Rand, shape []int) *tensor.Dense {
	x := make([]float32, product(shape))
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(x))
}
