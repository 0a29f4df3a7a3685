package ops

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// A recurrentCase is a network and which of its optional operands it has.
type recurrentCase struct {
	op            string // LSTM, GRU or RNN
	t, n, i, h    int
	direction     string
	bias, initial bool
	lens          []int64
	want          [3]bool
	linear        bool

	acts    []kernels.Activation
	coupled bool // f = 1 - i
	peep    bool // peepholes
}

func (c recurrentCase) String() string {
	s := fmt.Sprintf("%s/T%dN%dI%dH%d%s", c.op, c.t, c.n, c.i, c.h, c.direction)
	for name, on := range map[string]bool{"-nobias": !c.bias, "-initial": c.initial, "-linear": c.linear, "-coupled": c.coupled, "-peepholes": c.peep} {
		if on {
			s += name
		}
	}
	if c.lens != nil {
		s += fmt.Sprint("-lens", c.lens)
	}
	for _, a := range c.acts {
		s += fmt.Sprint(a)
	}
	return s + fmt.Sprint(c.want)
}

func (c recurrentCase) gates() int { return map[string]int{"LSTM": 4, "GRU": 3, "RNN": 1}[c.op] }

func (c recurrentCase) directions() int {
	if c.direction == "bidirectional" {
		return 2
	}
	return 1
}

// inputs returns X, W, R, then B, H0, C0 and the lengths as far as there are.
func (c recurrentCase) inputs() []*tensor.Dense {
	d, m := c.directions(), c.gates()*c.h
	scale := 1 / math.Sqrt(float64(c.h))
	in := []*tensor.Dense{randn(1, c.t, c.n, c.i), uniform(2, -scale, scale, d, m, c.i), uniform(3, -scale, scale, d, m, c.h)}
	if c.bias {
		in = append(in, uniform(4, -scale, scale, d, 2*m))
	}
	if c.initial {
		in = append(in, randn(5, d, c.n, c.h))
		if c.op == "LSTM" {
			in = append(in, randn(6, d, c.n, c.h))
		}
	}
	if c.peep {
		in = append(in, uniform(7, -1, 1, d, 3*c.h))
	}
	if c.lens != nil {
		in = append(in, tensor.New(tensor.WithShape(c.n), tensor.WithBacking(append([]int64(nil), c.lens...))))
	}
	return in
}

// outputs builds the network.
func (c recurrentCase) outputs(in []*gorgonia.Node) ([3]*gorgonia.Node, error) {
	r := Recurrent{X: in[0], W: in[1], R: in[2], Direction: c.direction, Want: c.want, LinearBeforeReset: c.linear, Activations: c.acts, InputForget: c.coupled}
	in = in[3:]
	take := func() *gorgonia.Node { n := in[0]; in = in[1:]; return n }
	if c.bias {
		r.B = take()
	}
	if c.initial {
		r.H0 = take()
		if c.op == "LSTM" {
			r.C0 = take()
		}
	}
	if c.peep {
		r.P = take()
	}
	if c.lens != nil {
		r.Lens = take()
	}
	var out [3]*gorgonia.Node
	var err error
	switch c.op {
	case "LSTM":
		out[0], out[1], out[2], err = LSTM(r)
	case "GRU":
		out[0], out[1], err = GRU(r)
	default:
		out[0], out[1], err = RNN(r)
	}
	return out, err
}

// build joins the wanted outputs to one vector.
func (c recurrentCase) build(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
	out, err := c.outputs(in)
	if err != nil {
		return nil, err
	}
	var flat []*gorgonia.Node
	for k, n := range out {
		if (n != nil) != c.want[k] {
			return nil, fmt.Errorf("output %d is %v", k, n)
		}
		if n == nil {
			continue
		}
		if n, err = Reshape(n, []int{len0(n.Shape())}); err != nil {
			return nil, err
		}
		flat = append(flat, n)
	}
	return Concat(0, flat...)
}

