package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// random draws numbers. They are a pure function of Env and the element's index, and depend on no operand: the only one
// there is ties the node to its graph.
type random struct {
	base
	number        uint32
	normal        bool
	shift, spread float64
}

// RandomNormal returns independent normal numbers of the given mean and standard deviation, of the element type of any,
// whose value does not matter. Element i is number i of the stream {Seed, rng.Random+number, Replica, Eval} of Env, so every
// gradient has numbers of its own. number tells the drawing nodes of a graph apart. (ONNX RandomNormal, RandomNormalLike)
func RandomNormal(any *gorgonia.Node, shape []int, mean, deviation float64, number uint32) (*gorgonia.Node, error) {
	return newRandom(&random{base{name: "RandomNormal", out: shape}, number, true, mean, deviation}, any)
}

// RandomUniform is RandomNormal with numbers of the uniform distribution between low and high, neither of which occurs in
// exact arithmetic. (ONNX RandomUniform, RandomUniformLike)
func RandomUniform(any *gorgonia.Node, shape []int, low, high float64, number uint32) (*gorgonia.Node, error) {
	return newRandom(&random{base{name: "RandomUniform", out: shape}, number, false, low, high - low}, any)
}

func newRandom(o *random, any *gorgonia.Node) (*gorgonia.Node, error) {
	if err := needFloat(o.name, any); err != nil {
		return nil, err
	}
	if math.IsNaN(o.shift) || math.IsInf(o.shift, 0) || math.IsNaN(o.spread) || math.IsInf(o.spread, 0) {
		return nil, fmt.Errorf("ops: %s: its distribution is not finite", o.name)
	}
	if len0(o.out) > 1<<34 {
		return nil, fmt.Errorf("ops: %s: shape %v has more elements than a stream of random numbers", o.name, o.out)
	}
	o.fixed = []int{0}
	return apply(o, any)
}

func (o *random) draws() bool { return true }

func (o *random) Phases() []int { return []int{chunks(len0(o.out))} }

func (o *random) Run(env *Env, _, _, part int, out *Buf, _ []*Buf) error {
	s := rng.Stream{Seed: env.Seed, Purpose: rng.Random + o.number, Replica: uint16(env.Replica), Eval: env.Eval}
	from := part * chunk
	to := min(from+chunk, len0(o.out))
	var some [256]float32
	for from < to {
		x := some[:min(len(some), to-from)]
		if o.normal {
			s.Normals(x, from)
		} else {
			uniforms(x, s, from)
		}
		for i, v := range x {
			y := o.shift + o.spread*float64(v)
			if o.dt == tensor.Float64 {
				out.F64[from+i] = y
			} else {
				out.F32[from+i] = float32(y)
			}
		}
		from += len(x)
	}
	return nil
}

// uniforms sets x to the numbers in (0, 1) from the given one on, which begins a block of random words.
func uniforms(x []float32, s rng.Stream, from int) {
	var words [256]uint32
	s.Words(words[:len(x)], uint32(from/4))
	for i := range x {
		x[i] = rng.Uniform(words[i])
	}
}
