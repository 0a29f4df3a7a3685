// Command pool writes the AVX2 kernels of poolings. Run it by `go generate` in internal/kernels.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

type vec = reg.VecVirtual

func main() {
	ConstraintExpr("!noasm")
	for step := 1; step <= 3; step++ {
		slide("slideMax", step, func(x, acc vec) {
			// Unordered operands give the second: acc. A NaN of x sets all bits, which is NaN too.
			unordered := YMM()
			VCMPPS(operand.Imm(3), x, x, unordered)
			VMAXPS(acc, x, acc)
			VORPS(unordered, acc, acc)
		})
		slide("slideSum", step, func(x, acc vec) { VADDPS(x, acc, acc) })
	}
	maxGrad("maxGrad2x2AVX2", 2, 2)
	maxGrad("maxGrad3x3AVX2", 3, 3)
	maxGrad("maxGrad3x3By2AVX2", 3, 2)
	Generate()
}

// slide combines, for eight columns at a time, the elements under all taps.
func slide(op string, step int, combine func(x, acc vec)) {
	name := fmt.Sprintf("%s%dAVX2", op, step)
	TEXT(name, NOSPLIT, "func(dst *float32, ldd int, src *float32, lds int, taps, tapStep, rows, vectors int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is %s for columns that are %d apart.", name, op, step))
	dst, ldd := Load(Param("dst"), GP64()), Load(Param("ldd"), GP64())
	src, lds := Load(Param("src"), GP64()), Load(Param("lds"), GP64())
	taps, tapStep := Load(Param("taps"), GP64()), Load(Param("tapStep"), GP64())
	rows, vectors := Load(Param("rows"), GP64()), Load(Param("vectors"), GP64())
	for _, r := range []reg.Register{ldd, lds, tapStep} {
		SHLQ(operand.Imm(2), r)
	}
	DECQ(taps)
	var index vec
	if step == 3 {
		index = permutation("slideThirds", 0, 3, 6, 1, 4, 7, 2, 5)
	}
	load := func(p reg.Register) vec {
		v := YMM()
		VMOVUPS(operand.Mem{Base: p}, v)
		switch step {
		case 2:
			VSHUFPS(operand.Imm(0x88), operand.Mem{Base: p, Disp: 32}, v, v)
			VPERMPD(operand.Imm(0xD8), v, v)
		case 3:
			VBLENDPS(operand.Imm(lanes(1, 4, 7)), operand.Mem{Base: p, Disp: 32}, v, v)
			VBLENDPS(operand.Imm(lanes(2, 5)), operand.Mem{Base: p, Disp: 64}, v, v)
			VPERMPS(v, index, v)
		}
		return v
	}
	Label("row")
	s, d, left := GP64(), GP64(), GP64()
	MOVQ(src, s)
	MOVQ(dst, d)
	MOVQ(vectors, left)
	Label("vector")
	acc := load(s)
	p, more := GP64(), GP64()
	MOVQ(s, p)
	MOVQ(taps, more)
	TESTQ(more, more)
	JZ(operand.LabelRef("done"))
	Label("tap")
	ADDQ(tapStep, p)
	combine(load(p), acc)
	DECQ(more)
	JNZ(operand.LabelRef("tap"))
	Label("done")
	VMOVUPS(acc, operand.Mem{Base: d})
	ADDQ(operand.Imm(uint64(32*step)), s)
	ADDQ(operand.Imm(32), d)
	DECQ(left)
	JNZ(operand.LabelRef("vector"))
	ADDQ(lds, src)
	ADDQ(ldd, dst)
	DECQ(rows)
	JNZ(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}

