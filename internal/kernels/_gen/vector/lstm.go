package main

import (
	"math"
	"strings"

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

// An lstmLoop is a kernel that goes along quads and rows.
type lstmLoop struct {
	q     []quad
	r     []reg.Register
	bytes reg.Register // of a row
}

// lstmKernel begins a kernel for AVX2, or AVX-512 if wide, with parameters quads, rows, and the length of a row.
func lstmKernel(name, does string, quads, rows []string) lstmLoop {
	if wide {
		name += "AVX512"
	} else {
		name += "AVX2"
	}
	TEXT(name, NOSPLIT, "func("+strings.Join(append(append([]string(nil), quads...), rows...), ", ")+" *float32, stride, n int)")
	Pragma("noescape")
	Doc(name + " is " + does + ".")
	var l lstmLoop
	l.q, l.r = gatesOf(quads, rows)
	l.bytes = Load(Param("n"), GP64())
	SHLQ(operand.Imm(2), l.bytes)
	return l
}

// each repeats f for all vectors of a row, and leaves the pointers behind it.
func (l *lstmLoop) each(label string, f func()) {
	n, step := GP64(), uint64(32)
	if wide {
		step = 64
	}
	MOVQ(l.bytes, n)
	Label(label)
	f()
	for _, x := range l.q {
		ADDQ(operand.Imm(step), x.base)
	}
	for _, x := range l.r {
		ADDQ(operand.Imm(step), x)
	}
	SUBQ(operand.Imm(step), n)
	JNZ(operand.LabelRef(label))
}

// back puts the pointers where they began.
func (l *lstmLoop) back() {
	for _, x := range l.q {
		SUBQ(l.bytes, x.base)
	}
	for _, x := range l.r {
		SUBQ(l.bytes, x)
	}
}

func (l *lstmLoop) end() {
	VZEROUPPER()
	RET()
}

func at(r reg.Register) operand.Mem { return operand.Mem{Base: r} }

// lstm writes the kernels of one width. The gates are in the order i, o, f, g.
func lstm() {
	l := lstmKernel("lstmStep", "LSTMStep", []string{"gates", "bias"}, []string{"before", "c", "tanh", "h"})
	if wide {
		words := []uint32{signBit, ^uint32(signBit)}
		for _, v := range append([]float32{1, log2e, whole, ln2Hi, ln2Lo, expLeast, tanhOne, 2}, expPoly...) {
			words = append(words, math.Float32bits(v))
		}
		hold(words...)
	}
	// tanh(c) waits for all gates: in a loop of its own, the processor finds enough that waits for nothing.
	l.each("gates", func() {
		gate := func(k int, f func(vec) vec) vec {
			v := f(add(load(l.q[0].row(k)), l.q[1].row(k)))
			VMOVUPS(v, l.q[0].row(k))
			return v
		}
		gate(1, sigmoid)
		kept := mul(gate(2, sigmoid), at(l.r[0]))
		new := mul(gate(0, sigmoid), gate(3, tanh))
		VMOVUPS(add(kept, new), at(l.r[1]))
	})
	l.back()
	l.each("state", func() {
		t := tanh(load(at(l.r[1])))
		VMOVUPS(t, at(l.r[2]))
		VMOVUPS(mul(t, l.q[0].row(1)), at(l.r[3]))
	})
	l.end()
	clear(held)

	l = lstmKernel("lstmGrad", "LSTMGrad", []string{"da", "gates"}, []string{"dc", "dh", "tanh", "before"})
	q, r := l.q, l.r
	if wide {
		hold(math.Float32bits(1))
	}
	l.each("units", func() {
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
	l.end()
	clear(held)
}
