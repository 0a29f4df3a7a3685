package vector

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// An instruction has three operands; avo's function for it may also take a mask.
type instruction interface {
	func(y, x, dst operand.Op) | func(...operand.Op)
}

// apply gives the result of an instruction in a new register. It is x op y, the order of Intel's manual,
// for apply(op, y, x), the order of the assembler.
func apply[F instruction](op F, y, x operand.Op) reg.VecVirtual {
	dst := YMM()
	switch op := any(op).(type) {
	case func(y, x, dst operand.Op):
		op(y, x, dst)
	case func(...operand.Op):
		op(y, x, dst)
	}
	return dst
}

func add(x reg.VecVirtual, y operand.Op) reg.VecVirtual { return apply(VADDPS, y, x) }
func sub(x reg.VecVirtual, y operand.Op) reg.VecVirtual { return apply(VSUBPS, y, x) }
func mul(x reg.VecVirtual, y operand.Op) reg.VecVirtual { return apply(VMULPS, y, x) }

// shift gives x shifted by a constant in a new register.
func shift[F instruction](op F, n uint64, x reg.VecVirtual) reg.VecVirtual {
	return apply(op, operand.Imm(n), x)
}

// constants of 32 bytes that kernels of the file refer to, in order of their first use.
var constants [][8]uint32

func constant(c [8]uint32) operand.Mem {
	at := 0
	for at < len(constants) && constants[at] != c {
		at++
	}
	if at == len(constants) {
		constants = append(constants, c)
	}
	return operand.NewDataAddr(operand.NewStaticSymbol("vectorConstants"), 32*at)
}

// broadcast is a constant in all eight words.
func broadcast(w uint32) operand.Mem { return constant([8]uint32{w, w, w, w, w, w, w, w}) }

// number is a float32 in all eight words.
func number(x float32) operand.Mem { return broadcast(math.Float32bits(x)) }

// lanes is a constant of four lanes of 64 bits.
func lanes(a, b, c, d uint32) operand.Mem { return constant([8]uint32{a, 0, b, 0, c, 0, d, 0}) }

// Constants writes the constants of all kernels of the file. It is called once, at the end.
func Constants() {
	GLOBL("vectorConstants", attr.RODATA|attr.NOPTR)
	for i, c := range constants {
		for j, w := range c {
			DATA(32*i+4*j, operand.U32(w))
		}
	}
}
