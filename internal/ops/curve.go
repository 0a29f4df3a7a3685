package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// A curve is an elementwise function given by formulas in float64: itself and its derivative, both of x. At a kink
// the derivative is PyTorch's.
type curve struct{ f, d func(float64) float64 }

// curves are the functions without parameters, by their ONNX names.
var curves = map[string]curve{
	"Sin":  {math.Sin, math.Cos},
	"Cos":  {math.Cos, func(x float64) float64 { return -math.Sin(x) }},
	"Tan":  {math.Tan, func(x float64) float64 { t := math.Tan(x); return 1 + t*t }},
	"Asin": {math.Asin, func(x float64) float64 { return 1 / math.Sqrt(1-x*x) }},
	"Acos": {math.Acos, func(x float64) float64 { return -1 / math.Sqrt(1-x*x) }},
	"Atan": {math.Atan, func(x float64) float64 { return 1 / (1 + x*x) }},

	"Sinh":  {math.Sinh, math.Cosh},
	"Cosh":  {math.Cosh, math.Sinh},
	"Asinh": {math.Asinh, func(x float64) float64 { return 1 / math.Hypot(x, 1) }},
	"Acosh": {math.Acosh, func(x float64) float64 { return 1 / math.Sqrt((x-1)*(x+1)) }},
	"Atanh": {math.Atanh, func(x float64) float64 { return 1 / ((1 - x) * (1 + x)) }},

	// Steps: their derivative is 0 wherever it exists, and PyTorch's is 0 everywhere.
	"Floor": {math.Floor, zero},
	"Ceil":  {math.Ceil, zero},
	"Round": {math.RoundToEven, zero},
	"Sign":  {sign, zero},

	"Softsign": {func(x float64) float64 { return x / (1 + math.Abs(x)) }, softsignSlope},
	"Mish":     {func(x float64) float64 { return x * math.Tanh(softplus(x)) }, mishSlope},
}

// loops are those of them that have vectorised loops.
var loops = map[string]func(x *gorgonia.Node) (*gorgonia.Node, error){
	"Gelu": func(x *gorgonia.Node) (*gorgonia.Node, error) {
		return elementwise("Gelu", x, kernels.Gelu[float32], kernels.Gelu[float64], fromX(kernels.GeluGrad[float32], kernels.GeluGrad[float64]))
	},
	"GeluTanh": func(x *gorgonia.Node) (*gorgonia.Node, error) {
		return elementwise("GeluTanh", x, kernels.GeluTanh[float32], kernels.GeluTanh[float64], fromX(kernels.GeluTanhGrad[float32], kernels.GeluTanhGrad[float64]))
	},
	"HardSwish": func(x *gorgonia.Node) (*gorgonia.Node, error) {
		return elementwise("HardSwish", x, kernels.HardSwish[float32], kernels.HardSwish[float64], fromX(
			func(dx, x, dy []float32) { kernels.MapGrad(dx, x, dy, hardSwishSlope) },
			func(dx, x, dy []float64) { kernels.MapGrad(dx, x, dy, hardSwishSlope) }))
	},
}

// Curve applies the function of the given name, an ONNX operator of one operand without parameters; GeluTanh is Gelu
// with approximate="tanh".
func Curve(name string, x *gorgonia.Node) (*gorgonia.Node, error) {
	if f := loops[name]; f != nil {
		return f(x)
	}
	c, ok := curves[name]
	if !ok {
		return nil, fmt.Errorf("ops: %s: no such function", name)
	}
	return c.apply(name, x)
}

func (c curve) apply(name string, x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise(name, x,
		func(y, x []float32) { kernels.Map(y, x, c.f) },
		func(y, x []float64) { kernels.Map(y, x, c.f) },
		fromX(
			func(dx, x, dy []float32) { kernels.MapGrad(dx, x, dy, c.d) },
			func(dx, x, dy []float64) { kernels.MapGrad(dx, x, dy, c.d) }))
}

// Elu returns x where x > 0, else alpha*(exp(x)-1) (ONNX Elu).
func Elu(x *gorgonia.Node, alpha float64) (*gorgonia.Node, error) {
	return eluLike("Elu", x, 1, alpha, 1)
}

