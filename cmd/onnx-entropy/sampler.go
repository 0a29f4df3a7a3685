package main

import (
	"fmt"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// samplerFlags say how mini-batches are drawn.
type samplerFlags struct {
	Sampler        string   `group:"Data:" default:"shuffle" enum:"shuffle,uniform,oddball" placeholder:"NAME" help:"How samples are drawn: shuffle (each once an epoch), uniform (with replacement), or oddball (in proportion to their last error; default ${default})."`
	OddballFloor   *float64 `group:"Data:" placeholder:"X" help:"Share of oddball's draws that are uniform (default 0.1)."`
	OddballWeights bool     `group:"Data:" help:"Weigh oddball's samples by 1/(N p), which makes the gradient an unbiased one."`
}

// defaultFloor is that of oddball.
const defaultFloor = 0.1

func (f *samplerFlags) check(noShuffle bool) error {
	odd := f.Sampler == "oddball"
	switch {
	case noShuffle && f.Sampler != "shuffle":
		return usagef("--no-shuffle has no effect with --sampler %s", f.Sampler)
	case !odd && f.OddballFloor != nil:
		return usagef("--oddball-floor has no effect with --sampler %s", f.Sampler)
	case !odd && f.OddballWeights:
		return usagef("--oddball-weights has no effect with --sampler %s", f.Sampler)
	case odd && !(f.floor() >= 0 && f.floor() <= 1):
		return usagef("--oddball-floor is %v; it must be at least 0 and at most 1", f.floor())
	case f.OddballWeights && f.floor() == 0:
		return usagef("--oddball-weights needs an --oddball-floor above 0: a sample of probability 0 would have an infinite weight")
	}
	return nil
}

func (f *samplerFlags) sampling() runner.Sampling {
	s, err := runner.SamplingByName(f.Sampler)
	if err != nil {
		panic(fmt.Sprintf("the enum of --sampler holds a name that runner does not know: %v", err))
	}
	return s
}

func (f *samplerFlags) floor() float64 {
	switch {
	case f.Sampler != "oddball":
		return 0
	case f.OddballFloor == nil:
		return defaultFloor
	}
	return *f.OddballFloor
}

// sampled lists what differs from shuffling, by flag.
func (f *samplerFlags) sampled() []setting {
	if f.Sampler == "shuffle" {
		return nil
	}
	s := []setting{{"sampler", f.Sampler}}
	if f.Sampler == "oddball" {
		s = append(s, setting{"oddball-floor", report.Number(f.floor())})
	}
	if f.OddballWeights {
		s = append(s, setting{"oddball-weights", "true"})
	}
	return s
}
