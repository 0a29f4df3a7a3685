package ops

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// unaryCases lists every unary operator with a formula written another way, and a range to test it in.
var unaryCases = []struct {
	name   string
	make   func(x *gorgonia.Node) (*gorgonia.Node, error)
	want   func(x float64) float64
	lo, hi float64
}{
	{"Relu", Relu, func(x float64) float64 { return (x + math.Abs(x)) / 2 }, -2, 2},
	{"LeakyRelu", leaky(0.1), func(x float64) float64 { return max(x, 0.1*x) }, -2, 2},
	{"LeakyReluSteep", leaky(-0.5), func(x float64) float64 { return max(x, 0) - 0.5*min(x, 0) }, -2, 2},
	{"Sigmoid", Sigmoid, func(x float64) float64 { return 0.5 + 0.5*math.Tanh(x/2) }, -4, 4},
	{"Tanh", Tanh, func(x float64) float64 { return 1 - 2/(math.Exp(2*x)+1) }, -3, 3},
	{"Softplus", Softplus, func(x float64) float64 { return math.Log(1 + math.Exp(x)) }, -4, 4},
	{"Clip", clip(-0.5, 1.25), func(x float64) float64 { return math.Min(math.Max(x, -0.5), 1.25) }, -2, 2},
	{"Neg", Neg, func(x float64) float64 { return 0 - x }, -2, 2},
	{"Exp", Exp, func(x float64) float64 { return math.Pow(math.E, x) }, -2, 2},
	{"Log", Log, func(x float64) float64 { return math.Log2(x) * math.Ln2 }, 0.3, 3},
	{"Sqrt", Sqrt, func(x float64) float64 { return math.Pow(x, 0.5) }, 0.3, 3},
	{"Abs", Abs, func(x float64) float64 { return max(x, -x) }, -2, 2},
	{"Reciprocal", Reciprocal, func(x float64) float64 { return math.Pow(x, -1) }, 0.4, 2},
	{"Erf", Erf, func(x float64) float64 { return 1 - math.Erfc(x) }, -2, 2},
}

func leaky(alpha float64) func(*gorgonia.Node) (*gorgonia.Node, error) {
	return func(x *gorgonia.Node) (*gorgonia.Node, error) { return LeakyRelu(x, alpha) }
}

func clip(lo, hi float64) func(*gorgonia.Node) (*gorgonia.Node, error) {
	return func(x *gorgonia.Node) (*gorgonia.Node, error) { return Clip(x, lo, hi) }
}

// of1 makes a builder from an operator of one operand.
func of1(f func(x *gorgonia.Node) (*gorgonia.Node, error)) builder {
	return func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) { return f(in[0]) }
}

func TestUnary(t *testing.T) {
	for _, c := range unaryCases {
		t.Run(c.name, func(t *testing.T) {
			for _, shape := range [][]int{{}, {1}, {7}, {3, 1, 5}} {
				n := float64(len0(shape))
				d := distinct(3, shape...) // in (-2, 2), not 0
				x := fill(func(i int) float64 { return c.lo + (c.hi-c.lo)*(at64(d, i)/4+0.5) }, shape...)
				if n == 0 {
					continue
				}
				checkGrad(t, of1(c.make), x)
				checkValues(t, of1(c.make), func(i int) float64 { return c.want(at64(x, i)) }, x)
			}
			// More than one part.
			x := uniform(5, c.lo, c.hi, 2*chunk+321)
			checkValues(t, of1(c.make), func(i int) float64 { return c.want(at64(x, i)) }, x)
		})
	}
}

// at64 is element i of a float64 tensor.
func at64(d *tensor.Dense, i int) float64 {
	b, err := FromValue(d)
	if err != nil {
		panic(err)
	}
	return b.F64[i]
}

// checkValues compares the output in float64 with want, for flat index i, to 1e-12 of the largest element,
// and in float32 with that, see near32.
func checkValues(t *testing.T, build builder, want func(i int) float64, inputs ...*tensor.Dense) {
	t.Helper()
	got, err := forward(t, tensor.Float64, build, inputs...)
	if err != nil {
		t.Fatal(err)
	}
	scale := 1e-3
	for _, v := range got.F64 {
		if !math.IsInf(v, 0) {
			scale = math.Max(scale, math.Abs(v))
		}
	}
	for i, v := range got.F64 {
		w := want(i)
		if same := v == w || math.IsNaN(v) && math.IsNaN(w); !same && !(math.Abs(v-w) <= 1e-12*scale) {
			t.Fatalf("element %d of %v: %.17g, want %.17g", i, got.Shape, v, w)
		}
	}
	narrow, err := forward(t, tensor.Float32, build, inputs...)
	if err != nil {
		t.Fatal(err)
	}
	near32(t, "output", narrow, got)
}

