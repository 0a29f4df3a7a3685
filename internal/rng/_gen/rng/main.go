// Command rng writes the AVX2 and AVX-512 kernels of package rng. Run it by `go generate` in internal/rng.
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
		kernel("words", level, "words", "uint32", func(g *vector.Generator) (four [4]reg.VecVirtual) {
			radius, angle := g.Blocks(nil)
			for i := range 2 {
				four[2*i], four[2*i+1] = vector.InOrder(radius[i], angle[i])
			}
			return four
		})
		kernel("normals", level, "normal numbers", "float32", (*vector.Generator).Normals)
	}
	vector.Constants()
	Generate()
}

// kernel writes the function that makes a number of runs, from a block on.
func kernel(name, level, what, element string, next func(*vector.Generator) [4]reg.VecVirtual) {
	name += level
	TEXT(name, 0, "func(dst *"+element+", runs int, schedule *[19]uint32, block uint32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets %d*runs %s from number 4*block on; runs is at least 1.", name, vector.Words(), what))
	dst := Load(Param("dst"), GP64())
	runs := Load(Param("runs"), GP64())
	schedule := Load(Param("schedule"), GP64())
	block := Load(Param("block"), GP32())
	g := vector.NewGenerator(schedule, block)
	Label("run")
	for i, v := range next(g) {
		VMOVUPS(v, operand.Mem{Base: dst, Disp: vector.Bytes() * i})
	}
	ADDQ(operand.U32(4*vector.Words()), dst)
	DECQ(runs)
	JNZ(operand.LabelRef("run"))
	VZEROUPPER()
	RET()
}
