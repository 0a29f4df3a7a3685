package main

import (
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// methodFlags choose the optimizer. Those without a value take the optimizer's own default.
type methodFlags struct {
	Optimizer     string   `group:"Optimizer:" default:"entropy-sgd" enum:"entropy-sgd,sgd" placeholder:"NAME" help:"entropy-sgd, or sgd with Nesterov momentum (default ${default})."`
	LR            *float64 `group:"Optimizer:" name:"lr" placeholder:"X" help:"Learning rate; of Entropy-SGD's outer step (default 1; sgd: 0.1)."`
	InnerLR       *float64 `group:"Optimizer:" name:"inner-lr" placeholder:"X" help:"Learning rate of the inner steps (default 0.1)."`
	LangevinSteps *int     `group:"Optimizer:" short:"L" placeholder:"N" help:"Inner steps, one gradient each, in an outer step (default 20)."`
	Gamma         *float64 `group:"Optimizer:" placeholder:"X" help:"Pull of the inner steps towards the weights, in the first outer step (default 0.0001)."`
	Scoping       *float64 `group:"Optimizer:" placeholder:"X" help:"Growth of gamma with each outer step: gamma*(1+scoping)^t (default 0.001)."`
	Noise         *float64 `group:"Optimizer:" placeholder:"X" help:"Langevin noise of the inner steps (default 0.001)."`
	Alpha         *float64 `group:"Optimizer:" placeholder:"X" help:"Weight of the newest inner iterate in their mean (default 0.75)."`
	Momentum      *float64 `group:"Optimizer:" placeholder:"X" help:"Nesterov momentum; of Entropy-SGD's inner steps (default 0.9)."`
	OuterMomentum *float64 `group:"Optimizer:" placeholder:"X" help:"Nesterov momentum of the outer steps (default 0)."`
	WeightDecay   *float64 `group:"Optimizer:" placeholder:"X" help:"Added to the gradient, times the weights; not for biases and normalisation (default 0)."`
	LRSchedule    string   `group:"Optimizer:" name:"lr-schedule" default:"constant" enum:"constant,step,cosine" placeholder:"NAME" help:"constant; step: lr/10 from 40 % of the run on; cosine: down to 0 (default ${default})."`
}

// build makes the optimizer for a run of total gradients, before they are rounded up to whole outer steps.
func (f *methodFlags) build(total, seed uint64, threads int) (optimizer.Settled, error) {
	schedule, err := optimizer.ParseSchedule(f.LRSchedule)
	if err != nil {
		return nil, err
	}
	var m optimizer.Settled
	switch f.Optimizer {
	case "sgd":
		m, err = f.sgd(total, threads, schedule)
	default:
		m, err = f.entropySGD(total, seed, threads, schedule)
	}
	if err != nil {
		return nil, err
	}
	if err := m.Validate(); err != nil {
		return nil, &usageError{err: flagNames(err)}
	}
	return m, nil
}

func (f *methodFlags) entropySGD(total, seed uint64, threads int, s optimizer.Schedule) (*optimizer.EntropySGD, error) {
	m := optimizer.DefaultEntropySGD()
	for _, p := range []struct {
		to   *float64
		flag *float64
	}{
		{&m.LR, f.LR}, {&m.InnerLR, f.InnerLR}, {&m.Gamma, f.Gamma}, {&m.Scoping, f.Scoping}, {&m.Noise, f.Noise},
		{&m.Alpha, f.Alpha}, {&m.Momentum, f.Momentum}, {&m.OuterMomentum, f.OuterMomentum}, {&m.WeightDecay, f.WeightDecay},
	} {
		if p.flag != nil {
			*p.to = *p.flag
		}
	}
	if f.LangevinSteps != nil {
		m.L = *f.LangevinSteps
	}
	if f.Scoping != nil && m.Scoping != 0 && m.Gamma == 0 {
		return nil, usagef("--scoping has no effect with --gamma 0, which has nothing to grow")
	}
	m.Seed, m.Threads, m.Schedule = seed, threads, s
	m.Total = total
	if m.L > 0 {
		m.Total = optimizer.RoundBudget(m, total)
	}
	return m, nil
}

func (f *methodFlags) sgd(total uint64, threads int, s optimizer.Schedule) (*optimizer.SGD, error) {
	for _, p := range []struct {
		name string
		set  bool
	}{
		{"--inner-lr", f.InnerLR != nil}, {"--langevin-steps", f.LangevinSteps != nil}, {"--gamma", f.Gamma != nil},
		{"--scoping", f.Scoping != nil}, {"--noise", f.Noise != nil}, {"--alpha", f.Alpha != nil},
		{"--outer-momentum", f.OuterMomentum != nil},
	} {
		if p.set {
			return nil, usagef("%s has no effect with --optimizer sgd; it belongs to entropy-sgd", p.name)
		}
	}
	m := optimizer.DefaultSGD()
	if f.LR != nil {
		m.LR = *f.LR
	}
	if f.Momentum != nil {
		m.Momentum = *f.Momentum
		m.Nesterov = m.Momentum != 0
	}
	if f.WeightDecay != nil {
		m.WeightDecay = *f.WeightDecay
	}
	m.Threads, m.Schedule, m.Total = threads, s, total
	return m, nil
}

// flagNames puts the names of flags for those of fields in an error of Validate.
func flagNames(err error) error {
	s := regexp.MustCompile(`^optimizer: \w+: `).ReplaceAllString(err.Error(), "")
	return fmt.Errorf("%s", regexp.MustCompile(`(^|; )(\w+) is `).ReplaceAllStringFunc(s, func(m string) string {
		for field, flag := range map[string]string{
			"LR": "--lr", "InnerLR": "--inner-lr", "L": "--langevin-steps", "Gamma": "--gamma", "Scoping": "--scoping", "Noise": "--noise",
			"Alpha": "--alpha", "Momentum": "--momentum", "OuterMomentum": "--outer-momentum", "WeightDecay": "--weight-decay", "Threads": "--threads",
		} {
			if sep, ok := strings.CutSuffix(m, field+" is "); ok && (sep == "" || sep == "; ") {
				return sep + flag + " is "
			}
		}
		return m
	}))
}

// A setting is a hyperparameter by the name of its flag.
type setting struct {
	name  string
	value string
}

// settings lists the hyperparameters of m that the flags know.
func (f *methodFlags) settings(m optimizer.Settled) []setting {
	n := report.Number
	var s []setting
	switch m := m.(type) {
	case *optimizer.EntropySGD:
		s = []setting{{"langevin-steps", fmt.Sprint(m.L)}, {"lr", n(m.LR)}, {"inner-lr", n(m.InnerLR)}, {"gamma", n(m.Gamma)}, {"scoping", n(m.Scoping)},
			{"noise", n(m.Noise)}, {"alpha", n(m.Alpha)}, {"momentum", n(m.Momentum)}, {"outer-momentum", n(m.OuterMomentum)}, {"weight-decay", n(m.WeightDecay)}}
	case *optimizer.SGD:
		s = []setting{{"lr", n(m.LR)}, {"momentum", n(m.Momentum)}, {"weight-decay", n(m.WeightDecay)}}
	}
	return append(s, setting{"lr-schedule", f.LRSchedule})
}

// pace is what of an optimizer changes from outer step to outer step, for the log.
func pace(m optimizer.Settled, outer uint64) (lr float64, gamma *float64) {
	progress := func(total uint64) float64 {
		return min(1, float64(outer*uint64(m.OuterEvals()))/float64(max(total, 1)))
	}
	switch m := m.(type) {
	case *optimizer.EntropySGD:
		g := m.Gamma * math.Pow(1+m.Scoping, float64(outer))
		return m.Schedule(m.LR, progress(m.Total)), &g
	case *optimizer.SGD:
		return m.Schedule(m.LR, progress(m.Total)), nil
	}
	return 0, nil
}
