// Command rng writes the AVX2 kernels of package rng. Run it by `go generate` in internal/rng.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/onnx-entropy/onnx-entropy/internal/rng/_gen/vector"
)

func main() {
	ConstraintExpr("!noasm")
	kernel("wordsAVX2", "wordsAVX2 sets 32*runs words from the block on; runs is at least 1.", "uint32",
		func(g *vector.Generator) (four [4]reg.VecVirtual) {
			radius, angle := g.Blocks()
			for i := range 2 {
				four[2*i], four[2*i+1] = vector.InOrder(radius[i], angle[i])
			}
			return four
		})
	kernel("normalsAVX2", "normalsAVX2 sets 32*runs normal numbers from number 4*block on; runs is at least 1.", "float32",
		(*vector.Generator).Normals)
	vector.Constants()
	Generate()
}

func kernel(name, doc, element string, next func(*vector.Generator) [4]reg.VecVirtual) {
	TEXT(name, 0, "func(dst *"+element+", runs int, schedule *[19]uint32, block uint32)")
	Pragma("noescape")
	Doc(doc)
	dst := Load(Param("dst"), GP64())
	runs := Load(Param("runs"), GP64())
	schedule := Load(Param("schedule"), GP64())
	block := Load(Param("block"), GP32())
	g := vector.NewGenerator(schedule, block)
	Label("run")
	for i, v := range next(g) {
		VMOVUPS(v, operand.Mem{Base: dst, Disp: 32 * i})
	}
	ADDQ(operand.Imm(4*vector.Words), dst)
	DECQ(runs)
	JNZ(operand.LabelRef("run"))
	VZEROUPPER()
	RET()
}
