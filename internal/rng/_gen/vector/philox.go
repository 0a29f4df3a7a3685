// Package vector writes the AVX2 instructions that make random numbers, 32 at a time in registers, for
// kernels of several packages. Every function adds instructions to avo's current function.
package vector

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Words is the number of words of one run of Blocks, which takes 8 blocks.
const Words = 32

// Scheduled is the length of the result of Schedule of package rng.
const Scheduled = 19

// Places in it.
const (
	firstHigh  = iota // c3 ^ k1 of the first round
	secondLow         // c1 ^ k0 of the second round, where c1 is the same for all blocks
	secondHigh        // high(mul0 c0) ^ k1 of the second round, where c0 is the same for all blocks
	thirdLow          // k0 of the third round
	thirdHigh         // c3 ^ k1 of the third round, where c3 is the same for all blocks
	others            // k0 and k1 of each of the other seven
)

// A Generator is the part of a kernel that holds a position in a stream.
type Generator struct {
	table   operand.Mem // the schedule, each word eight times
	counter reg.VecVirtual
}

// NewGenerator starts at a block. schedule points to the result of Schedule. It uses the stack frame.
func NewGenerator(schedule, block reg.Register) *Generator {
	// The frame is aligned to 8 bytes: the table begins at its first multiple of 32.
	frame := AllocLocal(32*Scheduled + 24)
	base := GP64()
	LEAQ(frame, base)
	ADDQ(operand.Imm(24+7), base)
	ANDQ(operand.I8(-32), base)
	g := &Generator{table: operand.Mem{Base: base}, counter: YMM()}
	v := YMM()
	for i := range Scheduled {
		VPBROADCASTD(operand.Mem{Base: schedule, Disp: 4 * i}, v)
		VMOVDQU(v, g.table.Offset(32*i))
	}
	first := XMM()
	MOVD(block, first)
	VPBROADCASTD(first, g.counter)
	VPADDD(lanes(0, 2, 1, 3), g.counter, g.counter)
	return g
}

// Blocks makes the words of the next 8 blocks. The first register of each result is of blocks 0, 2, 1, 3,
// in this order, the second one of blocks 4, 6, 5, 7: radius holds words 0 and 2 of each, angle words 1
// and 3. Then low and high interleaving of two registers lane by lane, VUNPCKLPS and VUNPCKHPS, give the
// blocks in order.
func (g *Generator) Blocks() (radius, angle [2]reg.VecVirtual) {
	// A lane of 64 bits holds a word of one block in its low half and rubbish in its high half: the
	// product then needs no shuffle, only a shift for its high word.
	mul0, mul1 := broadcast(0xD2511F53), broadcast(0xCD9E8D57)
	var c0, c1, c2, c3 [2]reg.VecVirtual
	c0[0], c0[1] = g.counter, apply(VPADDD, lanes(4, 4, 4, 4), g.counter)

	// A part of the words is the same for all blocks in the first two rounds.
	for i := range 2 {
		c3[i] = apply(VPMULUDQ, mul0, c0[i])
		c2[i] = apply(VPXOR, g.scheduled(firstHigh), shift(VPSRLQ, 32, c3[i]))
	}
	VPADDD(lanes(8, 8, 8, 8), g.counter, g.counter)
	for i := range 2 {
		c1[i] = apply(VPMULUDQ, mul1, c2[i])
		c0[i] = apply(VPXOR, g.scheduled(secondLow), shift(VPSRLQ, 32, c1[i]))
		c2[i] = apply(VPXOR, g.scheduled(secondHigh), c3[i])
	}
	for round := 2; round < 10; round++ {
		k0, k1 := g.scheduled(others+2*(round-3)), g.scheduled(others+2*(round-3)+1)
		for i := range 2 {
			p0, p1 := apply(VPMULUDQ, mul0, c0[i]), apply(VPMULUDQ, mul1, c2[i])
			high0 := shift(VPSRLQ, 32, p0)
			if round == 2 {
				c0[i] = apply(VPXOR, g.scheduled(thirdLow), c1[i])
				c2[i] = apply(VPXOR, g.scheduled(thirdHigh), high0)
			} else {
				c0[i] = apply(VPXOR, k0, c1[i])
				c2[i] = apply(VPXOR, apply(VPXOR, k1, c3[i]), high0)
			}
			c0[i] = apply(VPXOR, shift(VPSRLQ, 32, p1), c0[i])
			c1[i], c3[i] = p1, p0
		}
	}
	for i := range 2 {
		radius[i], angle[i] = YMM(), YMM()
		const odd = 0b10101010
		VPBLENDD(operand.Imm(odd), shift(VPSLLQ, 32, c2[i]), c0[i], radius[i])
		VPBLENDD(operand.Imm(odd), shift(VPSLLQ, 32, c3[i]), c1[i], angle[i])
	}
	return radius, angle
}

func (g *Generator) scheduled(i int) operand.Mem { return g.table.Offset(32 * i) }
