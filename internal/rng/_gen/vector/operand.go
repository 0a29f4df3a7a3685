package vector

import (
	"math"

	"github.com/mmcloughlin/avo/attr"
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Wide makes the functions of this package write AVX-512 instead of AVX2.
var Wide bool

// Bytes is the width of a vector, Words the number of words of one run of Blocks.
func Bytes() int {
	if Wide {
		return 64
	}
	return 32
}

func Words() int { return Bytes() }

// Vec returns a new register.
func Vec() reg.VecVirtual {
	if Wide {
		return ZMM()
	}
	return YMM()
}

// Parameter is a parameter of 32 bits of the function in all lanes.
func Parameter(name string) reg.VecVirtual {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	v := Vec()
	VBROADCASTSS(p.Addr, v)
	return v
}

// An instruction has three operands; avo's function for it may also take a mask.
type instruction interface {
	func(y, x, dst operand.Op) | func(...operand.Op)
}

// apply gives the result of an instruction in a new register. It is x op y, the order of Intel's manual,
// for apply(op, y, x), the order of the assembler.
func apply[F instruction](op F, y, x operand.Op) reg.VecVirtual {
	dst := Vec()
	switch op := any(op).(type) {
	case func(y, x, dst operand.Op):
		op(y, x, dst)
	case func(...operand.Op):
		op(y, x, dst)
	}
	return dst
}

// with is apply of one of the forms of an instruction. AVX-512 reads one word of a constant for all lanes.
func with[F instruction](narrow F, wide, broadcasting func(...operand.Op), y operand.Op, x reg.VecVirtual) reg.VecVirtual {
	if !Wide {
		return apply(narrow, y, x)
	}
	if _, ok := y.(operand.Mem); ok {
		return apply(broadcasting, y, x)
	}
	return apply(wide, y, x)
}

func add(x reg.VecVirtual, y operand.Op) reg.VecVirtual {
	return with(VADDPS, VADDPS, VADDPS_BCST, y, x)
}
func sub(x reg.VecVirtual, y operand.Op) reg.VecVirtual {
	return with(VSUBPS, VSUBPS, VSUBPS_BCST, y, x)
}
func mul(x reg.VecVirtual, y operand.Op) reg.VecVirtual {
	return with(VMULPS, VMULPS, VMULPS_BCST, y, x)
}
func addInt(x reg.VecVirtual, y operand.Op) reg.VecVirtual {
	return with(VPADDD, VPADDD, VPADDD_BCST, y, x)
}
func subInt(x reg.VecVirtual, y operand.Op) reg.VecVirtual {
	return with(VPSUBD, VPSUBD, VPSUBD_BCST, y, x)
}
func or(x reg.VecVirtual, y operand.Op) reg.VecVirtual {
	return with(VPOR, VPORD, VPORD_BCST, y, x)
}
func xor(x reg.VecVirtual, y operand.Op) reg.VecVirtual {
	return with(VPXOR, VPXORD, VPXORD_BCST, y, x)
}

// xor3 is x ^ y ^ c. It may destroy x.
func xor3(x, y reg.VecVirtual, c operand.Mem) reg.VecVirtual {
	if !Wide {
		return xor(xor(y, c), x)
	}
	const parity = 0x96
	VPTERNLOGD_BCST(operand.Imm(parity), c, y, x)
	return x
}

// xorPairs adds y and the pair of words at c to x, in AVX-512 alone.
func xorPairs(x, y reg.VecVirtual, c operand.Mem) {
	const parity = 0x96
	VPTERNLOGQ_BCST(operand.Imm(parity), c, y, x)
}

// moved gives x in a new register.
func moved(x reg.VecVirtual) reg.VecVirtual {
	y := Vec()
	VMOVAPS(x, y)
	return y
}

// flip is x ^ (y & c). It may destroy x.
func flip(x, y reg.VecVirtual, c operand.Mem) reg.VecVirtual {
	if !Wide {
		return apply(VXORPS, apply(VANDPS, c, y), x)
	}
	const parityOfFirstAndBoth = 0x78
	VPTERNLOGD_BCST(operand.Imm(parityOfFirstAndBoth), c, y, x)
	return x
}

// odd gives x with its odd words replaced by the even ones of y before them.
func odd(x, y reg.VecVirtual, oddWords reg.Register) reg.VecVirtual {
	if !Wide {
		dst := YMM()
		VPBLENDD(operand.Imm(0b10101010), shift(VPSLLQ, 32, y), x, dst)
		return dst
	}
	VMOVSLDUP(y, oddWords, x)
	return x
}

// merged gives x with its even words replaced by the odd ones of y behind them. It may destroy x. AVX-512 has it alone.
func merged(x, y reg.VecVirtual, evenWords reg.Register) reg.VecVirtual {
	VMOVSHDUP(y, evenWords, x)
	return x
}

// plusExact is c + x*power, of which the product is exact: power is one of 2, and a fused multiply-add gives the same bits.
func plusExact(c float32, x reg.VecVirtual, power float32) reg.VecVirtual {
	sum := Vec()
	VBROADCASTSS(number(c), sum)
	if !Wide {
		return add(sum, mul(x, number(power)))
	}
	VFMADD231PS_BCST(number(power), x, sum)
	return sum
}

// chosen gives a pair of registers: (x, y) in lanes where the highest bit but one of swap is 0, else (y, x).
func chosen(swap, x, y reg.VecVirtual) (reg.VecVirtual, reg.VecVirtual) {
	first, second := Vec(), Vec()
	if Wide {
		mask := K()
		VPTESTMD_BCST(broadcast(1<<30), swap, mask)
		VBLENDMPS(y, x, mask, first)
		VBLENDMPS(x, y, mask, second)
	} else {
		swap = shift(VPSLLD, 1, swap)
		VBLENDVPS(swap, y, x, first)
		VBLENDVPS(swap, x, y, second)
	}
	return first, second
}

// shift gives x shifted by a constant in a new register.
func shift[F instruction](op F, n uint64, x reg.VecVirtual) reg.VecVirtual {
	return apply(op, operand.Imm(n), x)
}

// highWords gives the high words of lanes of 64 bits as their low words too. A shift would compete with products for a port of the
// processor.
func highWords(x reg.VecVirtual) reg.VecVirtual {
	y := Vec()
	VMOVSHDUP(x, y)
	return y
}

// constants of 64 bytes that kernels of the file refer to, in order of their first use.
var constants [][16]uint32

func constant(c [16]uint32) operand.Mem {
	at := 0
	for at < len(constants) && constants[at] != c {
		at++
	}
	if at == len(constants) {
		constants = append(constants, c)
	}
	return operand.NewDataAddr(operand.NewStaticSymbol("vectorConstants"), 64*at)
}

// broadcast is a constant in all words.
func broadcast(w uint32) operand.Mem {
	var c [16]uint32
	for i := range c {
		c[i] = w
	}
	return constant(c)
}

// number is a float32 in all words.
func number(x float32) operand.Mem { return broadcast(math.Float32bits(x)) }

// lanes is a constant of lanes of 64 bits, as many as a vector has.
func lanes(v ...uint32) operand.Mem {
	var c [16]uint32
	for i, w := range v {
		c[2*i] = w
	}
	return constant(c)
}

// Constants writes the constants of all kernels of the file. It is called once, at the end.
func Constants() {
	GLOBL("vectorConstants", attr.RODATA|attr.NOPTR)
	for i, c := range constants {
		for j, w := range c {
			DATA(64*i+4*j, operand.U32(w))
		}
	}
}
