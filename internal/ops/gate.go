package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
)

// gate hands on an operand that only counts where a condition says so.
type gate struct {
	base
	keep bool
}

// Gate returns x for what is computed of it only where the int64 number cond is not 0 (keep) or is 0 (not keep): a branch of If, whose
// result a Where takes. The derivative of the other case is 0 whatever comes back, NaN too: behind the Where the derivatives of a
// branch that is not taken begin as zeros, but a zero times the infinite slope of a logarithm at 0 is none. The value is x itself, without a copy.
func Gate(cond, x *gorgonia.Node, keep bool) (*gorgonia.Node, error) {
	if err := needInts("Gate", cond); err != nil {
		return nil, err
	}
	if len0(cond.Shape()) != 1 {
		return nil, fmt.Errorf("ops: Gate: a condition of shape %v; one number is needed", cond.Shape())
	}
	if !isFloat(x.Dtype()) {
		return nil, fmt.Errorf("ops: Gate: an operand of type %v has no derivative", x.Dtype())
	}
	return apply(&gate{base{name: "Gate", out: x.Shape().Clone(), dt: x.Dtype()}, keep}, cond, x)
}

func (o *gate) View() (operand, offset int) { return 1, 0 }
func (o *gate) Phases() []int               { return nil }

func (o *gate) Run(*Env, int, int, int, *Buf, []*Buf) error {
	return fmt.Errorf("a gate has nothing to run")
}

func (o *gate) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := masked(in[0], dy, o.keep, o.out)
	return gorgonia.Nodes{nil, dx}, err
}

var _ Viewer = (*gate)(nil)
