package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// Recurrent networks over whole sequences: LSTM, GRU and RNN with the shapes and the order of gates of ONNX.
//
// Three operators make one of them, and only the first two do work:
//
//   - the tape (forward) computes everything, and keeps what the derivative needs: gates, states, cells;
//   - the tape's derivative (backward) computes the derivatives by the arguments of all gates, from which
//     those of weights and input are ordinary matrix products over all time steps, and by the initial state;
//   - the outputs are a view of the tape. They depend on the tape and, formally, on its operands as well: so
//     their derivative is one of their own small shape, and the tape needs none.

// Recurrent holds the operands of LSTM, GRU and RNN: T steps of N sequences, D directions, H hidden units, and G
// gates (4, 3, 1). The optional ones are nil where absent.
type Recurrent struct {
	X *gorgonia.Node // (T, N, I)
	W *gorgonia.Node // (D, G*H, I)
	R *gorgonia.Node // (D, G*H, H)

	B    *gorgonia.Node // (D, 2*G*H): for W, then for R
	Lens *gorgonia.Node // (N) int64: steps of each sequence; the others give 0 and leave the state
	H0   *gorgonia.Node // (D, N, H), default 0
	C0   *gorgonia.Node // (D, N, H), LSTM only
	P    *gorgonia.Node // (D, 3*H), LSTM only: peepholes of i, o, f, which see the cell

	Direction string // "forward" (also ""), "reverse" or "bidirectional"

	// Want tells which of the outputs Y (T, D, N, H), Y_h (D, N, H) and Y_c (D, N, H) are needed. One alone
	// costs no copy.
	Want [3]bool

	LinearBeforeReset bool // GRU: n = tanh(W x + r*(R h + b)) instead of tanh(W x + R(r*h) + b)
	InputForget       bool // LSTM: f = 1 - i

	// Activations are, for each direction in turn, f, g and h of an LSTM, f and g of a GRU, f of an RNN. nil
	// stands for sigmoid, tanh, tanh; sigmoid, tanh; tanh.
	Activations []Activation
}

// An Activation is what a gate computes.
type Activation = kernels.Activation

// An ActivationKind is one of the constants below.
type ActivationKind = kernels.ActivationKind

// Kinds of Activation.
const (
	ActSigmoid         = kernels.ActSigmoid
	ActTanh            = kernels.ActTanh
	ActRelu            = kernels.ActRelu
	ActAffine          = kernels.ActAffine
	ActLeakyRelu       = kernels.ActLeakyRelu
	ActThresholdedRelu = kernels.ActThresholdedRelu
	ActScaledTanh      = kernels.ActScaledTanh
	ActHardSigmoid     = kernels.ActHardSigmoid
	ActElu             = kernels.ActElu
	ActSoftsign        = kernels.ActSoftsign
	ActSoftplus        = kernels.ActSoftplus
)

type cellKind int

const (
	lstmCell  cellKind = iota
	gruCell            // r*h is multiplied with R: two matrix products that wait for each other
	gruLinear          // r is multiplied with R*h
	rnnCell
)

// sequence is what the operators of one recurrent network share.
type sequence struct {
	name           string
	kind           cellKind
	acts           [2][3]kernels.Activation // of each direction
	plain          bool                     // LSTM, GRU: the default activations and nothing else
	coupled        bool                     // LSTM: f = 1 - i
	t, n, i, h     int
	d, g           int
	backwards      [2]bool // direction k goes from the last step to the first
	want           [3]bool
	table          int // rows of the table whose products with W the input is looked up in; 0: none, see lookup
	b, lens        int // operands; -1: absent
	h0, c0, p      int
	direct         bool // Y is the states after each step as they lie on the tape
	rows, cols     int  // of a block: sequences and hidden units
	across, blocks int  // blocks of hidden units; blocks of all directions

	// The tape: where each section starts, in elements.
	gates  int    // (D, T, N, G*H), after their activation
	states int    // (D, T+1, N, H): h before and after each step, in order of time
	cells  int    // (D, T+1, N, H): c likewise, LSTM
	tanh   int    // (D, T, N, H): tanh(c), LSTM
	mixed  int    // (D, T, N, H): r*h of gruCell, R*h+b of the third gate of gruLinear
	outs   [3]int // of outputs that are wanted; none if direct
	size   int
}

