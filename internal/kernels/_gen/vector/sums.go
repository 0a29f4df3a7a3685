package main

import (
	"fmt"
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
	PREFETCHT0(operand.Mem{Base: x, Disp: fetched})
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
	PREFETCHT0(operand.Mem{Base: x, Disp: fetched})
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
	PREFETCHT0(operand.Mem{Base: x, Disp: fetched})
	PREFETCHT0(operand.Mem{Base: dy, Disp: fetched})
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

// sumsOfRows writes the loops that add rows to sums of their own, one for each column or two, by AVX2 for n a multiple of 4 and by
// AVX-512 for one of 8. All rows of a block of columns are added before those of the next one: the sums stay in registers. A block
// is a line of the cache, or with the registers of AVX-512 four.
func sumsOfRows() {
	for _, w := range []width{{"AVX2", 4, 4, XMM, YMM}, {"AVX512", 8, 8, YMM, ZMM}} {
		w.rows("sumRows", "is SumRows", []string{"sum"}, []string{"x"}, "", "", func(x []vec, _ vec) []vec { return x })
		w.rows("momentsRows", "is MomentsRows", []string{"sum", "square"}, []string{"x"}, "k", "", func(x []vec, k vec) []vec {
			d := w.new3(VSUBPD, k, x[0])
			return []vec{d, w.new3(VMULPD, d, d)}
		})
		dot := func(x []vec, mean vec) []vec {
			return []vec{x[1], w.new3(VMULPD, w.new3(VSUBPD, mean, x[0]), x[1])}
		}
		w.rows("dotCentredRows", "is DotCentredRows", []string{"sum", "dot"}, []string{"x", "dy"}, "mean", "", dot)
		w.rows("dotRectifiedRows", "is DotRectifiedRows", []string{"sum", "dot"}, []string{"x", "dy", "y"}, "mean", "scale", dot)
	}
}

// width is that of the vectors of float64 of a level, and how many a block of columns has.
type width struct {
	level          string
	lanes, ofBlock int
	half, register func() reg.VecVirtual
}

func (w width) new3(op func(...operand.Op), b operand.Op, a vec) vec {
	r := w.register()
	op(b, a, r)
	return r
}

// load is a vector of float32 of memory as float64.
func (w width) load(base reg.Register, vector int) vec {
	r := w.register()
	VCVTPS2PD(operand.Mem{Base: base, Disp: 4 * w.lanes * vector}, r)
	return r
}

// rectified is load of dy where the element of y is positive or NaN, times scale; else 0.
func (w width) rectified(dy, y reg.Register, vector int, scale, zero vec) vec {
	grad, out, r := operand.Mem{Base: dy, Disp: 4 * w.lanes * vector}, operand.Mem{Base: y, Disp: 4 * w.lanes * vector}, w.half()
	VMOVUPS(out, r)
	if w.level == "AVX512" {
		kept := K()
		VCMPPS(operand.Imm(notAtMost), zero, r, kept)
		VMULPS_Z(grad, scale, kept, r)
	} else {
		product := w.half()
		VCMPPS(operand.Imm(notAtMost), zero, r, r)
		VMULPS(grad, scale, product)
		VANDPS(product, r, r)
	}
	wide := w.register()
	VCVTPS2PD(r, wide)
	return wide
}

// rows writes a loop. f gives what a row adds to each of the sums. fixed is a number for each column, if it has a name. With a
// scale, the last two inputs are dy and y, of which f gets what rectified gives.
func (w width) rows(name, doc string, sums, inputs []string, fixed, scale string, f func(x []vec, k vec) []vec) {
	params := append([]string(nil), inputs...)
	if fixed != "" {
		params = append(params, fixed)
	}
	name += w.level
	signature := "func(" + strings.Join(sums, ", ") + " *float64, " + strings.Join(params, ", ") + " *float32, n, ld, rows int"
	if scale != "" {
		signature += ", " + scale + " float32"
	}
	TEXT(name, NOSPLIT, signature+")")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s %s for n a multiple of %d.", name, doc, w.lanes))
	pointer := func(v string) reg.GPVirtual { return Load(Param(v), GP64()).(reg.GPVirtual) }
	var to, from, row, all []reg.GPVirtual
	for _, v := range sums {
		to = append(to, pointer(v))
	}
	for _, v := range inputs {
		from, row = append(from, pointer(v)), append(row, GP64())
	}
	all = append(all, from...)
	if fixed != "" {
		all = append(all, pointer(fixed))
	}
	ld := Load(Param("ld"), GP64())
	SHLQ(operand.Imm(2), ld)
	var factor, zero vec
	if scale != "" {
		factor, zero = w.half(), w.half()
		VBROADCASTSS(address(scale), factor)
		VXORPS(zero, zero, zero)
	}
	read := func(j int) (x []vec) {
		plain := row
		if scale != "" {
			plain = row[:len(row)-2]
		}
		for _, r := range plain {
			x = append(x, w.load(r, j))
		}
		if scale != "" {
			x = append(x, w.rectified(row[len(row)-2], row[len(row)-1], j, factor, zero))
		}
		return x
	}
	n, count := Load(Param("n"), GP64()), GP64()
	block := func(label string, vectors int) {
		acc, k := make([][]vec, len(to)), make([]vec, vectors)
		before := func() {
			for i, p := range to {
				for j := range vectors {
					r := w.register()
					VMOVUPD(operand.Mem{Base: p, Disp: 8 * w.lanes * j}, r)
					acc[i] = append(acc[i], r)
				}
			}
			if fixed != "" {
				for j := range k {
					k[j] = w.load(all[len(inputs)], j)
				}
			}
			for i := range row {
				MOVQ(from[i], row[i])
			}
		}
		add := func() {
			// The processor does not fetch across rows that lie in several pages: a gradient of mnistfc takes 0.14 ms in these loops, not 0.16.
			for _, r := range row {
				for at := 0; at < 4*w.lanes*vectors; at += 64 {
					PREFETCHT0(operand.Mem{Base: r, Index: ld, Scale: 8, Disp: at})
				}
			}
			for j := range vectors {
				for i, v := range f(read(j), k[j]) {
					VADDPD(v, acc[i][j], acc[i][j])
				}
			}
			for _, r := range row {
				ADDQ(ld, r)
			}
		}
		columnBlocks(label, w.lanes*vectors, n, count, before, add, func() {
			for i, p := range to {
				for j, v := range acc[i] {
					VMOVUPD(v, operand.Mem{Base: p, Disp: 8 * w.lanes * j})
				}
				ADDQ(operand.U32(uint32(8*w.lanes*vectors)), p)
			}
			for _, p := range all {
				ADDQ(operand.U32(uint32(4*w.lanes*vectors)), p)
			}
		})
	}
	block("block", w.ofBlock)
	block("vector", 1)
	VZEROUPPER()
	RET()
}

// columnBlocks writes the loop over blocks of columns, as long as n columns are left that make a whole one: before, then row for each of
// the parameter rows, which count counts, then after.
func columnBlocks(label string, columns int, n, count reg.Register, before, row, after func()) {
	Label(label)
	CMPQ(n, operand.U32(uint32(columns)))
	JL(operand.LabelRef(label + "Done"))
	before()
	Load(Param("rows"), count)
	Label(label + "Row")
	row()
	DECQ(count)
	JNZ(operand.LabelRef(label + "Row"))
	after()
	SUBQ(operand.U32(uint32(columns)), n)
	JMP(operand.LabelRef(label))
	Label(label + "Done")
}

func broadcastWide(name string) vec {
	r := YMM()
	VBROADCASTSD(address(name), r)
	return r
}
