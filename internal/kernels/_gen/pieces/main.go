// Command pieces writes the AVX2 kernels that collect what the windows of a convolution see. Run it by
// `go generate` in internal/kernels.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

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

func take2() {
	TEXT("take2AVX2", NOSPLIT, "func(dst, src *float32, blocks int)")
	Pragma("noescape")
	Doc("take2AVX2 sets dst[i] = src[2*i] for i < 8*blocks; blocks is at least 1.")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("blocks"), GP64())
	Label("block")
	a, b := YMM(), YMM()
	VMOVUPS(operand.Mem{Base: src}, a)
	VMOVUPS(operand.Mem{Base: src, Disp: 32}, b)
	VSHUFPS(operand.Imm(0x88), b, a, a) // a0 a2 b0 b2 | a4 a6 b4 b6
	VPERMPD(operand.Imm(0xD8), a, a)
	VMOVUPS(a, operand.Mem{Base: dst})
	ADDQ(operand.Imm(64), src)
	ADDQ(operand.Imm(32), dst)
	DECQ(n)
	JNZ(operand.LabelRef("block"))
	VZEROUPPER()
	RET()
}

func addTo2() {
	TEXT("addTo2AVX2", NOSPLIT, "func(dst, src *float32, blocks int)")
	Pragma("noescape")
	Doc("addTo2AVX2 adds src[i] to dst[2*i], and zero to dst[2*i+1], for i < 8*blocks; blocks is at least 1.")
	dst, src, n := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("blocks"), GP64())
	zero := YMM()
	VXORPS(zero, zero, zero)
	Label("block")
	a, b := YMM(), YMM()
	VPERMPD(operand.Imm(0xD8), operand.Mem{Base: src}, a) // 0 1 4 5 | 2 3 6 7
	VUNPCKHPS(zero, a, b)
	VUNPCKLPS(zero, a, a)
	VADDPS(operand.Mem{Base: dst}, a, a)
	VMOVUPS(a, operand.Mem{Base: dst})
	VADDPS(operand.Mem{Base: dst, Disp: 32}, b, b)
	VMOVUPS(b, operand.Mem{Base: dst, Disp: 32})
	ADDQ(operand.Imm(32), src)
	ADDQ(operand.Imm(64), dst)
	DECQ(n)
	JNZ(operand.LabelRef("block"))
	VZEROUPPER()
	RET()
}
