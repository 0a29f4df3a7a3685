package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// finetuneFlags say what of a trained model is kept, and what is new.
type finetuneFlags struct {
	Head *int   `group:"Fine-tuning:" placeholder:"K" help:"Replace the last linear layer by a new one for K classes, drawn from --seed (inspect shows the layer)."`
	BN   string `group:"Fine-tuning:" name:"bn" enum:"batch,frozen" default:"batch" placeholder:"KIND" help:"Statistics that BatchNormalization takes in training: batch, or frozen, those in the file, which stay as they are (default: batch)."`

	dropoutFlags `embed:""`
	freezeFlags  `embed:""`
}

// freezeFlags choose the parameters that are trained.
type freezeFlags struct {
	Freeze    []string `group:"Fine-tuning:" sep:"none" placeholder:"PATTERN" help:"Hold still the parameters of that name; * stands for any characters, conv1 also for conv1.weight. May be repeated (inspect --parameters shows the names)."`
	Trainable []string `group:"Fine-tuning:" sep:"none" placeholder:"PATTERN" help:"Train these although --freeze matches them; without --freeze, train only these. May be repeated."`
}

func (f *finetuneFlags) check() error {
	if f.Head != nil && *f.Head < 1 {
		return usagef("--head is %d; it must be the number of classes, at least 1", *f.Head)
	}
	return f.parseDropout()
}

// options are those of the graph that is trained.
func (f *freezeFlags) options() onnxload.Options {
	return onnxload.Options{Training: true, Freeze: f.Freeze, Trainable: f.Trainable}
}

// adapt makes the changes of the model that come before anything is built.
func (t *training) adapt() error {
	if t.Head == nil {
		return nil
	}
	h, err := t.model.Head(t.model.output)
	if err != nil {
		return fmt.Errorf("%s: --head: %w", t.model.label, err)
	}
	t.head = &h
	t.model.Model, err = t.model.WithHead(onnxload.HeadOptions{Classes: *t.Head, Output: t.model.output, Seed: t.Seed, MaxMemory: t.model.limit})
	if err != nil {
		return fmt.Errorf("%s: --head: %w", t.model.label, err)
	}
	return nil
}

// checkNorms is for --bn frozen, which needs something to freeze.
func (t *training) checkNorms() error {
	if t.BN == "frozen" && len(t.net.Buffers) == 0 {
		return usagef("--bn frozen has no effect: %s has no BatchNormalization with running statistics", t.model.label)
	}
	return nil
}

// introduceTuning says what is new and what is held still.
func (t *training) introduceTuning(e *env) {
	if h := t.head; h != nil {
		e.printf("Head       %s (%s), new: %s, %d classes where there were %d", h.Node, h.Op, report.Plural(h.Features, "feature", "features"), *t.Head, h.Classes)
	}
	t.introduceOutput(e)
	if t.BN == "frozen" {
		e.printf("Frozen     %s of BatchNormalization", report.Plural(t.net.NumRunning(), "running statistic", "running statistics"))
	}
	if last := t.passedOver(); last != "" {
		e.printf("Output     the loss is taken before the final %s, from its logits; the file keeps it", last)
	}
	for _, node := range slices.Sorted(maps.Keys(t.after)) {
		e.printf("Dropout    %s after %s, in training only", report.Number(t.after[node]), node)
	}
	n, weights := t.held(false)
	if n > 0 {
		e.printf("Frozen     %s in %s; trained are %s in %d", report.Plural(weights, "weight", "weights"), report.Plural(n, "tensor", "tensors"),
			report.Count(t.net.NumWeights()), len(t.net.Params))
	}
}

// introduceOutput says which of several outputs is trained.
func (t *training) introduceOutput(e *env) {
	if t.model.output == "" {
		return
	}
	s := ""
	if n, weights := t.held(true); n > 0 {
		s = fmt.Sprintf("; %s in %s that only others use keep their bits", report.Plural(weights, "weight", "weights"), report.Plural(n, "tensor", "tensors"))
	}
	e.printf("Output     %s, of %d%s", t.model.output, len(t.model.Outputs), s)
}

// held counts the tensors that are not trained, and their weights: those of other outputs, or the others.
func (t *training) held(elsewhere bool) (tensors, weights int) {
	for _, p := range t.net.Frozen {
		if p.Elsewhere == elsewhere {
			tensors, weights = tensors+1, weights+p.To-p.From
		}
	}
	return tensors, weights
}

// recordTuning puts it into the metadata of the trained file.
func (t *training) recordTuning(meta map[string]string) {
	if t.Head != nil {
		meta["onnx_entropy.head"] = fmt.Sprint(*t.Head)
	}
	if t.BN == "frozen" {
		meta["onnx_entropy.bn"] = t.BN
	}
	if n, _ := t.held(false); n > 0 {
		meta["onnx_entropy.frozen"] = fmt.Sprintf("%d of %d tensors", n, n+len(t.net.Params))
	}
}
