// Command winograd writes the AVX2 kernels that transform eight tiles of a convolution at once. Run it by
// `go generate` in internal/kernels.
package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/gotypes"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The points of interpolation are 0, a, -a, b, -b and infinity: see conv_winograd.go.
const (
	a = 5.0 / 8
	b = 3.0 / 2

	n0 = a * a * b * b
	na = 2 * a * a * (a*a - b*b)
	nb = 2 * b * b * (b*b - a*a)
)

type vec = reg.VecVirtual

func main() {
	ConstraintExpr("!noasm")
	transform("conv3Input", "conv3InputAVX2 is conv3Input.", 6, 6, input, true, false)
	transform("conv3Output", "conv3OutputAVX2 is conv3Output.", 6, 4, output, false, true)
	transform("conv3Gradient", "conv3GradientAVX2 is conv3Gradient.", 4, 6, gradient, true, false)
	transform("conv3Weights", "conv3WeightsAVX2 is conv3Weights.", 3, 6, weights, false, false)
	transform("conv3GradWeights", "conv3GradWeightsAVX2 is conv3GradWeights.", 6, 3, gradWeights, false, false)
	Generate()
}

// input is one row of the transformation of the image.
func input(d []vec) []vec {
	t1, t2, t3, t4 := YMM(), YMM(), YMM(), YMM()
	VMOVAPS(d[4], t1)
	VFNMADD231PS(constant(b*b), d[2], t1)
	VMULPS(constant(a), d[3], t2)
	VFNMADD231PS(constant(a*b*b), d[1], t2)
	VMOVAPS(d[4], t3)
	VFNMADD231PS(constant(a*a), d[2], t3)
	VMULPS(constant(b), d[3], t4)
	VFNMADD231PS(constant(a*a*b), d[1], t4)
	VFNMADD231PS(constant(a*a+b*b), d[2], d[4])
	VFMADD231PS(constant(n0), d[0], d[4])
	VFNMADD231PS(constant(a*a+b*b), d[3], d[5])
	VFMADD231PS(constant(n0), d[1], d[5])
	VADDPS(t2, t1, d[1])
	VSUBPS(t2, t1, d[2])
	VADDPS(t4, t3, d[3])
	VSUBPS(t4, t3, d[0])
	return []vec{d[4], d[1], d[2], d[3], d[0], d[5]}
}

// output is one row of the transformation to the result.
func output(m []vec) []vec {
	sumDifference(m[1], m[2])
	sumDifference(m[3], m[4])
	VADDPS(m[1], m[0], m[0])
	VADDPS(m[3], m[0], m[0])
	y1, y2 := YMM(), YMM()
	VMULPS(constant(a), m[2], y1)
	VFMADD231PS(constant(b), m[4], y1)
	VMULPS(constant(a*a), m[1], y2)
	VFMADD231PS(constant(b*b), m[3], y2)
	VFMADD231PS(constant(a*a*a), m[2], m[5])
	VFMADD231PS(constant(b*b*b), m[4], m[5])
	return []vec{m[0], y1, y2, m[5]}
}

// gradient is the transpose of output.
func gradient(d []vec) []vec {
	var out []vec
	for _, p := range []float64{a, b} {
		e, f := YMM(), YMM()
		VMOVAPS(d[0], e)
		VFMADD231PS(constant(p*p), d[2], e)
		VMULPS(constant(p), d[1], f)
		VFMADD231PS(constant(p*p*p), d[3], f)
		sumDifference(e, f)
		out = append(out, e, f)
	}
	return append(append([]vec{d[0]}, out...), d[3])
}

// weights is one row of the transformation of the weights.
func weights(g []vec) []vec {
	o := YMM()
	VMULPS(constant(1/n0), g[0], o)
	out := []vec{o}
	for _, p := range []struct{ at, norm float64 }{{a, na}, {b, nb}} {
		e, f := YMM(), YMM()
		VMULPS(constant(1/p.norm), g[0], e)
		VFMADD231PS(constant(p.at*p.at/p.norm), g[2], e)
		VMULPS(constant(p.at/p.norm), g[1], f)
		sumDifference(e, f)
		out = append(out, e, f)
	}
	return append(out, g[2])
}

