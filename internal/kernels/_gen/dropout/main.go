// Command dropout writes the AVX2 and AVX-512 kernels of dropout, whose random words never leave the registers. Run it by
// `go generate` in internal/kernels.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/onnx-entropy/onnx-entropy/internal/rng/_gen/vector"
)

func main() {
	ConstraintExpr("!noasm")
	for _, level := range []string{"AVX2", "AVX512"} {
		vector.Wide = level == "AVX512"
		kernel("dropout" + level)
	}
	vector.Constants()
	Generate()
}

func kernel(name string) {
	TEXT(name, 0, "func(y, x *float32, runs, rows, skip int, schedule *[19]uint32, block, threshold uint32, scale float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is DropoutRows of %d*runs columns from element 4*block on, with skip elements, a multiple of 4, between rows; runs and rows are at least 1.", name, vector.Words()))
	y, x := Load(Param("y"), GP64()), Load(Param("x"), GP64())
	rows, skip, runs := Load(Param("rows"), GP64()), Load(Param("skip"), GP64()), GP64()
	g := vector.NewGenerator(Load(Param("schedule"), GP64()), Load(Param("block"), GP32()))
	blocks := GP64()
	MOVQ(skip, blocks)
	SHRQ(operand.Imm(2), blocks)
	threshold, scale := vector.Parameter("threshold"), vector.Parameter("scale")
	Label("row")
	Load(Param("runs"), runs)
	Label("run")
	radius, angle := g.Blocks(nil)
	for i := range 2 {
		first, second := vector.InOrder(radius[i], angle[i])
		for j, words := range []reg.VecVirtual{first, second} {
			at := vector.Bytes() * (2*i + j)
			v := vector.Vec()
			if vector.Wide {
				const atLeast = 5
				kept := K()
				VPCMPUD(operand.Imm(atLeast), threshold, words, kept)
				VMULPS_Z(operand.Mem{Base: x, Disp: at}, scale, kept, v)
			} else {
				kept := YMM()
				VPMAXUD(threshold, words, kept)
				VPCMPEQD(kept, words, kept)
				VMULPS(operand.Mem{Base: x, Disp: at}, scale, v)
				VANDPS(kept, v, v)
			}
			VMOVUPS(v, operand.Mem{Base: y, Disp: at})
		}
	}
	ADDQ(operand.U32(4*vector.Words()), x)
	ADDQ(operand.U32(4*vector.Words()), y)
	DECQ(runs)
	JNZ(operand.LabelRef("run"))
	LEAQ(operand.Mem{Base: x, Index: skip, Scale: 4}, x)
	LEAQ(operand.Mem{Base: y, Index: skip, Scale: 4}, y)
	g.Skip(blocks)
	DECQ(rows)
	JNZ(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}
