package ops

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// curveCases lists the functions of one operand that are given by formulas, each written another way, and ranges to
// test them in, between kinks.
var curveCases = []struct {
	name   string
	make   func(x *gorgonia.Node) (*gorgonia.Node, error)
	want   func(x float64) float64
	lo, hi float64
}{
	{"Sin", curveOf("Sin"), func(x float64) float64 { return math.Cos(x - math.Pi/2) }, -4, 4},
	{"Cos", curveOf("Cos"), func(x float64) float64 { return math.Sin(x + math.Pi/2) }, -4, 4},
	{"Tan", curveOf("Tan"), func(x float64) float64 { return math.Sin(x) / math.Cos(x) }, -1.2, 1.2},
	{"Asin", curveOf("Asin"), func(x float64) float64 { return math.Atan2(x, math.Sqrt(1-x*x)) }, -0.9, 0.9},
	{"Acos", curveOf("Acos"), func(x float64) float64 { return math.Atan2(math.Sqrt(1-x*x), x) }, -0.9, 0.9},
	{"Atan", curveOf("Atan"), func(x float64) float64 { return math.Asin(x / math.Sqrt(1+x*x)) }, -3, 3},
	{"Sinh", curveOf("Sinh"), func(x float64) float64 { return (math.Exp(x) - math.Exp(-x)) / 2 }, -2, 2},
	{"Cosh", curveOf("Cosh"), func(x float64) float64 { return (math.Exp(x) + math.Exp(-x)) / 2 }, -2, 2},
	{"Asinh", curveOf("Asinh"), func(x float64) float64 { return math.Log(x + math.Sqrt(x*x+1)) }, -3, 3},
	{"Acosh", curveOf("Acosh"), func(x float64) float64 { return math.Log(x + math.Sqrt(x*x-1)) }, 1.2, 4},
	{"Atanh", curveOf("Atanh"), func(x float64) float64 { return math.Log((1+x)/(1-x)) / 2 }, -0.9, 0.9},
	{"Floor", curveOf("Floor"), func(x float64) float64 { return x - math.Mod(x, 1) }, 2.1, 2.9},
	{"Ceil", curveOf("Ceil"), func(x float64) float64 { return 3 }, 2.1, 2.9},
	{"Round", curveOf("Round"), func(x float64) float64 { return math.Floor(x + 0.5) }, 2.55, 3.45},
	{"Sign", curveOf("Sign"), func(x float64) float64 { return -1 }, -2, -0.1},
	{"Softsign", curveOf("Softsign"), func(x float64) float64 { return x / (1 + max(x, -x)) }, -2, 2},
	{"HardSwish", curveOf("HardSwish"), func(x float64) float64 { return x * (x + 3) / 6 }, -2.9, 2.9},
	{"HardSwishRight", curveOf("HardSwish"), func(x float64) float64 { return x }, 3.1, 4},
	{"Mish", curveOf("Mish"), func(x float64) float64 {
		e := 1 + math.Exp(x)
		return x * (e*e - 1) / (e*e + 1)
	}, -3, 3},
	{"Gelu", curveOf("Gelu"), func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }, -3, 3},
	{"GeluTanh", curveOf("GeluTanh"), func(x float64) float64 {
		return x / (1 + math.Exp(-2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	}, -3, 3},
	{"Swish", func(x *gorgonia.Node) (*gorgonia.Node, error) { return Swish(x, 1.5) },
		func(x float64) float64 { return x / 2 * (1 + math.Tanh(0.75*x)) }, -3, 3},
	{"Elu", func(x *gorgonia.Node) (*gorgonia.Node, error) { return Elu(x, 0.7) },
		func(x float64) float64 { return max(x, 0) + min(0, 0.7*(math.Exp(x)-1)) }, -2, 2},
	{"Celu", func(x *gorgonia.Node) (*gorgonia.Node, error) { return Celu(x, 2) },
		func(x float64) float64 { return max(x, 0) + min(0, 2*(math.Exp(x/2)-1)) }, -2, 2},
	{"Selu", func(x *gorgonia.Node) (*gorgonia.Node, error) { return Selu(x, 1.5, 1.25) },
		func(x float64) float64 { return 1.25 * (max(x, 0) + min(0, 1.5*(math.Exp(x)-1))) }, -2, 2},
	{"ThresholdedRelu", func(x *gorgonia.Node) (*gorgonia.Node, error) { return ThresholdedRelu(x, 1) },
		func(x float64) float64 { return x }, 1.1, 3},
	{"HardSigmoid", func(x *gorgonia.Node) (*gorgonia.Node, error) { return HardSigmoid(x, 0.25, 0.5) },
		func(x float64) float64 { return (x + 2) / 4 }, -1.9, 1.9},
	{"Shrink", func(x *gorgonia.Node) (*gorgonia.Node, error) { return Shrink(x, 0.25, 0.5) },
		func(x float64) float64 { return x - 0.25 }, 0.6, 2},
	{"PowConst", func(x *gorgonia.Node) (*gorgonia.Node, error) { return PowConst(x, 2.5) },
		func(x float64) float64 { return x * x * math.Sqrt(x) }, 0.3, 2},
}

func TestCurves(t *testing.T) {
	for _, c := range curveCases {
		t.Run(c.name, func(t *testing.T) {
			for _, shape := range [][]int{{}, {7}, {3, 1, 5}} {
				x := uniform(4, c.lo, c.hi, shape...)
				checkGrad(t, of1(c.make), x)
				checkValues(t, of1(c.make), func(i int) float64 { return c.want(at64(x, i)) }, x)
			}
		})
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(curves)), slices.Collect(maps.Keys(loops))) {
		tested := false
		for _, c := range curveCases {
			tested = tested || c.name == name
		}
		if !tested {
			t.Errorf("%s is not tested", name)
		}
	}
}

