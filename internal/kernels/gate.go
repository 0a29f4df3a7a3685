package kernels

import "math"

// An Activation is a function that ONNX gives the gates of recurrent networks. Its argument is bounded by ±Clip
// first, unless that is 0. All are monotone, if Alpha is not negative where it is a slope, so that the derivative
// follows from the value.
type Activation struct {
	Kind        ActivationKind
	Alpha, Beta float64
	Clip        float64
}

// An ActivationKind says what an Activation computes; a and b are its Alpha and Beta.
type ActivationKind int

const (
	ActSigmoid         ActivationKind = iota // 1/(1+exp(-x))
	ActTanh                                  // tanh(x)
	ActRelu                                  // max(x, 0)
	ActAffine                                // a*x + b
	ActLeakyRelu                             // x or, below 0, a*x
	ActThresholdedRelu                       // x or, up to a, 0
	ActScaledTanh                            // a*tanh(b*x)
	ActHardSigmoid                           // a*x + b between 0 and 1
	ActElu                                   // x or, below 0, a*(exp(x)-1)
	ActSoftsign                              // x/(1+|x|)
	ActSoftplus                              // log(1+exp(x))
)

// Activate sets y[i] = a(x[i]). y may be x.
func Activate[T Float](a Activation, y, x []T) {
	if a.Clip == 0 {
		switch a.Kind {
		case ActSigmoid:
			Sigmoid(y, x)
			return
		case ActTanh:
			Tanh(y, x)
			return
		case ActRelu:
			Relu(y, x)
			return
		}
	}
	y = y[:len(x)]
	for i, v := range x {
		y[i] = T(a.value(float64(v)))
	}
}

// ActivateGrad sets dx[i] to dy[i] times the slope where the value is y[i]; at the bounds of the argument it is
// 0. dx may be dy.
func ActivateGrad[T Float](a Activation, dx, y, dy []T) {
	if a.Clip == 0 {
		switch a.Kind {
		case ActSigmoid:
			SigmoidGrad(dx, y, dy)
			return
		case ActTanh:
			TanhGrad(dx, y, dy)
			return
		case ActRelu:
			ReluGrad(dx, y, dy)
			return
		}
	}
	lo, hi := math.Inf(-1), math.Inf(1)
	if a.Clip > 0 {
		lo, hi = float64(T(a.value(-a.Clip))), float64(T(a.value(a.Clip)))
		lo, hi = min(lo, hi), max(lo, hi)
	}
	dx, dy = dx[:len(y)], dy[:len(y)]
	for i, v := range y {
		w := float64(v)
		slope := a.slope(w)
		if w <= lo || w >= hi {
			slope = 0
		}
		dx[i] = T(float64(dy[i]) * slope)
	}
}

func (a Activation) value(x float64) float64 {
	if a.Clip > 0 {
		x = min(max(x, -a.Clip), a.Clip)
	}
	switch a.Kind {
	case ActSigmoid:
		return sigmoid(x)
	case ActTanh:
		return math.Tanh(x)
	case ActRelu:
		return max(x, 0)
	case ActAffine:
		return float64(a.Alpha*x) + a.Beta
	case ActLeakyRelu:
		if x < 0 {
			return a.Alpha * x
		}
		return x
	case ActThresholdedRelu:
		if x <= a.Alpha {
			return 0
		}
		return x
	case ActScaledTanh:
		return a.Alpha * math.Tanh(a.Beta*x)
	case ActHardSigmoid:
		return min(max(float64(a.Alpha*x)+a.Beta, 0), 1)
	case ActElu:
		if x < 0 {
			return a.Alpha * math.Expm1(x)
		}
		return x
	case ActSoftsign:
		return x / (1 + math.Abs(x))
	case ActSoftplus:
		return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
	}
	panic("kernels: an activation of a kind that does not exist")
}

// slope is the derivative where the value is y.
func (a Activation) slope(y float64) float64 {
	switch a.Kind {
	case ActSigmoid:
		return y * (1 - y)
	case ActTanh:
		return 1 - float64(y*y)
	case ActRelu:
		return float64(bit(!(y <= 0)))
	case ActAffine:
		return a.Alpha
	case ActLeakyRelu:
		if y > 0 {
			return 1
		}
		return a.Alpha
	case ActThresholdedRelu:
		return float64(bit(y != 0))
	case ActScaledTanh:
		if a.Alpha == 0 {
			return 0
		}
		return a.Beta * (a.Alpha - float64(y*y)/a.Alpha)
	case ActHardSigmoid:
		return a.Alpha * float64(bit(!(y <= 0 || y >= 1)))
	case ActElu:
		if y > 0 {
			return 1
		}
		return y + a.Alpha
	case ActSoftsign:
		return (1 - math.Abs(y)) * (1 - math.Abs(y))
	case ActSoftplus:
		return -math.Expm1(-y)
	}
	panic("kernels: an activation of a kind that does not exist")
}
