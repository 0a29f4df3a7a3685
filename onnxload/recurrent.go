package onnxload

import (
	"fmt"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// recurrent is LSTM, GRU and RNN, which share inputs (X, W, R, B, sequence_lens, initial_h, and for LSTM initial_c
// and P), outputs (Y, Y_h, and for LSTM Y_c) and most attributes. f makes the nodes, functions are the default
// activations of one direction.
func recurrent(f func(ops.Recurrent) ([3]*gorgonia.Node, error), functions ...string) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		batchFirst, err := c.bool("layout", false)
		if err != nil {
			return err
		}
		r, err := c.recurrentInputs(batchFirst)
		if err != nil {
			return err
		}
		if err := c.recurrentAttributes(&r, functions); err != nil {
			return err
		}
		if x, w := r.X.Shape(), r.R.Shape(); len(x) == 3 && len(w) == 3 {
			// The values of all gates at all steps are kept for the derivative.
			all := []int{x[0], x[1], w[0], w[1]}
			if _, ok := elements(all, c.b.opts.MaxElements); !ok {
				return fmt.Errorf("its gates of shape %v (steps, batch, directions, gates) have more than %d elements", all, c.b.opts.MaxElements)
			}
		}
		for k := range min(len(c.out), 3) {
			r.Want[k] = c.out[k] != nil && len(c.b.model.readers(c.n.Output[k])) > 0
		}
		wanted, carried := r.Want, c.carry(&r, len(functions) == 3)
		out, err := f(r)
		if err != nil {
			return err
		}
		for k, s := range carried {
			s.Out = out[k+1]
			c.b.net.States = append(c.b.net.States, s)
		}
		for k := 2; k >= 0; k-- {
			n := out[k]
			if n == nil || !wanted[k] {
				continue
			}
			if batchFirst { // Y (T, D, N, H) becomes (N, T, D, H), the last states (D, N, H) become (N, D, H)
				perm := [][]int{{2, 0, 1, 3}, {1, 0, 2}, {1, 0, 2}}[k]
				if n, err = ops.Transpose(n, perm); err != nil {
					return err
				}
			}
			if err := c.set(k, n, nil); err != nil {
				return err
			}
		}
		return nil
	}
}

// recurrentInputs reads the inputs; those with a batch are brought from the layout of the node to that of ops.
func (c *nodeCtx) recurrentInputs(batchFirst bool) (r ops.Recurrent, err error) {
	batched := func(i int) (*gorgonia.Node, error) {
		x, err := c.data(i)
		if err == nil && batchFirst {
			if x.Dims() != 3 {
				return nil, fmt.Errorf("its input %d has shape %v; three dimensions are needed", i, x.Shape())
			}
			x, err = ops.Transpose(x, []int{1, 0, 2})
		}
		return x, err
	}
	state := func(i int) (*gorgonia.Node, error) {
		if !c.has(i) {
			return nil, nil
		}
		if zero, err := c.isZero(i); zero || err != nil {
			return nil, err
		}
		return batched(i)
	}
	if r.X, err = batched(0); err != nil {
		return r, err
	}
	if r.R, err = c.operand(2, true); err != nil {
		return r, err
	}
	hidden := 0
	if s := r.R.Shape(); len(s) == 3 {
		hidden = s[2]
	}
	if h, err := c.int("hidden_size", hidden); err != nil {
		return r, err
	} else if h != hidden {
		return r, fmt.Errorf("its hidden_size %d differs from its R of shape %v", h, r.R.Shape())
	}
	// PyTorch starts all weights and biases between ±1/sqrt(hidden units).
	c.setRole(2, role{kind: roleWeight, fanIn: hidden})
	if r.W, err = c.weight(1, role{kind: roleWeight, fanIn: hidden}); err != nil {
		return r, err
	}
	if c.has(3) {
		if r.B, err = c.weight(3, role{kind: roleBias, fanIn: hidden}); err != nil {
			return r, err
		}
	}
	if c.has(4) {
		if r.Lens, err = c.integers(4); err != nil {
			return r, err
		}
	}
	if r.H0, err = state(5); err != nil {
		return r, err
	}
	if r.C0, err = state(6); err != nil {
		return r, err
	}
	if c.has(7) {
		r.P, err = c.weight(7, role{kind: roleBias, fanIn: hidden})
	}
	return r, err
}

