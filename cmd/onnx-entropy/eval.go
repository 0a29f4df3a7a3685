package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

type evalCmd struct {
	Model string `arg:"" help:"ONNX file, or the name of an embedded model."`

	dataFlags `embed:""`
	textFlags `embed:""`
	Part      string `group:"Data:" default:"" enum:",train,valid,test,all" placeholder:"NAME" help:"Part of the data to evaluate: train, valid, test, or all of a single text (default: test)."`
	Streams   int    `group:"Text:" default:"1" placeholder:"N" help:"Cut the text into N streams, which is faster; each begins without knowing what is in front of it (default ${default})."`
	Loss      string `group:"Data:" default:"" enum:",cross-entropy,nll,bce,mse" placeholder:"NAME" help:"cross-entropy, nll, bce or mse (default: what the model was trained with here, else as for train)."`
	Batch     int    `group:"Data:" default:"256" placeholder:"N" help:"Samples at a time (default ${default}); fewer take less memory."`

	outputFlag `embed:"" group:"Data:"`
	Threads    int `placeholder:"N" help:"Threads (default: one a processor)."`
	graphFlags `embed:""`
	JSON       bool `name:"json" help:"Print one JSON object: loss, error (a fraction), count."`
}

// evaluation is what eval prints as JSON.
type evaluation struct {
	Loss  number  `json:"loss"`
	Error *number `json:"error,omitempty"` // fraction; absent if the targets are no classes
	Count int     `json:"count"`
	// Of text: exp(loss), and for bytes and chars loss/ln 2.
	Perplexity *number `json:"perplexity,omitempty"`
	Bits       *number `json:"bits,omitempty"`
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
	s := fmt.Sprintf("loss %.4f  error %.2f %%  count %d", e.Loss, 100**e.Error, e.Count)
	if e.Perplexity != nil {
		s += fmt.Sprintf("  perplexity %.3f", *e.Perplexity)
	}
	if e.Bits != nil {
		s += fmt.Sprintf("  bits %.4f", *e.Bits)
	}
	return s
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
	if err := c.bound(m); err != nil {
		return err
	}
	if err := c.choose(m); err != nil {
		return err
	}
	if c.Data == "" {
		return usagef("no data to evaluate %s on: it takes %s; give --data", m.label, m.asks())
	}
	t, err := c.openText(&c.dataFlags, m)
	if err != nil {
		return err
	}
	var got *evaluation
	if t != nil {
		got, err = c.text(e, m, t)
	} else {
		got, err = c.samples(e, m)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(got)
	}
	e.printf("%s", got)
	return nil
}

// samples evaluates the test samples if there are any, else all.
func (c *evalCmd) samples(e *env, m *model) (*evaluation, error) {
	d, err := c.open(m, c.Threads, false)
	if err != nil {
		return nil, err
	}
	set, err := c.set(d)
	if err != nil {
		return nil, err
	}
	batch := min(c.Batch, set.Len())
	net, err := m.build(batch, onnxload.Options{Shapes: m.shapes(set, batch)})
	if err != nil {
		return nil, err
	}
	loss := lossOf(cmp.Or(c.Loss, m.meta["onnx_entropy.loss"]), d, net.Outputs[net.Output()].Shape())
	f, err := lossByName(loss)
	if err != nil {
		return nil, err
	}
	src, err := newSource(set, m, net, loss)
	if err != nil {
		return nil, err
	}
	if d.Test == nil && c.Part == "" {
		e.warn("%s has no test samples; all of its samples are evaluated.", c.Data)
	}
	step, err := runner.Compile(net, f, runner.Options{Threads: c.Threads, EvalBatch: batch, Inference: true})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.label, err)
	}
	metrics, err := step.Evaluate(e.ctx, net.Weights(), net.Running(), src)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.label, err)
	}
	e.warnOf(m, step)
	return evaluationOf(metrics), nil
}

// set is the part of the samples that is evaluated.
func (c *evalCmd) set(d *dataset.Data) (*dataset.Set, error) {
	switch {
	case c.Streams != 1:
		return nil, usagef("--streams has no effect with samples")
	case c.Part == "all":
		return nil, usagef("--part all is for text; samples have the parts train, valid, test")
	case c.Part == "":
		return cmp.Or(d.Test, d.Train, d.Valid), nil
	}
	s := map[string]*dataset.Set{"train": d.Train, "valid": d.Valid, "test": d.Test}[c.Part]
	if s == nil {
		return nil, fmt.Errorf("%s has no %s part; --part chooses another", c.Data, c.Part)
	}
	return s, nil
}

// text evaluates a part of a text, with the recurrent states carried from window to window.
func (c *evalCmd) text(e *env, m *model, t *text) (*evaluation, error) {
	if c.Streams < 1 {
		return nil, usagef("--streams is %d; it must be at least 1", c.Streams)
	}
	if t.vocab == nil {
		return nil, fmt.Errorf("%s records no vocabulary; train it here first", m.label)
	}
	net, err := m.build(c.Streams, t.options(m, c.Streams))
	if err != nil {
		return nil, err
	}
	if err := t.encode(m, net); err != nil {
		return nil, err
	}
	ids, err := c.part(t)
	if err != nil {
		return nil, err
	}
	src, err := t.whole(ids, cmp.Or(c.Part, "test"), c.Streams)
	if err != nil {
		return nil, err
	}
	loss, err := lossByName(cmp.Or(c.Loss, m.meta["onnx_entropy.loss"], "cross-entropy"))
	if err != nil {
		return nil, err
	}
	step, err := runner.Compile(net, loss, runner.Options{Threads: c.Threads})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.label, err)
	}
	metrics, err := step.Evaluate(e.ctx, net.Weights(), net.Running(), src)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.label, err)
	}
	e.warnOf(m, step)
	return t.evaluation(metrics), nil
}

// part is the part of the text that is evaluated.
func (c *evalCmd) part(t *text) ([]int64, error) {
	ids := map[string][]int64{"train": t.train, "valid": t.valid, "test": t.test, "": t.test, "all": slices.Concat(t.train, t.valid, t.test)}[c.Part]
	if len(ids) == 0 {
		return nil, fmt.Errorf("%s has no %s part; --part chooses another", c.Data, cmp.Or(c.Part, "test"))
	}
	return ids, nil
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
