package kernels

import "math"

// The functions of this file are compositions of vectorised loops. A few hundred elements at a time go through all of
// them, while they are in the first-level cache. The output may be the same slice as any input.

// passLen is the number of elements at a time.
const passLen = 512

// eachPass runs f on pieces of slices of one length; room is memory of f's own, of the length of a piece.
func eachPass[T Float](y, x, z []T, f func(y, x, z, room []T)) {
	var room [passLen]T
	for len(x) > 0 {
		n := min(len(x), passLen)
		f(y[:n], x[:n], z[:n], room[:n])
		y, x, z = y[n:], x[n:], z[n:]
	}
}

// Gelu sets y[i] = x[i]/2 * (1 + erf(x[i]/sqrt(2))). The error of float32 results is at most a few units in the last place of
// x[i], as PyTorch's: where x is far below 0, the result is small beside it.
func Gelu[T Float](y, x []T) { eachPass(y, x, x, geluPass[T]) }

func geluPass[T Float](y, x, _, p []T) {
	twicePhi(p, x)
	Mul(y, x, p)
	MulScalar(y, y, 0.5)
}

// twicePhi sets p[i] = 1 + erf(x[i]/sqrt(2)): twice the distribution function of the normal distribution.
func twicePhi[T Float](p, x []T) {
	MulScalar(p, x, T(math.Sqrt2/2))
	Erf(p, p)
	AddScalar(p, p, 1)
}

// GeluGrad sets dx[i] to dy[i] times the derivative of Gelu at x[i], Phi(x) + x*exp(-x^2/2)/sqrt(2*pi).
func GeluGrad[T Float](dx, x, dy []T) { eachPass(dx, x, dy, geluGradPass[T]) }

func geluGradPass[T Float](dx, x, dy, p []T) {
	var more [passLen]T
	e := more[:len(x)]
	Mul(e, x, x)
	MulScalar(e, e, -0.5)
	Exp(e, e)
	Mul(e, e, x)
	MulScalar(e, e, T(math.Sqrt2/math.SqrtPi)) // twice the second term
	twicePhi(p, x)
	Add(p, p, e)
	MulScalar(p, p, 0.5)
	Mul(dx, dy, p)
}

// geluCubic is the factor of Gelu's approximation.
const geluCubic = 0.044715

// GeluTanh sets y[i] = x[i]/2 * (1 + tanh(u)), u = sqrt(2/pi)*(x[i] + 0.044715*x[i]^3). The error is as Gelu's.
func GeluTanh[T Float](y, x []T) { eachPass(y, x, x, geluTanhPass[T]) }

func geluTanhPass[T Float](y, x, _, t []T) {
	geluTangent(t, x)
	AddScalar(t, t, 1)
	Mul(y, x, t)
	MulScalar(y, y, 0.5)
}

// geluTangent sets t[i] = tanh(u).
func geluTangent[T Float](t, x []T) {
	Mul(t, x, x)
	MulScalar(t, t, T(geluCubic*math.Sqrt2/math.SqrtPi))
	AddScalar(t, t, T(math.Sqrt2/math.SqrtPi))
	Mul(t, t, x)
	Tanh(t, t)
}

// GeluTanhGrad sets dx[i] to dy[i] times the derivative of GeluTanh at x[i]: (1+t)/2 + x/2*(1-t^2)*u', t being tanh(u).
func GeluTanhGrad[T Float](dx, x, dy []T) { eachPass(dx, x, dy, geluTanhGradPass[T]) }

func geluTanhGradPass[T Float](dx, x, dy, t []T) {
	var more [passLen]T
	u := more[:len(x)]
	Mul(u, x, x)
	MulScalar(u, u, T(3*geluCubic*math.Sqrt2/math.SqrtPi))
	AddScalar(u, u, T(math.Sqrt2/math.SqrtPi))
	Mul(u, u, x)
	geluTangent(t, x)
	TanhGrad(u, t, u) // x*u'*(1-t^2)
	AddScalar(t, t, 1)
	Add(t, t, u)
	MulScalar(t, t, 0.5)
	Mul(dx, dy, t)
}

// Swish sets y[i] = x[i]*sigmoid(alpha*x[i]).
func Swish[T Float](y, x []T, alpha T) {
	eachPass(y, x, x, func(y, x, _, s []T) {
		MulScalar(s, x, alpha)
		Sigmoid(s, s)
		Mul(y, x, s)
	})
}

// SwishGrad sets dx[i] to dy[i] times the derivative of Swish at x[i]: s + alpha*x*s*(1-s), s being sigmoid(alpha*x).
func SwishGrad[T Float](dx, x, dy []T, alpha T) {
	eachPass(dx, x, dy, func(dx, x, dy, s []T) {
		var more [passLen]T
		a := more[:len(x)]
		MulScalar(a, x, alpha)
		Sigmoid(s, a)
		SigmoidGrad(a, s, a)
		Add(s, s, a)
		Mul(dx, dy, s)
	})
}

// HardSwish sets y[i] = x[i]*min(max(x[i]/6 + 1/2, 0), 1).
func HardSwish[T Float](y, x []T) { eachPass(y, x, x, hardSwishPass[T]) }

func hardSwishPass[T Float](y, x, _, s []T) {
	MulScalar(s, x, T(1.0/6))
	AddScalar(s, s, 0.5)
	Clip(s, s, 0, 1)
	Mul(y, x, s)
}
