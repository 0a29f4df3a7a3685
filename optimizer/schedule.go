package optimizer

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A Schedule gives the learning rate at progress through a run, from 0 to 1, where base is the rate set.
// It is a function and not a factor that is multiplied step after step, so a resumed run has the rate of
// the uncut one.
//
// Progress is the number of gradients consumed before the step, divided by the method's Total: 0 at the
// first step, below 1 at the last. Beyond Total it stays 1.
type Schedule func(base, progress float64) float64

// Constant is base. It is what a nil Schedule means.
func Constant(base, _ float64) float64 { return base }

// Step is base, and from progress 0.4 a tenth of it: the paper's schedule for MNIST, which drops after 2
// of 5 epochs of outer steps.
func Step(base, progress float64) float64 { return drop(base, progress, 0.1, 0.4) }

// Cosine falls from base to 0 as half a wave (Loshchilov, Hutter: "SGDR", ICLR 2017, equation 5, without
// restarts).
func Cosine(base, progress float64) float64 { return base * 0.5 * (1 + math.Cos(math.Pi*progress)) }

// Drops is base times factor to the power of the number of places in at that progress has reached.
func Drops(factor float64, at ...float64) Schedule {
	return func(base, progress float64) float64 { return drop(base, progress, factor, at...) }
}

func drop(base, progress, factor float64, at ...float64) float64 {
	for _, a := range at {
		if progress >= a {
			base *= factor
		}
	}
	return base
}

// Linear falls from base to 0 in a straight line.
func Linear(base, progress float64) float64 { return base * (1 - progress) }

// WarmUp puts a warm-up in front of f: over the first part of the run, a fraction in [0, 1), the rate
// rises in a straight line from a tenth of f's first rate to the whole. f then has the rest of the run as its
// whole progress.
func WarmUp(over float64, f Schedule) Schedule {
	return func(base, progress float64) float64 {
		if progress < over {
			return f(base, 0) * (0.1 + 0.9*progress/over)
		}
		return f(base, (progress-over)/(1-over))
	}
}

// ParseSchedule returns the schedule of a name: constant, step, cosine, linear, or step:FACTOR@P,P...,
// which is Drops(FACTOR, P, P...).
func ParseSchedule(name string) (Schedule, error) {
	switch name {
	case "constant":
		return Constant, nil
	case "step":
		return Step, nil
	case "cosine":
		return Cosine, nil
	case "linear":
		return Linear, nil
	}
	if drops, ok := strings.CutPrefix(name, "step:"); ok {
		return parseDrops(name, drops)
	}
	return nil, fmt.Errorf("optimizer: no schedule is named %q; use constant, step, step:FACTOR@P,..., cosine or linear", name)
}

// parseDrops reads FACTOR@P,P...
func parseDrops(name, text string) (Schedule, error) {
	factor, places, ok := strings.Cut(text, "@")
	f, err := strconv.ParseFloat(factor, 64)
	if !ok || err != nil || !(f > 0 && f < 1) {
		return nil, fmt.Errorf("optimizer: schedule %q: a factor between 0 and 1 and @ come first, as in step:0.2@0.5,0.8", name)
	}
	var at []float64
	for p := range strings.SplitSeq(places, ",") {
		v, err := strconv.ParseFloat(p, 64)
		if err != nil || !(v > 0 && v < 1) || len(at) > 0 && v <= at[len(at)-1] {
			return nil, fmt.Errorf("optimizer: schedule %q: %q is not a place between 0 and 1 of the run after the one before it", name, p)
		}
		at = append(at, v)
	}
	return Drops(f, at...), nil
}

// rate is the learning rate of a step before which evals gradients were consumed.
func rate(f Schedule, base float64, evals, total uint64) float64 {
	if f == nil {
		return base
	}
	progress := 1.0
	if evals < total {
		progress = float64(evals) / float64(total)
	}
	return f(base, progress)
}

// rateBefore is the rate of the step of the given number of gradients that ended last, or else of the first.
func rateBefore(f Schedule, base float64, evals, step, total uint64) float64 {
	return rate(f, base, (max(evals, step)/step-1)*step, total)
}
