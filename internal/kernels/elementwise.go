package kernels

import "math"

// The loops of this file take slices of one length. The output may be the same slice as any input.

// Neg sets y[i] = -x[i].
func Neg[T Float](y, x []T) {
	y = y[:len(x)]
	for i := unaryAsm(opNeg, y, x); i < len(x); i++ {
		v := x[i]
		y[i] = -v
	}
}

// Exp sets y[i] = exp(x[i]).
func Exp[T Float](y, x []T) {
	elementary(opExp, y, x, exp32, math.Exp)
}

// Log sets y[i] = log(x[i]).
func Log[T Float](y, x []T) {
	elementary(opLog, y, x, log32, math.Log)
}

// Sqrt sets y[i] = sqrt(x[i]).
func Sqrt[T Float](y, x []T) {
	y = y[:len(x)]
	for i := unaryAsm(opSqrt, y, x); i < len(x); i++ {
		v := x[i]
		y[i] = T(math.Sqrt(float64(v)))
	}
}

// SqrtGrad sets dx[i] = dy[i]/(2*y[i]); y is the output of Sqrt.
func SqrtGrad[T Float](dx, y, dy []T) {
	dx, dy = dx[:len(y)], dy[:len(y)]
	for i := binaryAsm(opSqrtGrad, dx, y, dy); i < len(y); i++ {
		v := y[i]
		dx[i] = dy[i] / (2 * v)
	}
}

// Abs sets y[i] = |x[i]|.
func Abs[T Float](y, x []T) {
	y = y[:len(x)]
	for i := unaryAsm(opAbs, y, x); i < len(x); i++ {
		v := x[i]
		y[i] = T(math.Abs(float64(v)))
	}
}

// AbsGrad sets dx[i] = dy[i]*sign(x[i]), with sign(0) = 0. NaN gives NaN.
func AbsGrad[T Float](dx, x, dy []T) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	for i := binaryAsm(opAbsGrad, dx, x, dy); i < len(x); i++ {
		v := x[i]
		g := dy[i]
		switch {
		case v > 0:
		case v < 0:
			g = -g
		default: // 0 or NaN
			g = v
		}
		dx[i] = g
	}
}

// Reciprocal sets y[i] = 1/x[i].
func Reciprocal[T Float](y, x []T) {
	y = y[:len(x)]
	for i := scalarAsm(opReverseDiv, y, x, 1); i < len(x); i++ {
		v := x[i]
		y[i] = 1 / v
	}
}

// ReciprocalGrad sets dx[i] = -dy[i]*y[i]^2; y is the output of Reciprocal.
func ReciprocalGrad[T Float](dx, y, dy []T) {
	dx, dy = dx[:len(y)], dy[:len(y)]
	for i := binaryAsm(opReciprocalGrad, dx, y, dy); i < len(y); i++ {
		v := y[i]
		dx[i] = -dy[i] * T(v*v)
	}
}

// Erf sets y[i] = erf(x[i]), the error function.
func Erf[T Float](y, x []T) {
	elementary(opErf, y, x, erf32, math.Erf)
}

// ErfGrad sets dx[i] = dy[i]*2/sqrt(pi)*exp(-x[i]^2).
func ErfGrad[T Float](dx, x, dy []T) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	for i, v := range x {
		f := float64(v)
		dx[i] = dy[i] * T(2/math.SqrtPi*math.Exp(-f*f))
	}
}