// gradWeights is the transpose of weights.
func gradWeights(m []vec) []vec {
	sumDifference(m[1], m[2])
	sumDifference(m[3], m[4])
	VMULPS(constant(1/n0), m[0], m[0])
	VFMADD231PS(constant(1/na), m[1], m[0])
	VFMADD231PS(constant(1/nb), m[3], m[0])
	y1 := YMM()
	VMULPS(constant(a/na), m[2], y1)
	VFMADD231PS(constant(b/nb), m[4], y1)
	VFMADD231PS(constant(a*a/na), m[1], m[5])
	VFMADD231PS(constant(b*b/nb), m[3], m[5])
	return []vec{m[0], y1, m[5]}
}

// sumDifference replaces x and y by x+y and x-y.
func sumDifference(x, y vec) {
	t := YMM()
	VMOVAPS(x, t)
	VADDPS(y, t, x)
	VSUBPS(y, t, y)
}

var constants = map[float64]operand.Mem{}

// constant is a vector in memory.
func constant(v float64) operand.Mem {
	m, ok := constants[v]
	if !ok {
		m = GLOBL("conv3_"+string(rune('a'+len(constants))), 8|16)
		for i := range 8 {
			DATA(4*i, operand.U32(math.Float32bits(float32(v))))
		}
		constants[v] = m
	}
	return m
}

// transform writes a kernel that applies f to the rows, then to the columns of eight matrices of n x n, to
// get m x m. Matrices are either stored element after element, the eight values of an element side by side,
// or each at its own place, row after row.
func transform(name, doc string, n, m int, f func([]vec) []vec, fromPlaces, toPlaces bool) {
	signature := "func(dst *float32, next int, src *float32, nexts int, tmp *float32)"
	if fromPlaces {
		signature = "func(dst *float32, next int, src *float32, at *int, ld int, tmp *float32)"
	}
	if toPlaces {
		signature = "func(dst *float32, at *int, ld int, src *float32, next int, bias float32, tmp *float32)"
	}
	TEXT(name+"AVX2", NOSPLIT, signature)
	Pragma("noescape")
	Doc(doc)
	dst, src, tmp := Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("tmp"), GP64())
	var at, ld, bias reg.Register
	if fromPlaces || toPlaces {
		at, ld = Load(Param("at"), GP64()), Load(Param("ld"), GP64())
		SHLQ(operand.Imm(2), ld)
	}
	if toPlaces {
		bias = YMM()
		VBROADCASTSS(mem(Param("bias")), bias)
	}
	step := func(name string) reg.Register {
		r := Load(Param(name), GP64())
		SHLQ(operand.Imm(2), r)
		return r
	}
	ymms := func(k int) []vec {
		v := make([]vec, k)
		for i := range v {
			v[i] = YMM()
		}
		return v
	}

	// The first pass writes tmp[row][column] for one row, or for one column, at a time.
	if fromPlaces {
		for i := range n {
			for j, v := range f(loadPlaces(src, at, n)) {
				VMOVUPS(v, operand.Mem{Base: tmp, Disp: 32 * (i*m + j)})
			}
			if i+1 < n {
				ADDQ(ld, src)
			}
		}
		// Columns.
		next := step("next")
		row := GP64()
		IMUL3Q(operand.U8(m), next, row)
		for j := range m {
			v := ymms(n)
			for i := range v {
				VMOVUPS(operand.Mem{Base: tmp, Disp: 32 * (i*m + j)}, v[i])
			}
			to := GP64()
			MOVQ(dst, to)
			for i, o := range f(v) {
				VMOVUPS(o, operand.Mem{Base: to})
				if i+1 < m {
					ADDQ(row, to)
				}
			}
			if j+1 < m {
				ADDQ(next, dst)
			}
		}
		VZEROUPPER()
		RET()
		return
	}

	var nexts reg.Register
	if toPlaces {
		nexts = step("next")
	} else {
		nexts = step("nexts")
	}
	row := GP64()
	IMUL3Q(operand.U8(n), nexts, row)
	for j := range n {
		v := ymms(n)
		from := GP64()
		MOVQ(src, from)
		for i := range v {
			VMOVUPS(operand.Mem{Base: from}, v[i])
			if i+1 < n {
				ADDQ(row, from)
			}
		}
		for i, o := range f(v) {
			VMOVUPS(o, operand.Mem{Base: tmp, Disp: 32 * (i*n + j)})
		}
		if j+1 < n {
			ADDQ(nexts, src)
		}
	}
	var next reg.Register
	if !toPlaces {
		next = step("next")
	}
	for i := range m {
		v := ymms(n)
		for j := range v {
			VMOVUPS(operand.Mem{Base: tmp, Disp: 32 * (i*n + j)}, v[j])
		}
		out := f(v)
		if toPlaces {
			for _, o := range out {
				VADDPS(bias, o, o)
			}
			storePlaces(dst, at, out)
			if i+1 < m {
				ADDQ(ld, dst)
			}
			continue
		}
		for _, o := range out {
			VMOVUPS(o, operand.Mem{Base: dst})
			ADDQ(next, dst)
		}
	}
	VZEROUPPER()
	RET()
}

