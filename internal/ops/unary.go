package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// unary applies a loop of package kernels to every element. The loop is chosen when the node is built, so
// a part of the work costs one call.
type unary struct {
	base
	f32   func(y, x []float32)
	f64   func(y, x []float64)
	slope slope
	clip  *[2]float64 // bounds of a Clip
}

// slope says how dx follows from dy: a loop over dy and either the operator's input or its output, or, if
// node is set, a node made from dy alone.
type slope struct {
	ofOutput bool
	f32      func(dx, s, dy []float32)
	f64      func(dx, s, dy []float64)
	node     func(dy *gorgonia.Node) (*gorgonia.Node, error)
}

// fromX and fromY make the slope of an operator whose derivative is computed from its input, its output.
func fromX(f32 func(dx, x, dy []float32), f64 func(dx, x, dy []float64)) slope {
	return slope{f32: f32, f64: f64}
}

func fromY(f32 func(dx, y, dy []float32), f64 func(dx, y, dy []float64)) slope {
	return slope{f32: f32, f64: f64, ofOutput: true}
}

// Relu returns max(x, 0) (ONNX Relu). Its derivative at 0 is 0, as in PyTorch.
func Relu(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Relu", x, kernels.Relu[float32], kernels.Relu[float64],
		fromY(kernels.ReluGrad[float32], kernels.ReluGrad[float64]))
}

// LeakyRelu returns x where x > 0, else alpha*x (ONNX LeakyRelu). Its derivative at 0 is alpha.
func LeakyRelu(x *gorgonia.Node, alpha float64) (*gorgonia.Node, error) {
	a := float32(alpha)
	s := fromX(
		func(dx, x, dy []float32) { kernels.LeakyReluGrad(dx, x, dy, a) },
		func(dx, x, dy []float64) { kernels.LeakyReluGrad(dx, x, dy, alpha) })
	s.ofOutput = alpha >= 0 // then y has the sign of x, and x need not be kept
	return elementwise("LeakyRelu", x,
		func(y, x []float32) { kernels.LeakyRelu(y, x, a) },
		func(y, x []float64) { kernels.LeakyRelu(y, x, alpha) }, s)
}

// Sigmoid returns 1/(1+exp(-x)).
func Sigmoid(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Sigmoid", x, kernels.Sigmoid[float32], kernels.Sigmoid[float64],
		fromY(kernels.SigmoidGrad[float32], kernels.SigmoidGrad[float64]))
}

// Tanh returns the hyperbolic tangent.
func Tanh(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Tanh", x, kernels.Tanh[float32], kernels.Tanh[float64],
		fromY(kernels.TanhGrad[float32], kernels.TanhGrad[float64]))
}

// Softplus returns log(1+exp(x)).
func Softplus(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Softplus", x, kernels.Softplus[float32], kernels.Softplus[float64],
		fromX(kernels.SoftplusGrad[float32], kernels.SoftplusGrad[float64]))
}

// Clip returns min(max(x, lo), hi) (ONNX Clip); an absent bound is an infinity. Its derivative is 1
// between the bounds and 0 on them, as that of PyTorch's clamp and ReLU6. With lo > hi every element is hi.
func Clip(x *gorgonia.Node, lo, hi float64) (*gorgonia.Node, error) {
	if math.IsNaN(lo) || math.IsNaN(hi) {
		return nil, fmt.Errorf("ops: Clip: a bound is not a number: [%v, %v]", lo, hi)
	}
	l, h := float32(lo), float32(hi)
	y, err := elementwise("Clip", x,
		func(y, x []float32) { kernels.Clip(y, x, l, h) },
		func(y, x []float64) { kernels.Clip(y, x, lo, hi) },
		fromX(
			func(dx, x, dy []float32) { kernels.ClipGrad(dx, x, dy, l, h) },
			func(dx, x, dy []float64) { kernels.ClipGrad(dx, x, dy, lo, hi) }))
	if err == nil {
		y.Op().(*unary).clip = &[2]float64{lo, hi}
	}
	return y, err
}

// Neg returns -x.
func Neg(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Neg", x, kernels.Neg[float32], kernels.Neg[float64], slope{node: Neg})
}

// Exp returns e to the power of x.
func Exp(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Exp", x, kernels.Exp[float32], kernels.Exp[float64],
		fromY(kernels.Mul[float32], kernels.Mul[float64]))
}

// Log returns the natural logarithm.
func Log(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Log", x, kernels.Log[float32], kernels.Log[float64], fromX(
		func(dx, x, dy []float32) { kernels.Div(dx, dy, x) },
		func(dx, x, dy []float64) { kernels.Div(dx, dy, x) }))
}

