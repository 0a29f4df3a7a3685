package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"

	"github.com/onnx-entropy/onnx-entropy/internal/rng/_gen/vector"
)

// coefficients broadcasts the first n numbers that c points to.
func coefficients(n int) []vec {
	c := Load(Param("c"), GP64())
	k := make([]vec, n)
	for i := range k {
		k[i] = broadcast(operand.Mem{Base: c, Disp: 4 * i})
	}
	return k
}

// adam writes Adam.
func adam(level string) {
	begin("adam"+level, " is Adam for n vectors; n is at least 1. c points to the numbers of an AdamStep.", "x, m, v, grad", "n int, c *float32")
	s := streams("x", "m", "v", "grad")
	n := Load(Param("n"), GP64())
	k := coefficients(9)
	lr, root, beta1, beta2, new1, new2, epsilon, decay, shrink := k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], k[8]
	loop(n, s, 1, func() {
		x := load(operand.Mem{Base: s["x"]})
		g := add(load(operand.Mem{Base: s["grad"]}), mul(decay, x))
		first := add(mul(beta1, load(operand.Mem{Base: s["m"]})), mul(new1, g))
		VMOVUPS(first, operand.Mem{Base: s["m"]})
		second := add(mul(beta2, load(operand.Mem{Base: s["v"]})), mul(mul(new2, g), g))
		VMOVUPS(second, operand.Mem{Base: s["v"]})
		r := vector.Vec()
		VSQRTPS(second, r)
		step := apply(VDIVPS, add(mul(root, r), epsilon), mul(lr, first))
		VMOVUPS(sub(mul(shrink, x), step), operand.Mem{Base: s["x"]})
	})
}

// parle writes ParleInner with momentum.
func parle(level string) {
	begin("parle"+level, " is ParleInner with momentum for n vectors; n is at least 1. c points to the numbers of a ParleStep.", "p, mu, v, x, grad", "n int, c *float32")
	s := streams("p", "mu", "v", "x", "grad")
	n := Load(Param("n"), GP64())
	k := coefficients(6)
	lr, gamma, momentum, decay, alpha, keep := k[0], k[1], k[2], k[3], k[4], k[5]
	loop(n, s, 1, func() {
		y := load(operand.Mem{Base: s["p"]})
		g := add(load(operand.Mem{Base: s["grad"]}), mul(decay, y))
		g = add(g, mul(gamma, sub(y, load(operand.Mem{Base: s["x"]}))))
		w := add(mul(momentum, load(operand.Mem{Base: s["v"]})), g)
		VMOVUPS(w, operand.Mem{Base: s["v"]})
		y = sub(y, mul(lr, add(g, mul(momentum, w))))
		VMOVUPS(y, operand.Mem{Base: s["p"]})
		VMOVUPS(add(mul(keep, load(operand.Mem{Base: s["mu"]})), mul(alpha, y)), operand.Mem{Base: s["mu"]})
	})
}

// squares writes the sums of SquareSum, of which there are eight.
func squares() {
	TEXT("squaresAVX2", 0, "func(x *float32, n int, sums *[8]float64)")
	Pragma("noescape")
	Doc("squaresAVX2 adds the squares of n times 8 elements to the eight sums of SquareSum; n is at least 1.")
	x, n, sums := Load(Param("x"), GP64()), Load(Param("n"), GP64()), Load(Param("sums"), GP64())
	low, high := YMM(), YMM()
	VMOVUPD(operand.Mem{Base: sums}, low)
	VMOVUPD(operand.Mem{Base: sums, Disp: 32}, high)
	Label("again")
	for i, sum := range []operand.Op{low, high} {
		v, square := YMM(), YMM()
		VCVTPS2PD(operand.Mem{Base: x, Disp: 16 * i}, v)
		VMULPD(v, v, square)
		VADDPD(square, sum, sum)
	}
	ADDQ(operand.U32(32), x)
	DECQ(n)
	JNZ(operand.LabelRef("again"))
	VMOVUPD(low, operand.Mem{Base: sums})
	VMOVUPD(high, operand.Mem{Base: sums, Disp: 32})
	VZEROUPPER()
	RET()
}
