// Package optimizer holds Entropy-SGD and its family as state machines over one flat vector of weights.
//
// A driver repeats: Ask where a gradient is wanted, take it there, Tell the result.
//
//	s := m.Init(weights, groups)
//	for s.Evals < budget {
//		q = m.Ask(s, q[:0])
//		... r[i] = loss and gradient at q[i].Point on mini-batch q[i].At.Batch ...
//		outer := m.Tell(s, r)
//	}
//	weights = m.Params(s)
//
// The package knows neither Gorgonia nor ONNX; package solver connects a Method to a Gorgonia program.
package optimizer

import (
	"encoding/json"
	"math"
)

// A Method is an optimizer written as a state machine. It never calls the model, so a run can stop and
// resume between any two gradients. All memory between calls is in State: a Method holds settings only,
// and an equal one continues the run with the same bits.
//
// A Method keeps scratch and may be used by one goroutine at a time.
type Method interface {
	// Init begins a run at x, which it copies. groups are as in CheckGroups; nil means one group of all
	// weights with LRScale 1 and Decay.
	Init(x []float32, groups []Group) *State
	// Ask appends to q the evaluations wanted next. It does not change s.
	Ask(s *State, q []Query) []Query
	// Tell takes one result for each query, in order, and reports whether an outer step is complete. It
	// may overwrite the gradients.
	Tell(s *State, r []Result) (outer bool)
	// Params is the weights to evaluate and export, which for Entropy-SGD are not the point asked for.
	// The slice belongs to s.
	Params(s *State) []float32
}

// State is the whole memory of a run: what a checkpoint has to hold besides the settings.
type State struct {
	Evals, Outer uint64      // gradients consumed; outer steps completed
	Phase        uint32      // place inside the outer step
	Scalars      []float64   // numbers that a method keeps
	Vecs         [][]float32 // vectors that a method keeps; the method's doc gives their order
	Groups       []Group     // as given to Init
	Inner        *State      // of the method that this one is wrapped around; nil without one
}

// A Query asks for the gradient at Point, which is borrowed until Tell.
type Query struct {
	At    Draw
	Point []float32
}

// Draw says which random numbers an evaluation uses: it has mini-batch number Batch, counted from the
// start of the run, and the dropout masks of evaluation Eval. Replicas of a network draw different ones.
type Draw struct {
	Replica     int
	Batch, Eval uint64
}

// Result is the mean loss of the mini-batch and its gradient. Loss is NaN if the driver does not know it.
type Result struct {
	Loss float64
	Grad []float32
}

// Settled is a Method with settings that can be wrong, and whose states can come from a file.
type Settled interface {
	Method
	// Validate names every setting that is out of range, or without effect.
	Validate() error
	// CheckState says what is wrong with a state that was read for n weights. Ask, Tell and Params are
	// safe with a state that passes.
	CheckState(s *State, n int) error
	// OuterEvals is the number of gradients that an outer step takes.
	OuterEvals() int
	// Replicas is the number of queries of each Ask.
	Replicas() int
	// NeedsLoss says whether the method uses Result.Loss.
	NeedsLoss() bool
	// Move puts the weights at x between two outer steps. Momentum is kept.
	Move(s *State, x []float32)
	// Stats describes the outer step that ended last. Before the first, what is measured is NaN.
	Stats(s *State) Stats
}

// Stats describes an outer step. What a method does not have is NaN.
type Stats struct {
	LR    float64 // the rate of the step: of Entropy-SGD and Parle, eta
	Gamma float64 // the pull of the inner steps
	Rho   float64 // the pull of Parle's replicas to their mean
	// Of Entropy-SGD, if it is asked for them. Gradients are those of the first mini-batch of the step.
	Distance  float64 // |x - mu|
	Gradient  float64 // |grad f(x)|
	Cosine    float64 // of the angle between the gradients of the local entropy and of the loss; NaN if one is 0
	Travelled float64 // length of the path of x since the start of the run
}

// MarshalJSON gives the names that metrics.jsonl of the command line has, and leaves out what is not finite, which JSON
// cannot hold.
func (s Stats) MarshalJSON() ([]byte, error) {
	known := map[string]float64{}
	for name, v := range map[string]float64{"lr": s.LR, "gamma": s.Gamma, "rho": s.Rho, "distance": s.Distance, "gradient": s.Gradient,
		"cosine": s.Cosine, "travelled": s.Travelled} {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			known[name] = v
		}
	}
	return json.Marshal(known)
}

// noStats is the Stats of a method that has a rate alone.
func noStats(lr float64) Stats {
	nan := math.NaN()
	return Stats{LR: lr, Gamma: nan, Rho: nan, Distance: nan, Gradient: nan, Cosine: nan, Travelled: nan}
}

// single is embedded by methods that ask for one gradient at a time and use no loss.
type single struct{}

// Replicas is 1.
func (single) Replicas() int { return 1 }

// NeedsLoss is false.
func (single) NeedsLoss() bool { return false }

// Chain lists m and what it is wrapped around, from the outermost in.
func Chain(m Method) []Method {
	var base Settled
	switch m := m.(type) {
	case *SAM:
		base = m.Base
	case *Lookahead:
		base = m.Base
	case *SWA:
		base = m.Base
	case *Clip:
		base = m.Base
	case *Accumulate:
		base = m.Base
	}
	if base == nil {
		return []Method{m}
	}
	return append([]Method{m}, Chain(base)...)
}

// RoundBudget is the smallest budget of gradients of whole outer steps that is not below evals.
func RoundBudget(m Settled, evals uint64) uint64 {
	l := uint64(max(m.OuterEvals(), 1))
	return (evals + l - 1) / l * l
}

var (
	_ Settled = (*EntropySGD)(nil)
	_ Settled = (*SGD)(nil)
	_ Settled = (*Adam)(nil)
	_ Settled = (*Parle)(nil)
	_ Settled = (*SAM)(nil)
	_ Settled = (*Lookahead)(nil)
	_ Settled = (*SWA)(nil)
	_ Settled = (*Clip)(nil)
	_ Settled = (*Accumulate)(nil)
)