// outputs applies the network and returns its outputs, nil where not wanted.
func (r Recurrent) outputs(name string, kind cellKind) (out [3]*gorgonia.Node, err error) {
	s, operands, err := r.plan(name, kind)
	if err != nil {
		return out, fmt.Errorf("ops: %s: %w", name, err)
	}
	if err := s.lookUp(r.X, r.W, operands); err != nil {
		return out, err
	}
	tape, err := apply(s.newForward(len(operands)), operands...)
	if err != nil {
		return out, err
	}
	from, shape := s.outs[0], tensor.Shape{0}
	if s.direct {
		from, shape = s.output(), s.outShape(0)
	} else {
		var wanted int
		for k, w := range s.want {
			if w {
				shape[0] += len0(s.outShape(k))
				wanted++
			}
		}
		for k := 2; k >= 0; k-- {
			if s.want[k] {
				from = s.outs[k]
				if wanted == 1 {
					shape = s.outShape(k)
				}
			}
		}
	}
	o := &sequenceOut{base{name: name + "Out", out: shape, fixed: []int{0}}, s, from}
	y, err := apply(o, append([]*gorgonia.Node{tape}, operands...)...)
	if err != nil {
		return out, err
	}
	for k, w := range s.want {
		if !w {
			continue
		}
		if out[k] = y; len(shape) > 1 {
			break
		}
		if out[k], err = viewOf(y, s.outs[k]-from, s.outShape(k)); err != nil {
			return out, err
		}
	}
	return out, nil
}

// plan checks the operands and settles the layout of the tape and the partition.
func (r Recurrent) plan(name string, kind cellKind) (*sequence, []*gorgonia.Node, error) {
	s := &sequence{name: name, kind: kind, coupled: r.InputForget, g: [...]int{4, 3, 3, 1}[kind], want: r.Want, b: -1, lens: -1, h0: -1, c0: -1, p: -1}
	x, w, h := r.X.Shape(), r.W.Shape(), r.R.Shape()
	if len(x) != 3 || len(w) != 3 || len(h) != 3 {
		return nil, nil, fmt.Errorf("input X has shape %v, W %v and R %v; three dimensions each are needed", x, w, h)
	}
	s.t, s.n, s.i, s.d, s.h = x[0], x[1], x[2], 1, h[2]
	switch r.Direction {
	case "", "forward":
	case "reverse":
		s.backwards[0] = true
	case "bidirectional":
		s.d, s.backwards[1] = 2, true
	default:
		return nil, nil, fmt.Errorf("direction %q is none of forward, reverse, bidirectional", r.Direction)
	}
	operands := []*gorgonia.Node{r.X, r.W, r.R}
	for _, c := range []struct {
		what  string
		n     *gorgonia.Node
		want  []int
		index *int
	}{
		{"W", r.W, []int{s.d, s.g * s.h, s.i}, nil},
		{"R", r.R, []int{s.d, s.g * s.h, s.h}, nil},
		{"B", r.B, []int{s.d, 2 * s.g * s.h}, &s.b},
		{"initial_h", r.H0, []int{s.d, s.n, s.h}, &s.h0},
		{"initial_c", r.C0, []int{s.d, s.n, s.h}, &s.c0},
		{"P", r.P, []int{s.d, 3 * s.h}, &s.p},
		{"sequence_lens", r.Lens, []int{s.n}, &s.lens},
	} {
		if c.n == nil {
			continue
		}
		if !sameShape(c.n.Shape(), c.want) {
			return nil, nil, fmt.Errorf("%s has shape %v; %v is needed with X of shape %v and R of shape %v", c.what, c.n.Shape(), c.want, x, h)
		}
		if c.index == &s.lens {
			if c.n.Dtype() != tensor.Int64 {
				return nil, nil, fmt.Errorf("sequence_lens has elements of type %v; int64 is needed", c.n.Dtype())
			}
		} else if c.n.Dtype() != r.X.Dtype() || !isFloat(c.n.Dtype()) {
			return nil, nil, fmt.Errorf("%s has elements of type %v and X of %v; both must be float32 or float64", c.what, c.n.Dtype(), r.X.Dtype())
		}
		if c.index != nil {
			*c.index = len(operands)
			operands = append(operands, c.n)
		}
	}
	if len0(x) == 0 || len0(h) == 0 {
		return nil, nil, fmt.Errorf("input X of shape %v or R of shape %v has no elements", x, h)
	}
	if kind != lstmCell {
		s.want[2] = false
		if s.c0 >= 0 || s.p >= 0 {
			return nil, nil, fmt.Errorf("it has no cells to give an initial value or peepholes")
		}
	}
	if err := s.activations(r.Activations); err != nil {
		return nil, nil, err
	}
	if s.want == [3]bool{} {
		s.want[0] = true
	}
	s.layout()
	s.partition()
	return s, operands, nil
}

// activations settles what the gates compute.
func (s *sequence) activations(list []kernels.Activation) error {
	defaults := [...][]kernels.ActivationKind{
		lstmCell:  {kernels.ActSigmoid, kernels.ActTanh, kernels.ActTanh},
		gruCell:   {kernels.ActSigmoid, kernels.ActTanh},
		gruLinear: {kernels.ActSigmoid, kernels.ActTanh},
		rnnCell:   {kernels.ActTanh},
	}[s.kind]
	each := len(defaults)
	if list != nil && len(list) != s.d*each {
		return fmt.Errorf("%d activations where %d are needed", len(list), s.d*each)
	}
	s.plain = !s.coupled && s.p < 0
	for d := range s.d {
		for k, kind := range defaults {
			a := kernels.Activation{Kind: kind}
			if list != nil {
				s.plain = s.plain && list[d*each+k] == a
				a = list[d*each+k]
			}
			s.acts[d][k] = a
		}
	}
	return nil
}

