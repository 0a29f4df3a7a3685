// Package vector writes the AVX2 or AVX-512 instructions that make random numbers, 32 or 64 at a time in
// registers, for kernels of several packages. Every function adds instructions to avo's current function.
package vector

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

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
	table               operand.Mem // the schedule; each word eight times for AVX2
	step                int         // bytes from one word of the table to the next
	counter             reg.VecVirtual
	oddWords, evenWords reg.Register // masks of AVX-512
}

// NewGenerator starts at a block. schedule points to the result of Schedule. AVX2 uses the stack frame.
func NewGenerator(schedule, block reg.Register) *Generator {
	g := &Generator{table: operand.Mem{Base: schedule}, step: 4, counter: Vec()}
	if Wide {
		g.oddWords, g.evenWords = mask(0xaaaa), mask(0x5555)
		VPBROADCASTD(block, g.counter)
		VPADDD(lanes(0, 4, 1, 5, 2, 6, 3, 7), g.counter, g.counter)
		return g
	}
	// The frame is aligned to 8 bytes: the table begins at its first multiple of 32.
	frame := AllocLocal(32*Scheduled + 24)
	base := GP64()
	LEAQ(frame, base)
	ADDQ(operand.Imm(24+7), base)
	ANDQ(operand.I8(-32), base)
	g.table, g.step = operand.Mem{Base: base}, 32
	v := YMM()
	for i := range Scheduled {
		VPBROADCASTD(operand.Mem{Base: schedule, Disp: 4 * i}, v)
		VMOVDQU(v, g.scheduled(i))
	}
	first := XMM()
	MOVD(block, first)
	VPBROADCASTD(first, g.counter)
	VPADDD(lanes(0, 2, 1, 3), g.counter, g.counter)
	return g
}

// Skip passes over so many blocks.
func (g *Generator) Skip(blocks reg.GPVirtual) {
	v := Vec()
	if Wide {
		VPBROADCASTD(blocks.As32(), v)
	} else {
		MOVD(blocks.As32(), v.AsX())
		VPBROADCASTD(v.AsX(), v)
	}
	VPADDD(v, g.counter, g.counter)
}

func mask(bits uint32) reg.Register {
	r, k := GP32(), K()
	MOVL(operand.U32(bits), r)
	KMOVW(r, k)
	return k
}

// Blocks makes the words of the next 8 blocks, or 16 with AVX-512. The first register of each result is of
// blocks 0, 2, 1, 3, in this order, the second one of blocks 4, 6, 5, 7; with AVX-512 of 0, 4, 1, 5, 2, 6, 3,
// 7 and eight more. radius holds words 0 and 2 of each, angle words 1 and 3. Then low and high interleaving of
// two registers in lanes of 128 bits, VUNPCKLPS and VUNPCKHPS, give the blocks in order. between, if there is one, is
// called after each of the ten rounds, for other instructions that fill the time in which products are awaited.
func (g *Generator) Blocks(between func(round int)) (radius, angle [2]reg.VecVirtual) {
	if between == nil {
		between = func(int) {}
	}
	// A lane of 64 bits holds a word of one block in its low half and rubbish in its high half: the
	// product then needs no shuffle before it, only one of its high word.
	product := func(m uint32, x reg.VecVirtual) reg.VecVirtual {
		return with(VPMULUDQ, VPMULUDQ, VPMULUDQ_BCST, broadcast(m), x)
	}
	const mul0, mul1 = 0xD2511F53, 0xCD9E8D57
	blocks := uint32(Words() / 8)
	var c0, c1, c2, c3 [2]reg.VecVirtual
	c0[0], c0[1] = g.counter, addInt(g.counter, broadcast(blocks))

	// A part of the words is the same for all blocks in the first two rounds.
	for i := range 2 {
		c3[i] = product(mul0, c0[i])
		c2[i] = xor(highWords(c3[i]), g.scheduled(firstHigh))
	}
	between(0)
	next := addInt(g.counter, broadcast(2*blocks))
	VMOVAPS(next, g.counter)
	for i := range 2 {
		c1[i] = product(mul1, c2[i])
		c0[i] = xor(highWords(c1[i]), g.scheduled(secondLow))
		c2[i] = xor(c3[i], g.scheduled(secondHigh))
	}
	between(1)
	for round := 2; round < 10; round++ {
		k0, k1 := others+2*(round-3), others+2*(round-3)+1
		for i := range 2 {
			p0, p1 := product(mul0, c0[i]), product(mul1, c2[i])
			if round == 9 && Wide {
				// All words of a block leave in the places that the results have for them.
				angle[i] = odd(moved(p1), p0, g.oddWords)
				radius[i] = merged(p0, p1, g.evenWords)
				xorPairs(radius[i], odd(c1[i], c3[i], g.oddWords), g.scheduled(k0))
				continue
			}
			high0, high1 := highWords(p0), highWords(p1)
			if round == 2 {
				c0[i] = xor3(high1, c1[i], g.scheduled(thirdLow))
				c2[i] = xor(high0, g.scheduled(thirdHigh))
			} else {
				c0[i] = xor3(high1, c1[i], g.scheduled(k0))
				c2[i] = xor3(high0, c3[i], g.scheduled(k1))
			}
			c1[i], c3[i] = p1, p0
		}
		between(round)
	}
	if !Wide {
		for i := range 2 {
			radius[i] = odd(c0[i], c2[i], nil)
			angle[i] = odd(c1[i], c3[i], nil)
		}
	}
	return radius, angle
}

func (g *Generator) scheduled(i int) operand.Mem { return g.table.Offset(g.step * i) }