// loadPlaces loads n = 4 or 6 elements from each of eight places: element j of all is vector j.
func loadPlaces(src, at reg.Register, n int) []vec {
	place := func(i int) operand.Mem {
		offset := GP64()
		MOVQ(operand.Mem{Base: at, Disp: 8 * i}, offset)
		return operand.Mem{Base: src, Index: offset, Scale: 4}
	}
	var v, pair []vec
	for i := range 4 {
		low, high := place(i), place(i+4)
		y := YMM()
		VBROADCASTF128(low, y)
		VINSERTF128(operand.Imm(1), high, y, y)
		v = append(v, y)
	}
	out := transpose(v)
	if n == 6 {
		// The two elements that are left, of four places each.
		rest := func(i int) vec {
			y, m := YMM(), place(i)
			m.Disp = 16
			VBROADCASTSD(m, y)
			return y
		}
		for i := 0; i < 4; i += 2 {
			y := rest(i)
			for k, other := range []int{i + 1, i + 4, i + 5} {
				VBLENDPS(operand.Imm(3<<(2*k+2)), rest(other), y, y)
			}
			pair = append(pair, y)
		}
		e, f := YMM(), YMM()
		VSHUFPS(operand.Imm(0x88), pair[1], pair[0], e)
		VSHUFPS(operand.Imm(0xDD), pair[1], pair[0], f)
		out = append(out, e, f)
	}
	return out
}

// storePlaces stores four elements to each of eight places.
func storePlaces(dst, at reg.Register, v []vec) {
	place := func(i int) operand.Mem {
		offset := GP64()
		MOVQ(operand.Mem{Base: at, Disp: 8 * i}, offset)
		return operand.Mem{Base: dst, Index: offset, Scale: 4}
	}
	for i, y := range transpose(v) {
		VMOVUPS(y.AsX(), place(i))
		VEXTRACTF128(operand.Imm(1), y, place(i+4))
	}
}

// transpose transposes the 4 x 4 matrices in the halves of four vectors.
func transpose(r []vec) []vec {
	low01, low23, high01, high23 := YMM(), YMM(), YMM(), YMM()
	VUNPCKLPS(r[1], r[0], low01)
	VUNPCKLPS(r[3], r[2], low23)
	VUNPCKHPS(r[1], r[0], high01)
	VUNPCKHPS(r[3], r[2], high23)
	c := []vec{YMM(), YMM(), YMM(), YMM()}
	VUNPCKLPD(low23, low01, c[0])
	VUNPCKHPD(low23, low01, c[1])
	VUNPCKLPD(high23, high01, c[2])
	VUNPCKHPD(high23, high01, c[3])
	return c
}

// mem is where a parameter lies.
func mem(c interface {
	Resolve() (*gotypes.Basic, error)
}) operand.Mem {
	b, err := c.Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}