func (s *sequence) layout() {
	take := func(n int) (at int) { at = s.size; s.size += n; return at }
	each := s.d * s.t * s.n * s.h
	s.gates = take(s.g * each)
	s.states = take(each + s.d*s.n*s.h)
	switch s.kind {
	case lstmCell:
		s.cells = take(each + s.d*s.n*s.h)
		s.tanh = take(each)
	case gruCell, gruLinear:
		s.mixed = take(each)
	}
	s.direct = s.d == 1 && s.lens < 0 && s.want == [3]bool{true}
	for k, w := range s.want {
		if w && !s.direct {
			s.outs[k] = take(len0(s.outShape(k)))
		}
	}
}

// output is where Y starts if it is part of the states.
func (s *sequence) output() int {
	if s.backwards[0] {
		return s.states
	}
	return s.states + s.n*s.h
}

func (s *sequence) outShape(k int) tensor.Shape {
	if k == 0 {
		return tensor.Shape{s.t, s.d, s.n, s.h}
	}
	return tensor.Shape{s.d, s.n, s.h}
}

// A block of a step is some sequences and some hidden units of one direction. Where there are sequences for
// several parts, a block has all hidden units: nothing but itself depends on it, and a part computes all steps
// without waiting. Else blocks have some of the hidden units, and each step is a phase, unless it is so small
// that starting a phase would cost more.
const (
	sequenceRows    = 32
	sequenceParts   = 4
	sequencePhase   = 1 << 16 // multiplications of a step that are worth a phase
	sequenceColumns = 2 * kernels.RecurrentColumns
)

func (s *sequence) partition() {
	s.rows, s.cols = min(s.n, sequenceRows), s.h
	down := ceilDiv(s.n, s.rows)
	s.rows = ceilDiv(s.n, down)
	if s.d*down < sequenceParts && s.n*s.g*s.h*s.h >= sequencePhase && s.h > sequenceColumns {
		s.cols = max(sequenceColumns, ceilDiv(s.h, 8*kernels.RecurrentColumns)*kernels.RecurrentColumns)
	}
	s.across = ceilDiv(s.h, s.cols)
	s.blocks = s.d * down * s.across
}

// A block is a range of sequences and hidden units of a direction.
type block struct{ d, n0, n1, h0, h1 int }

func (s *sequence) block(part int) block {
	down := ceilDiv(s.n, s.rows)
	d, n0, h0 := part/(down*s.across), part/s.across%down*s.rows, part%s.across*s.cols
	return block{d, n0, min(n0+s.rows, s.n), h0, min(h0+s.cols, s.h)}
}

// stages is the number of matrix products of a step that wait for each other.
func (s *sequence) stages() int {
	if s.kind == gruCell {
		return 2
	}
	return 1
}

// stepPhases appends the phases of all steps.
func (s *sequence) stepPhases(phases []int) []int {
	if s.across == 1 {
		return append(phases, s.blocks)
	}
	for range s.t * s.stages() {
		phases = append(phases, s.blocks)
	}
	return phases
}

// time is the time step that direction d takes as its step k.
func (s *sequence) time(d, k int) int {
	if s.backwards[d] {
		return s.t - 1 - k
	}
	return k
}

// slots returns the places, in states and cells, of the values before and after time step t.
func (s *sequence) slots(d, t int) (before, after int) {
	if s.backwards[d] {
		return t + 1, t
	}
	return t, t + 1
}

// state is the offset, in states or cells, of row n at a place of direction d.
func (s *sequence) state(d, place, n int) int { return ((d*(s.t+1)+place)*s.n + n) * s.h }

// step is the offset of row n at time t of direction d in a section with width elements a row.
func (s *sequence) step(d, t, n, width int) int { return ((d*s.t+t)*s.n + n) * width }

// lengths returns sequence_lens, nil without.
func (s *sequence) lengths(in []*Buf) []int64 {
	if s.lens < 0 {
		return nil
	}
	return in[s.lens].I64
}

// checkLengths returns the error of a length that cannot be.
func (s *sequence) checkLengths(in []*Buf) error {
	for i, l := range s.lengths(in) {
		if l < 0 || l > int64(s.t) {
			return fmt.Errorf("sequence_lens[%d] is %d; it must be from 0 to %d, the steps of X", i, l, s.t)
		}
	}
	return nil
}

// active tells whether time step t belongs to sequence n.
func active(lens []int64, n, t int) bool { return lens == nil || int64(t) < lens[n] }

// at returns n elements of s from an offset on.
func at[T any](s []T, from, n int) []T { return s[from : from+n] }
