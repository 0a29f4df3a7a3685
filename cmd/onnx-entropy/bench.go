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
	Batch   int           `default:"128" placeholder:"N" help:"Samples a gradient (default ${default})."`
	Threads int           `placeholder:"N" help:"Threads (default: one a processor)."`
	Time    time.Duration `default:"3s" placeholder:"TIME" help:"How long to measure (default ${default}); at least 10 gradients."`
	Ops     bool          `help:"Also show the time of every operator."`
	JSON    bool          `name:"json" help:"Print one JSON object."`
}

// benchmark is what bench prints as JSON.
type benchmark struct {
	Model      string   `json:"model"`
	Batch      int      `json:"batch"`
	Threads    int      `json:"threads"`
	Gradients  int      `json:"gradients"` // measured
	GradientMS float64  `json:"gradient_ms"`
	StepMS     float64  `json:"step_ms"`
	FLOPs      float64  `json:"flops,omitempty"` // of a gradient, see runner.OpCost
	GFLOPS     float64  `json:"gflops,omitempty"`
	PeakGFLOPS float64  `json:"peak_gflops,omitempty"` // of the processor on so many threads, measured
	Allocs     float64  `json:"allocs"`                // a gradient
	PeakRSSMB  *float64 `json:"peak_rss_mb,omitempty"`

	Ops   []opTime `json:"ops,omitempty"` // with --ops
	Kinds []opTime `json:"kinds,omitempty"`
}

// maxBenchBatch keeps a slip of the finger from asking for all memory.
const maxBenchBatch = 1 << 16

// Run measures on random normal inputs: a gradient, and an inner step of Entropy-SGD, which is a gradient and
// the update.
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
	net, err := m.build(c.Batch, onnxload.Options{Training: true})
	if err != nil {
		return err
	}
	b, loss, err := randomBatch(m, net)
	if err != nil {
		return err
	}
	step, err := runner.Compile(net, loss, runner.Options{Threads: c.Threads, Seed: 1})
	if err != nil {
		return fmt.Errorf("%s: %w", m.label, err)
	}
	r := benchmark{Model: m.label, Batch: c.Batch, Threads: c.Threads}
	if err := r.measure(e, step, b, c); err != nil {
		return fmt.Errorf("%s: %w", m.label, err)
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(r)
	}
	r.print(e)
	return nil
}

func (r *benchmark) print(e *env) {
	e.printf("%s, %s, %s", r.Model, report.Plural(r.Batch, "sample", "samples"), report.Plural(r.Threads, "thread", "threads"))
	e.printf("gradient  %.3f ms (median of %d)", r.GradientMS, r.Gradients)
	e.printf("step      %.3f ms (gradient and update of Entropy-SGD's inner step)", r.StepMS)
	if r.FLOPs > 0 {
		e.printf("rate      %.1f GFLOP/s (%.4g GFLOP a gradient in products of weights)", r.GFLOPS, r.FLOPs/1e9)
	}
	if r.PeakGFLOPS > 0 {
		e.printf("          %.0f %% of the %.0f GFLOP/s that multiply-adds in registers reach here", 100*r.GFLOPS/r.PeakGFLOPS, r.PeakGFLOPS)
	}
	e.printf("memory    %.1f allocations a gradient", r.Allocs)
	if r.PeakRSSMB != nil {
		e.printf("peak      %.0f MB resident", *r.PeakRSSMB)
	}
	if r.Ops != nil {
		r.printOps(e)
	}
}

// measure times gradients and updates in turns.
func (r *benchmark) measure(e *env, step *runner.Step, b *runner.Batch, c *benchCmd) error {
	m := optimizer.DefaultEntropySGD()
	m.Threads = r.Threads
	s := m.Init(step.Net().Weights(), runner.Groups(step.Net()))
	result := []optimizer.Result{{Grad: make([]float32, step.Dim())}}
	var queries []optimizer.Query
	const warm, least = 3, 10
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
		if s.Evals <= warm {
			start = t2
			continue
		}
		gradient = append(gradient, t1.Sub(t0).Seconds()*1e3)
		whole = append(whole, t2.Sub(t0).Seconds()*1e3)
		if len(gradient) >= least && t2.Sub(start) >= c.Time {
			break
		}
	}
	r.Gradients, r.GradientMS, r.StepMS = len(gradient), median(gradient), median(whole)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range least {
		if _, err := step.Grad(e.ctx, result[0].Grad, queries[0].Point, b, queries[0].At); err != nil {
			return err
		}
	}
	runtime.ReadMemStats(&after)
	r.Allocs = float64(after.Mallocs-before.Mallocs) / least
	r.PeakRSSMB = peakRSS()
	runs := 0
	if c.Ops {
		runs = max(least, min(len(gradient), 200))
	}
	costs, err := step.Profile(e.ctx, result[0].Grad, queries[0].Point, b, queries[0].At, runs)
	if err != nil {
		return err
	}
	for _, o := range costs {
		r.FLOPs += o.FLOPs
	}
	r.GFLOPS = r.FLOPs / (r.GradientMS * 1e6)
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
	out := net.Outputs[0].Shape()
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
