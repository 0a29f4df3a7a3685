package main

import (
	"fmt"

	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// finetuneFlags say what of a trained model is kept, and what is new.
type finetuneFlags struct {
	Head *int `group:"Fine-tuning:" placeholder:"K" help:"Replace the last linear layer by a new one for K classes, drawn from --seed (inspect shows the layer)."`
}

func (f *finetuneFlags) check() error {
	if f.Head != nil && *f.Head < 1 {
		return usagef("--head is %d; it must be the number of classes, at least 1", *f.Head)
	}
	return nil
}

// adapt makes the changes of the model that come before anything is built.
func (t *training) adapt() error {
	if t.Head == nil {
		return nil
	}
	h, err := t.model.Head("")
	if err != nil {
		return fmt.Errorf("%s: --head: %w", t.model.label, err)
	}
	t.head = &h
	t.model.Model, err = t.model.WithHead(onnxload.HeadOptions{Classes: *t.Head, Seed: t.Seed})
	if err != nil {
		return fmt.Errorf("%s: --head: %w", t.model.label, err)
	}
	return nil
}
