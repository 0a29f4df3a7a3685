package ops

import (
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// sequenceForward computes the tape. Phase 0 packs the weights and lays down the initial state. Then, if not fused and
// not looked up, the input of all steps is multiplied by W, and the steps follow.
type sequenceForward struct {
	base
	*sequence
	recur kernels.Packed // the gates' parts of R

	// fused: a step multiplies its input by W itself, just before it needs the product.
	fused bool
	input kernels.Packed // the gates' parts of W, if fused

	project kernels.Gemm // if neither fused nor looked up
	parts   []int        // of project's phases

	// Where shared memory holds W, as input or project needs it, sizeW for each direction, the packed R, and what the
	// arguments of the gates begin with: the sum of both biases, added to each row of the table if the input is looked up.
	sizeW, packedR, biases int
	addendParts            int // that compute the latter
}

// fusedWeights is the largest number of weights of a direction for which the input is multiplied step by step: they
// stay in a second-level cache of a megabyte, and the products, T*N*G*H elements, need not go to memory and back.
const fusedWeights = 1 << 17

// newForward returns the tape of the given number of operands, none of which it is differentiated by.
func (s *sequence) newForward(operands int) *sequenceForward {
	m := s.g * s.h
	o := &sequenceForward{
		base:     base{name: s.name, out: tensor.Shape{s.size}},
		sequence: s,
		recur:    kernels.Packed{Count: s.g, K: s.h, N: s.h, LD: s.h, Trans: true},
		fused:    s.table == 0 && s.across == 1 && m*(s.i+s.h) <= fusedWeights,
	}
	for i := range operands {
		o.fixed = append(o.fixed, i)
	}
	switch {
	case s.table > 0:
		o.parts = []int{0}
	case o.fused:
		o.input = kernels.Packed{Count: s.g, K: s.i, N: s.h, LD: s.i, Trans: true}
		o.parts = []int{o.input.Parts()}
		o.sizeW = o.input.Size()
	default:
		o.project = kernels.Gemm{TransB: true, M: s.t * s.n, N: m, K: s.i, LDA: s.i, LDB: s.i, LDC: m, Stack: s.d}
		o.parts = o.project.Phases()
		o.sizeW, _ = o.project.Scratch()
	}
	o.addendParts = ceilDiv(s.addends(), s.addendRows())
	o.packedR = s.d * o.sizeW
	o.biases = o.packedR + s.d*o.recur.Size()
	return o
}

func (o *sequenceForward) String() string { return o.base.name }

func (o *sequenceForward) Phases() []int {
	phases := []int{o.d * (o.parts[0] + o.recur.Parts() + 1 + o.addendParts)}
	for _, parts := range o.parts[1:] {
		phases = append(phases, o.d*parts)
	}
	return o.stepPhases(phases)
}

func (o *sequenceForward) Scratch() (shared, worker int) {
	worker = o.recur.Worker(o.rows)
	switch {
	case o.table > 0:
	case o.fused:
		worker = max(worker, o.input.Worker(o.rows))
	default:
		_, own := o.project.Scratch()
		worker = max(worker, own)
	}
	return o.biases + o.d*o.addends()*o.g*o.h, worker
}

func (o *sequenceForward) Run(env *Env, worker, phase, part int, out *Buf, in []*Buf) error {
	if phase == 0 && part == 0 {
		if err := o.checkLengths(in); err != nil {
			return err
		}
		if err := o.checkIndex(in); err != nil {
			return err
		}
	}
	if out.F64 != nil {
		forwardPart[float64](o, env, worker, phase, part, out, in)
	} else {
		forwardPart[float32](o, env, worker, phase, part, out, in)
	}
	return nil
}

func forwardPart[T kernels.Float](o *sequenceForward, env *Env, worker, phase, part int, out *Buf, in []*Buf) {
	shared, own := floats[T](&env.Shared), floats[T](&env.Worker[worker])
	switch {
	case phase < len(o.parts):
		m := o.g * o.h
		d := part % o.d
		part /= o.d
		if part < o.parts[phase] {
			w := at(floats[T](in[1]), d*m*o.i, m*o.i)
			if o.fused {
				kernels.PackPart(&o.input, part, shared[d*o.sizeW:], w)
				return
			}
			gates := at(floats[T](out), o.gates+d*o.t*o.n*m, o.t*o.n*m)
			kernels.GemmPart(&o.project, phase, part, gates, floats[T](in[0]), w, shared[d*o.sizeW:], own)
		} else if part -= o.parts[phase]; part < o.recur.Parts() {
			r := at(floats[T](in[2]), d*m*o.h, m*o.h)
			kernels.PackPart(&o.recur, part, shared[o.packedR+d*o.recur.Size():], r)
		} else if part -= o.recur.Parts(); part < o.addendParts {
			addendsPart(o, d, part, shared, in)
		} else {
			forwardStart(o, d, floats[T](out), in)
		}
	case o.across == 1:
		for k := range o.t {
			for stage := range o.stages() {
				forwardStep(o, k, stage, o.block(part), shared, own, floats[T](out), in)
			}
		}
	default:
		phase -= len(o.parts)
		forwardStep(o, phase/o.stages(), phase%o.stages(), o.block(part), shared, own, floats[T](out), in)
	}
}

// forwardStart lays down the initial state of direction d.
func forwardStart[T kernels.Float](o *sequenceForward, d int, tape []T, in []*Buf) {
	size := o.n * o.h
	first, _ := o.slots(d, o.time(d, 0))
	initial := func(section, operand int) {
		dst := at(tape, section+o.state(d, first, 0), size)
		if operand < 0 {
			clear(dst)
		} else {
			copy(dst, floats[T](in[operand])[d*size:])
		}
	}
	initial(o.states, o.h0)
	if o.kind == lstmCell {
		initial(o.cells, o.c0)
	}
}

// addends is the number of rows that the arguments of the gates begin with in a direction.
func (s *sequence) addends() int { return max(1, s.table) }

// addendRows is how many of them a part computes.
func (s *sequence) addendRows() int { return max(1, chunk/(s.g*s.h)) }

// addendsPart computes some of the rows of direction d.
func addendsPart[T kernels.Float](o *sequenceForward, d, part int, shared []T, in []*Buf) {
	m, n := o.g*o.h, o.addends()
	from := part * o.addendRows()
	to := min(from+o.addendRows(), n)
	rows := at(shared, o.biases+(d*n+from)*m, (to-from)*m)
	sum := rows[:m]
	if o.b < 0 {
		clear(sum)
	} else {
		b := at(floats[T](in[o.b]), d*2*m, 2*m)
		kernels.Add(sum, b[:m], b[m:])
		if o.kind == gruLinear {
			copy(sum[gruN*o.h:], b[gruN*o.h:m]) // that for R is under r
		}
	}
	if o.table == 0 {
		return
	}
	// The first row holds the sum: it comes last.
	for r := to - 1; r >= from; r-- {
		row := at(rows, (r-from)*m, m)
		kernels.Add(row, sum, at(floats[T](in[0]), (d*n+r)*m, m))
	}
}

// A stepView is a block at one step, cut out of the tape: rows of sequences from n0 on.
type stepView[T kernels.Float] struct {
	block
	t, m, h          int
	lens             []int64
	gates            []T // rows of m = G*H
	before, after    []T // rows of h, as all below: the state
	cellBefore, cell []T
	tanh, mixed      []T
	addends          []T                // what the gates' arguments begin with: rows of m
	index            []int64            // of the addend of each row, nil where there is one for all
	peephole         []T                // 3*h, LSTM with peepholes
	f, g, act        kernels.Activation // of gates; act is that of the cell
	ahead            kernels.Ahead[T]   // what is needed after the product that comes next
}

// cutStep cuts the tape.
func cutStep[T kernels.Float](s *sequence, b block, k int, tape []T, lens []int64) stepView[T] {
	t := s.time(b.d, k)
	v := stepView[T]{block: b, t: t, m: s.g * s.h, h: s.h, lens: lens, f: s.acts[b.d][0], g: s.acts[b.d][1], act: s.acts[b.d][2]}
	rows := b.n1 - b.n0
	before, after := s.slots(b.d, t)
	v.gates = at(tape, s.gates+s.step(b.d, t, b.n0, v.m), rows*v.m)
	v.before = at(tape, s.states+s.state(b.d, before, b.n0), rows*s.h)
	v.after = at(tape, s.states+s.state(b.d, after, b.n0), rows*s.h)
	switch s.kind {
	case lstmCell:
		v.cellBefore = at(tape, s.cells+s.state(b.d, before, b.n0), rows*s.h)
		v.cell = at(tape, s.cells+s.state(b.d, after, b.n0), rows*s.h)
		v.tanh = at(tape, s.tanh+s.step(b.d, t, b.n0, s.h), rows*s.h)
	case gruCell, gruLinear:
		v.mixed = at(tape, s.mixed+s.step(b.d, t, b.n0, s.h), rows*s.h)
	}
	return v
}

// gate returns the block's part of a gate of its row r.
func (v *stepView[T]) gate(r, gate int) []T { return v.cutGate(v.gates, r, gate) }

// cutGate is gate in another section with m elements a row.
func (v *stepView[T]) cutGate(s []T, r, gate int) []T {
	return s[r*v.m+gate*v.h+v.h0 : r*v.m+gate*v.h+v.h1]
}

// addend returns what the arguments of row r's gates begin with, besides the products.
func (v *stepView[T]) addend(r int) []T {
	if v.index == nil {
		return v.addends
	}
	i := int(v.index[r])
	if i < 0 {
		i += len(v.addends) / v.m
	}
	return at(v.addends, i*v.m, v.m)
}

// row returns the block's part of row r of a section with h elements a row.
func (v *stepView[T]) row(s []T, r int) []T { return s[r*v.h+v.h0 : r*v.h+v.h1] }

// active tells whether row r has this time step.
func (v *stepView[T]) active(r int) bool { return active(v.lens, v.n0+r, v.t) }

// forwardStep computes a stage of step k of a block.
func forwardStep[T kernels.Float](o *sequenceForward, k, stage int, b block, shared, own, tape []T, in []*Buf) {
	v := cutStep(o.sequence, b, k, tape, o.lengths(in))
	packed := at(shared, o.packedR+b.d*o.recur.Size(), o.recur.Size())
	size := o.addends() * v.m
	v.addends = at(shared, o.biases+b.d*size, size)
	if o.p >= 0 {
		v.peephole = at(floats[T](in[o.p]), b.d*3*o.h, 3*o.h)
	}
	if o.table > 0 {
		v.index = at(in[1].I64, v.t*o.n+b.n0, b.n1-b.n0)
	}
	rows := b.n1 - b.n0
	if o.across == 1 && stage == 0 {
		// The gates of the next step and what this one writes besides come into the cache meanwhile.
		if k < o.t-1 {
			t := o.time(b.d, k+1)
			v.ahead.Add(at(tape, o.gates+o.step(b.d, t, b.n0, v.m), rows*v.m))
			if o.fused {
				v.ahead.Add(at(floats[T](in[0]), (t*o.n+b.n0)*o.i, rows*o.i))
			}
		}
		for _, s := range [][]T{v.after, v.tanh, v.cell, v.mixed} {
			v.ahead.Add(s)
		}
	}
	if o.fused && stage == 0 {
		x := at(floats[T](in[0]), (v.t*o.n+b.n0)*o.i, rows*o.i)
		kernels.MulPacked(&o.input, 0, o.g, rows, 0, o.h, x, o.i, shared[b.d*o.sizeW:], v.gates, v.m, o.h, false, &v.ahead, own)
	}
	switch o.kind {
	case lstmCell:
		lstmStep(o, &v, packed, own)
	case gruCell:
		if stage == 0 {
			gruGates(o, &v, packed, own)
			return
		}
		gruStep(o, &v, packed, own)
	case gruLinear:
		var forR []T
		if o.b >= 0 {
			forR = at(floats[T](in[o.b]), b.d*2*v.m+v.m+2*o.h, o.h)
		}
		gruLinearStep(o, &v, packed, forR, own)
	case rnnCell:
		rnnStep(o, &v, packed, own)
	}
	for r := range b.n1 - b.n0 {
		if !v.active(r) {
			copy(v.row(v.after, r), v.row(v.before, r))
		}
	}
	if !o.direct {
		forwardOutputs(o.sequence, &v, k, tape)
	}
}

// forwardOutputs copies the states to the outputs.
func forwardOutputs[T kernels.Float](s *sequence, v *stepView[T], k int, tape []T) {
	last := k == s.t-1
	for r := range v.n1 - v.n0 {
		if s.want[0] {
			y := at(tape, s.outs[0]+((v.t*s.d+v.d)*s.n+v.n0+r)*s.h+v.h0, v.h1-v.h0)
			if v.active(r) {
				copy(y, v.row(v.after, r))
			} else {
				clear(y)
			}
		}
		for out, state := range [...][]T{1: v.after, 2: v.cell} {
			if last && out > 0 && s.want[out] {
				copy(at(tape, s.outs[out]+(v.d*s.n+v.n0+r)*s.h+v.h0, v.h1-v.h0), v.row(state, r))
			}
		}
	}
}

// multiply adds x*R of the gates [from, to) to the gates, where x has h elements a row. Where the input is looked up they
// are the first that the gates get.
func (v *stepView[T]) multiply(o *sequenceForward, from, to int, x, packed, own []T) {
	kernels.MulPacked(&o.recur, from, to, v.n1-v.n0, v.h0, v.h1, x, v.h, packed, v.gates[from*v.h+v.h0:], v.m, v.h, o.table == 0, &v.ahead, own)
}
