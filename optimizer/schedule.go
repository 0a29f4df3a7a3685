package optimizer

import (
	"fmt"
	"math"
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

// ParseSchedule returns the schedule of a name: constant, step or cosine.
func ParseSchedule(name string) (Schedule, error) {
	switch name {
	case "constant":
		return Constant, nil
	case "step":
		return Step, nil
	case "cosine":
		return Cosine, nil
	}
	return nil, fmt.Errorf("optimizer: no schedule is named %q; use constant, step or cosine", name)
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