// derivativeAt returns f's value and derivative at x in one element type.
func derivativeAt(t *testing.T, dt tensor.Dtype, f func(x *gorgonia.Node) (*gorgonia.Node, error), x ...float64) (y, dx []float64) {
	t.Helper()
	in := &Buf{Shape: []int{len(x)}, F64: x}
	build := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) { return f(in[0]) }
	tr := newTrial(t, build, dt, []*Buf{in}, []int{0})
	out := tr.eval(t, []*Buf{in}, append(gorgonia.Nodes{tr.out}, tr.deriv...)...)
	y, dx = widened(out[0]), widened(out[1])
	for i := range dx {
		dx[i] /= weight(i) // the loss is the weighted sum
	}
	return y, dx
}

func widened(b *Buf) []float64 {
	out := append([]float64(nil), b.F64...)
	for _, v := range b.F32 {
		out = append(out, float64(v))
	}
	return out
}

func TestUnaryEdges(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		name     string
		make     func(x *gorgonia.Node) (*gorgonia.Node, error)
		x, y, dx []float64
	}{
		{"Relu", Relu, []float64{0, nan, inf, -inf}, []float64{0, nan, inf, 0}, []float64{0, 1, 1, 0}},
		{"LeakyRelu", leaky(0.25), []float64{0, nan, inf, -inf}, []float64{0, nan, inf, -inf}, []float64{0.25, 0.25, 1, 0.25}},
		{"Sigmoid", Sigmoid, []float64{0, nan, inf, -inf, 1000, -1000}, []float64{0.5, nan, 1, 0, 1, 0}, []float64{0.25, nan, 0, 0, 0, 0}},
		{"Tanh", Tanh, []float64{0, nan, inf, -inf}, []float64{0, nan, 1, -1}, []float64{1, nan, 0, 0}},
		{"Softplus", Softplus, []float64{nan, inf, -inf, 1000, -1000}, []float64{nan, inf, 0, 1000, 0}, []float64{nan, 1, 0, 1, 0}},
		{"Clip", clip(-1, 2), []float64{-1, 2, nan, inf, -inf}, []float64{-1, 2, nan, 2, -1}, []float64{0, 0, 0, 0, 0}},
		{"ClipOpen", clip(-inf, inf), []float64{-1, inf, -inf}, []float64{-1, inf, -inf}, []float64{1, 1, 1}},
		{"ClipInverted", clip(3, 1), []float64{0, 2, 4}, []float64{1, 1, 1}, []float64{0, 0, 0}},
		{"Exp", Exp, []float64{nan, inf, -inf}, []float64{nan, inf, 0}, []float64{nan, inf, 0}},
		{"Log", Log, []float64{0, -1, inf}, []float64{-inf, nan, inf}, []float64{inf, -1, 0}},
		{"Sqrt", Sqrt, []float64{0, -1, 4}, []float64{0, nan, 2}, []float64{inf, nan, 0.25}},
		{"Abs", Abs, []float64{0, nan, -inf}, []float64{0, nan, inf}, []float64{0, nan, -1}},
		{"Reciprocal", Reciprocal, []float64{nan, inf, 2}, []float64{nan, 0, 0.5}, []float64{nan, 0, -0.25}},
		{"Erf", Erf, []float64{nan, inf, -inf}, []float64{nan, 1, -1}, []float64{nan, 0, 0}},
	} {
		for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			y, dx := derivativeAt(t, dt, c.make, c.x...)
			for i := range c.x {
				if !same(y[i], c.y[i]) || !same(dx[i], c.dx[i]) {
					// An infinite derivative has the sign of the weight divided out.
					t.Errorf("%s %v at %v: value %v, derivative %v; want %v, %v", c.name, dt, c.x[i], y[i], dx[i], c.y[i], c.dx[i])
				}
			}
		}
	}
}

// same allows rounding of one part in 10^6, and NaN for NaN.
func same(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-6*math.Abs(b)
}

func TestUnaryErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	ints := newInput(g, tensor.Int64, "i", []int{2})
	floats := newInput(g, tensor.Float32, "f", []int{2})
	for name, make := range map[string]func() (*gorgonia.Node, error){
		"an integer operand": func() (*gorgonia.Node, error) { return Relu(ints) },
		"a bound of NaN":     func() (*gorgonia.Node, error) { return Clip(floats, math.NaN(), 1) },
		"two types":          func() (*gorgonia.Node, error) { return Add(floats, ints) },
	} {
		if _, err := make(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