func recurrentCases() []recurrentCase {
	onlyY, onlyH := [3]bool{true}, [3]bool{false, true}
	var cases []recurrentCase
	for _, op := range []string{"LSTM", "GRU", "RNN"} {
		all := [3]bool{true, true, op == "LSTM"}
		for _, linear := range []bool{false, true} {
			if linear && op != "GRU" {
				continue
			}
			cases = append(cases,
				recurrentCase{op: op, t: 3, n: 2, i: 3, h: 5, bias: true, want: onlyY, linear: linear},
				recurrentCase{op: op, t: 4, n: 3, i: 2, h: 3, direction: "reverse", bias: true, initial: true, want: onlyY, linear: linear},
				recurrentCase{op: op, t: 3, n: 2, i: 1, h: 4, direction: "bidirectional", bias: true, initial: true, want: all, linear: linear},
				recurrentCase{op: op, t: 4, n: 4, i: 2, h: 3, direction: "bidirectional", bias: true, initial: true, lens: []int64{2, 4, 0, 1}, want: all, linear: linear},
				recurrentCase{op: op, t: 3, n: 3, i: 2, h: 2, lens: []int64{3, 1, 2}, want: onlyH, linear: linear},
				recurrentCase{op: op, t: 1, n: 1, i: 1, h: 1, bias: true, want: onlyH, linear: linear},
			)
		}
	}
	return append(cases,
		recurrentCase{op: "LSTM", t: 2, n: 2, i: 2, h: 3, bias: true, want: [3]bool{false, false, true}},
		recurrentCase{op: "RNN", t: 3, n: 2, i: 3, h: 4, bias: true, want: [3]bool{true, true}, acts: []kernels.Activation{{Kind: kernels.ActRelu}}},
		recurrentCase{op: "LSTM", t: 4, n: 3, i: 2, h: 3, direction: "bidirectional", bias: true, initial: true, peep: true, lens: []int64{4, 1, 3}, want: [3]bool{true, true, true}},
		recurrentCase{op: "LSTM", t: 3, n: 2, i: 2, h: 3, direction: "reverse", bias: true, initial: true, peep: true, coupled: true, want: onlyY},
		recurrentCase{op: "LSTM", t: 3, n: 2, i: 2, h: 3, bias: true, coupled: true, initial: true, want: [3]bool{true, true, true}},
		recurrentCase{op: "LSTM", t: 3, n: 3, i: 2, h: 4, bias: true, initial: true, want: [3]bool{true, false, true}, acts: clipped(0.45, kernels.ActSigmoid, kernels.ActTanh, kernels.ActTanh)},
		recurrentCase{op: "LSTM", t: 3, n: 3, i: 2, h: 4, bias: true, initial: true, want: onlyY, acts: []kernels.Activation{
			{Kind: kernels.ActHardSigmoid, Alpha: 0.25, Beta: 0.45}, {Kind: kernels.ActScaledTanh, Alpha: 1.2, Beta: 0.7}, {Kind: kernels.ActSoftsign}}},
		recurrentCase{op: "LSTM", t: 3, n: 2, i: 2, h: 3, direction: "bidirectional", bias: true, want: onlyY, acts: append(clipped(0, kernels.ActSigmoid, kernels.ActRelu, kernels.ActTanh),
			kernels.Activation{Kind: kernels.ActHardSigmoid, Alpha: 0.2, Beta: 0.5}, kernels.Activation{Kind: kernels.ActTanh}, kernels.Activation{Kind: kernels.ActAffine, Alpha: -0.7, Beta: 0.2, Clip: 0.8})},
		recurrentCase{op: "GRU", t: 3, n: 3, i: 2, h: 4, bias: true, initial: true, want: onlyY, acts: clipped(0.4, kernels.ActSigmoid, kernels.ActTanh)},
		recurrentCase{op: "GRU", t: 3, n: 3, i: 2, h: 4, bias: true, initial: true, want: onlyY, linear: true, acts: []kernels.Activation{
			{Kind: kernels.ActHardSigmoid, Alpha: 0.25, Beta: 0.45}, {Kind: kernels.ActSoftplus}}},
		recurrentCase{op: "RNN", t: 3, n: 2, i: 3, h: 4, bias: true, want: onlyY, acts: []kernels.Activation{{Kind: kernels.ActElu, Alpha: 0.8}}},
		recurrentCase{op: "RNN", t: 3, n: 2, i: 3, h: 4, bias: true, want: onlyY, acts: []kernels.Activation{{Kind: kernels.ActLeakyRelu, Alpha: 0.2, Clip: 0.7}}},
		recurrentCase{op: "RNN", t: 3, n: 2, i: 3, h: 4, bias: true, want: onlyY, acts: []kernels.Activation{{Kind: kernels.ActThresholdedRelu, Alpha: 0.1}}},
	)
}

