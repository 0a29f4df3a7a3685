package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// LpPool returns the p-norm of each window of x (N,C,spatial...); padding counts as zeros.
func LpPool(x *gorgonia.Node, a PoolAttr, p float64) (*gorgonia.Node, error) {
	shape := x.Shape()
	if len(shape) < 3 {
		return nil, fmt.Errorf("ops: LpPool: x has shape %v: there are no spatial axes", shape)
	}
	s, err := newSpatial("LpPool", shape[2:], a.Kernel, a.Strides, a.Dilations, a.Pads, a.CeilMode)
	if err != nil {
		return nil, err
	}
	// With the padding that the last windows reach in x itself, a mean is the sum by the size of the kernel.
	pads := make([]int, 2*len(shape))
	for i, w := range s {
		pads[2+i] = w.before
		pads[len(shape)+2+i] = max(0, (w.out-1)*w.stride+w.extent()-w.before-w.size)
	}
	if x, err = powAbs(x, p); err != nil {
		return nil, err
	}
	if x, err = Pad(x, pads, 0, "constant"); err != nil {
		return nil, err
	}
	for i, w := range s { // nothing beyond the last window
		sizes := append([]int(nil), x.Shape()...)
		if reach := (w.out-1)*w.stride + w.extent(); reach < sizes[2+i] {
			sizes[2+i] = reach
			if x, err = Slice(x, make([]int, len(sizes)), nil, sizes); err != nil {
				return nil, err
			}
		}
	}
	y, err := AveragePool(x, PoolAttr{Kernel: a.Kernel, Strides: a.Strides, Dilations: a.Dilations})
	if err != nil {
		return nil, err
	}
	if y, err = scaled(y, float64(len0(a.Kernel))); err != nil {
		return nil, err
	}
	return root(y, p)
}

// GlobalLpPool returns the p-norm over all spatial axes, which keep size 1.
func GlobalLpPool(x *gorgonia.Node, p float64) (*gorgonia.Node, error) {
	shape := x.Shape()
	if len(shape) < 3 {
		return nil, fmt.Errorf("ops: GlobalLpPool: x of shape %v has no spatial axes", shape)
	}
	var axes []int
	for i := range shape[2:] {
		axes = append(axes, 2+i)
	}
	return lpNorm(x, axes, p)
}

// lpNorm returns the p-norm over axes, which stay with one element.
func lpNorm(x *gorgonia.Node, axes []int, p float64) (*gorgonia.Node, error) {
	y, err := powAbs(x, p)
	if err != nil {
		return nil, err
	}
	if y, err = ReduceSum(y, axes, true); err != nil {
		return nil, err
	}
	return root(y, p)
}

// LpNormalization divides x by its p-norm along an axis; where that is 0, the result is 0.
func LpNormalization(x *gorgonia.Node, axis int, p float64) (*gorgonia.Node, error) {
	n, err := lpNorm(x, []int{axis}, p)
	if err != nil {
		return nil, err
	}
	if n, err = zeroAsInf(n); err != nil {
		return nil, err
	}
	return Div(x, n)
}

// zeroAsInf returns x with infinities in place of zeros, which have the derivative 0.
func zeroAsInf(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("ZeroAsInf", x, zeroAsInfLoop[float32], zeroAsInfLoop[float64],
		fromX(zeroAsInfGrad[float32], zeroAsInfGrad[float64]))
}

func zeroAsInfLoop[T kernels.Float](y, x []T) {
	for i, v := range x {
		if v == 0 {
			v = T(math.Inf(1))
		}
		y[i] = v
	}
}

func zeroAsInfGrad[T kernels.Float](dx, x, dy []T) {
	for i, v := range x {
		if dx[i] = dy[i]; v == 0 {
			dx[i] = 0
		}
	}
}

// powAbs returns |x|^p for p > 0.
func powAbs(x *gorgonia.Node, p float64) (*gorgonia.Node, error) {
	if !(p > 0) || math.IsInf(p, 0) {
		return nil, fmt.Errorf("ops: a norm of order %v; it must be a positive number", p)
	}
	switch p {
	case 1:
		return Abs(x)
	case 2:
		return Mul(x, x)
	}
	return elementwise("PowAbs", x,
		func(y, x []float32) { powAbsLoop(y, x, p) },
		func(y, x []float64) { powAbsLoop(y, x, p) },
		fromX(
			func(dx, x, dy []float32) { powAbsGrad(dx, x, dy, p) },
			func(dx, x, dy []float64) { powAbsGrad(dx, x, dy, p) }))
}

func powAbsLoop[T kernels.Float](y, x []T, p float64) {
	for i, v := range x {
		y[i] = T(math.Pow(math.Abs(float64(v)), p))
	}
}

// powAbsGrad sets dx = dy*p*|x|^(p-1)*sign(x), which is 0 where x is.
func powAbsGrad[T kernels.Float](dx, x, dy []T, p float64) {
	for i, v := range x {
		a := float64(v)
		if a == 0 {
			dx[i] = 0
			continue
		}
		dx[i] = T(float64(dy[i]) * math.Copysign(p*math.Pow(math.Abs(a), p-1), a))
	}
}

// root returns the p-th root of x >= 0. Its derivative where x is 0 is 0, that of the norm of zeros in PyTorch.
func root(x *gorgonia.Node, p float64) (*gorgonia.Node, error) {
	if p == 1 {
		return x, nil
	}
	return elementwise("Root", x,
		func(y, x []float32) { rootLoop(y, x, p) },
		func(y, x []float64) { rootLoop(y, x, p) },
		fromX(
			func(dx, x, dy []float32) { rootGrad(dx, x, dy, p) },
			func(dx, x, dy []float64) { rootGrad(dx, x, dy, p) }))
}

func rootLoop[T kernels.Float](y, x []T, p float64) {
	for i, v := range x {
		if p == 2 {
			y[i] = T(math.Sqrt(float64(v)))
		} else {
			y[i] = T(math.Pow(float64(v), 1/p))
		}
	}
}

func rootGrad[T kernels.Float](dx, x, dy []T, p float64) {
	for i, v := range x {
		a := float64(v)
		if a == 0 {
			dx[i] = 0
			continue
		}
		dx[i] = T(float64(dy[i]) * math.Pow(a, 1/p-1) / p)
	}
}
