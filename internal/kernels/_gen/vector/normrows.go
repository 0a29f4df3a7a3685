package main

import (
	"strings"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// normalisationRows writes batch normalisation of columns of a matrix, by AVX2 for a multiple of 8 and by AVX-512 for one of 16.
func normalisationRows() {
	for _, level := range []string{"AVX2", "AVX512"} {
		wide = level == "AVX512"
		normalise := func(x, k []vec) vec { return normalised(x[0], k[0], k[1], k[2]) }
		elementRows("normaliseRows"+level, "is NormaliseRows", "x", "mean a b", "", normalise)
		elementRows("normaliseReluRows"+level, "is NormaliseRows with relu", "x", "mean a b", "", func(x, k []vec) vec {
			y := normalise(x, k)
			return wherePositive(y, y)
		})
		elementRows("normaliseGradRows"+level, "is NormaliseGradRows", "x dy", "mean a b c", "", func(x, k []vec) vec {
			return normalisedGrad(x[0], x[1], k[0], k[1], k[2], k[3])
		})
		elementRows("rectifiedNormGradRows"+level, "is NormaliseGradRows with y", "x dy y", "mean a b c", "scale", func(x, k []vec) vec {
			return normalisedGrad(x[0], wherePositive(x[2], mul(x[1], k[4])), k[0], k[1], k[2], k[3])
		})
	}
	wide = false
}

// elementRows writes func name(to, inputs, fixed *float32, scalars float32, n, ld, rows int), a loop over the rows of n columns that are ld
// elements apart in to and in the inputs. fixed has a number for each column; those of a block of columns stay in registers for all
// rows. f gets what fixed has, then the scalars.
func elementRows(name, doc, inputs, fixed, scalars string, f body) {
	in, numbers, sc := strings.Fields(inputs), strings.Fields(fixed), strings.Fields(scalars)
	signature := "func(to, " + strings.Join(append(append([]string(nil), in...), numbers...), ", ") + " *float32, "
	if len(sc) > 0 {
		signature += strings.Join(sc, ", ") + " float32, "
	}
	TEXT(name, NOSPLIT, signature+"n, ld, rows int)")
	Pragma("noescape")
	lanes, ofBlock := 8, 2
	if wide {
		lanes, ofBlock = 16, 4
	}
	Doc(name + " " + doc + ".")
	pointers := func(names []string) (r []reg.GPVirtual) {
		for _, v := range names {
			r = append(r, Load(Param(v), GP64()).(reg.GPVirtual))
		}
		return r
	}
	matrices, perColumn := pointers(append([]string{"to"}, in...)), pointers(numbers)
	s := everywhere(sc)
	n, ld, count, at := Load(Param("n"), GP64()), Load(Param("ld"), GP64()), GP64(), GP64()
	SHLQ(operand.Imm(2), ld)
	block := func(label string, vectors int) {
		k := make([][]vec, vectors)
		before := func() {
			for j := range k {
				for _, p := range perColumn {
					k[j] = append(k[j], load(operand.Mem{Base: p, Disp: 4 * lanes * j}))
				}
				k[j] = append(k[j], s...)
			}
			XORQ(at, at)
		}
		row := func() {
			for j := range vectors {
				var x []vec
				for _, p := range matrices[1:] {
					x = append(x, load(operand.Mem{Base: p, Index: at, Scale: 1, Disp: 4 * lanes * j}))
				}
				VMOVUPS(f(x, k[j]), operand.Mem{Base: matrices[0], Index: at, Scale: 1, Disp: 4 * lanes * j})
			}
			ADDQ(ld, at)
		}
		columnBlocks(label, lanes*vectors, n, count, before, row, func() {
			for _, p := range append(append([]reg.GPVirtual(nil), matrices...), perColumn...) {
				ADDQ(operand.U32(uint32(4*lanes*vectors)), p)
			}
		})
	}
	block("block", ofBlock)
	block("vector", 1)
	VZEROUPPER()
	RET()
}