// clipped returns activations that have no parameters.
func clipped(clip float64, kinds ...kernels.ActivationKind) (acts []kernels.Activation) {
	for _, k := range kinds {
		acts = append(acts, kernels.Activation{Kind: k, Clip: clip})
	}
	return acts
}

// activation is gate function k of a direction, by ONNX's formulas.
func (c recurrentCase) activation(direction, k int) func(x float64) float64 {
	each := map[string]int{"LSTM": 3, "GRU": 2, "RNN": 1}[c.op]
	a := kernels.Activation{Kind: kernels.ActTanh}
	if k == 0 && c.op != "RNN" {
		a.Kind = kernels.ActSigmoid
	}
	if c.acts != nil {
		a = c.acts[direction*each+k]
	}
	f := map[kernels.ActivationKind]func(x float64) float64{
		kernels.ActSigmoid:         func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
		kernels.ActTanh:            math.Tanh,
		kernels.ActRelu:            func(x float64) float64 { return max(0, x) },
		kernels.ActAffine:          func(x float64) float64 { return a.Alpha*x + a.Beta },
		kernels.ActLeakyRelu:       func(x float64) float64 { return max(0, x) + a.Alpha*min(0, x) },
		kernels.ActThresholdedRelu: func(x float64) float64 { return map[bool]float64{true: x}[x > a.Alpha] },
		kernels.ActScaledTanh:      func(x float64) float64 { return a.Alpha * math.Tanh(a.Beta*x) },
		kernels.ActHardSigmoid:     func(x float64) float64 { return min(max(a.Alpha*x+a.Beta, 0), 1) },
		kernels.ActElu:             func(x float64) float64 { return max(0, x) + a.Alpha*(math.Exp(min(0, x))-1) },
		kernels.ActSoftsign:        func(x float64) float64 { return x / (1 + math.Abs(x)) },
		kernels.ActSoftplus:        func(x float64) float64 { return math.Log(1 + math.Exp(x)) },
	}[a.Kind]
	return func(x float64) float64 {
		if a.Clip > 0 {
			x = max(-a.Clip, min(a.Clip, x))
		}
		return f(x)
	}
}

func TestRecurrentGradients(t *testing.T) {
	for _, c := range recurrentCases() {
		t.Run(c.String(), func(t *testing.T) { checkGrad(t, c.build, c.inputs()...) })
	}
}

