package main

import (
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
	Batch     int    `group:"Data:" default:"256" placeholder:"N" help:"Samples at a time (default ${default}); fewer take less memory."`

	Threads     int `placeholder:"N" help:"Threads (default: one a processor)."`
	memoryFlags `embed:""`
	JSON        bool `name:"json" help:"Print one JSON object: loss, error (a fraction), count."`
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
	if c.Batch < 1 {
		return usagef("--batch is %d; it must be at least 1", c.Batch)
	}
	if err := checkThreads(c.Threads); err != nil {
		return err
	}
	m, err := openModel(c.Model)
	if err != nil {
		return err
	}
	m.limit = c.limit()
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
	batch := min(c.Batch, set.Len())
	net, err := m.build(batch, onnxload.Options{Training: true})
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
	step, err := runner.Compile(net, f, runner.Options{Threads: c.Threads, EvalBatch: batch})
	if err != nil {
		return fmt.Errorf("%s: %w", m.label, err)
	}
	metrics, err := step.Evaluate(e.ctx, net.Weights(), net.Running(), src)
	if err != nil {
		return fmt.Errorf("%s: %w", m.label, err)
	}
	got := evaluationOf(metrics)
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(got)
	}
	e.printf("%s", got)
	return nil
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
