// Command gemm writes the AVX2 micro-kernels of matrix multiplication. Run it by `go generate` in
// internal/kernels.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!noasm")
	for _, width := range []int{2, 1} {
		for rows := 6; rows >= 1; rows-- {
			tile(rows, width)
		}
	}
	peak()
	Generate()
}

// peak writes the loop that measures what the processor can do at most.
func peak() {
	TEXT("peakAVX2", NOSPLIT, "func(n int)")
	Doc("peakAVX2 does n times 12 independent multiplications and additions of 8 numbers, as a tile of 6 x 16 has them.")
	n := Load(Param("n"), GP64())
	zero := YMM()
	VXORPS(zero, zero, zero)
	sum := make([]reg.VecVirtual, 12)
	for i := range sum {
		sum[i] = YMM()
		VXORPS(sum[i], sum[i], sum[i])
	}
	Label("again")
	for i := range sum {
		VFMADD231PS(zero, zero, sum[i])
	}
	DECQ(n)
	JNZ(operand.LabelRef("again"))
	VZEROUPPER()
	RET()
}

// tile writes the product of rows x k by k x (8*width), kept in rows*width registers.
func tile(rows, width int) {
	TEXT(fmt.Sprintf("gemmAVX2x%dx%d", rows, 8*width), NOSPLIT,
		"func(k int, a *float32, lda int, b *float32, ldb int, c *float32, ldc int, accumulate bool)")
	Pragma("noescape")
	Doc(fmt.Sprintf("gemmAVX2x%dx%d is microAVX2 for %d rows and %d columns.", rows, 8*width, rows, 8*width))
	k := Load(Param("k"), GP64())
	a := Load(Param("a"), GP64())
	lda := Load(Param("lda"), GP64())
	b := Load(Param("b"), GP64())
	ldb := Load(Param("ldb"), GP64())
	c := Load(Param("c"), GP64())
	ldc := Load(Param("ldc"), GP64())
	for _, stride := range []reg.Register{lda, ldb, ldc} {
		SHLQ(operand.Imm(2), stride)
	}

	Comment("The sums start at zero; C is added after the loop.")
	sum := make([][]reg.VecVirtual, rows)
	for i := range sum {
		sum[i] = make([]reg.VecVirtual, width)
		for j := range sum[i] {
			sum[i][j] = YMM()
			VXORPS(sum[i][j], sum[i][j], sum[i][j])
		}
	}
	bv := make([]reg.VecVirtual, width)
	for j := range bv {
		bv[j] = YMM()
	}
	av := []reg.VecVirtual{YMM(), YMM()}
	step := func() {
		for j := range bv {
			VMOVUPS(operand.Mem{Base: b, Disp: 32 * j}, bv[j])
		}
		for i := range sum {
			v := av[i%len(av)]
			VBROADCASTSS(operand.Mem{Base: a, Disp: 4 * i}, v)
			for j := range bv {
				VFMADD231PS(bv[j], v, sum[i][j])
			}
		}
		ADDQ(lda, a)
		ADDQ(ldb, b)
	}
	SUBQ(operand.Imm(4), k)
	JL(operand.LabelRef("rest"))
	Label("four")
	for range 4 {
		step()
	}
	SUBQ(operand.Imm(4), k)
	JGE(operand.LabelRef("four"))
	Label("rest")
	ADDQ(operand.Imm(4), k)
	JZ(operand.LabelRef("done"))
	Label("one")
	step()
	DECQ(k)
	JNZ(operand.LabelRef("one"))
	Label("done")

	add := Load(Param("accumulate"), GP8())
	TESTB(add, add)
	JZ(operand.LabelRef("store"))
	at := GP64()
	MOVQ(c, at)
	for i := range sum {
		for j := range sum[i] {
			VADDPS(operand.Mem{Base: at, Disp: 32 * j}, sum[i][j], sum[i][j])
		}
		if i+1 < rows {
			ADDQ(ldc, at)
		}
	}
	Label("store")
	for i := range sum {
		for j := range sum[i] {
			VMOVUPS(sum[i][j], operand.Mem{Base: c, Disp: 32 * j})
		}
		if i+1 < rows {
			ADDQ(ldc, c)
		}
	}
	VZEROUPPER()
	RET()
}