// Operators of two operands, each against its formula, with broadcasting on either side and more than one part.
func TestFormulaPairs(t *testing.T) {
	positive := func(seed uint64, shape ...int) *tensor.Dense { return uniform(seed, 0.5, 2, shape...) }
	for _, c := range []struct {
		name string
		make func(a, b *gorgonia.Node) (*gorgonia.Node, error)
		want func(a, b float64) float64
		a, b func(seed uint64, shape ...int) *tensor.Dense
	}{
		{"Pow", Pow, func(a, b float64) float64 { return math.Exp(b * math.Log(a)) }, positive, randn},
		{"Max", Max, func(a, b float64) float64 { return (a + b + math.Abs(a-b)) / 2 }, randn, randn},
		{"Min", Min, func(a, b float64) float64 { return (a + b - math.Abs(a-b)) / 2 }, randn, randn},
		{"Mod", func(a, b *gorgonia.Node) (*gorgonia.Node, error) { return Mod(a, b, true) },
			func(a, b float64) float64 { return a - math.Floor(a/b)*b }, randn, positive},
		{"Fmod", func(a, b *gorgonia.Node) (*gorgonia.Node, error) { return Mod(a, b, false) },
			func(a, b float64) float64 { return a - math.Trunc(a/b)*b }, randn, positive},
		{"PRelu", PRelu, func(a, b float64) float64 { return max(a, 0) + b*min(a, 0) }, randn, randn},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, s := range []struct{ a, b, out []int }{
				{[]int{2, 3}, []int{2, 3}, []int{2, 3}},
				{[]int{2, 3, 4}, []int{3, 1}, []int{2, 3, 4}},
				{[]int{3, 1}, []int{2, 1, 5}, []int{2, 3, 5}},
				{nil, []int{4}, []int{4}},
			} {
				a, b := c.a(7, s.a...), c.b(8, s.b...)
				checkGrad(t, of2(c.make), a, b)
				checkValues(t, of2(c.make), func(i int) float64 {
					return c.want(at64(a, index(s.a, s.out, i)), at64(b, index(s.b, s.out, i)))
				}, a, b)
			}
			a, b := c.a(9, 3, 70, 101), c.b(10, 70, 1)
			checkValues(t, of2(c.make), func(i int) float64 {
				return c.want(at64(a, i), at64(b, i/101%70))
			}, a, b)
		})
	}
}

