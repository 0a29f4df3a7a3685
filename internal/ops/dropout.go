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
	if !(ratio >= 0 && ratio <= 1) {
		return nil, fmt.Errorf("ops: Dropout: ratio %v is not in [0, 1]", ratio)
	}
	if err := needFloat("Dropout", x); err != nil {
		return nil, err
	}
	if ratio == 0 {
		return x, nil
	}
	if n := len0(x.Shape()); n > 1<<34 {
		return nil, fmt.Errorf("ops: Dropout: shape %v has more elements than a stream of random numbers", x.Shape())
	}
	return apply(&dropout{base{name: "Dropout", out: x.Shape()}, number, ratio, uint64(ratio * (1 << 32))}, x)
}

// Parts start at multiples of chunk, so that none begins inside a block of random words.
func (o *dropout) Phases() []int  { return []int{chunks(len0(o.out))} }
func (o *dropout) InPlace() []int { return []int{0} }
func (o *dropout) draws()         {}

func (o *dropout) Run(env *Env, _, _, part int, out *Buf, in []*Buf) error {
	from := part * chunk
	return o.elements(env, from, min(from+chunk, len0(o.out)), out, in)
}

func (o *dropout) elements(env *Env, from, to int, out *Buf, in []*Buf) error {
	s := rng.Stream{Seed: env.Seed, Purpose: rng.Dropout + o.number, Replica: uint16(env.Replica), Eval: env.Eval}
	scale := 0.0
	if o.ratio < 1 {
		scale = 1 / (1 - o.ratio)
	}
	if o.dt == tensor.Float64 {
		dropoutRange(o, s, from, to, out.F64, in[0].F64, scale)
	} else {
		dropoutRange(o, s, from, to, out.F32, in[0].F32, float32(scale))
	}
	return nil
}

func dropoutRange[T kernels.Float](o *dropout, s rng.Stream, from, to int, y, x []T, scale T) {
	if in := from % 4; in > 0 && from < to { // the range begins inside a block of random words
		var four [4]T
		n := copy(four[in:], x[from:to])
		kernels.Dropout(four[:], four[:], s, from-in, o.threshold, scale)
		copy(y[from:], four[in:in+n])
		from += n
	}
	kernels.Dropout(y[from:to], x[from:to], s, from, o.threshold, scale)
}

func (o *dropout) SymDiff(_ gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := Dropout(dy, o.ratio, o.number)
	return gorgonia.Nodes{dx}, err
}
