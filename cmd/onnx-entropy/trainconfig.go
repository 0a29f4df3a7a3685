package main

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
)

// config is everything that a run was made of, as its folder keeps it.
type config struct {
	Version   string            `json:"version"`
	Model     modelConfig       `json:"model"`
	Data      *dataConfig       `json:"data,omitempty"`
	Text      *textConfig       `json:"text,omitempty"`
	Loss      string            `json:"loss"`
	Smoothing float64           `json:"label_smoothing,omitempty"`
	Optimizer string            `json:"optimizer"`
	Settings  map[string]string `json:"settings"` // of the optimizer, by flag
	Batch     int               `json:"batch"`
	Gradients uint64            `json:"gradients"` // budget
	MaxOuter  *uint64           `json:"max_outer,omitempty"`
	Seed      uint64            `json:"seed"`
	Reinit    *uint64           `json:"reinit,omitempty"`
	Output    string            `json:"output,omitempty"` // of several
	Head      *int              `json:"head,omitempty"`
	Freeze    []string          `json:"freeze,omitempty"`
	Trainable []string          `json:"trainable,omitempty"`
	BN        string            `json:"bn"`
	Dropout   []string          `json:"dropout,omitempty"`
	Shuffle   bool              `json:"shuffle"`
	Sampler   string            `json:"sampler"`
	Threads   int               `json:"threads"`
	Export    string            `json:"export"`
	Out       string            `json:"out,omitempty"`
	Command   *trainCmd         `json:"command"` // as --resume needs it
}

type modelConfig struct {
	Name    string `json:"name"`
	SHA256  string `json:"sha256"`
	Weights int    `json:"weights"`
}

type dataConfig struct {
	Path  string     `json:"path"`
	Train setConfig  `json:"train"`
	Valid *setConfig `json:"valid,omitempty"`
	Test  *setConfig `json:"test,omitempty"`
	Scale float64    `json:"scale,omitempty"` // none of integers
	Mean  []float64  `json:"mean,omitempty"`
	Std   []float64  `json:"std,omitempty"`
}

type setConfig struct {
	Files   string  `json:"files"`
	Samples int     `json:"samples"`
	Shape   []int   `json:"shape,omitempty"`
	Shapes  [][]int `json:"shapes,omitempty"` // of several inputs
}

// textConfig counts symbols.
type textConfig struct {
	Path       string    `json:"path"`
	Files      string    `json:"files"`
	Unit       string    `json:"unit"`
	Vocabulary int       `json:"vocabulary"`
	Window     int       `json:"window"`
	Train      int       `json:"train"`
	Valid      int       `json:"valid"`
	Test       int       `json:"test"`
	Split      []float64 `json:"split"` // of a single text
}

func (t *training) config() config {
	sum := sha256.Sum256(t.model.bytes)
	c := config{
		Version:   version,
		Model:     modelConfig{t.model.label, hex.EncodeToString(sum[:]), t.net.NumWeights()},
		Loss:      t.loss,
		Smoothing: t.LabelSmoothing,
		Optimizer: t.Optimizer,
		Settings:  map[string]string{},
		Batch:     t.Batch,
		Gradients: t.cfg.Evals,
		MaxOuter:  t.MaxOuter,
		Seed:      t.Seed,
		Reinit:    t.Reinit,
		Output:    t.model.output,
		Head:      t.Head,
		Freeze:    t.Freeze,
		Trainable: t.Trainable,
		BN:        t.BN,
		Dropout:   t.Dropout,
		Shuffle:   !t.NoShuffle,
		Sampler:   t.Sampler,
		Threads:   t.threads,
		Export:    t.Export,
		Out:       t.Out,
		Command:   t.command(),
	}
	if s := t.text; s != nil {
		c.Text = &textConfig{t.Data, s.Train.Name, s.unit, len(s.vocab.Symbols), s.window, len(s.train), len(s.valid), len(s.test), s.split}
	} else {
		c.Data = &dataConfig{Path: t.Data, Train: setOf(t.data.Train)}
		if scaled := t.model.scaled(t.data.Train); len(scaled) > 0 {
			tr := scaled[0].Transform()
			c.Data.Scale, c.Data.Mean, c.Data.Std = tr.Scale, tr.Mean, tr.Std
		}
		for to, s := range map[**setConfig]*dataset.Set{&c.Data.Valid: t.data.Valid, &c.Data.Test: t.data.Test} {
			if s != nil {
				of := setOf(s)
				*to = &of
			}
		}
	}
	for _, s := range t.settings(t.method) {
		c.Settings[snake(s.name)] = s.value
	}
	return c
}

func setOf(s *dataset.Set) setConfig {
	c := setConfig{Files: s.Name, Samples: s.Len(), Shape: s.Shape}
	for _, in := range s.Inputs {
		c.Shapes = append(c.Shapes, in.Shape)
	}
	return c
}

// snake is the name of a flag as a key.
func snake(flag string) string { return strings.ReplaceAll(flag, "-", "_") }