func TestWhere(t *testing.T) {
	build := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return Where(in[0], in[1], in[2])
	}
	for _, s := range []struct{ c, a, b []int }{
		{[]int{2, 3}, []int{2, 3}, []int{2, 3}},
		{[]int{3}, []int{2, 1}, []int{4, 1, 1}},
		{[]int{2, 1, 3}, nil, []int{5, 1}},
	} {
		checkGrad(t, build, labels(1, 2, s.c...), randn(2, s.a...), randn(3, s.b...))
	}
	got, err := forward(t, tensor.Float64, build, labels(1, 2, 2, 3), fill(func(int) float64 { return 1 }, 2, 1), fill(func(int) float64 { return -1 }, 3))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range labels(1, 2, 2, 3).Data().([]int64) {
		if got.F64[i] != float64(2*c-1) {
			t.Errorf("element %d is %v", i, got.F64[i])
		}
	}
}

// Reductions against sums over nested loops, over every set of axes, kept and not.
func TestAggregates(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(*gorgonia.Node, []int, bool) (*gorgonia.Node, error)
		want func(x []float64) float64
	}{
		{"ReduceMax", ReduceMax, func(x []float64) float64 { return fold(x, math.Inf(-1), math.Max) }},
		{"ReduceMin", ReduceMin, func(x []float64) float64 { return fold(x, math.Inf(1), math.Min) }},
		{"ReduceProd", ReduceProd, func(x []float64) float64 { return fold(x, 1, func(a, v float64) float64 { return a * v }) }},
		{"ReduceL1", ReduceL1, func(x []float64) float64 {
			return fold(x, 0, func(a, v float64) float64 { return a + max(v, -v) })
		}},
		{"ReduceL2", ReduceL2, func(x []float64) float64 { return fold(x, 0, math.Hypot) }},
		{"ReduceSumSquare", ReduceSumSquare, func(x []float64) float64 {
			return fold(x, 0, func(a, v float64) float64 { return a + v*v })
		}},
		{"ReduceLogSumExp", ReduceLogSumExp, func(x []float64) float64 {
			return math.Log(fold(x, 0, func(a, v float64) float64 { return a + math.Exp(v) }))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			shape := []int{2, 3, 4}
			x := distinct(5, shape...)
			for set := range 8 {
				var axes []int
				for k := range 3 {
					if set>>k&1 != 0 {
						axes = append(axes, k)
					}
				}
				for _, keep := range []bool{true, false} {
					build := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return c.make(x, axes, keep) })
					checkGrad(t, build, x)
					groups := group(shape, axes)
					checkValues(t, build, func(i int) float64 {
						var v []float64
						for _, k := range groups[i] {
							v = append(v, at64(x, k))
						}
						return c.want(v)
					}, x)
				}
			}
			// More than one part.
			x = uniform(6, 0.9, 1.1, 300, 130)
			checkValues(t, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return c.make(x, []int{1}, false) }), func(i int) float64 {
				var v []float64
				for k := range 130 {
					v = append(v, at64(x, i*130+k))
				}
				return c.want(v)
			}, x)
		})
	}
	x := uniform(6, 0.5, 2, 3, 4)
	checkGrad(t, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ReduceLogSum(x, []int{0}, true) }), x)
	checkGrad(t, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ReduceProd(x, []int{1}, true) }),
		fill(func(i int) float64 { return float64(i%4) - float64(i/4) }, 3, 4)) // zeros, one and two in a row
}

func fold(x []float64, start float64, f func(a, v float64) float64) float64 {
	for _, v := range x {
		start = f(start, v)
	}
	return start
}

// group returns the flat indices that each output of a reduction sums over; no axes means all.
func group(shape, axes []int) [][]int {
	out := map[string]int{}
	var groups [][]int
	for i := range len0(shape) {
		rest := i
		at := make([]int, len(shape))
		for d := len(shape) - 1; d >= 0; d-- {
			at[d] = rest % shape[d]
			rest /= shape[d]
		}
		for _, a := range axes {
			at[a] = 0
		}
		if len(axes) == 0 {
			clear(at)
		}
		key := fmt.Sprint(at)
		if _, ok := out[key]; !ok {
			out[key] = len(groups)
			groups = append(groups, nil)
		}
		groups[out[key]] = append(groups[out[key]], i)
	}
	return groups
}

