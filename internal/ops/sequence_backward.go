package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// sequenceOut is the outputs, a range of the tape; its operands are the tape and those of the tape.
type sequenceOut struct {
	base
	*sequence
	from int
}

func (o *sequenceOut) String() string              { return o.base.name }
func (o *sequenceOut) View() (operand, offset int) { return 0, o.from }
func (o *sequenceOut) Phases() []int               { return nil }
func (o *sequenceOut) Run(*Env, int, int, int, *Buf, []*Buf) error {
	return fmt.Errorf("a view has nothing to run")
}

// SymDiff: with da the derivative by the arguments of all gates, rows of time and batch together,
//
//	dX = da W   dW = transpose(da) X   dR = transpose(da) h   dB = sums of da's rows
//
// for each direction, where h is the state before each step. The third gate of a GRU has r*h instead of h; or,
// linear before reset, da*r instead of da.
func (o *sequenceOut) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	tape, operands := in[0], in[1:]
	back := o.newBackward()
	args := []*gorgonia.Node{tape, operands[2], dy}
	if o.lens >= 0 {
		args = append(args, operands[o.lens])
	}
	if o.table > 0 {
		back.index = len(args)
		args = append(args, operands[1])
	}
	if o.p >= 0 {
		back.peephole = len(args)
		args = append(args, operands[o.p])
	}
	d, err := apply(back, args...)
	if err != nil {
		return nil, err
	}
	g := &sequenceGrads{o.sequence, back, tape, d}
	out := make(gorgonia.Nodes, len(in))
	if o.table > 0 {
		out[1], err = g.table(operands[0].Shape(), operands[1])
	} else if out[1], err = g.input(operands[1]); err == nil {
		out[2], err = g.weights(operands[0])
	}
	if err != nil {
		return nil, err
	}
	if out[3], err = g.recurrent(); err != nil {
		return nil, err
	}
	if o.b >= 0 {
		if out[1+o.b], err = g.bias(); err != nil {
			return nil, err
		}
	}
	if o.p >= 0 {
		if out[1+o.p], err = g.peepholes(); err != nil {
			return nil, err
		}
	}
	if o.h0 >= 0 {
		if out[1+o.h0], err = viewOf(d, back.dh, o.outShape(1)); err != nil {
			return nil, err
		}
	}
	if o.c0 >= 0 {
		if out[1+o.c0], err = viewOf(d, back.dc, o.outShape(2)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// sequenceBackward computes, from the tape, R and the derivative by the outputs, those by the arguments of all
// gates and by the initial state, step by step from the last to the first. Phase 0 packs R; the last one
// completes the derivative by the initial state.
type sequenceBackward struct {
	base
	*sequence
	size   int
	da     int // (D, T, N, G*H)
	sums   int // (D, rows of addends, G*H): sums of da's rows that have the same addend; see summed
	daR    int // the same as the product with R sees it: da itself but for gruLinear
	dh, dc int // (D, N, H), before and after each step that by the state

	recur kernels.Packed // R, of gruCell without its third gate
	reset kernels.Packed // of gruCell, the third gate
	outs  [3]int         // where dy holds the derivative by each output

	index, peephole int // operands

	// Blocks sum up the rows of da by their addends while these are in the cache, in shared memory from here on; what
	// is left of the last phase adds the blocks' sums up.
	summed     bool
	sumsBlocks int
	sumsParts  int // of each direction
}

func (s *sequence) newBackward() *sequenceBackward {
	m := s.g * s.h
	o := &sequenceBackward{sequence: s}
	take := func(n int) (at int) { at = o.size; o.size += n; return at }
	o.da = take(s.d * s.t * s.n * m)
	if o.daR = o.da; s.kind == gruLinear {
		o.daR = take(s.d * s.t * s.n * m)
	}
	o.dh = take(s.d * s.n * s.h)
	if s.kind == lstmCell {
		o.dc = take(s.d * s.n * s.h)
	}
	// Sums of all blocks should take little memory beside da.
	if down := s.blocks / s.d; s.across == 1 && 4*down*s.addends() <= s.t*s.n {
		o.summed = true
		o.sums = take(s.d * s.addends() * m)
		o.sumsParts = ceilDiv(s.addends()*m, chunk)
	}
	o.recur = kernels.Packed{Count: 1, K: m, N: s.h, LD: s.h}
	if s.kind == gruCell {
		o.recur.K = gruN * s.h
		o.reset = kernels.Packed{Count: 1, K: s.h, N: s.h, LD: s.h}
	}
	o.sumsBlocks = s.d * o.recur.Size()
	if o.reset.Count > 0 {
		o.sumsBlocks += s.d * o.reset.Size()
	}
	at := 0
	for k, w := range s.want {
		if w {
			o.outs[k] = at
			at += len0(s.outShape(k))
		}
	}
	o.base = base{name: s.name + "Grad", out: tensor.Shape{o.size}, fixed: []int{0, 1, 2}}
	return o
}

func (o *sequenceBackward) String() string { return o.base.name }

// packs is the number of parts that pack R of one direction.
func (o *sequenceBackward) packs() (recur, reset int) {
	if o.reset.Count > 0 {
		reset = o.reset.Parts()
	}
	return o.recur.Parts(), reset
}

func (o *sequenceBackward) Phases() []int {
	recur, reset := o.packs()
	return append(o.stepPhases([]int{o.d * (recur + reset + 1)}), o.blocks+o.d*o.sumsParts)
}

func (o *sequenceBackward) Scratch() (shared, worker int) {
	shared, worker = o.sumsBlocks, o.recur.Worker(o.rows)
	if o.summed {
		shared += o.blocks * o.addends() * o.g * o.h
	}
	if o.reset.Count > 0 {
		worker = max(worker, o.reset.Worker(o.rows)) + o.rows*o.cols
	}
	return shared, worker
}

// lengths returns sequence_lens, here the last operand.
func (o *sequenceBackward) lengths(in []*Buf) []int64 {
	if o.lens < 0 {
		return nil
	}
	return in[3].I64
}

func (o *sequenceBackward) Run(env *Env, worker, phase, part int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		backwardPart[float64](o, env, worker, phase, part, out, in)
	} else {
		backwardPart[float32](o, env, worker, phase, part, out, in)
	}
	return nil
}

func backwardPart[T kernels.Float](o *sequenceBackward, env *Env, worker, phase, part int, out *Buf, in []*Buf) {
	shared, own := floats[T](&env.Shared), floats[T](&env.Worker[worker])
	grads := floats[T](out)
	if phase == 0 {
		backwardStart(o, part, shared, grads, in)
		return
	}
	phase--
	if phase > 0 && part >= o.blocks {
		addSums(o, part-o.blocks, shared, grads)
		return
	}
	b := o.block(part)
	if o.across == 1 {
		if phase == 0 {
			clear(blockSums(o, part, shared))
			for k := o.t - 1; k >= 0; k-- {
				for stage := range o.stages() {
					backwardStep(o, k, stage, b, blockSums(o, part, shared), shared, own, grads, in)
				}
			}
			return
		}
	} else if phase < o.t*o.stages() {
		backwardStep(o, o.t-1-phase/o.stages(), phase%o.stages(), b, nil, shared, own, grads, in)
		return
	}
	arrive(o, -1, b, grads, in)
	throughR(o, 0, b, shared, own, grads, nil)
}

// backwardStart packs R and lays down the derivative by the last state, as far as it comes from the outputs.
func backwardStart[T kernels.Float](o *sequenceBackward, part int, shared, grads []T, in []*Buf) {
	d := part % o.d
	part /= o.d
	recur, reset := o.packs()
	r := at(floats[T](in[1]), d*o.g*o.h*o.h, o.g*o.h*o.h)
	if part < recur {
		kernels.PackPart(&o.recur, part, packedOf(o, shared, d), r)
		return
	}
	if part -= recur; part < reset {
		kernels.PackPart(&o.reset, part, resetOf(o, shared, d), r[gruN*o.h*o.h:])
		return
	}
	size := o.n * o.h
	dy := floats[T](in[2])
	final := func(section, k int) {
		dst := at(grads, section+d*size, size)
		if o.want[k] {
			copy(dst, dy[o.outs[k]+d*size:])
		} else {
			clear(dst)
		}
	}
	final(o.dh, 1)
	if o.kind == lstmCell {
		final(o.dc, 2)
	}
}

// packedOf and resetOf cut R of direction d out of the shared memory.
func packedOf[T kernels.Float](o *sequenceBackward, shared []T, d int) []T {
	return at(shared, d*o.recur.Size(), o.recur.Size())
}

func resetOf[T kernels.Float](o *sequenceBackward, shared []T, d int) []T {
	return at(shared, o.d*o.recur.Size()+d*o.reset.Size(), o.reset.Size())
}

// blockSums cuts the sums of a block out of the shared memory, nil if there are none.
func blockSums[T kernels.Float](o *sequenceBackward, part int, shared []T) []T {
	if !o.summed {
		return nil
	}
	size := o.addends() * o.g * o.h
	return at(shared, o.sumsBlocks+part*size, size)
}

// addSums adds up a part of the sums of the blocks of a direction, in their order.
func addSums[T kernels.Float](o *sequenceBackward, part int, shared, grads []T) {
	d, size, blocks := part/o.sumsParts, o.addends()*o.g*o.h, o.blocks/o.d
	from, to := span(size, o.sumsParts, part%o.sumsParts)
	dst := at(grads, o.sums+d*size+from, to-from)
	copy(dst, blockSums(o, d*blocks, shared)[from:to])
	for k := 1; k < blocks; k++ {
		kernels.Add(dst, dst, blockSums(o, d*blocks+k, shared)[from:to])
	}
}

// throughR adds to a block's derivative by the state before step k what comes through the products with R.
func throughR[T kernels.Float](o *sequenceBackward, k int, b block, shared, own, grads []T, ahead *kernels.Ahead[T]) {
	m := o.g * o.h
	rows := b.n1 - b.n0
	da := at(grads, o.daR+o.step(b.d, o.time(b.d, k), b.n0, m), rows*m)
	kernels.MulPacked(&o.recur, 0, 1, rows, b.h0, b.h1, da, m, packedOf(o, shared, b.d), stateGrad(o, b, grads)[b.h0:], o.h, 0, true, ahead, own)
}

// stateGrad cuts a block's rows of the derivative by the state.
func stateGrad[T kernels.Float](o *sequenceBackward, b block, grads []T) []T {
	return at(grads, o.dh+(b.d*o.n+b.n0)*o.h, (b.n1-b.n0)*o.h)
}

// outputGrad cuts the derivative by the output of time step t out of dy, nil for none.
func outputGrad[T kernels.Float](o *sequenceBackward, t int, b block, dy []T) []T {
	if !o.want[0] {
		return nil
	}
	return at(dy, o.outs[0]+((t*o.d+b.d)*o.n+b.n0)*o.h, (b.n1-b.n0)*o.h)
}

// arrive makes the derivative by the state that step k+1 has seen that by the state after step k, but for what comes
// through R: a step of an LSTM or RNN leaves nothing of it, and the output of step k adds its own. Step -1 has none.
func arrive[T kernels.Float](o *sequenceBackward, k int, b block, grads []T, in []*Buf) {
	lens := o.lengths(in)
	dh := stateGrad(o, b, grads)
	var dy []T
	if k >= 0 {
		dy = outputGrad(o, o.time(b.d, k), b, floats[T](in[2]))
	}
	used := k < o.t-1 && (o.kind == lstmCell || o.kind == rnnCell)
	if lens == nil && o.across == 1 {
		add(dh, dy, used)
		return
	}
	for r := range b.n1 - b.n0 {
		from, to := r*o.h+b.h0, r*o.h+b.h1
		var here []T
		if dy != nil && active(lens, b.n0+r, o.time(b.d, k)) {
			here = dy[from:to]
		}
		add(dh[from:to], here, used && active(lens, b.n0+r, o.time(b.d, k+1)))
	}
}

// add adds dy, nil for zeros, to dh, or to zeros if dh is used.
func add[T kernels.Float](dh, dy []T, used bool) {
	switch {
	case used && dy == nil:
		clear(dh)
	case used:
		copy(dh, dy)
	case dy != nil:
		kernels.Add(dh, dh, dy)
	}
}

// backwardStep computes a stage of step k of a block. Between steps, dh holds what arrive makes something of.
func backwardStep[T kernels.Float](o *sequenceBackward, k, stage int, b block, sums, shared, own, grads []T, in []*Buf) {
	v := cutStep(o.sequence, b, k, floats[T](in[0]), o.lengths(in))
	rows := b.n1 - b.n0
	da := at(grads, o.da+o.step(b.d, v.t, b.n0, v.m), rows*v.m)
	daR := at(grads, o.daR+o.step(b.d, v.t, b.n0, v.m), rows*v.m)
	dh := stateGrad(o, b, grads)
	if v.addends = sums; o.table > 0 && sums != nil {
		v.index = at(in[o.index].I64, v.t*o.n+b.n0, rows)
	}
	if stage == 1 {
		need := rows * (b.h1 - b.h0)
		d, own := own[:need], own[need:]
		kernels.MulPacked(&o.reset, 0, 1, rows, b.h0, b.h1, da[gruN*o.h:], v.m, resetOf(o, shared, b.d), d, b.h1-b.h0, 0, false, nil, own)
		for r := range rows {
			if v.active(r) {
				gruBackReset(o.sequence, &v, r, da, at(d, r*(b.h1-b.h0), b.h1-b.h0), v.row(dh, r))
				v.addToSum(r, da)
			}
		}
		return
	}
	arrive(o, k, b, grads, in)
	if k < o.t-1 {
		// What the step needs besides comes from memory meanwhile.
		var ahead kernels.Ahead[T]
		if o.across == 1 {
			for _, s := range [][]T{v.cellBefore, v.tanh, v.mixed, da, v.gates} {
				ahead.Add(s)
			}
		}
		throughR(o, k+1, b, shared, own, grads, &ahead)
	}
	var dc []T
	if o.p >= 0 {
		v.peephole = at(floats[T](in[o.peephole]), b.d*3*o.h, 3*o.h)
	}
	if o.kind == lstmCell {
		dc = at(grads, o.dc+(b.d*o.n+b.n0)*o.h, rows*o.h)
	}
	for r := range rows {
		if !v.active(r) {
			for gate := range o.g {
				clear(v.cutGate(da, r, gate))
				clear(v.cutGate(daR, r, gate))
			}
			continue
		}
		dhr := v.row(dh, r)
		switch o.kind {
		case lstmCell:
			lstmBack(o.sequence, &v, r, da, dhr, v.row(dc, r))
		case gruCell, gruLinear:
			gruBack(o.sequence, &v, r, da, daR, dhr)
		case rnnCell:
			rnnBack(&v, r, da, dhr)
		}
		if o.stages() == 1 {
			v.addToSum(r, da)
		}
	}
}

// addToSum adds row r of da to the sum of the rows with its addend, if there are sums: they lie as addends do.
func (v *stepView[T]) addToSum(r int, da []T) {
	if v.addends != nil {
		sum := v.addend(r)
		kernels.Add(sum, sum, at(da, r*v.m, v.m))
	}
}