// oracle computes the outputs unit by unit, one sequence after the other, from the formulas of the ONNX
// specification: a sequence that is read backwards starts at its own last step.
func (c recurrentCase) oracle(in []*tensor.Dense) []float64 {
	data := func(k int) []float64 { return in[k].Float64s() }
	x, w, r := data(0), data(1), data(2)
	next := 3
	var b, h0, c0 []float64
	if c.bias {
		b = data(next)
		next++
	}
	if c.initial {
		h0 = data(next)
		next++
		if c.op == "LSTM" {
			c0 = data(next)
			next++
		}
	}
	peep := make([]float64, c.directions()*3*c.h)
	if c.peep {
		peep = data(next)
	}
	d, m, h := c.directions(), c.gates()*c.h, c.h
	y, yh, yc := make([]float64, c.t*d*c.n*h), make([]float64, d*c.n*h), make([]float64, d*c.n*h)
	for k := range d {
		f, h_ := c.activation(k, 0), c.activation(k, 0)
		g := h_
		if c.op != "RNN" {
			g = c.activation(k, 1)
		}
		if c.op == "LSTM" {
			h_ = c.activation(k, 2)
		}
		for n := range c.n {
			state, cell := make([]float64, h), make([]float64, h)
			if h0 != nil {
				copy(state, h0[(k*c.n+n)*h:])
			}
			if c0 != nil {
				copy(cell, c0[(k*c.n+n)*h:])
			}
			steps := c.t
			if c.lens != nil {
				steps = int(c.lens[n])
			}
			for s := range steps {
				at := s
				if c.direction == "reverse" || k == 1 {
					at = steps - 1 - s
				}
				fromX := func(gate, j int) float64 {
					row := gate*h + j
					sum := 0.0
					for q := range c.i {
						sum += w[(k*m+row)*c.i+q] * x[(at*c.n+n)*c.i+q]
					}
					if b != nil {
						sum += b[k*2*m+row]
					}
					return sum
				}
				fromH := func(gate, j int, h_ []float64) float64 {
					row := gate*h + j
					sum := 0.0
					for q := range h {
						sum += r[(k*m+row)*h+q] * h_[q]
					}
					if b != nil {
						sum += b[k*2*m+m+row]
					}
					return sum
				}
				after := make([]float64, h)
				for j := range h {
					switch {
					case c.op == "LSTM":
						p := peep[k*3*h:]
						i := f(fromX(0, j) + fromH(0, j, state) + p[j]*cell[j])
						forget := f(fromX(2, j) + fromH(2, j, state) + p[2*h+j]*cell[j])
						if c.coupled {
							forget = 1 - i
						}
						cell[j] = forget*cell[j] + i*g(fromX(3, j)+fromH(3, j, state))
						after[j] = f(fromX(1, j)+fromH(1, j, state)+p[h+j]*cell[j]) * h_(cell[j])
					case c.op == "RNN":
						after[j] = f(fromX(0, j) + fromH(0, j, state))
					default:
						z := f(fromX(0, j) + fromH(0, j, state))
						var n float64
						if c.linear {
							n = g(fromX(2, j) + f(fromX(1, j)+fromH(1, j, state))*fromH(2, j, state))
						} else {
							reset := make([]float64, h)
							for q := range h {
								reset[q] = f(fromX(1, q)+fromH(1, q, state)) * state[q]
							}
							n = g(fromX(2, j) + fromH(2, j, reset))
						}
						after[j] = (1-z)*n + z*state[j]
					}
				}
				state = after
				copy(y[((at*d+k)*c.n+n)*h:], state)
			}
			copy(yh[(k*c.n+n)*h:], state)
			copy(yc[(k*c.n+n)*h:], cell)
		}
	}
	var out []float64
	for k, v := range [][]float64{y, yh, yc} {
		if c.want[k] {
			out = append(out, v...)
		}
	}
	return out
}

func TestRecurrentOutputs(t *testing.T) {
	cases := recurrentCases()
	// Several blocks of sequences; and blocks of hidden units, whose steps are phases.
	for _, op := range []string{"LSTM", "GRU", "RNN"} {
		cases = append(cases,
			recurrentCase{op: op, t: 2, n: 70, i: 3, h: 7, bias: true, want: [3]bool{true, true}},
			recurrentCase{op: op, t: 2, n: 3, i: 2100, h: 7, direction: "bidirectional", bias: true, want: [3]bool{true, true}},
			recurrentCase{op: op, t: 3, n: 5, i: 3, h: 150, bias: true, want: [3]bool{true}, linear: true},
			recurrentCase{op: op, t: 3, n: 6, i: 3, h: 131, direction: "bidirectional", initial: true, lens: []int64{3, 1, 0, 2, 3, 2}, want: [3]bool{true, true}})
	}
	for _, c := range cases {
		t.Run(c.String(), func(t *testing.T) {
			in := c.inputs()
			got, err := forward(t, tensor.Float64, c.build, in...)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range c.oracle(in) {
				if math.Abs(got.F64[i]-want) > 1e-12*(1+math.Abs(want)) {
					t.Fatalf("element %d is %v, want %v", i, got.F64[i], want)
				}
			}
		})
	}
}

// Where steps are phases, the derivative is checked along one direction of all operands together: a central
// difference for each element would take minutes.
func TestRecurrentGradientsInBlocks(t *testing.T) {
	for _, op := range []string{"LSTM", "GRU", "RNN"} {
		for _, linear := range []bool{false, op == "GRU"} {
			for _, c := range []recurrentCase{
				{op: op, t: 3, n: 5, i: 3, h: 150, bias: true, initial: true, want: [3]bool{true}, linear: linear},
				{op: op, t: 3, n: 6, i: 3, h: 131, direction: "bidirectional", bias: true, initial: true, lens: []int64{3, 1, 0, 2, 3, 2}, want: [3]bool{true, true}, linear: linear},
				{op: op, t: 2, n: 70, i: 3, h: 7, direction: "reverse", bias: true, want: [3]bool{true}, linear: linear},
			} {
				t.Run(c.String(), func(t *testing.T) { checkDirection(t, c) })
			}
		}
	}
}

