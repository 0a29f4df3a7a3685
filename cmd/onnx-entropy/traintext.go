package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// evalStreams is how many streams a text is cut into when it is measured: with one, every symbol is predicted from all
// that are in front of it.
const evalStreams = 1

// checkText finds options that have no effect on text.
func (t *training) checkText() error {
	switch {
	case t.NoShuffle:
		return usagef("--no-shuffle has no effect with text, which is always read from front to back")
	case t.Sampler != "shuffle":
		return usagef("--sampler %s has no effect with text, which is read from front to back", t.Sampler)
	case t.Scale != nil || t.Mean != nil || t.Std != nil:
		return usagef("--scale, --mean and --std have no effect with text")
	case t.Loss == "mse" || t.Loss == "bce":
		return usagef("the loss %s does not go with text, whose symbols are classes", t.Loss)
	case t.text.Train.Bytes == nil:
		return fmt.Errorf("%s has no text for training: a file with train in its name is missing", t.Data)
	}
	return nil
}

// feedText fits the text to the network and cuts it into streams.
func (t *training) feedText() error {
	if err := t.text.encode(t.model, t.net); err != nil {
		return err
	}
	t.loss = cmp.Or(t.Loss, "cross-entropy")
	source, err := runner.NewTokens(t.text.train, t.Batch, t.text.window)
	if err != nil {
		return usagef("%s: %v; give a smaller --batch, or more text", t.text.Train.Name, message(err))
	}
	t.source = source
	if len(t.text.valid) > 0 {
		if t.test, err = t.text.whole(t.text.valid, "validation", evalStreams); err != nil {
			return err
		}
	}
	if len(t.text.test) > 0 {
		test, err := t.text.whole(t.text.test, "test", evalStreams)
		if err != nil {
			return err
		}
		if t.test == nil {
			t.test = test
		} else {
			t.final = test
		}
	}
	return nil
}

// measure evaluates the test part at the end of a run that had a validation part.
func (t *training) measure(ctx context.Context, rep *runner.Report) error {
	if t.final == nil {
		return nil
	}
	m, err := t.step.Evaluate(ctx, rep.Weights, rep.Running, t.final)
	if err == nil {
		t.tested = t.text.evaluation(m)
	}
	return err
}

// introduceText says what a network does with text that may surprise.
func (t *training) introduceText(e *env) {
	if len(t.net.States) == 0 {
		e.warn("%s has no recurrent state to carry, so each window of %d symbols is read by itself.", t.model.label, t.text.window)
		return
	}
	e.printf("Reading    %s of windows of %d symbols, %s carried from each to the next", report.Plural(t.Batch, "stream", "streams"), t.text.window,
		report.Plural(len(t.net.States), "recurrent state", "recurrent states"))
}

// textOutcome says how well a text is predicted.
func (t *training) textOutcome(rep *runner.Report) string {
	measured := t.text.evaluation(*rep.Test)
	if t.tested == nil {
		return fmt.Sprintf("test %s", measured)
	}
	return fmt.Sprintf("test %s (validation %s)", t.tested, measured)
}