func TestReductionsOfNothing(t *testing.T) {
	for _, c := range []struct {
		make func(*gorgonia.Node, []int, bool) (*gorgonia.Node, error)
		want float64
	}{{ReduceMax, math.Inf(-1)}, {ReduceMin, math.Inf(1)}, {ReduceProd, 1}, {ReduceL2, 0}, {ReduceLogSum, math.Inf(-1)}, {ReduceLogSumExp, math.Inf(-1)}} {
		g := gorgonia.NewGraph()
		y, err := c.make(newInput(g, tensor.Float64, "x", []int{2, 0}), []int{1}, false)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Eval(y.Op().(Op), []*Buf{NewBuf(tensor.Float64, []int{2, 0})})
		if err != nil || got.F64[0] != c.want || got.F64[1] != c.want {
			t.Errorf("%v of nothing: %v %v, want %v", y.Op(), got, err, c.want)
		}
	}
	// Infinities do not make NaN.
	inf := math.Inf(1)
	x := tensor.New(tensor.WithShape(4, 2), tensor.WithBacking([]float64{inf, inf, -inf, 3, -inf, -inf, 2, inf}))
	got, err := forward(t, tensor.Float64, over(ReduceLogSumExp), x)
	if err != nil || got.F64[0] != inf || got.F64[1] != 3 || got.F64[2] != -inf || got.F64[3] != inf {
		t.Errorf("log-sum-exp %v %v", got, err)
	}
}

func TestConvert(t *testing.T) {
	x := tensor.New(tensor.WithShape(6), tensor.WithBacking([]float64{-2.7, 2.7, 1e30, -1e30, math.NaN(), math.Inf(1)}))
	got, err := forward(t, tensor.Float64, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Convert(x, tensor.Int64) }), x)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{-2, 2, math.MaxInt64, math.MinInt64, 0, math.MaxInt64} {
		if got.I64[i] != want {
			t.Errorf("%v becomes %d, want %d", at64(x, i), got.I64[i], want)
		}
	}
	// Through the other type of floats the derivative goes.
	checkGrad(t, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) {
		y, err := Round16(x, func(v float64) float64 { return v })
		return y, err
	}), randn(1, 2, 3))
	ints := labels(3, 9, 5)
	back, err := forward(t, tensor.Float32, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Convert(x, tensor.Float32) }), ints)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range ints.Data().([]int64) {
		if back.F32[i] != float32(v) {
			t.Errorf("%d becomes %v", v, back.F32[i])
		}
	}
	wide, err := forward(t, tensor.Float64, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ConvertUnsigned(x, tensor.Float64) }),
		tensor.New(tensor.WithShape(1), tensor.WithBacking([]int64{-1})))
	if err != nil || wide.F64[0] != math.MaxUint64 {
		t.Errorf("the greatest unsigned number becomes %v %v", wide, err)
	}
}

func TestCompare(t *testing.T) {
	nan := math.NaN()
	a := tensor.New(tensor.WithShape(4), tensor.WithBacking([]float64{1, 2, 3, nan}))
	b := tensor.New(tensor.WithShape(4), tensor.WithBacking([]float64{2, 2, 2, nan}))
	for name, c := range map[string]struct {
		less, equal, greater bool
		want                 []int64
	}{
		"Less": {true, false, false, []int64{1, 0, 0, 0}}, "LessOrEqual": {true, true, false, []int64{1, 1, 0, 0}},
		"Equal": {false, true, false, []int64{0, 1, 0, 0}}, "Greater": {false, false, true, []int64{0, 0, 1, 0}},
	} {
		got, err := forward(t, tensor.Float32, of2(func(a, b *gorgonia.Node) (*gorgonia.Node, error) {
			return Compare(name, a, b, c.less, c.equal, c.greater)
		}), a, b)
		if err != nil || fmt.Sprint(got.I64) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v %v, want %v", name, got, err, c.want)
		}
	}
}
