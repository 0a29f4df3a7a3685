package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

type evalCmd struct {
	Model string `arg:"" help:"ONNX file, or the name of an embedded model."`

	dataFlags `embed:""`
	Loss      string `group:"Data:" default:"" enum:",cross-entropy,nll,mse" placeholder:"NAME" help:"cross-entropy, nll or mse (default: what the model was trained with here, else mse if the data hold target values, else cross-entropy)."`
	Batch     int    `group:"Data:" default:"256" placeholder:"N" help:"Samples at a time, for less memory (default and most: ${default})."`

	Threads int  `placeholder:"N" help:"Threads (default: one a processor)."`
	JSON    bool `name:"json" help:"Print one JSON object: loss, error (a fraction), count."`
}

// evaluation is what eval prints as JSON.
type evaluation struct {
	Loss  number  `json:"loss"`
	Error *number `json:"error,omitempty"` // fraction; absent if the targets are no classes
	Count int     `json:"count"`
}

func evaluationOf(m runner.Metrics) *evaluation {
	e := &evaluation{Loss: number(m.Loss), Count: m.Count}
	if !math.IsNaN(m.Error) {
		e.Error = (*number)(&m.Error)
	}
	return e
}

func (e *evaluation) String() string {
	if e.Error == nil {
		return fmt.Sprintf("loss %.4f  count %d", e.Loss, e.Count)
	}
	return fmt.Sprintf("loss %.4f  error %.2f %%  count %d", e.Loss, 100**e.Error, e.Count)
}

// Run evaluates in inference mode, on the test samples if there are any.
func (c *evalCmd) Run(e *env) error {
	if c.Batch < 1 || c.Batch > maxEvalBatch {
		return usagef("--batch is %d; it must be from 1 to %d", c.Batch, maxEvalBatch)
	}
	if c.Threads < 0 {
		return usagef("--threads is %d; it must be at least 1", c.Threads)
	}
	m, err := openModel(c.Model)
	if err != nil {
		return err
	}
	if c.Data == "" {
		return usagef("no data to evaluate %s on: it takes %s; give --data", m.label, m.asks())
	}
	d, err := c.open(m)
	if err != nil {
		return err
	}
	set := d.Test
	if set == nil {
		set = d.Train
	}
	loss := lossOf(c.Loss, d)
	if used := m.meta["onnx_entropy.loss"]; c.Loss == "" && used != "" {
		loss = used
	}
	f, err := runner.LossByName(loss)
	if err != nil {
		return err
	}
	net, err := m.build(c.Batch, onnxload.Options{Training: true})
	if err != nil {
		return err
	}
	src, err := newSource(set, m, net, loss)
	if err != nil {
		return err
	}
	if d.Test == nil {
		e.warn("%s has no test samples; all of its samples are evaluated.", c.Data)
	}
	step, err := runner.Compile(net, f, runner.Options{Threads: c.Threads})
	if err != nil {
		return fmt.Errorf("%s: %w", m.label, err)
	}
	got, err := evaluate(e.ctx, step, src, c.Batch)
	if err != nil {
		return fmt.Errorf("%s: %w", m.label, err)
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(got)
	}
	e.printf("%s", got)
	return nil
}

// maxEvalBatch is how many samples runner evaluates at a time.
const maxEvalBatch = 256

// evaluate measures the weights of the file on src, in pieces of batch samples.
func evaluate(ctx context.Context, step *runner.Step, src runner.Source, batch int) (*evaluation, error) {
	net := step.Net()
	weights, running := net.Weights(), net.Running()
	if batch == maxEvalBatch {
		m, err := step.Evaluate(ctx, weights, running, src)
		return evaluationOf(m), err
	}
	var sum runner.Metrics
	for from := 0; from < src.Len(); from += batch {
		n := min(batch, src.Len()-from)
		m, err := step.Evaluate(ctx, weights, running, &window{src, from, n})
		if err != nil {
			return nil, err
		}
		sum.Loss += m.Loss * float64(n)
		sum.Error += m.Error * float64(m.Count)
		sum.Count += m.Count
	}
	sum.Loss /= float64(src.Len())
	sum.Error /= float64(sum.Count)
	return evaluationOf(sum), nil
}

// A window is n samples of a source, starting at from.
type window struct {
	runner.Source
	from, n int
}

func (w *window) Len() int { return w.n }

func (w *window) Read(dst *runner.Batch, idx []int) error {
	moved := make([]int, len(idx))
	for i, k := range idx {
		moved[i] = k + w.from
	}
	return w.Source.Read(dst, moved)
}

// A number is a float64 that JSON can hold: what is not finite is null.
type number float64

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) {
	if v := float64(n); !math.IsNaN(v) && !math.IsInf(v, 0) {
		return json.Marshal(v)
	}
	return []byte("null"), nil
}
