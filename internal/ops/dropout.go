package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// dropout is y = x*mask/(1-ratio). The mask is a pure function of Env and the element's index, and the
// operator is linear in x: its derivative is the operator again, on dy.
type dropout struct {
	base
	number    uint32
	ratio     float64
	threshold uint64 // an element is kept if its random word is at least this
}

// Dropout sets each element to 0 with probability ratio and multiplies the others by 1/(1-ratio). Element i is
// kept where word i%4 of block i/4 of the stream {Seed, rng.Dropout+number, Replica, Eval} of Env is at
// least ratio*2^32. number tells the Dropout nodes of a graph apart. With ratio 0 it is x itself, with 1 all
// is 0.
func Dropout(x *gorgonia.Node, ratio float64, number uint32) (*gorgonia.Node, error) {
	o, err := newDropout(x, ratio, number)
	if err != nil {
		return nil, err
	}
	if ratio == 0 {
		return x, nil
	}
	return apply(o, x)
}

// newDropout makes and checks the operator.
func newDropout(x *gorgonia.Node, ratio float64, number uint32) (*dropout, error) {
	if !(ratio >= 0 && ratio <= 1) {
		return nil, fmt.Errorf("ops: Dropout: ratio %v is not in [0, 1]", ratio)
	}
	if err := needFloat("Dropout", x); err != nil {
		return nil, err
	}
	if n := len0(x.Shape()); n > 1<<34 {
		return nil, fmt.Errorf("ops: Dropout: shape %v has more elements than a stream of random numbers", x.Shape())
	}
	return &dropout{base{name: "Dropout", out: x.Shape()}, number, ratio, uint64(ratio * (1 << 32))}, nil
}

// Parts start at multiples of chunk, so that none begins inside a block of random words.
func (o *dropout) Phases() []int  { return []int{chunks(len0(o.out))} }
func (o *dropout) InPlace() []int { return []int{0} }
func (o *dropout) draws() bool    { return true }

func (o *dropout) Run(env *Env, _, _, part int, out *Buf, in []*Buf) error {
	d := o.of(env)
	from := part * chunk
	to := min(from+chunk, len0(o.out))
	if o.dt == tensor.Float64 {
		kernels.Dropout(&d, out.F64[from:to], in[0].F64[from:to], from)
	} else {
		kernels.Dropout(&d, out.F32[from:to], in[0].F32[from:to], from)
	}
	return nil
}

// of is the dropout of one evaluation.
func (o *dropout) of(env *Env) kernels.Drop {
	s := rng.Stream{Seed: env.Seed, Purpose: rng.Dropout + o.number, Replica: uint16(env.Replica), Eval: env.Eval}
	return kernels.NewDrop(s, o.threshold, o.scale())
}

// scale is what the elements that stay are multiplied by.
func (o *dropout) scale() float64 {
	if o.ratio < 1 {
		return 1 / (1 - o.ratio)
	}
	return 0
}

func (o *dropout) SymDiff(_ gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := Dropout(dy, o.ratio, o.number)
	return gorgonia.Nodes{dx}, err
}
