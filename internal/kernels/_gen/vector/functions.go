package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// The exponential and its relatives: the operations of elementary.go in their order.

const (
	log2e        = 1.44269504
	ln2Hi        = 0.693359375
	ln2Lo        = -2.12194440e-4
	whole        = 0x1.8p23
	wholeBits    = 0x4b400000
	expLeast     = -104
	expMost      = 89
	tanhOne      = 10
	erfOne       = 4
	erfSmall     = 0.92
	sqrtHalfBits = 0x3f3504f3
	infinity     = 0x7f800000
	notANumber   = 0x7fc00000
)

var (
	expPoly  = []float32{0.49999994, 0.166665167, 0.0416682847, 0.00836925022, 0.00138204684}
	logPoly  = []float32{0.333333313, -0.250008196, 0.200012416, -0.166234091, 0.1420158, -0.131596103, 0.127622172, -0.0763643906}
	erfPoly  = []float32{0.128379151, -0.376125008, 0.11281877, -0.0267685819, 0.00499585923, -0.000600384199}
	erfcPoly = []float32{-0.12864849, -0.635151327, -0.106236845, 0.0237620194, -0.0036424296, 0.000322794018, -1.1230014e-05}
)

func functions() {
	kernel("exp", "is Exp.", "x", "", 2, func(x, _ []vec) vec { return exp(x[0]) })
	kernel("sigmoid", "is Sigmoid.", "x", "", 2, func(x, _ []vec) vec { return sigmoid(x[0]) })
	kernel("tanh", "is Tanh.", "x", "", 2, func(x, _ []vec) vec { return tanh(x[0]) })
	kernel("log", "is Log.", "x", "", 1, func(x, _ []vec) vec { return log(x[0]) })
	kernel("erf", "is Erf.", "x", "", 1, func(x, _ []vec) vec { return erf(x[0]) })
}

func horner(c []float32, x vec) vec {
	p := load(constant(c[len(c)-1]))
	for k := len(c) - 2; k >= 0; k-- {
		p = add(mul(p, x), constant(c[k]))
	}
	return p
}

func addInt(a vec, b operand.Op) vec { return new3(VPADDD, b, a) }
func subInt(a vec, b operand.Op) vec { return new3(VPSUBD, b, a) }

// expSplit returns p and n, a whole number, with exp(x) = (1+p) * 2^n; n is in the last bits of t too.
func expSplit(x vec) (p, n, t vec) {
	t = add(mul(x, constant(log2e)), constant(whole))
	n = sub(t, constant(whole))
	r := sub(x, mul(n, constant(ln2Hi)))
	r = sub(r, mul(n, constant(ln2Lo)))
	return add(mul(horner(expPoly, r), mul(r, r)), r), n, t
}

// power2 is 2^k for the k of normal numbers.
func power2(k vec) vec {
	r := addInt(k, bits(127))
	VPSLLD(operand.Imm(23), r, r)
	return r
}

// scaled is y * 2^n, rounded once; t is that of expSplit.
func scaled(y, n, t vec) vec {
	if wide {
		return new3(VSCALEFPS, n, y)
	}
	k := subInt(t, bits(wholeBits))
	half := YMM()
	VPSRAD(operand.Imm(1), k, half)
	return mul(mul(y, power2(half)), power2(subInt(k, half)))
}

// scaledOne is 2^n for the n of normal numbers.
func scaledOne(n, t vec) vec {
	if wide {
		return new3(VSCALEFPS, n, load(constant(1)))
	}
	return power2(subInt(t, bits(wholeBits)))
}

// bounded returns min(max(x, lo), hi), and NaN for NaN, which the instructions take from their second operand.
func bounded(x vec, lo, hi float32) vec {
	return greater(load(constant(lo)), lesser(load(constant(hi)), x))
}

// expWithin is exp of x in [expLeast, expMost] or NaN.
func expWithin(x vec) vec {
	p, n, t := expSplit(x)
	return scaled(add(p, constant(1)), n, t)
}

func exp(x vec) vec { return expWithin(bounded(x, expLeast, expMost)) }

func sigmoid(x vec) vec {
	e := expWithin(greater(load(constant(expLeast)), or(x, bits(signBit))))
	return div(choose(x, e, load(constant(1))), add(e, constant(1)))
}

func tanh(x vec) vec {
	a := lesser(load(constant(tanhOne)), and(x, bits(^uint32(signBit))))
	p, n, t := expSplit(add(a, a))
	s := scaledOne(n, t)
	e := add(mul(p, s), sub(s, constant(1)))
	return or(div(e, add(e, constant(2))), and(x, bits(signBit)))
}

func log(x vec) vec {
	small := compare(less, x, constant(0x1p-126))
	y := choose(small, mul(x, constant(0x1p23)), x)
	shift := and(small, constant(23))
	e := subInt(y, bits(sqrtHalfBits))
	VPSRAD(operand.Imm(23), e, e)
	up := YMM()
	VPSLLD(operand.Imm(23), e, up)
	f := sub(subInt(y, up), constant(1))
	n := YMM()
	VCVTDQ2PS(e, n)
	n = sub(n, shift)
	f2 := mul(f, f)
	r := mul(mul(horner(logPoly, f), f), f2)
	r = add(r, mul(n, constant(ln2Lo)))
	r = sub(r, mul(f2, constant(0.5)))
	r = add(r, f)
	r = add(r, mul(n, constant(ln2Hi)))
	// Infinity and NaN are themselves, 0 gives minus infinity, less than 0 NaN.
	r = choose(compare(less, x, bits(infinity)), r, x)
	r = choose(compare(equal, x, zero()), bits(infinity|signBit), r)
	return choose(compare(less, x, zero()), bits(notANumber), r)
}

func erf(x vec) vec {
	small := add(mul(horner(erfPoly, mul(x, x)), x), x)
	a := and(x, bits(^uint32(signBit)))
	t := lesser(a, constant(erfOne))
	p, n, u := expSplit(sub(mul(horner(erfcPoly, t), t), t))
	large := sub(load(constant(1)), mul(add(p, constant(1)), scaledOne(n, u)))
	large = or(large, and(x, bits(signBit)))
	return choose(compare(moreThan, a, constant(erfSmall)), large, small)
}
