package runner

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/exec"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// OnNaN says what becomes of a run whose loss, gradient or weights are NaN or infinite.
type OnNaN uint8

const (
	// StopOnNaN ends the run with a *DivergedError; the report has the weights of the last whole outer step.
	StopOnNaN OnNaN = iota
	// RollBackOnNaN goes back to the state after an outer step, at most some tens of gradients before, and
	// goes on with the mini-batches behind the one that failed. If that fails maxRetries times from the same
	// state, the run stops.
	RollBackOnNaN
)

func (o OnNaN) String() string {
	if o == RollBackOnNaN {
		return "rollback"
	}
	return "stop"
}

const (
	maxRetries = 5
	// rememberEvery is the least number of gradients between two states to roll back to: a copy costs about as
	// much as an update.
	rememberEvery = 20
)

// A DivergedError ends a run in which a loss, a gradient, or what a step makes of it is no longer finite.
type DivergedError struct {
	Evals, Outer uint64 // gradient evaluation, from 1, and outer step, from 0
	Loss         float64
	First        string // the first tensor that is not finite, and the node that computed it
	Data         bool   // whether that is an input or a target
	Weights      bool   // whether it is a weight that the method has computed from finite gradients
	Retries      int    // rollbacks that did not help
}

func (e *DivergedError) Error() string {
	what, after, remedy := fmt.Sprintf("the loss became %v", e.Loss), "", "try a smaller learning rate"
	if e.Evals == 1 {
		what, remedy = fmt.Sprintf("the loss is %v before the first step", e.Loss), "start from other weights"
	}
	if !math.IsNaN(e.Loss) && !math.IsInf(e.Loss, 0) {
		what = "the gradient is no longer finite"
	}
	if e.Weights {
		what, remedy = "the step gave weights that are not finite", "try a smaller learning rate"
	}
	if e.Retries > 0 {
		after = fmt.Sprintf(", after %d rollbacks to the same state", e.Retries)
	}
	if e.Data {
		remedy = "correct the data"
	}
	return fmt.Sprintf("runner: %s at gradient evaluation %d (outer step %d)%s; the first number that is not finite is in %s; %s",
		what, e.Evals, e.Outer, after, e.First, remedy)
}

// remember keeps the state as one to roll back to, if the run does that and it is time.
func (r *run) remember() {
	if r.cfg.OnNaN != RollBackOnNaN || r.good != nil && r.state.Evals-r.good.Evals < rememberEvery {
		return
	}
	r.good = cloneState(r.good, r.state)
	r.goodCarried = cloneCarried(r.goodCarried, r.carried)
	r.retries = 0
}

// cloneState copies s, into the memory of dst if that is not nil.
func cloneState(dst, s *optimizer.State) *optimizer.State {
	if dst == nil {
		dst = &optimizer.State{}
	}
	vecs, inner := dst.Vecs, dst.Inner
	*dst = *s
	if s.Inner != nil {
		dst.Inner = cloneState(inner, s.Inner)
	}
	dst.Scalars, dst.Groups = slices.Clone(s.Scalars), slices.Clone(s.Groups)
	dst.Vecs = vecs
	for i, v := range s.Vecs {
		if i == len(dst.Vecs) {
			dst.Vecs = append(dst.Vecs, nil)
		}
		dst.Vecs[i] = append(dst.Vecs[i][:0], v...)
	}
	return dst
}

// rollBack makes the last good state that of the run and tells whether it did; e is then dealt with.
func (r *run) rollBack(rep *Report, e *DivergedError) bool {
	if r.good == nil {
		return false
	}
	if r.retries >= maxRetries {
		e.Retries = r.retries
		return false
	}
	r.retries++
	rep.Rollbacks++
	// The mini-batches from the good state to the one that failed are not drawn again.
	r.skipped += e.Evals - r.good.Evals
	r.state = cloneState(r.state, r.good)
	r.carried = cloneCarried(r.carried, r.goodCarried)
	r.sum, r.count = 0, 0
	r.keep(rep)
	if r.cfg.RolledBack != nil {
		r.cfg.RolledBack(e)
	}
	return true
}

// firstNonFinite describes the first tensor of a gradient that is not finite: an input, a target, a weight, or what a node
// computed. It computes the gradient once more, which gives the same numbers. samples are the numbers of those of b.
func (s *Step) firstNonFinite(ctx context.Context, grad, x []float32, b *Batch, samples []int, at optimizer.Draw) (where string, data bool) {
	for i, t := range b.Inputs {
		if row := firstRow(t); row >= 0 {
			return fmt.Sprintf("the data: input %q of sample %d, in mini-batch %d", s.net.Inputs[i].Name(), samples[row], at.Batch), true
		}
	}
	if row := firstRow(b.Targets[0]); row >= 0 {
		return fmt.Sprintf("the data: the target of sample %d, in mini-batch %d", samples[row], at.Batch), true
	}
	if name := s.firstParam(x); name != "" {
		return fmt.Sprintf("the weights %q at which the gradient was wanted", name), false
	}
	s.mu.Lock()
	c, err := s.compile(forGradient, b)
	if err == nil {
		c.vm.Check = func(n *gorgonia.Node, out *ops.Buf) error {
			if exec.Finite(out.F32) && exec.Finite(out.F64) {
				return nil
			}
			return &nonFinite{c.describe(n)}
		}
	}
	s.mu.Unlock()
	if err != nil {
		return err.Error(), false
	}
	_, err = s.Grad(ctx, grad, x, b, at)
	c.vm.Check = nil
	var found *nonFinite
	switch {
	case errors.As(err, &found):
		return found.where, false
	case err != nil:
		return err.Error(), false
	}
	if name := s.firstParam(grad); name != "" {
		return fmt.Sprintf("the gradient of %q", name), false
	}
	return "no tensor when it was computed again; the memory of this computer may be at fault", false
}

// firstParam is the name of the first parameter whose part of a flat vector is not finite, or empty.
func (s *Step) firstParam(x []float32) string {
	for _, p := range s.net.Params {
		if !exec.Finite(x[p.From:p.To]) {
			return p.Name
		}
	}
	return ""
}

// firstRow is the first along axis 0 of a tensor of floats with a number that is not finite, or -1.
func firstRow(t *tensor.Dense) int {
	if t.Dtype() != tensor.Float32 {
		return -1
	}
	v, rows := t.Float32s(), t.Shape()[0]
	for i := range rows {
		if per := len(v) / rows; !exec.Finite(v[i*per : (i+1)*per]) {
			return i
		}
	}
	return -1
}

type nonFinite struct{ where string }

func (e *nonFinite) Error() string { return e.where }

// describe says what a node of the graph computes, in the words of the model.
func (c *compiled) describe(n *gorgonia.Node) string {
	if n == c.loss {
		return "the loss"
	}
	if i := slices.Index(c.derivatives, n); i >= 0 {
		return fmt.Sprintf("the gradient of %q (%s)", c.trained[i].Name(), ops.Name(n))
	}
	if name := c.net.NodeName(n); name != "" {
		return fmt.Sprintf("the output of node %q (%s), shape %v", name, ops.Name(n), n.Shape())
	}
	return fmt.Sprintf("a step of the backward pass (%s), shape %v", ops.Name(n), n.Shape())
}
