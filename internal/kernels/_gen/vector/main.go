// Command vector writes the AVX2 and AVX-512 kernels that compute element by element in float32. Run it by
// `go generate` in internal/kernels.
//
// Every kernel takes a number of elements that is a multiple of 8, those for AVX-512 of 16, and does the operations of
// the generic loop in its order, without fused multiply-add, so that both give the same bits.
package main

import (
	"math"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

type vec = reg.VecVirtual

func main() {
	ConstraintExpr("!noasm")
	table = GLOBL("vectorConstants", RODATA|NOPTR)
	arithmetic()
	activations()
	normalisation()
	normalisationRows()
	functions()
	gru()
	lstm()
	wide = true
	lstm()
	wide = false
	sums()
	sumsOfRows()
	Generate()
}

var (
	table  operand.Mem
	placed = map[uint32]int{}

	// wide tells that a kernel of 16 elements is being written, for AVX-512; held are its constants in registers.
	wide bool
	held = map[uint32]vec{}
)

// newVec is a register of as many elements as the kernel has.
func newVec() vec {
	if wide {
		return ZMM()
	}
	return YMM()
}

// bits is a 32-bit word in all lanes, in memory if no register holds it.
func bits(w uint32) operand.Op {
	if r, ok := held[w]; ok {
		return r
	}
	at, ok := placed[w]
	if !ok {
		at = 32 * len(placed)
		placed[w] = at
		for i := range 8 {
			DATA(at+4*i, operand.U32(w))
		}
	}
	m := table.Offset(at)
	if wide {
		r := ZMM()
		VBROADCASTSS(m, r)
		return r
	}
	return m
}

// constant is a number in all lanes.
func constant(v float32) operand.Op { return bits(math.Float32bits(v)) }

// hold loads constants into registers for a loop.
func hold(words ...uint32) {
	for _, w := range words {
		held[w] = bits(w).(vec)
	}
}

// fetched is how many bytes ahead of a loop memory is fetched, where it is more than a cache holds. The processor's own
// fetching begins anew in each page of 4096 bytes: a gradient of All-CNN spends a fifth less time in such loops.
const fetched = 2048

// A body writes the instructions for eight elements: in are the vectors read, s the scalars in all lanes.
type body func(in, s []vec) vec

// kernel writes func name(y, inputs..., scalars..., n int) with the loop unrolled. Names without a type are of
// float32, or of pointers to it.
func kernel(name, doc, inputs, scalars string, unroll int, f body) {
	signature := "func(y *float32"
	parameters := func(list, def string) (names []string) {
		for _, v := range strings.Fields(list) {
			v, of, typed := strings.Cut(v, ":")
			if !typed {
				of = def
			}
			signature += ", " + v + " " + of
			names = append(names, v)
		}
		return names
	}
	in, sc := parameters(inputs, "*float32"), parameters(scalars, "float32")
	TEXT(name+"AVX2", NOSPLIT, signature+", n int)")
	Pragma("noescape")
	Doc(name + "AVX2 " + doc)
	y := Load(Param("y"), GP64())
	var from []reg.Register
	for _, v := range in {
		from = append(from, Load(Param(v), GP64()))
	}
	s := everywhere(sc)
	n := Load(Param("n"), GP64())
	step := func(blocks int) {
		var out []vec
		for i := range blocks {
			var x []vec
			for _, p := range from {
				r := YMM()
				VMOVUPS(operand.Mem{Base: p, Disp: 32 * i}, r)
				x = append(x, r)
			}
			out = append(out, f(x, s))
			VMOVUPS(out[i], operand.Mem{Base: y, Disp: 32 * i})
		}
		if blocks > 1 {
			for _, p := range from {
				for at := 0; at < 32*blocks; at += 64 {
					PREFETCHT0(operand.Mem{Base: p, Disp: fetched + at})
				}
			}
		}
		for _, p := range append(from, y) {
			ADDQ(operand.I32(32*blocks), p)
		}
		SUBQ(operand.I32(8*blocks), n)
	}
	if unroll > 1 {
		SUBQ(operand.I32(8*unroll), n)
		JL(operand.LabelRef("few"))
		Label("many")
		step(unroll)
		JGE(operand.LabelRef("many"))
		Label("few")
		ADDQ(operand.I32(8*unroll), n)
		JZ(operand.LabelRef("done"))
	}
	Label("one")
	step(1)
	JNZ(operand.LabelRef("one"))
	Label("done")
	VZEROUPPER()
	RET()
}

// everywhere returns parameters of float32, each in all lanes.
func everywhere(names []string) (s []vec) {
	for _, v := range names {
		r := newVec()
		VBROADCASTSS(address(v), r)
		s = append(s, r)
	}
	return s
}

// address is where a parameter lies.
func address(name string) operand.Mem {
	p, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return p.Addr
}

// new3 puts the result of an instruction of two operands into a new register. Like the instruction, it takes
// the second operand first.
func new3(f func(...operand.Op), b, a operand.Op) vec {
	r := newVec()
	f(b, a, r)
	return r
}

func add(a vec, b operand.Op) vec { return new3(VADDPS, b, a) }
func sub(a vec, b operand.Op) vec { return new3(VSUBPS, b, a) }
func mul(a vec, b operand.Op) vec { return new3(VMULPS, b, a) }
func div(a vec, b operand.Op) vec { return new3(VDIVPS, b, a) }
func and(a vec, b operand.Op) vec { return new3(VANDPS, b, a) }
func or(a vec, b operand.Op) vec  { return new3(VORPS, b, a) }
func xor(a vec, b operand.Op) vec { return new3(VXORPS, b, a) }

// lesser is b if it is not a number, greater too.
func lesser(a vec, b operand.Op) vec  { return new3(VMINPS, b, a) }
func greater(a vec, b operand.Op) vec { return new3(VMAXPS, b, a) }

// Predicates of compare.
const (
	equal      = 0x00
	unordered  = 0x03
	notEqual   = 0x0c // and ordered
	less       = 0x11
	atMost     = 0x12
	notAtMost  = 0x16 // or unordered
	atLeast    = 0x1d
	moreThan   = 0x1e
	roundsEven = 0x08
)

// compare gives a lane of ones where a is in the relation to b, else of zeros.
func compare(relation uint64, a vec, b operand.Op) vec {
	r := YMM()
	VCMPPS(operand.Imm(relation), b, a, r)
	return r
}

// choose gives yes where the sign bit of the mask is set, else no.
func choose(mask vec, yes operand.Op, no vec) vec {
	r := newVec()
	if wide {
		k := K()
		VPMOVD2M(mask, k)
		VBLENDMPS(yes, no, k, r)
	} else {
		VBLENDVPS(mask, yes, no, r)
	}
	return r
}

// load is what lies in memory, or the register itself.
func load(m operand.Op) vec {
	if r, ok := m.(vec); ok {
		return r
	}
	r := newVec()
	VMOVUPS(m, r)
	return r
}

func zero() vec {
	r := newVec()
	VXORPS(r, r, r)
	return r
}

const signBit = 1 << 31
