package rng

import (
	"math"
)

// Normals sets dst[i] to the standard normal number from+i of the stream, so any part of the sequence can
// be made alone. Numbers 4i to 4i+3 come from Block(i) by two Box-Muller transforms; from+len(dst) is at
// most 2^34. The largest value is sqrt(64 ln 2) = 6.66.
//
// Every operation is one float32 addition, multiplication or square root, or integer arithmetic, so that
// vector instructions without fused multiply-add give the same bits.
func (s Stream) Normals(dst []float32, from int) {
	block := uint32(from >> 2)
	if skip := from & 3; skip != 0 {
		four := s.fourNormals(block)
		dst = dst[copy(dst, four[skip:]):]
		block++
	}
	done := s.normalsAsm(dst, block)
	dst = dst[done:]
	block += uint32(done / 4)
	var words [64]uint32
	for len(dst) >= 4 {
		n := min(len(dst), len(words)) &^ 3
		s.words(words[:n], block)
		for i := 0; i < n; i += 2 {
			dst[i], dst[i+1] = boxMuller(words[i], words[i+1])
		}
		dst = dst[n:]
		block += uint32(n / 4)
	}
	if len(dst) > 0 {
		four := s.fourNormals(block)
		copy(dst, four[:])
	}
}

func (s Stream) fourNormals(block uint32) (four [4]float32) {
	w := s.Block(block)
	four[0], four[1] = boxMuller(w[0], w[1])
	four[2], four[3] = boxMuller(w[2], w[3])
	return four
}

// boxMuller makes two independent normals: a point at a random angle, at the distance sqrt(-2 ln u) from
// the origin with u uniform in (0, 1]. radius gives u; the lowest 30 bits of angle give a direction within
// 45 degrees of (1, 0), and the highest two reflect it at the diagonal and at the origin, which covers
// the circle without a range reduction.
func boxMuller(radius, angle uint32) (float32, float32) {
	r := sqrt(minusTwoLog(unit(radius)))
	r = math.Float32frombits(math.Float32bits(r) ^ angle&(1<<31))
	sin, cos := sinCos(eighth(angle))
	x, y := math.Float32bits(cos), math.Float32bits(sin)
	swap := (x ^ y) & -(angle >> 30 & 1)
	return float32(r * math.Float32frombits(x^swap)), float32(r * math.Float32frombits(y^swap))
}

// unit maps a word to (0, 1] with 31 bits, so that the tail of the distribution is reached; Uniform's 24
// bits would end it at 5.9.
func unit(w uint32) float32 {
	return float32(float32(int32(w>>1))*(1.0/(1<<31))) + 1.0/(1<<32)
}

// eighth maps the lowest 30 bits of a word to an angle in [-pi/4, pi/4], symmetric about 0.
func eighth(w uint32) float32 {
	return float32(float32(int32(w<<2|2)) * (math.Pi / (1 << 33)))
}

// minusTwoLog is -2 ln(u) for a normal u in (0, 1], within 4 units in the last place, and 0 at 1: with
// u = 2^e m and m in [sqrt(1/2), sqrt(2)), ln u = ln 2 (e + log2 m). The polynomial is
// log2(1+f)/f on that interval with the smallest largest relative error, 2.8e-8, of its degree; its
// coefficients were rounded one by one, the later ones fitted again after each.
func minusTwoLog(u float32) float32 {
	const sqrtHalf = 0x3f3504f3 // bits of sqrt(1/2)
	b := math.Float32bits(u)
	e := int32(b-sqrtHalf) >> 23
	f := math.Float32frombits(b-uint32(e)<<23) - 1
	f2 := float32(f * f)
	f4 := float32(f2 * f2)
	// Pairs first: a shorter chain of dependent operations than Horner's.
	p01 := float32(-0.7213474*f) + 1.442695
	p23 := float32(-0.36070058*f) + 0.48090896
	p45 := float32(-0.23901485*f) + 0.2879535
	p67 := float32(-0.20678747*f) + 0.21548076
	p03 := float32(p23*f2) + p01
	p47 := float32(p67*f2) + p45
	p48 := float32(0.12584342*f4) + p47
	p := float32(p48*f4) + p03
	log2 := float32(p*f) + float32(e)
	return float32(log2 * (-2 * math.Ln2))
}

// sinCos is the sine and cosine of x in [-pi/4, pi/4], each within 2 units in the last place. The
// polynomials are (sin x - x)/x^3 and (cos x - 1 + x^2/2)/x^4 in x^2, fitted as in minusTwoLog.
func sinCos(x float32) (sin, cos float32) {
	z := float32(x * x)
	s := float32(-0.00019518292*z) + 0.008332189
	s = float32(s*z) - 0.16666655
	sin = float32(s*float32(z*x)) + x
	c := float32(2.4432567e-05*z) - 0.0013887311
	c = float32(c*z) + 0.041666646
	cos = float32(c*float32(z*z)) + (1 - float32(0.5*z))
	return sin, cos
}

// sqrt is correctly rounded: the compiler turns it into the float32 instruction.
func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }
