package main

import (
	"strings"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

// wide4 is four float32 of memory as float64.
func wide4(m operand.Mem) vec {
	r := YMM()
	VCVTPS2PD(m, r)
	return r
}

func addWide(a vec, b operand.Op) vec { return new3(VADDPD, b, a) }
func subWide(a vec, b operand.Op) vec { return new3(VSUBPD, b, a) }
func mulWide(a vec, b operand.Op) vec { return new3(VMULPD, b, a) }

// sums writes the loops that accumulate float32 in float64. n is a multiple of 8.
func sums() {
	TEXT("addRowAVX2", NOSPLIT, "func(acc *float64, x *float32, n int)")
	Pragma("noescape")
	Doc("addRowAVX2 is AddRow.")
	acc, x, n := Load(Param("acc"), GP64()), Load(Param("x"), GP64()), Load(Param("n"), GP64())
	Label("loop")
	for k := range 2 {
		to := operand.Mem{Base: acc, Disp: 32 * k}
		VMOVUPD(addWide(wide4(operand.Mem{Base: x, Disp: 16 * k}), to), to)
	}
	ADDQ(operand.Imm(64), acc)
	ADDQ(operand.Imm(32), x)
	SUBQ(operand.Imm(8), n)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()

	TEXT("sumAVX2", NOSPLIT, "func(x *float32, n int, out *float64)")
	Pragma("noescape")
	Doc("sumAVX2 adds element i of x, of a multiple of 16, to out[i mod 16].")
	x, n = Load(Param("x"), GP64()), Load(Param("n"), GP64())
	out := Load(Param("out"), GP64())
	var s [4]vec
	for k := range s {
		s[k] = load(operand.Mem{Base: out, Disp: 32 * k})
	}
	Label("loop16")
	for k := range s {
		VADDPD(wide4(operand.Mem{Base: x, Disp: 16 * k}), s[k], s[k])
	}
	ADDQ(operand.Imm(64), x)
	SUBQ(operand.Imm(16), n)
	JNZ(operand.LabelRef("loop16"))
	for k := range s {
		VMOVUPD(s[k], operand.Mem{Base: out, Disp: 32 * k})
	}
	VZEROUPPER()
	RET()

	TEXT("maxAVX2", NOSPLIT, "func(x *float32, n int) float32")
	Pragma("noescape")
	Doc("maxAVX2 is the largest of a multiple of 8 elements, at least 8; with NaN among them, any.")
	x, n = Load(Param("x"), GP64()), Load(Param("n"), GP64())
	top := load(operand.Mem{Base: x})
	JMP(operand.LabelRef("nextMax"))
	Label("loopMax")
	VMAXPS(operand.Mem{Base: x}, top, top)
	Label("nextMax")
	ADDQ(operand.Imm(32), x)
	SUBQ(operand.Imm(8), n)
	JNZ(operand.LabelRef("loopMax"))
	half, other := XMM(), XMM()
	VEXTRACTF128(operand.Imm(1), top, half)
	VMAXPS(half, top.AsX(), half)
	VPERMILPS(operand.Imm(0x4e), half, other)
	VMAXPS(other, half, half)
	VPERMILPS(operand.Imm(0xb1), half, other)
	VMAXSS(other, half, half)
	VZEROUPPER()
	Store(half, ReturnIndex(0))
	RET()

	TEXT("momentsAVX2", NOSPLIT, "func(x *float32, n int, k float64, out *float64)")
	Pragma("noescape")
	Doc("momentsAVX2 adds x[i]-k of a multiple of 8 elements to out[i mod 8] and its square to out[8 + i mod 8].")
	x, n, out = Load(Param("x"), GP64()), Load(Param("n"), GP64()), Load(Param("out"), GP64())
	k := broadcastWide("k")
	for j := range s {
		s[j] = load(operand.Mem{Base: out, Disp: 32 * j})
	}
	Label("loop8")
	for j := range 2 {
		d := subWide(wide4(operand.Mem{Base: x, Disp: 16 * j}), k)
		VADDPD(d, s[j], s[j])
		VADDPD(mulWide(d, d), s[2+j], s[2+j])
	}
	ADDQ(operand.Imm(32), x)
	SUBQ(operand.Imm(8), n)
	JNZ(operand.LabelRef("loop8"))
	for j := range s {
		VMOVUPD(s[j], operand.Mem{Base: out, Disp: 32 * j})
	}
	VZEROUPPER()
	RET()

	TEXT("dotCentredAVX2", NOSPLIT, "func(dy, x *float32, n int, mean float64, out *float64)")
	Pragma("noescape")
	Doc("dotCentredAVX2 adds dy[i] of a multiple of 8 elements to out[i mod 8] and dy[i]*(x[i]-mean) to out[8 + i mod 8].")
	dy := Load(Param("dy"), GP64())
	x, n, out = Load(Param("x"), GP64()), Load(Param("n"), GP64()), Load(Param("out"), GP64())
	mean := broadcastWide("mean")
	for j := range s {
		s[j] = load(operand.Mem{Base: out, Disp: 32 * j})
	}
	Label("loopDot")
	for j := range 2 {
		g := wide4(operand.Mem{Base: dy, Disp: 16 * j})
		VADDPD(g, s[j], s[j])
		VADDPD(mulWide(subWide(wide4(operand.Mem{Base: x, Disp: 16 * j}), mean), g), s[2+j], s[2+j])
	}
	ADDQ(operand.Imm(32), x)
	ADDQ(operand.Imm(32), dy)
	SUBQ(operand.Imm(8), n)
	JNZ(operand.LabelRef("loopDot"))
	for j := range s {
		VMOVUPD(s[j], operand.Mem{Base: out, Disp: 32 * j})
	}
	VZEROUPPER()
	RET()
}

// sumsOfRows writes the loops that add rows to sums of their own. n is a multiple of 4.
func sumsOfRows() {
	row := func(name, doc, second string, inputs []string, f func(x []vec) (a, b vec)) {
		TEXT(name+"AVX2", NOSPLIT, "func(sum, "+second+" *float64, "+strings.Join(inputs, ", ")+" *float32, n int)")
		Pragma("noescape")
		Doc(name + "AVX2 " + doc)
		sum, other, n := Load(Param("sum"), GP64()), Load(Param(second), GP64()), Load(Param("n"), GP64())
		var from []operand.Mem
		for _, v := range inputs {
			from = append(from, operand.Mem{Base: Load(Param(v), GP64())})
		}
		Label("loop")
		var x []vec
		for _, m := range from {
			x = append(x, wide4(m))
		}
		a, b := f(x)
		VMOVUPD(addWide(a, operand.Mem{Base: sum}), operand.Mem{Base: sum})
		VMOVUPD(addWide(b, operand.Mem{Base: other}), operand.Mem{Base: other})
		ADDQ(operand.Imm(32), sum)
		ADDQ(operand.Imm(32), other)
		for _, m := range from {
			ADDQ(operand.Imm(16), m.Base)
		}
		SUBQ(operand.Imm(4), n)
		JNZ(operand.LabelRef("loop"))
		VZEROUPPER()
		RET()
	}
	row("momentsRow", "is MomentsRow.", "square", []string{"x", "k"}, func(x []vec) (a, b vec) {
		d := subWide(x[0], x[1])
		return d, mulWide(d, d)
	})
	row("dotCentredRow", "is DotCentredRow.", "dot", []string{"x", "dy", "mean"}, func(x []vec) (a, b vec) {
		return x[1], mulWide(x[1], subWide(x[0], x[2]))
	})
}

func broadcastWide(name string) vec {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	r := YMM()
	VBROADCASTSD(p.Addr, r)
	return r
}
