package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// MeanVariance subtracts from x its mean over axes and divides by its standard deviation plus 1e-9 (ONNX
// MeanVarianceNormalization).
func MeanVariance(x *gorgonia.Node, axes []int) (*gorgonia.Node, error) {
	centred, variance, err := moments(x, axes)
	if err != nil {
		return nil, err
	}
	deviation, err := root(variance, 2)
	if err != nil {
		return nil, err
	}
	if deviation, err = shifted(deviation, 1e-9); err != nil {
		return nil, err
	}
	return Div(centred, deviation)
}

// InverseDeviation returns the mean of x over axes and 1/sqrt(variance + eps); the axes stay with one element.
func InverseDeviation(x *gorgonia.Node, axes []int, eps float64) (mean, inverse *gorgonia.Node, err error) {
	if mean, err = ReduceMean(x, axes, true); err != nil {
		return nil, nil, err
	}
	_, variance, err := moments(x, axes)
	if err != nil {
		return nil, nil, err
	}
	inverse, err = affinePower(variance, 1, eps, -0.5)
	return mean, inverse, err
}

func moments(x *gorgonia.Node, axes []int) (centred, variance *gorgonia.Node, err error) {
	mean, err := ReduceMean(x, axes, true)
	if err != nil {
		return nil, nil, err
	}
	if centred, err = Sub(x, mean); err != nil {
		return nil, nil, err
	}
	if variance, err = Mul(centred, centred); err != nil {
		return nil, nil, err
	}
	variance, err = ReduceMean(variance, axes, true)
	return centred, variance, err
}

// LRN divides x (N, C, ...) by (bias + alpha/size * sum of x^2 over size neighbouring channels)^beta (ONNX LRN, PyTorch
// LocalResponseNorm). Of an even size, the larger half comes after.
func LRN(x *gorgonia.Node, size int, alpha, beta, bias float64) (*gorgonia.Node, error) {
	shape := x.Shape()
	if len(shape) < 2 || size < 1 || size > 1<<24 {
		return nil, fmt.Errorf("ops: LRN: x of shape %v and %d neighbouring channels", shape, size)
	}
	squares, err := Mul(x, x)
	if err != nil {
		return nil, err
	}
	if squares, err = Reshape(squares, []int{shape[0], 1, shape[1], len0(shape[2:])}); err != nil {
		return nil, err
	}
	before := (size - 1) / 2
	mean, err := AveragePool(squares, PoolAttr{Kernel: []int{size, 1}, Pads: []int{before, 0, size - 1 - before, 0}, CountIncludePad: true})
	if err != nil {
		return nil, err
	}
	if mean, err = Reshape(mean, shape); err != nil {
		return nil, err
	}
	factor, err := affinePower(mean, alpha, bias, -beta)
	if err != nil {
		return nil, err
	}
	return Mul(x, factor)
}

// shifted returns x + c.
func shifted(x *gorgonia.Node, c float64) (*gorgonia.Node, error) {
	return elementwise("Shift", x,
		func(y, x []float32) { kernels.AddScalar(y, x, float32(c)) },
		func(y, x []float64) { kernels.AddScalar(y, x, c) },
		slope{node: func(dy *gorgonia.Node) (*gorgonia.Node, error) { return dy, nil }})
}

// affinePower returns (a*x + b)^p.
func affinePower(x *gorgonia.Node, a, b, p float64) (*gorgonia.Node, error) {
	return elementwise("AffinePower", x,
		func(y, x []float32) { affinePowerLoop(y, x, a, b, p) },
		func(y, x []float64) { affinePowerLoop(y, x, a, b, p) },
		fromX(
			func(dx, x, dy []float32) { affinePowerGrad(dx, x, dy, a, b, p) },
			func(dx, x, dy []float64) { affinePowerGrad(dx, x, dy, a, b, p) }))
}

func affinePowerLoop[T kernels.Float](y, x []T, a, b, p float64) {
	for i, v := range x {
		y[i] = T(math.Pow(float64(a*float64(v))+b, p))
	}
}

func affinePowerGrad[T kernels.Float](dx, x, dy []T, a, b, p float64) {
	for i, v := range x {
		dx[i] = T(float64(dy[i]) * a * p * math.Pow(float64(a*float64(v))+b, p-1))
	}
}