// isZero tells whether input i is a constant of zeros that no weights went into, as exporters write where a
// program gives no initial state.
func (c *nodeCtx) isZero(i int) (bool, error) {
	v := c.in[i]
	if !v.constant() || slices.ContainsFunc(v.roots, func(s *source) bool { return s.trainable(false) }) {
		return false, nil
	}
	h, err := c.constant(i)
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(h.f, func(x float64) bool { return x != 0 }), nil
}

func (c *nodeCtx) recurrentAttributes(r *ops.Recurrent, functions []string) (err error) {
	if r.Direction, err = c.string("direction", "forward"); err != nil {
		return err
	}
	if r.InputForget, err = c.bool("input_forget", false); err != nil {
		return err
	}
	if r.LinearBeforeReset, err = c.bool("linear_before_reset", false); err != nil {
		return err
	}
	clip, err := c.float("clip", 0)
	if err != nil {
		return err
	}
	if !(clip >= 0) || c.attr("clip") != nil && clip == 0 {
		return fmt.Errorf("its clip is %g; it must be positive", clip)
	}
	names, err := c.strings("activations")
	if err != nil {
		return err
	}
	if names == nil {
		names = functions
		if r.Direction == "bidirectional" {
			names = slices.Concat(functions, functions)
		}
	}
	alpha, err := c.floats("activation_alpha")
	if err != nil {
		return err
	}
	beta, err := c.floats("activation_beta")
	if err != nil {
		return err
	}
	for i, name := range names {
		a, err := activation(name, &alpha, &beta)
		if err != nil {
			return err
		}
		// As in onnxruntime, the arguments of the gates are bounded but not that of h, the cell.
		if i%len(functions) < 2 {
			a.Clip = clip
		}
		r.Activations = append(r.Activations, a)
	}
	return nil
}

// activation returns an activation by its name, of which ONNX ignores the case. Its parameters are the next of
// alpha and beta; those that take none leave the lists alone.
func activation(name string, alpha, beta *[]float64) (ops.Activation, error) {
	next := func(list *[]float64, def float64) float64 {
		if list == nil || len(*list) == 0 {
			return def
		}
		v := (*list)[0]
		*list = (*list)[1:]
		return v
	}
	k := slices.IndexFunc(activations, func(f activationRow) bool { return strings.EqualFold(f.name, name) })
	if k < 0 {
		return ops.Activation{}, unsupportedf("activation %q is unknown", name)
	}
	f := activations[k]
	a := ops.Activation{Kind: f.kind}
	if f.parameters > 0 {
		a.Alpha = next(alpha, f.alpha)
	}
	if f.parameters > 1 {
		a.Beta = next(beta, f.beta)
	}
	if f.rising && a.Alpha < 0 {
		return a, unsupportedf("activation %s with alpha %g, which makes it fall; it must not be negative", f.name, a.Alpha)
	}
	return a, nil
}

type activationRow struct {
	name        string
	kind        ops.ActivationKind
	parameters  int
	alpha, beta float64 // defaults
	rising      bool    // alpha must not be negative
}

var activations = []activationRow{
	{name: "Sigmoid", kind: ops.ActSigmoid},
	{name: "Tanh", kind: ops.ActTanh},
	{name: "Relu", kind: ops.ActRelu},
	{name: "Affine", kind: ops.ActAffine, parameters: 2, alpha: 1},
	{name: "LeakyRelu", kind: ops.ActLeakyRelu, parameters: 1, alpha: 0.01, rising: true},
	{name: "ThresholdedRelu", kind: ops.ActThresholdedRelu, parameters: 1, alpha: 1},
	{name: "ScaledTanh", kind: ops.ActScaledTanh, parameters: 2, alpha: 1, beta: 1},
	{name: "HardSigmoid", kind: ops.ActHardSigmoid, parameters: 2, alpha: 0.2, beta: 0.5},
	{name: "Elu", kind: ops.ActElu, parameters: 1, alpha: 1, rising: true},
	{name: "Softsign", kind: ops.ActSoftsign},
	{name: "Softplus", kind: ops.ActSoftplus},
}

func lstm(r ops.Recurrent) (out [3]*gorgonia.Node, err error) {
	out[0], out[1], out[2], err = ops.LSTM(r)
	return out, err
}

func gru(r ops.Recurrent) (out [3]*gorgonia.Node, err error) {
	out[0], out[1], err = ops.GRU(r)
	return out, err
}

func rnn(r ops.Recurrent) (out [3]*gorgonia.Node, err error) {
	out[0], out[1], err = ops.RNN(r)
	return out, err
}