// Sqrt returns the square root.
func Sqrt(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Sqrt", x, kernels.Sqrt[float32], kernels.Sqrt[float64],
		fromY(kernels.SqrtGrad[float32], kernels.SqrtGrad[float64]))
}

// Abs returns |x|. Its derivative at 0 is 0.
func Abs(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Abs", x, kernels.Abs[float32], kernels.Abs[float64],
		fromX(kernels.AbsGrad[float32], kernels.AbsGrad[float64]))
}

// Reciprocal returns 1/x.
func Reciprocal(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Reciprocal", x, kernels.Reciprocal[float32], kernels.Reciprocal[float64],
		fromY(kernels.ReciprocalGrad[float32], kernels.ReciprocalGrad[float64]))
}

// Erf returns the error function.
func Erf(x *gorgonia.Node) (*gorgonia.Node, error) {
	return elementwise("Erf", x, kernels.Erf[float32], kernels.Erf[float64],
		fromX(kernels.ErfGrad[float32], kernels.ErfGrad[float64]))
}

// Scale returns f*x.
func Scale(x *gorgonia.Node, f float64) (*gorgonia.Node, error) { return scaled(x, f) }

// scaled returns f*x, and x itself if f is 1.
func scaled(x *gorgonia.Node, f float64) (*gorgonia.Node, error) {
	if f == 1 {
		return x, nil
	}
	return elementwise("Scale", x,
		func(y, x []float32) { kernels.MulScalar(y, x, float32(f)) },
		func(y, x []float64) { kernels.MulScalar(y, x, f) },
		slope{node: func(dy *gorgonia.Node) (*gorgonia.Node, error) { return scaled(dy, f) }})
}

func elementwise(name string, x *gorgonia.Node, f32 func(y, x []float32), f64 func(y, x []float64), s slope) (*gorgonia.Node, error) {
	if err := needFloat(name, x); err != nil {
		return nil, err
	}
	return apply(&unary{base: base{name: name, out: x.Shape()}, f32: f32, f64: f64, slope: s}, x)
}

func (o *unary) Phases() []int  { return []int{chunks(len0(o.out))} }
func (o *unary) InPlace() []int { return []int{0} }

func (o *unary) Run(env *Env, _, _, part int, out *Buf, in []*Buf) error {
	n := len0(o.out)
	from, to := span(n, chunks(n), part)
	return o.elements(env, from, to, out, in)
}

func (o *unary) elements(_ *Env, from, to int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		o.f64(out.F64[from:to], in[0].F64[from:to])
	} else {
		o.f32(out.F32[from:to], in[0].F32[from:to])
	}
	return nil
}

func (o *unary) SymDiff(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	var dx *gorgonia.Node
	var err error
	if o.slope.node != nil {
		dx, err = o.slope.node(dy)
	} else {
		s := in[0]
		if o.slope.ofOutput {
			s = y
		}
		dx, err = apply(&unaryGrad{base{name: o.name + "Grad", out: o.out}, o.slope}, s, dy)
	}
	return gorgonia.Nodes{dx}, err
}

// unaryGrad has the operands s, the input or output of a unary operator, and dy.
type unaryGrad struct {
	base
	slope slope
}

func (o *unaryGrad) Phases() []int  { return []int{chunks(len0(o.out))} }
func (o *unaryGrad) InPlace() []int { return []int{1, 0} }

func (o *unaryGrad) Run(env *Env, _, _, part int, out *Buf, in []*Buf) error {
	n := len0(o.out)
	from, to := span(n, chunks(n), part)
	return o.elements(env, from, to, out, in)
}

func (o *unaryGrad) elements(_ *Env, from, to int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		o.slope.f64(out.F64[from:to], in[0].F64[from:to], in[1].F64[from:to])
	} else {
		o.slope.f32(out.F32[from:to], in[0].F32[from:to], in[1].F32[from:to])
	}
	return nil
}

// needFloat returns an error unless all nodes are of one type, float32 or float64.
func needFloat(name string, xs ...*gorgonia.Node) error {
	for i, x := range xs {
		if !isFloat(x.Dtype()) {
			return fmt.Errorf("ops: %s: operand %d has elements of type %v; float32 or float64 is needed", name, i, x.Dtype())
		}
		if x.Dtype() != xs[0].Dtype() {
			return fmt.Errorf("ops: %s: operand %d has elements of type %v, operand 0 of %v", name, i, x.Dtype(), xs[0].Dtype())
		}
	}
	return nil
}
