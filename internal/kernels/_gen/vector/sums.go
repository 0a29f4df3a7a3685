package main

import (
	"strings"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
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
	TEXT("sumAVX2", NOSPLIT, "func(x *float32, n int, out *float64)")
	Pragma("noescape")
	Doc("sumAVX2 adds element i of x, of a multiple of 16, to out[i mod 16].")
	x, n := Load(Param("x"), GP64()), Load(Param("n"), GP64())
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

// sumsOfRows writes the loops that add rows to sums of their own, one for each column or two. n is a multiple of 4. Of a line of
// the cache, 16 columns, all rows are added before the next one: the sums stay in registers.
func sumsOfRows() {
	// f gives what a row adds to each of the sums. fixed is a number for each column, if it has a name.
	rows := func(name, doc string, sums, inputs []string, fixed string, f func(x []vec, k vec) []vec) {
		floats := append([]string(nil), inputs...)
		if fixed != "" {
			floats = append(floats, fixed)
		}
		TEXT(name+"AVX2", NOSPLIT, "func("+strings.Join(sums, ", ")+" *float64, "+strings.Join(floats, ", ")+" *float32, n, ld, rows int)")
		Pragma("noescape")
		Doc(name + "AVX2 " + doc)
		pointers := func(names []string) []reg.GPVirtual {
			var p []reg.GPVirtual
			for _, v := range names {
				p = append(p, Load(Param(v), GP64()).(reg.GPVirtual))
			}
			return p
		}
		to, from := pointers(sums), pointers(floats)
		n, ld, count := Load(Param("n"), GP64()), Load(Param("ld"), GP64()), GP64()
		row := make([]reg.GPVirtual, len(inputs))
		for i := range row {
			row[i] = GP64()
		}
		SHLQ(operand.Imm(2), ld)
		block := func(label string, vectors int) {
			Label(label)
			CMPQ(n, operand.Imm(uint64(4*vectors)))
			JL(operand.LabelRef(label + "Done"))
			acc, k := make([][]vec, len(to)), make([]vec, vectors)
			for i, p := range to {
				for j := range vectors {
					acc[i] = append(acc[i], load(operand.Mem{Base: p, Disp: 32 * j}))
				}
			}
			if fixed != "" {
				for j := range k {
					k[j] = wide4(operand.Mem{Base: from[len(inputs)], Disp: 16 * j})
				}
			}
			for i := range row {
				MOVQ(from[i], row[i])
			}
			Load(Param("rows"), count)
			Label(label + "Row")
			for j := range vectors {
				var x []vec
				for _, r := range row {
					x = append(x, wide4(operand.Mem{Base: r, Disp: 16 * j}))
				}
				for i, v := range f(x, k[j]) {
					VADDPD(v, acc[i][j], acc[i][j])
				}
			}
			for _, r := range row {
				ADDQ(ld, r)
			}
			DECQ(count)
			JNZ(operand.LabelRef(label + "Row"))
			for i, p := range to {
				for j, v := range acc[i] {
					VMOVUPD(v, operand.Mem{Base: p, Disp: 32 * j})
				}
				ADDQ(operand.U32(uint32(32*vectors)), p)
			}
			for _, p := range from {
				ADDQ(operand.Imm(uint64(16*vectors)), p)
			}
			SUBQ(operand.Imm(uint64(4*vectors)), n)
			JMP(operand.LabelRef(label))
			Label(label + "Done")
		}
		block("line", 4)
		block("vector", 1)
		VZEROUPPER()
		RET()
	}
	rows("sumRows", "is SumRows.", []string{"sum"}, []string{"x"}, "", func(x []vec, _ vec) []vec { return x })
	rows("momentsRows", "is MomentsRows.", []string{"sum", "square"}, []string{"x"}, "k", func(x []vec, k vec) []vec {
		d := subWide(x[0], k)
		return []vec{d, mulWide(d, d)}
	})
	rows("dotCentredRows", "is DotCentredRows.", []string{"sum", "dot"}, []string{"x", "dy"}, "mean", func(x []vec, mean vec) []vec {
		return []vec{x[1], mulWide(x[1], subWide(x[0], mean))}
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
