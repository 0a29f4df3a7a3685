// Command rows writes the kernels that move rows of float32: copying and adding rectangles, transposing four
// rows or, with AVX-512, sixteen. Run it by `go generate` in internal/kernels.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!noasm")
	rectangle("copyRowsAVX2", "copyRowsAVX2 is copyRows for sizes of at least 1.", false)
	rectangle("addRowsAVX2", "addRowsAVX2 is addRows for sizes of at least 1.", true)
	transpose4()
	transpose16()
	Generate()
}

// rectangle walks rectangles and rows, each row in steps of 8, then 4, then 1 elements.
func rectangle(name, doc string, add bool) {
	TEXT(name, NOSPLIT, "func(dst *float32, nextd, ldd int, src *float32, nexts, lds int, count, rows, cols int)")
	Pragma("noescape")
	Doc(doc)
	dst := Load(Param("dst"), GP64())
	nextd := Load(Param("nextd"), GP64())
	ldd := Load(Param("ldd"), GP64())
	src := Load(Param("src"), GP64())
	nexts := Load(Param("nexts"), GP64())
	lds := Load(Param("lds"), GP64())
	count := Load(Param("count"), GP64())
	rows := Load(Param("rows"), GP64())
	cols := Load(Param("cols"), GP64())
	left := GP64()
	Comment("From the end of a rectangle to the next one.")
	for _, v := range [][2]reg.GPVirtual{{nextd.(reg.GPVirtual), ldd.(reg.GPVirtual)}, {nexts.(reg.GPVirtual), lds.(reg.GPVirtual)}} {
		MOVQ(v[1], left)
		IMULQ(rows, left)
		SUBQ(left, v[0])
		SHLQ(operand.Imm(2), v[0])
		SHLQ(operand.Imm(2), v[1])
	}

	s, d, below := GP64(), GP64(), GP64()
	v, one := YMM(), XMM()
	move := func(width int, v reg.VecVirtual) {
		from, to := operand.Mem{Base: s}, operand.Mem{Base: d}
		if width == 1 {
			VMOVSS(from, v)
			if add {
				VADDSS(to, v, v)
			}
			VMOVSS(v, to)
		} else {
			VMOVUPS(from, v)
			if add {
				VADDPS(to, v, v)
			}
			VMOVUPS(v, to)
		}
		ADDQ(operand.Imm(uint64(4*width)), s)
		ADDQ(operand.Imm(uint64(4*width)), d)
	}
	Label("rectangle")
	MOVQ(rows, below)
	Label("row")
	MOVQ(src, s)
	MOVQ(dst, d)
	MOVQ(cols, left)
	SUBQ(operand.Imm(8), left)
	JL(operand.LabelRef("four"))
	Label("eights")
	move(8, v)
	SUBQ(operand.Imm(8), left)
	JGE(operand.LabelRef("eights"))
	Label("four")
	ADDQ(operand.Imm(8), left)
	CMPQ(left, operand.Imm(4))
	JL(operand.LabelRef("rest"))
	move(4, one)
	SUBQ(operand.Imm(4), left)
	Label("rest")
	TESTQ(left, left)
	JZ(operand.LabelRef("next"))
	Label("ones")
	move(1, one)
	DECQ(left)
	JNZ(operand.LabelRef("ones"))
	Label("next")
	ADDQ(lds, src)
	ADDQ(ldd, dst)
	DECQ(below)
	JNZ(operand.LabelRef("row"))
	ADDQ(nexts, src)
	ADDQ(nextd, dst)
	DECQ(count)
	JNZ(operand.LabelRef("rectangle"))
	VZEROUPPER()
	RET()
}

// transpose4 walks along four rows of src in blocks of 4 x 4.
func transpose4() {
	TEXT("transpose4AVX2", NOSPLIT, "func(dst *float32, ldd int, src *float32, lds int, blocks int)")
	Pragma("noescape")
	Doc("transpose4AVX2 sets dst[p*ldd+i] = src[i*lds+p] for i < 4 and p < 4*blocks; blocks is at least 1.")
	dst := Load(Param("dst"), GP64())
	ldd := Load(Param("ldd"), GP64())
	s0 := Load(Param("src"), GP64())
	lds := Load(Param("lds"), GP64())
	blocks := Load(Param("blocks"), GP64())
	SHLQ(operand.Imm(2), ldd)
	SHLQ(operand.Imm(2), lds)
	s2, d2 := GP64(), GP64()
	LEAQ(operand.Mem{Base: s0, Index: lds, Scale: 2}, s2)

	// Rows are short, and begin anew before the processor's own prefetching has caught on.
	n0, n2 := GP64(), GP64()
	LEAQ(operand.Mem{Base: s0, Index: lds, Scale: 8}, n0)
	LEAQ(operand.Mem{Base: s2, Index: lds, Scale: 8}, n2)
	Label("block")
	PREFETCHT0(operand.Mem{Base: n0})
	PREFETCHT0(operand.Mem{Base: n0, Index: lds, Scale: 1})
	PREFETCHT0(operand.Mem{Base: n2})
	PREFETCHT0(operand.Mem{Base: n2, Index: lds, Scale: 1})
	ADDQ(operand.Imm(16), n0)
	ADDQ(operand.Imm(16), n2)
	r := [4]reg.VecVirtual{XMM(), XMM(), XMM(), XMM()}
	VMOVUPS(operand.Mem{Base: s0}, r[0])
	VMOVUPS(operand.Mem{Base: s0, Index: lds, Scale: 1}, r[1])
	VMOVUPS(operand.Mem{Base: s2}, r[2])
	VMOVUPS(operand.Mem{Base: s2, Index: lds, Scale: 1}, r[3])
	low01, low23, high01, high23 := XMM(), XMM(), XMM(), XMM()
	VUNPCKLPS(r[1], r[0], low01)
	VUNPCKLPS(r[3], r[2], low23)
	VUNPCKHPS(r[1], r[0], high01)
	VUNPCKHPS(r[3], r[2], high23)
	c := [4]reg.VecVirtual{XMM(), XMM(), XMM(), XMM()}
	VUNPCKLPD(low23, low01, c[0])
	VUNPCKHPD(low23, low01, c[1])
	VUNPCKLPD(high23, high01, c[2])
	VUNPCKHPD(high23, high01, c[3])
	LEAQ(operand.Mem{Base: dst, Index: ldd, Scale: 2}, d2)
	VMOVUPS(c[0], operand.Mem{Base: dst})
	VMOVUPS(c[1], operand.Mem{Base: dst, Index: ldd, Scale: 1})
	VMOVUPS(c[2], operand.Mem{Base: d2})
	VMOVUPS(c[3], operand.Mem{Base: d2, Index: ldd, Scale: 1})
	ADDQ(operand.Imm(16), s0)
	ADDQ(operand.Imm(16), s2)
	LEAQ(operand.Mem{Base: d2, Index: ldd, Scale: 2}, dst)
	DECQ(blocks)
	JNZ(operand.LabelRef("block"))
	VZEROUPPER()
	RET()
}