// Celu returns x where x > 0, else alpha*(exp(x/alpha)-1) (ONNX Celu).
func Celu(x *gorgonia.Node, alpha float64) (*gorgonia.Node, error) {
	if alpha == 0 {
		return nil, fmt.Errorf("ops: Celu: alpha is 0; x is divided by it")
	}
	return eluLike("Celu", x, 1, alpha, 1/alpha)
}

// Selu returns gamma*x where x > 0, else gamma*alpha*(exp(x)-1) (ONNX Selu).
func Selu(x *gorgonia.Node, alpha, gamma float64) (*gorgonia.Node, error) {
	return eluLike("Selu", x, gamma, gamma*alpha, 1)
}

// eluLike is up*x where x > 0, else down*(exp(rate*x)-1).
func eluLike(name string, x *gorgonia.Node, up, down, rate float64) (*gorgonia.Node, error) {
	return curve{
		func(x float64) float64 {
			if x > 0 {
				return up * x
			}
			return down * math.Expm1(rate*x)
		},
		func(x float64) float64 {
			if x > 0 {
				return up
			}
			return down * rate * math.Exp(rate*x)
		},
	}.apply(name, x)
}

// ThresholdedRelu returns x where x > alpha, else 0 (ONNX ThresholdedRelu).
func ThresholdedRelu(x *gorgonia.Node, alpha float64) (*gorgonia.Node, error) {
	return curve{
		func(x float64) float64 { return x * float64(bit(x > alpha || x != x)) },
		func(x float64) float64 { return float64(bit(x > alpha)) },
	}.apply("ThresholdedRelu", x)
}

// HardSigmoid returns max(0, min(1, alpha*x+beta)) (ONNX HardSigmoid). Its derivative is 0 on both bounds.
func HardSigmoid(x *gorgonia.Node, alpha, beta float64) (*gorgonia.Node, error) {
	return curve{
		func(x float64) float64 { return hardSigmoid(x, alpha, beta) },
		func(x float64) float64 {
			if y := alpha*x + beta; y > 0 && y < 1 {
				return alpha
			}
			return 0
		},
	}.apply("HardSigmoid", x)
}

// Shrink returns x+bias where x < -lambda, x-bias where x > lambda, else 0 (ONNX Shrink).
func Shrink(x *gorgonia.Node, bias, lambda float64) (*gorgonia.Node, error) {
	return curve{
		func(x float64) float64 {
			switch {
			case x < -lambda:
				return x + bias
			case x > lambda:
				return x - bias
			}
			return 0
		},
		func(x float64) float64 { return float64(bit(x < -lambda || x > lambda)) },
	}.apply("Shrink", x)
}

// Swish returns x*sigmoid(alpha*x) (ONNX Swish).
func Swish(x *gorgonia.Node, alpha float64) (*gorgonia.Node, error) {
	a := float32(alpha)
	return elementwise("Swish", x,
		func(y, x []float32) { kernels.Swish(y, x, a) },
		func(y, x []float64) { kernels.Swish(y, x, alpha) },
		fromX(
			func(dx, x, dy []float32) { kernels.SwishGrad(dx, x, dy, a) },
			func(dx, x, dy []float64) { kernels.SwishGrad(dx, x, dy, alpha) }))
}

func zero(float64) float64 { return 0 }

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // 0 or NaN
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func softsignSlope(x float64) float64 {
	d := 1 + math.Abs(x)
	return 1 / (d * d)
}

func hardSigmoid(x, alpha, beta float64) float64 { return max(0, min(1, alpha*x+beta)) }

func hardSwishSlope(x float64) float64 {
	switch {
	case x <= -3:
		return 0
	case x < 3:
		return x/3 + 0.5
	}
	return 1
}

// mishSlope: with t = tanh(softplus(x)), t' = (1-t^2)*sigmoid(x).
func mishSlope(x float64) float64 {
	t := math.Tanh(softplus(x))
	return t + x*(1-t*t)*logistic(x)
}
