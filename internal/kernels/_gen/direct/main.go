// Command direct writes the AVX2 kernels of convolutions over few channels. Run it by `go generate` in
// internal/kernels.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

type vec = reg.VecVirtual

func main() {
	ConstraintExpr("!noasm")
	convolve(1, 4, 2, 1)
	convolve(2, 4, 2, 1)
	convolve(4, 3, 2, 1)
	convolve3x3()
	addScaled()
	for _, r := range []int{1, 2} {
		for taps := 1; taps <= 5; taps++ {
			correlate(r, taps)
		}
	}
	Generate()
}

// convolve computes rows of so many channels, in blocks of widths[i] vectors.
func convolve(channels int, widths ...int) {
	name := fmt.Sprintf("direct%dAVX2", channels)
	TEXT(name, NOSPLIT, "func(y *float32, stepM, ldy int, src *float32, lds int, taps *int, n int, w *float32, rows, cols int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is direct for %d channels; n is at least 1, cols at least 8.", name, channels))
	y, stepM := Load(Param("y"), GP64()), Load(Param("stepM"), GP64())
	src, taps, w := Load(Param("src"), GP64()), Load(Param("taps"), GP64()), Load(Param("w"), GP64())
	rows := Load(Param("rows"), GP64())
	SHLQ(operand.Imm(2), stepM)
	third := GP64()
	if channels == 4 {
		LEAQ(operand.Mem{Base: stepM, Index: stepM, Scale: 2}, third)
	}
	s, d, left, k, t, weights := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	place := func(r, v int) operand.Mem {
		m := operand.Mem{Base: d, Disp: 32 * v}
		switch r {
		case 1:
			m.Index, m.Scale = stepM, 1
		case 2:
			m.Index, m.Scale = stepM, 2
		case 3:
			m.Index, m.Scale = third, 1
		}
		return m
	}
	block := func(label string, width int) {
		acc := make([][]vec, channels)
		for r := range acc {
			acc[r] = make([]vec, width)
			for v := range acc[r] {
				acc[r][v] = YMM()
				if v == 0 {
					VBROADCASTSS(operand.Mem{Base: w, Disp: 4 * r}, acc[r][0])
				} else {
					VMOVAPS(acc[r][0], acc[r][v])
				}
			}
		}
		XORQ(k, k)
		LEAQ(operand.Mem{Base: w, Disp: 4 * channels}, weights)
		Label(label)
		MOVQ(operand.Mem{Base: taps, Index: k, Scale: 8}, t)
		at := func(v int) operand.Mem { return operand.Mem{Base: s, Index: t, Scale: 4, Disp: 32 * v} }
		x := make([]vec, width)
		if channels > 1 {
			for v := range x {
				x[v] = YMM()
				VMOVUPS(at(v), x[v])
			}
		}
		for r := range acc {
			wv := YMM()
			VBROADCASTSS(operand.Mem{Base: weights, Disp: 4 * r}, wv)
			for v := range x {
				if channels > 1 {
					VFMADD231PS(x[v], wv, acc[r][v])
				} else {
					VFMADD231PS(at(v), wv, acc[r][v])
				}
			}
		}
		ADDQ(operand.Imm(uint64(4*channels)), weights)
		INCQ(k)
		CMPQ(k, param("n"))
		JNE(operand.LabelRef(label))
		for r := range acc {
			for v := range acc[r] {
				VMOVUPS(acc[r][v], place(r, v))
			}
		}
	}
	Label("row")
	MOVQ(src, s)
	MOVQ(y, d)
	Load(Param("cols"), left)
	for _, width := range widths {
		next := fmt.Sprintf("narrower%d", width)
		Label(fmt.Sprintf("wide%d", width))
		CMPQ(left, operand.Imm(uint64(8*width)))
		JL(operand.LabelRef(next))
		block(fmt.Sprintf("tap%d", width), width)
		ADDQ(operand.Imm(uint64(32*width)), s)
		ADDQ(operand.Imm(uint64(32*width)), d)
		SUBQ(operand.Imm(uint64(8*width)), left)
		JMP(operand.LabelRef(fmt.Sprintf("wide%d", width)))
		Label(next)
	}
	TESTQ(left, left)
	JZ(operand.LabelRef("end"))
	Comment("The last vector ends with the row: it overlaps the one before.")
	LEAQ(operand.Mem{Base: s, Index: left, Scale: 4, Disp: -32}, s)
	LEAQ(operand.Mem{Base: d, Index: left, Scale: 4, Disp: -32}, d)
	block("last", 1)
	Label("end")
	Load(Param("lds"), t)
	LEAQ(operand.Mem{Base: src, Index: t, Scale: 4}, src)
	Load(Param("ldy"), t)
	LEAQ(operand.Mem{Base: y, Index: t, Scale: 4}, y)
	DECQ(rows)
	JNZ(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}

