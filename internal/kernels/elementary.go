package kernels

import "math"

// The functions of this file are those of float32 elements: every step is one float32 addition, multiplication
// or division, or integer arithmetic, so that vector instructions give the same bits. Compared with the true
// values, over all float32 arguments, the largest error in units in the last place is
//
//	exp 0.991   log 0.842   tanh 2.669   sigmoid 2.402   erf 1.261
//
// (TestElementaryErrors). NaN gives NaN, infinities and results below the normal numbers are right. Elements of
// float64 are computed by package math.
//
// Coefficients of polynomials have the smallest largest relative error of their degree, and were rounded to
// float32 one by one, the later ones fitted again after each.

const (
	log2e = 1.44269504 // 1/ln 2
	// ln2Hi+ln2Lo is ln 2, and ln2Hi times a whole number below 2^14 is exact.
	ln2Hi = 0.693359375
	ln2Lo = -2.12194440e-4
	// Adding whole leaves the nearest whole number, ties to even, in the last bits of the sum.
	whole     = 0x1.8p23
	wholeBits = 0x4b400000

	expLeast, expMost = -104, 89 // beyond, exp is 0 and infinite
	tanhOne           = 10       // from here on, tanh is 1
	erfOne            = 4        // erf likewise
	erfSmall          = 0.92     // up to here a polynomial in x, beyond one in the exponent
	sqrtHalfBits      = 0x3f3504f3
)

var (
	// expPoly is (exp(r)-1-r)/r^2 for |r| <= ln(2)/2, within 4e-9 of exp.
	expPoly = [...]float32{0.49999994, 0.166665167, 0.0416682847, 0.00836925022, 0.00138204684}
	// logPoly is (log(1+f)-f+f^2/2)/f^3 for 1+f in [sqrt(1/2), sqrt(2)], within 6e-9 of log.
	logPoly = [...]float32{0.333333313, -0.250008196, 0.200012416, -0.166234091, 0.1420158, -0.131596103, 0.127622172, -0.0763643906}
	// erfPoly is erf(x)/x-1 in x^2 for x <= erfSmall, within 2e-8.
	erfPoly = [...]float32{0.128379151, -0.376125008, 0.11281877, -0.0267685819, 0.00499585923, -0.000600384199}
	// erfcPoly is log(1-erf(x))/x+1 for erfSmall <= x <= erfOne, within 1e-9 of erf.
	erfcPoly = [...]float32{-0.12864849, -0.635151327, -0.106236845, 0.0237620194, -0.0036424296, 0.000322794018, -1.1230014e-05}
)

// horner is the polynomial c[0] + c[1]*x + ...
func horner(c []float32, x float32) float32 {
	p := c[len(c)-1]
	for k := len(c) - 2; k >= 0; k-- {
		p = float32(p*x) + c[k]
	}
	return p
}

// expSplit returns p and k with exp(x) = (1+p) * 2^k and |p| < 1/2; x is in [expLeast, expMost] or NaN.
func expSplit(x float32) (p float32, k int32) {
	t := float32(x*log2e) + whole
	n := t - whole
	r := x - float32(n*ln2Hi)
	r -= float32(n * ln2Lo)
	p = float32(horner(expPoly[:], r)*float32(r*r)) + r
	return p, int32(math.Float32bits(t)) - wholeBits
}

// power2 is 2^k for the k of normal numbers.
func power2(k int32) float32 { return math.Float32frombits(uint32(k+127) << 23) }

// exp32 is exp(x). Multiplying by the power of 2 in two halves rounds once where the result is not normal.
func exp32(x float32) float32 {
	if x != x {
		return x
	}
	p, k := expSplit(max(min(x, expMost), expLeast))
	half := k >> 1
	return float32((1+p)*power2(half)) * power2(k-half)
}

// sigmoid32 is 1/(1+exp(-x)) by the exponential that cannot overflow.
func sigmoid32(x float32) float32 {
	e := exp32(-abs32(x))
	if x < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

// tanh32 is e/(e+2) with e = exp(2|x|)-1, which is accurate for small x too, with the sign of x.
func tanh32(x float32) float32 {
	if x != x {
		return x
	}
	a := min(abs32(x), tanhOne)
	p, k := expSplit(2 * a)
	s := power2(k)
	e := float32(p*s) + (s - 1)
	return copysign32(e/(e+2), x)
}

// log32 is log(x): with x = 2^e m and m in [sqrt(1/2), sqrt(2)), log m + e ln 2.
func log32(x float32) float32 {
	switch {
	case x != x || x > math.MaxFloat32:
		return x
	case x < 0:
		return float32(math.NaN())
	case x == 0:
		return float32(math.Inf(-1))
	}
	var shift float32
	if x < 0x1p-126 {
		x *= 0x1p23
		shift = 23
	}
	b := math.Float32bits(x)
	e := int32(b-sqrtHalfBits) >> 23
	f := math.Float32frombits(b-uint32(e)<<23) - 1
	n := float32(e) - shift
	f2 := float32(f * f)
	y := float32(float32(horner(logPoly[:], f)*f) * f2)
	y += float32(n * ln2Lo)
	y -= float32(0.5 * f2)
	y += f
	return y + float32(n*ln2Hi)
}

// erf32 is the error function.
func erf32(x float32) float32 {
	a := abs32(x)
	if !(a > erfSmall) {
		return float32(horner(erfPoly[:], float32(x*x))*x) + x
	}
	a = min(a, erfOne)
	p, k := expSplit(float32(horner(erfcPoly[:], a)*a) - a)
	return copysign32(1-float32((1+p)*power2(k)), x)
}

func abs32(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// copysign32 gives y, which is not negative, the sign of x.
func copysign32(y, x float32) float32 {
	return math.Float32frombits(math.Float32bits(y) | math.Float32bits(x)&(1<<31))
}

// elementary sets y[i] = f(x[i]): narrow for float32, after the elements that instructions do, wide for float64.
func elementary[T Float](op vectorOp, y, x []T, narrow func(float32) float32, wide func(float64) float64) {
	y = y[:len(x)]
	if !isFloat32[T]() {
		for i, v := range x {
			y[i] = T(wide(float64(v)))
		}
		return
	}
	done := unaryAsm(op, y, x)
	// Half a vector or more that is left is cheaper as one.
	var last [8]T
	if n := copy(last[:], x[done:]); done > 0 && n > 3 && unaryAsm(op, last[:], last[:]) == len(last) {
		copy(y[done:], last[:n])
		return
	}
	for i := done; i < len(x); i++ {
		y[i] = T(narrow(float32(x[i])))
	}
}
