package vector

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Normals makes the next normal numbers, as many as a run of Blocks has words, in order.
func (g *Generator) Normals() (four [4]reg.VecVirtual) {
	radius, angle := g.Blocks(nil)
	for _, piece := range BoxMuller(radius, angle, &four) {
		piece()
	}
	return four
}

// InOrder interleaves words 0 and 2 of blocks with their words 1 and 3, in the order that Blocks has them.
func InOrder(even, odd reg.VecVirtual) (first, second reg.VecVirtual) {
	return apply(VUNPCKLPS, odd, even), apply(VUNPCKHPS, odd, even)
}

// BoxMuller makes normal numbers of the results of Blocks, in order. Each of the six functions that it returns writes
// a piece; the last two set two of the four registers each. It follows boxMuller of package rng, whose comments explain
// it, operation by operation.
func BoxMuller(radius, angle [2]reg.VecVirtual, four *[4]reg.VecVirtual) []func() {
	var r, sin, cos [2]reg.VecVirtual
	distance := func(i int) func() {
		return func() {
			r[i] = minusTwoLog(unit(radius[i]))
			VSQRTPS(r[i], r[i])
			r[i] = flip(r[i], angle[i], broadcast(1<<31))
		}
	}
	direction := func(i int) func() {
		return func() { sin[i], cos[i] = sinCos(eighth(angle[i])) }
	}
	point := func(i int) func() {
		return func() {
			x, y := chosen(angle[i], cos[i], sin[i])
			four[2*i], four[2*i+1] = InOrder(mul(x, r[i]), mul(y, r[i]))
		}
	}
	return []func(){distance(0), distance(1), direction(0), direction(1), point(0), point(1)}
}

func unit(w reg.VecVirtual) reg.VecVirtual {
	u := shift(VPSRLD, 1, w)
	VCVTDQ2PS(u, u)
	return plusExact(1.0/(1<<32), u, 1.0/(1<<31))
}

func eighth(w reg.VecVirtual) reg.VecVirtual {
	a := shift(VPSLLD, 2, w)
	a = or(a, broadcast(2))
	VCVTDQ2PS(a, a)
	return mul(a, number(math.Pi/(1<<33)))
}

func minusTwoLog(u reg.VecVirtual) reg.VecVirtual {
	e := subInt(u, broadcast(0x3f3504f3))
	VPSRAD(operand.Imm(23), e, e)
	f := sub(subInt(u, shift(VPSLLD, 23, e)), number(1))
	VCVTDQ2PS(e, e)
	f2 := mul(f, f)
	p01 := add(mul(f, number(-0.7213474)), number(1.442695))
	p23 := add(mul(f, number(-0.36070058)), number(0.48090896))
	p03 := add(mul(p23, f2), p01)
	p45 := add(mul(f, number(-0.23901485)), number(0.2879535))
	p67 := add(mul(f, number(-0.20678747)), number(0.21548076))
	p47 := add(mul(p67, f2), p45)
	f4 := mul(f2, f2)
	p48 := add(mul(f4, number(0.12584342)), p47)
	p := add(mul(p48, f4), p03)
	log2 := add(mul(p, f), e)
	return mul(log2, number(-2*math.Ln2))
}

func sinCos(x reg.VecVirtual) (sin, cos reg.VecVirtual) {
	z := mul(x, x)
	s := add(mul(z, number(-0.00019518292)), number(0.008332189))
	s = sub(mul(s, z), number(0.16666655))
	sin = add(mul(s, mul(z, x)), x)
	c := sub(mul(z, number(2.4432567e-05)), number(0.0013887311))
	c = add(mul(c, z), number(0.041666646))
	cos = add(mul(c, mul(z, z)), plusExact(1, z, -0.5))
	return sin, cos
}