// maxGrad gives the gradients of eight windows of k x k, which begin stride apart, to the first elements that equal the
// maximum. It adds them where windows overlap.
func maxGrad(name string, k, stride int) {
	TEXT(name, NOSPLIT, "func(dx, x *float32, ldx int, dy, y *float32, ldy int, rows, vectors, last int, tail *uint32) (nan bool)")
	Pragma("noescape")
	Doc(name+fmt.Sprintf(" is the gradient of rows of windows of %d x %d, %d apart: vectors of 8 windows, the last of", k, k, stride),
		"which starts at window last; there tail selects. It returns whether a maximum was NaN: then its gradient is missing.")
	dx, x, ldx := Load(Param("dx"), GP64()), Load(Param("x"), GP64()), Load(Param("ldx"), GP64())
	dy, y, ldy := Load(Param("dy"), GP64()), Load(Param("y"), GP64()), Load(Param("ldy"), GP64())
	rows, vectors := Load(Param("rows"), GP64()), Load(Param("vectors"), GP64())
	tailAt := Load(Param("tail"), GP64())
	SHLQ(operand.Imm(2), ldx)
	SHLQ(operand.Imm(2), ldy)
	last := Load(Param("last"), GP64())
	SHLQ(operand.Imm(2), last)
	nan, tail := YMM(), YMM()
	VXORPS(nan, nan, nan)
	VMOVUPS(operand.Mem{Base: tailAt}, tail)
	var index []vec
	if stride == 3 {
		index = []vec{permutation("thirds0", 0, 3, 6, 1, 4, 7, 2, 5), permutation("thirds1", 5, 0, 3, 6, 1, 4, 7, 2), permutation("thirds2", 2, 5, 0, 3, 6, 1, 4, 7)}
	}
	Label("row")
	left, at, yAt := GP64(), GP64(), GP64()
	MOVQ(vectors, left)
	XORQ(at, at)
	XORQ(yAt, yAt)
	Label("vector")
	CMPQ(left, operand.Imm(1))
	JNE(operand.LabelRef("start"))
	MOVQ(last, yAt)
	IMUL3Q(operand.Imm(uint64(stride)), last, at)
	Label("start")
	m, g, free := YMM(), YMM(), YMM()
	VMOVUPS(operand.Mem{Base: y, Index: yAt, Scale: 1}, m)
	VMOVUPS(operand.Mem{Base: dy, Index: yAt, Scale: 1}, g)
	unordered := YMM()
	VCMPPS(operand.Imm(3), m, m, unordered)
	CMPQ(left, operand.Imm(1))
	JNE(operand.LabelRef("whole"))
	VANDPS(tail, g, g)
	VANDPS(tail, unordered, unordered)
	Label("whole")
	VORPS(unordered, nan, nan)
	// Windows that have not given their gradient away yet.
	VPCMPEQD(free, free, free)
	p := GP64()
	MOVQ(at, p)
	for u := range k {
		load := func(from reg.Register, disp int) vec {
			v := YMM()
			VMOVUPS(operand.Mem{Base: from, Index: p, Scale: 1, Disp: disp}, v)
			return v
		}
		v := make([]vec, stride)
		for i := range v {
			v[i] = load(x, 32*i)
		}
		v = split(v, index)
		if k > stride { // the first elements of the next windows
			v = append(v, split([]vec{load(x, 4*stride), load(x, 4*stride+32)}, nil)[0])
		}
		for _, e := range v {
			VCMPPS(operand.Imm(0), m, e, e)
			VANDPS(free, e, e)
			VANDNPS(free, e, free)
			VANDPS(g, e, e)
		}
		if k > stride {
			// In the order of the windows: of those that share an element the left one, in whose last column it is, comes first.
			none := YMM()
			VXORPS(none, none, none)
			for i, e := range join([]vec{v[stride], none}, nil) {
				VADDPS(load(dx, 4*stride+32*i), e, e)
				VMOVUPS(e, operand.Mem{Base: dx, Index: p, Scale: 1, Disp: 4*stride + 32*i})
			}
		}
		for i, e := range join(v[:stride], index) {
			if k > stride {
				VADDPS(load(dx, 32*i), e, e)
			}
			VMOVUPS(e, operand.Mem{Base: dx, Index: p, Scale: 1, Disp: 32 * i})
		}
		if u+1 < k {
			ADDQ(ldx, p)
		}
	}
	ADDQ(operand.Imm(uint64(32*stride)), at)
	ADDQ(operand.Imm(32), yAt)
	DECQ(left)
	JNZ(operand.LabelRef("vector"))
	for range stride {
		ADDQ(ldx, x)
		ADDQ(ldx, dx)
	}
	ADDQ(ldy, y)
	ADDQ(ldy, dy)
	DECQ(rows)
	JNZ(operand.LabelRef("row"))
	found := GP32()
	VMOVMSKPS(nan, found)
	TESTL(found, found)
	result := GP8()
	SETNE(result)
	Store(result, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// split returns the elements 0, k, 2k, ... of k vectors, then 1, k+1, ...
func split(v, index []vec) []vec {
	if len(v) == 2 {
		e, f := YMM(), YMM()
		VSHUFPS(operand.Imm(0x88), v[1], v[0], e)
		VSHUFPS(operand.Imm(0xDD), v[1], v[0], f)
		VPERMPD(operand.Imm(0xD8), e, e)
		VPERMPD(operand.Imm(0xD8), f, f)
		return []vec{e, f}
	}
	e := mix(v[0], v[1], v[2])
	f := mix(v[2], v[0], v[1])
	g := mix(v[1], v[2], v[0])
	// The permutations that join are the inverse ones.
	VPERMPS(e, index[0], e)
	i1, i2 := permutation("thirds3", 1, 4, 7, 2, 5, 0, 3, 6), index[2]
	VPERMPS(f, i1, f)
	VPERMPS(g, i2, g)
	return []vec{e, f, g}
}

// join is the inverse of split.
func join(v, index []vec) []vec {
	if len(v) == 2 {
		low, high, a, b := YMM(), YMM(), YMM(), YMM()
		VUNPCKLPS(v[1], v[0], low)
		VUNPCKHPS(v[1], v[0], high)
		VPERM2F128(operand.Imm(0x20), high, low, a)
		VPERM2F128(operand.Imm(0x31), high, low, b)
		return []vec{a, b}
	}
	for i := range v {
		VPERMPS(v[i], index[i], v[i])
	}
	return []vec{mix(v[0], v[1], v[2]), mix(v[2], v[0], v[1]), mix(v[1], v[2], v[0])}
}

// mix takes the lanes 0, 3, 6 of a, 1, 4, 7 of b and 2, 5 of c.
func mix(a, b, c vec) vec {
	v := YMM()
	VBLENDPS(operand.Imm(lanes(1, 4, 7)), b, a, v)
	VBLENDPS(operand.Imm(lanes(2, 5)), c, v, v)
	return v
}

func lanes(l ...int) (mask uint64) {
	for _, i := range l {
		mask |= 1 << i
	}
	return mask
}

var permutations = map[string]operand.Mem{}

// permutation loads the index vector of VPERMPS.
func permutation(name string, index ...uint32) vec {
	m, ok := permutations[name]
	if !ok {
		m = GLOBL(name, 8|16)
		for i, v := range index {
			DATA(4*i, operand.U32(v))
		}
		permutations[name] = m
	}
	v := YMM()
	VMOVUPS(m, v)
	return v
}
