// Package solver lets a Gorgonia program train with a Method of package optimizer.
package solver

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// Solver is a gorgonia.Solver. A program calls Step after each run of its machine, as with the solvers of
// Gorgonia, and Finish after the last:
//
//	s := solver.New(optimizer.DefaultEntropySGD())
//	for ... {
//		machine.RunAll()
//		s.Step(model)
//		machine.Reset()
//	}
//	s.Finish()
//
// After Step the nodes hold the point where the method wants the next gradient, which for Entropy-SGD is
// not the result of the training; Finish puts that into the nodes. To look at it before the end, call
// Finish, and Continue before the next run.
//
// A method may ask for several gradients before it moves: SAM for two of one mini-batch, Parle for one of each
// replica. They are answered in turn, one a Step; Next says which is due.
//
// State is all memory of the run. A program that has kept it goes on with Resume in place of its first Step.
//
// Values are float32 or float64, tensors or scalars. The method works in float32: a float64 weight is
// rounded by the first Step and stays a float32 number, and gradients are rounded as they are read.
type Solver struct {
	// Decay says whether weight decay applies to a node; nil: to those with more than one dimension.
	Decay func(gorgonia.ValueGrad) bool
	// Loss gives Step the mean loss of the mini-batch whose gradients the nodes have, which nodes do not know. Methods that
	// use it, such as Entropy-SGD with AutoGamma, are refused without; else nil will do.
	Loss func() float64

	method   optimizer.Method
	state    *optimizer.State // nil before the first Step
	model    []gorgonia.ValueGrad
	ends     []int // model[i]'s weights end before this place of the flat vector
	queries  []optimizer.Query
	results  []optimizer.Result
	answered int  // queries with a result
	finished bool // the nodes hold Params
}

var _ gorgonia.Solver = (*Solver)(nil)

// New returns a Solver with the method. The first Step begins the run, from the values the nodes have.
func New(m optimizer.Method) *Solver { return &Solver{method: m} }

// ErrNotFinite is that a gradient or a loss has a NaN or an infinity.
var ErrNotFinite = errors.New("is not finite")