// convolve3x3 computes rows of one channel; the weights stay in registers.
func convolve3x3() {
	const taps = 9
	TEXT("direct3x3AVX2", NOSPLIT, "func(y *float32, ldy int, src *float32, lds int, taps *int, w *float32, rows, cols int)")
	Pragma("noescape")
	Doc("direct3x3AVX2 is direct for one channel and 9 taps; cols is at least 8.")
	y, rows, j := Load(Param("y"), GP64()), Load(Param("rows"), GP64()), GP64()
	list, w := Load(Param("taps"), GP64()), Load(Param("w"), GP64())
	weights := make([]vec, taps+1)
	for i := range weights {
		weights[i] = YMM()
		VBROADCASTSS(operand.Mem{Base: w, Disp: 4 * i}, weights[i])
	}
	Load(Param("src"), j)
	p := make([]reg.GPVirtual, taps)
	for t := range p {
		p[t] = GP64()
		MOVQ(operand.Mem{Base: list, Disp: 8 * t}, p[t])
		LEAQ(operand.Mem{Base: j, Index: p[t], Scale: 4}, p[t])
	}
	block := func(width int) {
		for v := range width {
			acc := YMM()
			VMOVAPS(weights[0], acc)
			for t := range p {
				VFMADD231PS(operand.Mem{Base: p[t], Index: j, Scale: 4, Disp: 32 * v}, weights[t+1], acc)
			}
			VMOVUPS(acc, operand.Mem{Base: y, Index: j, Scale: 4, Disp: 32 * v})
		}
	}
	Label("row")
	MOVQ(operand.I32(16), j)
	CMPQ(j, param("cols"))
	JG(operand.LabelRef("one"))
	Label("two")
	SUBQ(operand.Imm(16), j)
	block(2)
	ADDQ(operand.Imm(32), j)
	CMPQ(j, param("cols"))
	JLE(operand.LabelRef("two"))
	Label("one")
	SUBQ(operand.Imm(8), j)
	CMPQ(j, param("cols"))
	JG(operand.LabelRef("last"))
	SUBQ(operand.Imm(8), j)
	block(1)
	ADDQ(operand.Imm(16), j)
	Label("last")
	Comment("The last vector ends with the row: it overlaps the one before.")
	SUBQ(operand.Imm(8), j)
	CMPQ(j, param("cols"))
	JE(operand.LabelRef("next"))
	Load(Param("cols"), j)
	SUBQ(operand.Imm(8), j)
	block(1)
	Label("next")
	Load(Param("lds"), j)
	for _, q := range p {
		LEAQ(operand.Mem{Base: q, Index: j, Scale: 4}, q)
	}
	Load(Param("ldy"), j)
	LEAQ(operand.Mem{Base: y, Index: j, Scale: 4}, y)
	DECQ(rows)
	JNZ(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}

// addScaled adds whole vectors; in the last one what is behind the row is zero.
func addScaled() {
	TEXT("addScaledAVX2", NOSPLIT, "func(dst *float32, ldd int, src *float32, lds int, w float32, rows, cols int, tail *uint32)")
	Pragma("noescape")
	Doc("addScaledAVX2 is addScaled; tail selects the last cols%8 lanes.")
	dst, src, rows := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("rows"), GP64())
	ldd, lds, whole := Load(Param("ldd"), GP64()), Load(Param("lds"), GP64()), Load(Param("cols"), GP64())
	SHLQ(operand.Imm(2), ldd)
	SHLQ(operand.Imm(2), lds)
	ANDQ(operand.I32(-8), whole)
	w, mask, at, j := YMM(), YMM(), GP64(), GP64()
	VBROADCASTSS(param("w"), w)
	Load(Param("tail"), at)
	VMOVUPS(operand.Mem{Base: at}, mask)
	x := YMM()
	d, s := operand.Mem{Base: dst, Index: j, Scale: 4}, operand.Mem{Base: src, Index: j, Scale: 4}
	Label("row")
	XORQ(j, j)
	CMPQ(j, whole)
	JE(operand.LabelRef("rest"))
	Label("vector")
	VMOVUPS(s, x)
	VFMADD213PS(d, w, x)
	VMOVUPS(x, d)
	ADDQ(operand.Imm(8), j)
	CMPQ(j, whole)
	JNE(operand.LabelRef("vector"))
	Label("rest")
	CMPQ(j, param("cols"))
	JE(operand.LabelRef("next"))
	VMASKMOVPS(s, mask, x)
	old := YMM()
	VMOVUPS(d, old)
	VFMADD213PS(old, w, x)
	VBLENDVPS(mask, x, old, x)
	VMOVUPS(x, d)
	Label("next")
	ADDQ(ldd, dst)
	ADDQ(lds, src)
	DECQ(rows)
	JNZ(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}

// correlate adds to the sums the products of rows of dy with those of x under some taps.
func correlate(channels, taps int) {
	name := fmt.Sprintf("correlate%dx%dAVX2", channels, taps)
	TEXT(name, NOSPLIT, "func(sums *float32, dy *float32, stepM, ldy int, src *float32, lds int, taps *int, rows, cols int, tail *uint32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is correlate for %d channels and %d taps; tail selects the last cols%%8 lanes.", name, channels, taps))
	sums, rows := Load(Param("sums"), GP64()), Load(Param("rows"), GP64())
	d := []reg.Register{Load(Param("dy"), GP64())}
	if channels == 2 {
		second := Load(Param("stepM"), GP64())
		LEAQ(operand.Mem{Base: d[0], Index: second, Scale: 4}, second)
		d = append(d, second)
	}
	ldy, lds := Load(Param("ldy"), GP64()), Load(Param("lds"), GP64())
	SHLQ(operand.Imm(2), ldy)
	SHLQ(operand.Imm(2), lds)
	j := GP64()
	p := make([]reg.GPVirtual, taps)
	list := Load(Param("taps"), GP64())
	Load(Param("src"), j)
	for t := range p {
		p[t] = GP64()
		MOVQ(operand.Mem{Base: list, Disp: 8 * t}, p[t])
		LEAQ(operand.Mem{Base: j, Index: p[t], Scale: 4}, p[t])
	}
	acc := make([][]vec, channels)
	for r := range acc {
		acc[r] = make([]vec, taps)
		for t := range acc[r] {
			acc[r][t] = YMM()
			VMOVUPS(operand.Mem{Base: sums, Disp: 32 * (r*taps + t)}, acc[r][t])
		}
	}
	whole := GP64()
	Load(Param("cols"), whole)
	ANDQ(operand.I32(-8), whole)
	step := func(load func(m operand.Mem, v vec)) {
		g := make([]vec, channels)
		for r := range g {
			g[r] = YMM()
			load(operand.Mem{Base: d[r], Index: j, Scale: 4}, g[r])
		}
		for t := range p {
			x := YMM()
			load(operand.Mem{Base: p[t], Index: j, Scale: 4}, x)
			for r := range g {
				VFMADD231PS(x, g[r], acc[r][t])
			}
		}
	}
	Label("row")
	XORQ(j, j)
	CMPQ(j, whole)
	JE(operand.LabelRef("rest"))
	Label("vector")
	step(func(m operand.Mem, v vec) { VMOVUPS(m, v) })
	ADDQ(operand.Imm(8), j)
	CMPQ(j, whole)
	JNE(operand.LabelRef("vector"))
	Label("rest")
	CMPQ(j, param("cols"))
	JE(operand.LabelRef("next"))
	mask, at := YMM(), GP64()
	Load(Param("tail"), at)
	VMOVUPS(operand.Mem{Base: at}, mask)
	step(func(m operand.Mem, v vec) { VMASKMOVPS(m, mask, v) })
	Label("next")
	for _, q := range d {
		ADDQ(ldy, q)
	}
	for _, q := range p {
		ADDQ(lds, q)
	}
	DECQ(rows)
	JNZ(operand.LabelRef("row"))
	for r := range acc {
		for t := range acc[r] {
			VMOVUPS(acc[r][t], operand.Mem{Base: sums, Disp: 32 * (r*taps + t)})
		}
	}
	VZEROUPPER()
	RET()
}

// param is where a parameter lies.
func param(name string) operand.Mem {
	var c gotypes.Component = Param(name)
	b, err := c.Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}
