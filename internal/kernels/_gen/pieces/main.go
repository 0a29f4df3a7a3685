// Command pieces writes the AVX2 kernels that collect what the windows of a convolution see. Run it by
// `go generate` in internal/kernels.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

type vec = reg.VecVirtual

func main() {
	ConstraintExpr("!noasm")
	gather(8)
	gather(4)
	take2()
	addTo2()
	Generate()
}

// gather copies up to four pieces a row with all places in registers; else the places are read for each row.
func gather(width int) {
	name := fmt.Sprintf("gatherPieces%dAVX2", width)
	TEXT(name, NOSPLIT, "func(dst *float32, ld int, src *float32, rows *int, n int, list *int, pieces int)")
	Pragma("noescape")
	Doc(name + fmt.Sprintf(" is gatherPieces for pieces of %d elements.", width))
	dst, ld, src := Load(Param("dst"), GP64()), Load(Param("ld"), GP64()), Load(Param("src"), GP64())
	rows, n, list := Load(Param("rows"), GP64()), Load(Param("n"), GP64()), Load(Param("list"), GP64())
	count := Load(Param("pieces"), GP64())
	SHLQ(operand.Imm(2), ld)
	var v reg.VecVirtual = YMM()
	if width == 4 {
		v = XMM()
	}
	s := GP64()
	row := func(body func()) {
		MOVQ(operand.Mem{Base: rows}, s)
		LEAQ(operand.Mem{Base: src, Index: s, Scale: 4}, s)
		body()
		ADDQ(operand.Imm(8), rows)
		ADDQ(ld, dst)
	}
	move := func(from, to reg.Register) {
		VMOVUPS(operand.Mem{Base: s, Index: from, Scale: 4}, v)
		VMOVUPS(v, operand.Mem{Base: dst, Index: to, Scale: 4})
	}
	end := func() {
		VZEROUPPER()
		RET()
	}
	const held = 4
	for k := 1; k <= held; k++ {
		CMPQ(count, operand.Imm(uint64(k)))
		JE(operand.LabelRef(fmt.Sprintf("pieces%d", k)))
	}
	Label("any")
	row(func() {
		p, left := GP64(), GP64()
		MOVQ(list, p)
		MOVQ(count, left)
		Label("piece")
		from, to := GP64(), GP64()
		MOVQ(operand.Mem{Base: p}, from)
		MOVQ(operand.Mem{Base: p, Disp: 8}, to)
		move(from, to)
		ADDQ(operand.Imm(16), p)
		DECQ(left)
		JNZ(operand.LabelRef("piece"))
	})
	DECQ(n)
	JNZ(operand.LabelRef("any"))
	end()
	for k := 1; k <= held; k++ {
		Label(fmt.Sprintf("pieces%d", k))
		from, to := make([]reg.Register, k), make([]reg.Register, k)
		for i := range k {
			f, t := GP64(), GP64()
			MOVQ(operand.Mem{Base: list, Disp: 16 * i}, f)
			MOVQ(operand.Mem{Base: list, Disp: 16*i + 8}, t)
			from[i], to[i] = f, t
		}
		label := fmt.Sprintf("row%d", k)
		Label(label)
		row(func() {
			for i := range k {
				move(from[i], to[i])
			}
		})
		DECQ(n)
		JNZ(operand.LabelRef(label))
		end()
	}
}

// everySecond walks along rows: blocks of eight elements of `dense`, to which 16 of `sparse` belong, then single ones.
// The last element is always done alone, because a block touches one element of `sparse` behind its last.
func everySecond(name, doc string, block, one func(dense, sparse operand.Mem), toDense bool) {
	TEXT(name, NOSPLIT, "func(dst *float32, ldd int, src *float32, lds int, rows, cols int)")
	Pragma("noescape")
	Doc(doc)
	dst, src, rows := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("rows"), GP64())
	ldd, lds, cols := Load(Param("ldd"), GP64()), Load(Param("lds"), GP64()), Load(Param("cols"), GP64())
	SHLQ(operand.Imm(2), ldd)
	SHLQ(operand.Imm(2), lds)
	Label("row")
	d, s, left := GP64(), GP64(), GP64()
	dense, sparse := d, s
	if !toDense {
		dense, sparse = s, d
	}
	MOVQ(dst, d)
	MOVQ(src, s)
	MOVQ(cols, left)
	SUBQ(operand.Imm(9), left)
	JL(operand.LabelRef("rest"))
	Label("block")
	block(operand.Mem{Base: dense}, operand.Mem{Base: sparse})
	ADDQ(operand.Imm(32), dense)
	ADDQ(operand.Imm(64), sparse)
	SUBQ(operand.Imm(8), left)
	JGE(operand.LabelRef("block"))
	Label("rest")
	ADDQ(operand.Imm(9), left)
	Label("one")
	one(operand.Mem{Base: dense}, operand.Mem{Base: sparse})
	ADDQ(operand.Imm(4), dense)
	ADDQ(operand.Imm(8), sparse)
	DECQ(left)
	JNZ(operand.LabelRef("one"))
	ADDQ(ldd, dst)
	ADDQ(lds, src)
	DECQ(rows)
	JNZ(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}

func take2() {
	x := func() vec { return XMM() }
	everySecond("take2AVX2", "take2AVX2 is takeRows for step 2; rows and cols are at least 1.",
		func(dense, sparse operand.Mem) {
			a := YMM()
			VMOVUPS(sparse, a)
			VSHUFPS(operand.Imm(0x88), sparse.Offset(32), a, a) // 0 2 8 10 | 4 6 12 14
			VPERMPD(operand.Imm(0xD8), a, a)
			VMOVUPS(a, dense)
		},
		func(dense, sparse operand.Mem) {
			v := x()
			VMOVSS(sparse, v)
			VMOVSS(v, dense)
		}, true)
}

func addTo2() {
	zero := func() vec { v := YMM(); VXORPS(v, v, v); return v }
	everySecond("addTo2AVX2", "addTo2AVX2 is addToRows for step 2; rows and cols are at least 1.",
		func(dense, sparse operand.Mem) {
			a, b, z := YMM(), YMM(), zero()
			VPERMPD(operand.Imm(0xD8), dense, a) // 0 1 4 5 | 2 3 6 7
			VUNPCKHPS(z, a, b)
			VUNPCKLPS(z, a, a)
			VADDPS(sparse, a, a)
			VMOVUPS(a, sparse)
			VADDPS(sparse.Offset(32), b, b)
			VMOVUPS(b, sparse.Offset(32))
		},
		func(dense, sparse operand.Mem) {
			v := XMM()
			VMOVSS(dense, v)
			VADDSS(sparse, v, v)
			VMOVSS(v, sparse)
		}, false)
}