// Step takes the gradients of the nodes and sets the nodes to the point of the next gradient. It sets
// the gradients to 0, as the solvers of Gorgonia do. The nodes are the same, in the same order, at each
// call.
//
// If a gradient, or what Loss returns, has a NaN or an infinity, the error is ErrNotFinite and names the node. Weights and
// state are then as before: another mini-batch may be tried, or Finish gives the last good weights.
func (s *Solver) Step(model []gorgonia.ValueGrad) error {
	if s.state == nil {
		if err := s.start(model); err != nil {
			return err
		}
	}
	if len(model) != len(s.model) {
		return fmt.Errorf("solver: Step got %d nodes and before %d; use a Solver for each set of nodes", len(model), len(s.model))
	}
	if s.finished {
		return errors.New("solver: Step after Finish: these gradients are not where the method wants them; call Continue before the machine runs")
	}
	grad := s.results[s.answered].Grad
	var bad error
	err := s.each(func(i int, vg gorgonia.ValueGrad, from, to int) error {
		g, err := vg.Grad()
		if err != nil {
			return err
		}
		if err := read(grad[from:to], g); err != nil {
			return fmt.Errorf("gradient: %w", err)
		}
		if bad == nil && slices.ContainsFunc(grad[from:to], notFinite) {
			bad = fmt.Errorf("solver: %s: the gradient %w; a smaller rate, or a limit to its length (optimizer.Clip), may help", name(i, vg), ErrNotFinite)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.Loss != nil {
		loss := s.Loss()
		if bad == nil && (math.IsNaN(loss) || math.IsInf(loss, 0)) {
			bad = fmt.Errorf("solver: the loss, %g, %w; a smaller rate may help", loss, ErrNotFinite)
		}
		s.results[s.answered].Loss = loss
	}
	for _, vg := range s.model {
		g, _ := vg.Grad()
		gorgonia.ZeroValue(g) // only once all were read: nodes may share a gradient
	}
	if bad != nil {
		return bad
	}
	if s.answered++; s.answered == len(s.queries) {
		s.method.Tell(s.state, s.results)
		s.ask()
	}
	return s.put(s.queries[s.answered].Point)
}

// Finish puts the weights that the training made into the nodes. Before the first Step it does nothing.
func (s *Solver) Finish() error {
	if s.state == nil {
		return nil
	}
	s.finished = true
	return s.put(s.method.Params(s.state))
}

// Continue undoes Finish: the nodes hold the point of the next gradient again.
func (s *Solver) Continue() error {
	if s.state == nil {
		return nil
	}
	s.finished = false
	return s.put(s.queries[s.answered].Point)
}

// Next says which mini-batch and which replica the next gradient is of: At.Batch counts mini-batches from 0, and
// the same number again means the same mini-batch. Before the first Step it is the first of replica 0.
func (s *Solver) Next() optimizer.Draw {
	if s.state == nil {
		return optimizer.Draw{}
	}
	return s.queries[s.answered].At
}

// State is the state of the method, nil before the first Step. It belongs to the Solver.
func (s *Solver) State() *optimizer.State { return s.state }

// Resume begins where the solver of an equal method had the given state, and puts the point of the next gradient into the
// nodes, which are those of that solver. The state belongs to s afterwards. Of a method with several queries those that were answered
// since its last step are due again; Next says which.
func (s *Solver) Resume(model []gorgonia.ValueGrad, state *optimizer.State) error {
	if s.state != nil {
		return errors.New("solver: Resume after Step; use a new Solver")
	}
	m, ok := s.method.(optimizer.Settled)
	if !ok {
		return fmt.Errorf("solver: a state of %T cannot be checked; the method must be an optimizer.Settled", s.method)
	}
	if err := s.start(model); err != nil {
		return err
	}
	begun := s.state
	s.state = nil
	if err := m.CheckState(state, len(m.Params(begun))); err != nil {
		return fmt.Errorf("solver: %w", err)
	}
	if !slices.Equal(state.Groups, begun.Groups) {
		return errors.New("solver: the state is of nodes of other sizes, or with another Decay")
	}
	s.state = state
	s.ask()
	return s.put(s.queries[0].Point)
}

// start lays the nodes out in one vector and begins the run.
func (s *Solver) start(model []gorgonia.ValueGrad) error {
	if m, ok := s.method.(optimizer.Settled); ok {
		if err := m.Validate(); err != nil {
			return err
		}
		if m.NeedsLoss() && s.Loss == nil {
			return fmt.Errorf("solver: %T needs the loss of each gradient (AutoGamma), which nodes do not have; set the Solver's Loss, or Gamma", m)
		}
	}
	var ends []int
	var groups []optimizer.Group
	n := 0
	for i, vg := range model {
		v := vg.Value()
		if v == nil {
			return fmt.Errorf("solver: %s has no value; bind one before the first Step", name(i, vg))
		}
		from := n
		n += size(v)
		decay := v.Shape().Dims() > 1
		if s.Decay != nil {
			decay = s.Decay(vg)
		}
		ends = append(ends, n)
		groups = append(groups, optimizer.Group{From: from, To: n, LRScale: 1, Decay: decay})
	}
	s.model, s.ends = slices.Clone(model), ends
	x := make([]float32, n)
	if err := s.each(func(i int, vg gorgonia.ValueGrad, from, to int) error {
		return read(x[from:to], vg.Value())
	}); err != nil {
		return err
	}
	s.state = s.method.Init(x, groups)
	s.ask()
	return nil
}

// ask replaces the queries and makes room for their results.
func (s *Solver) ask() {
	s.queries, s.answered = s.method.Ask(s.state, s.queries[:0]), 0
	for len(s.results) < len(s.queries) {
		grad := make([]float32, len(s.method.Params(s.state)))
		s.results = append(s.results, optimizer.Result{Loss: math.NaN(), Grad: grad})
	}
	s.results = s.results[:len(s.queries)]
}

// put sets the nodes to a flat vector.
func (s *Solver) put(x []float32) error {
	return s.each(func(i int, vg gorgonia.ValueGrad, from, to int) error { return write(vg.Value(), x[from:to]) })
}

// each calls f for the nodes, each with its range of the flat vector, and adds the node to an error.
func (s *Solver) each(f func(i int, vg gorgonia.ValueGrad, from, to int) error) error {
	from := 0
	for i, vg := range s.model {
		if err := f(i, vg, from, s.ends[i]); err != nil {
			return fmt.Errorf("solver: %s: %w", name(i, vg), err)
		}
		from = s.ends[i]
	}
	return nil
}

func notFinite(v float32) bool { return v-v != 0 }

func name(i int, vg gorgonia.ValueGrad) string {
	if n, ok := vg.(gorgonia.Namer); ok {
		return fmt.Sprintf("node %q", n.Name())
	}
	return fmt.Sprintf("node %d", i)
}
