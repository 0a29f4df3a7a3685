package kernels

import "math"

// The loops of this file take slices of one length. The output may be the same slice as any input.
// Transcendental functions are computed in float64 and rounded once.

// Relu sets y[i] = x[i] if x[i] > 0 or is NaN, else 0.
func Relu[T Float](y, x []T) {
	y = y[:len(x)]
	for i := unaryAsm(opRelu, y, x); i < len(x); i++ {
		v := x[i]
		y[i] = max(v, 0)
	}
}

// ReluGrad sets dx[i] = dy[i] where y[i] > 0 or is NaN, else 0; y is the output of Relu, or its input.
func ReluGrad[T Float](dx, y, dy []T) {
	dx, dy = dx[:len(y)], dy[:len(y)]
	for i := binaryAsm(opReluGrad, dx, y, dy); i < len(y); i++ {
		v := y[i]
		// Looked up: the signs of activations make a jump that cannot be predicted, ten times as slow.
		choice := [2]T{dy[i], 0}
		dx[i] = choice[bit(v <= 0)]
	}
}

// RectifiedGrad sets dx[i] = dy[i]*scale where y[i] > 0 or is NaN, else 0.
func RectifiedGrad[T Float](dx, y, dy []T, scale T) {
	dx, dy = dx[:len(y)], dy[:len(y)]
	for i := rectifiedGradAsm(dx, y, dy, scale); i < len(y); i++ {
		v := y[i]
		choice := [2]T{dy[i] * scale, 0}
		dx[i] = choice[bit(v <= 0)]
	}
}

// LeakyRelu sets y[i] = x[i] if x[i] > 0, else alpha*x[i].
func LeakyRelu[T Float](y, x []T, alpha T) {
	y = y[:len(x)]
	slope := [2]T{alpha, 1}
	for i := scalarAsm(opLeakyRelu, y, x, alpha); i < len(x); i++ {
		v := x[i]
		y[i] = v * slope[bit(v > 0)]
	}
}

// LeakyReluGrad sets dx[i] = dy[i] if x[i] > 0, else alpha*dy[i].
func LeakyReluGrad[T Float](dx, x, dy []T, alpha T) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	slope := [2]T{alpha, 1}
	for i := leakyReluGradAsm(dx, x, dy, alpha); i < len(x); i++ {
		v := x[i]
		dx[i] = dy[i] * slope[bit(v > 0)]
	}
}

// Sigmoid sets y[i] = 1/(1+exp(-x[i])), by the form whose exponential cannot overflow.
func Sigmoid[T Float](y, x []T) {
	elementary(opSigmoid, y, x, sigmoid32, sigmoid)
}

func sigmoid(x float64) float64 {
	if x >= 0 {
		return 1 / (1 + math.Exp(-x))
	}
	e := math.Exp(x)
	return e / (1 + e)
}

// SigmoidGrad sets dx[i] = dy[i]*y[i]*(1-y[i]); y is the output of Sigmoid.
func SigmoidGrad[T Float](dx, y, dy []T) {
	dx, dy = dx[:len(y)], dy[:len(y)]
	for i := binaryAsm(opSigmoidGrad, dx, y, dy); i < len(y); i++ {
		v := y[i]
		dx[i] = dy[i] * T(v*(1-v))
	}
}

// Tanh sets y[i] = tanh(x[i]).
func Tanh[T Float](y, x []T) {
	elementary(opTanh, y, x, tanh32, math.Tanh)
}

// TanhGrad sets dx[i] = dy[i]*(1-y[i]^2); y is the output of Tanh.
func TanhGrad[T Float](dx, y, dy []T) {
	dx, dy = dx[:len(y)], dy[:len(y)]
	for i := binaryAsm(opTanhGrad, dx, y, dy); i < len(y); i++ {
		v := y[i]
		dx[i] = dy[i] * (1 - T(v*v))
	}
}

// Softplus sets y[i] = log(1+exp(x[i])), written as max(x, 0) + log(1+exp(-|x|)).
func Softplus[T Float](y, x []T) {
	y = y[:len(x)]
	for i, v := range x {
		f := float64(v)
		y[i] = T(max(f, 0) + math.Log1p(math.Exp(-math.Abs(f))))
	}
}

// SoftplusGrad sets dx[i] = dy[i]*sigmoid(x[i]).
func SoftplusGrad[T Float](dx, x, dy []T) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	for i, v := range x {
		dx[i] = dy[i] * T(sigmoid(float64(v)))
	}
}

// Clip sets y[i] = min(max(x[i], lo), hi). NaN stays NaN.
func Clip[T Float](y, x []T, lo, hi T) {
	y = y[:len(x)]
	for i := clipAsm(y, x, lo, hi); i < len(x); i++ {
		v := x[i]
		y[i] = min(max(v, lo), hi)
	}
}

// ClipGrad sets dx[i] = dy[i] where lo < x[i] < hi, else 0; an infinite bound bounds nothing.
func ClipGrad[T Float](dx, x, dy []T, lo, hi T) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	inf := T(math.Inf(1))
	below, above := bit(lo == -inf), bit(hi == inf)
	done := 0
	if lo < inf && hi > -inf {
		// lo < x is the next number after lo <= x, and an infinity that bounds nothing stays itself.
		from, to := lo, hi
		if below == 0 {
			from = nextAfter(lo, inf)
		}
		if above == 0 {
			to = nextAfter(hi, -inf)
		}
		done = withinAsm(dx, x, dy, from, to)
	}
	for i := done; i < len(x); i++ {
		v := x[i]
		choice := [2]T{0, dy[i]}
		dx[i] = choice[(below|bit(v > lo))&(above|bit(v < hi))&bit(v == v)]
	}
}

// nextAfter returns the number of type float32 that follows x in the direction of y; that is all it is for.
func nextAfter[T Float](x, y T) T { return T(math.Nextafter32(float32(x), float32(y))) }
