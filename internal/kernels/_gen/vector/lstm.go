package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// quad addresses four rows that lie the same distance apart: the gates of an LSTM.
type quad struct{ base, stride, three reg.Register }

func (q quad) row(k int) operand.Mem {
	m := operand.Mem{Base: q.base}
	switch k {
	case 1, 2:
		m.Index, m.Scale = q.stride, uint8(k)
	case 3:
		m.Index, m.Scale = q.three, 1
	}
	return m
}

// gatesOf loads the pointers of quads with a common distance, given in elements, and those of rows.
func gatesOf(quads, rows []string) (q []quad, r []reg.Register) {
	stride := Load(Param("stride"), GP64())
	SHLQ(operand.Imm(2), stride)
	three := GP64()
	LEAQ(operand.Mem{Base: stride, Index: stride, Scale: 2}, three)
	for _, name := range quads {
		q = append(q, quad{Load(Param(name), GP64()), stride, three})
	}
	for _, name := range rows {
		r = append(r, Load(Param(name), GP64()))
	}
	return q, r
}

// rowsOf8 repeats f for every 8 elements.
func rowsOf8(q []quad, r []reg.Register, f func()) {
	n := Load(Param("n"), GP64())
	Label("loop")
	f()
	for _, x := range q {
		ADDQ(operand.Imm(32), x.base)
	}
	for _, x := range r {
		ADDQ(operand.Imm(32), x)
	}
	SUBQ(operand.Imm(8), n)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

func at(r reg.Register) operand.Mem { return operand.Mem{Base: r} }

// The gates are in the order i, o, f, g.
func lstm() {
	TEXT("lstmStepAVX2", NOSPLIT, "func(gates, bias, before, c, tanh, h *float32, stride, n int)")
	Pragma("noescape")
	Doc("lstmStepAVX2 is LSTMStep.")
	q, r := gatesOf([]string{"gates", "bias"}, []string{"before", "c", "tanh", "h"})
	rowsOf8(q, r, func() {
		gate := func(k int, f func(vec) vec) vec {
			v := f(add(load(q[0].row(k)), q[1].row(k)))
			VMOVUPS(v, q[0].row(k))
			return v
		}
		kept := mul(gate(2, sigmoid), at(r[0]))
		new := mul(gate(0, sigmoid), gate(3, tanh))
		c := add(kept, new)
		VMOVUPS(c, at(r[1]))
		t := tanh(c)
		VMOVUPS(t, at(r[2]))
		VMOVUPS(mul(gate(1, sigmoid), t), at(r[3]))
	})

	TEXT("lstmGradAVX2", NOSPLIT, "func(da, gates, dc, dh, tanh, before *float32, stride, n int)")
	Pragma("noescape")
	Doc("lstmGradAVX2 is LSTMGrad.")
	q, r = gatesOf([]string{"da", "gates"}, []string{"dc", "dh", "tanh", "before"})
	rowsOf8(q, r, func() {
		one := load(constant(1))
		bell := func(y vec) vec { return mul(y, sub(one, y)) }
		slope := func(y vec) vec { return sub(one, mul(y, y)) }
		t, o, dh := load(at(r[2])), load(q[1].row(1)), load(at(r[1]))
		d := add(mul(mul(dh, o), slope(t)), at(r[0]))
		VMOVUPS(mul(mul(dh, t), bell(o)), q[0].row(1))
		i, g, f := load(q[1].row(0)), load(q[1].row(3)), load(q[1].row(2))
		VMOVUPS(mul(mul(d, g), bell(i)), q[0].row(0))
		VMOVUPS(mul(mul(d, at(r[3])), bell(f)), q[0].row(2))
		VMOVUPS(mul(mul(d, i), slope(g)), q[0].row(3))
		VMOVUPS(mul(d, f), at(r[0]))
	})
}