func checkDirection(t *testing.T, c recurrentCase) {
	var point []*Buf
	var wrt []int
	for i, in := range c.inputs() {
		b, err := FromValue(in)
		if err != nil {
			t.Fatal(err)
		}
		point = append(point, b)
		if b.F64 != nil {
			wrt = append(wrt, i)
		}
	}
	round32(point)
	tr := newTrial(t, c.build, tensor.Float64, point, wrt)
	for seed := range uint64(2) {
		const h = 1e-5
		slope := 0.0
		var moved [2]float64
		var direction [][]float64
		for k, g := range tr.grads(t, point) {
			v := randn(100*seed+uint64(k), len(g.F64)).Float64s()
			direction = append(direction, v)
			for j := range v {
				slope += g.F64[j] * v[j]
			}
		}
		for s, sign := range []float64{1, -1} {
			at := make([]*Buf, len(point))
			for i, b := range point {
				at[i] = b.clone()
			}
			for k, i := range wrt {
				for j, v := range direction[k] {
					at[i].F64[j] += sign * h * v
				}
			}
			moved[s] = tr.loss(t, at)
		}
		want := (moved[0] - moved[1]) / (2 * h)
		if math.Abs(slope-want) > 1e-5*(1+math.Abs(want)) {
			t.Errorf("slope %.9g, central difference %.9g", slope, want)
		}
	}
	checkFloat32(t, c.build, tr, tr.grads(t, point), point, wrt)
}

// round32 rounds to float32 in place, so that both types see the same point.
func round32(point []*Buf) {
	for _, b := range point {
		for i, v := range b.F64 {
			b.F64[i] = float64(float32(v))
		}
	}
}

func TestRecurrentErrors(t *testing.T) {
	c := recurrentCase{op: "LSTM", t: 3, n: 2, i: 2, h: 2, bias: true, want: [3]bool{true}, lens: []int64{1, 4}}
	if _, err := forward(t, tensor.Float64, c.build, c.inputs()...); err == nil || !strings.Contains(err.Error(), "sequence_lens[1] is 4") {
		t.Errorf("too long a sequence: %v", err)
	}
	c.lens = []int64{-1, 2}
	if _, err := forward(t, tensor.Float64, c.build, c.inputs()...); err == nil {
		t.Error("a negative length is taken")
	}
	c.lens = nil
	c.direction = "sideways"
	if _, err := forward(t, tensor.Float64, c.build, c.inputs()...); err == nil || !strings.Contains(err.Error(), "sideways") {
		t.Errorf("direction: %v", err)
	}
	c.direction = ""
	for k, shape := range [][]int{{3, 2, 3}, {1, 8, 3}, {1, 7, 2}, {1, 15}} {
		in := c.inputs()
		in[k] = randn(1, shape...)
		if _, err := forward(t, tensor.Float64, c.build, in...); err == nil || !strings.Contains(err.Error(), "LSTM") {
			t.Errorf("operand %d of shape %v: %v", k, shape, err)
		}
	}
}

func TestRecurrentAllocatesNothing(t *testing.T) {
	for _, op := range []string{"LSTM", "GRU", "RNN"} {
		c := recurrentCase{op: op, t: 3, n: 40, i: 8, h: 16, bias: true, want: [3]bool{true}}
		for _, j := range jobs(t, c.build, 0, shapesOf(c.inputs())...) {
			phases := j.op.Phases()
			if n := testing.AllocsPerRun(2, func() {
				for phase, parts := range phases {
					for part := range parts {
						if err := j.op.Run(&j.env, 0, phase, part, j.out, j.in); err != nil {
							t.Fatal(err)
						}
					}
				}
			}); n != 0 {
				t.Errorf("%s: %v allocates %v times a run", op, j.op, n)
			}
		}
	}
}

func shapesOf(in []*tensor.Dense) [][]int {
	var s [][]int
	for _, x := range in {
		s = append(s, x.Shape())
	}
	return s
}