// transpose16 walks along sixteen rows of src in blocks of 16 x 16.
func transpose16() {
	TEXT("transpose16AVX512", NOSPLIT, "func(dst *float32, ldd int, src *float32, lds int, blocks int)")
	Pragma("noescape")
	Doc("transpose16AVX512 sets dst[p*ldd+i] = src[i*lds+p] for i < 16 and p < 16*blocks; blocks is at least 1.")
	d := Load(Param("dst"), GP64())
	ldd := Load(Param("ldd"), GP64())
	src := Load(Param("src"), GP64())
	lds := Load(Param("lds"), GP64())
	blocks := Load(Param("blocks"), GP64())
	s, lds3, ldd3 := GP64(), GP64(), GP64()
	SHLQ(operand.Imm(2), ldd)
	SHLQ(operand.Imm(2), lds)
	LEAQ(operand.Mem{Base: lds, Index: lds, Scale: 2}, lds3)
	LEAQ(operand.Mem{Base: ldd, Index: ldd, Scale: 2}, ldd3)
	four := func(base, ld, ld3 reg.Register) [4]operand.Mem {
		return [4]operand.Mem{{Base: base}, {Base: base, Index: ld, Scale: 1}, {Base: base, Index: ld, Scale: 2}, {Base: base, Index: ld3, Scale: 1}}
	}
	two := func(op func(...operand.Op), y, x reg.VecVirtual) reg.VecVirtual {
		v := ZMM()
		op(y, x, v)
		return v
	}
	lanes := func(which uint64, y, x reg.VecVirtual) reg.VecVirtual {
		v := ZMM()
		VSHUFF32X4(operand.Imm(which), y, x, v)
		return v
	}

	Label("block")
	MOVQ(src, s)
	// Lane l of within[m][j] has rows 4m to 4m+3 of column 4l+j.
	var within [4][4]reg.VecVirtual
	for m := range within {
		var r [4]reg.VecVirtual
		for i, at := range four(s, lds, lds3) {
			r[i] = ZMM()
			VMOVUPS(at, r[i])
		}
		LEAQ(operand.Mem{Base: s, Index: lds, Scale: 4}, s)
		low01, low23 := two(VUNPCKLPS, r[1], r[0]), two(VUNPCKLPS, r[3], r[2])
		high01, high23 := two(VUNPCKHPS, r[1], r[0]), two(VUNPCKHPS, r[3], r[2])
		within[m] = [4]reg.VecVirtual{
			two(VUNPCKLPD, low23, low01), two(VUNPCKHPD, low23, low01),
			two(VUNPCKLPD, high23, high01), two(VUNPCKHPD, high23, high01),
		}
	}
	// The rows below, of the next call, begin in other pages: the processor's own prefetching does not go there.
	for range 4 {
		for _, at := range four(s, lds, lds3) {
			PREFETCHT1(at)
		}
		LEAQ(operand.Mem{Base: s, Index: lds, Scale: 4}, s)
	}
	const even, odd = 0b10_00_10_00, 0b11_01_11_01
	var column [16]reg.VecVirtual
	for j := range 4 {
		for l, which := range []uint64{even, odd} {
			upper, lower := lanes(which, within[1][j], within[0][j]), lanes(which, within[3][j], within[2][j])
			column[4*l+j] = lanes(even, lower, upper)
			column[4*(l+2)+j] = lanes(odd, lower, upper)
		}
	}
	for p := 0; p < 16; p += 4 {
		for j, at := range four(d, ldd, ldd3) {
			VMOVUPS(column[p+j], at)
		}
		LEAQ(operand.Mem{Base: d, Index: ldd, Scale: 4}, d)
	}
	ADDQ(operand.Imm(64), src)
	DECQ(blocks)
	JNZ(operand.LabelRef("block"))
	VZEROUPPER()
	RET()
}
