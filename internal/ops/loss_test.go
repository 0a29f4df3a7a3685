package ops

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// lossShapes have the class axis at the given place.
var lossShapes = []struct {
	shape []int
	axis  int
}{
	{[]int{4, 3}, 1}, {[]int{1, 1}, 1}, {[]int{5}, 0}, {[]int{2, 3, 4}, 1}, {[]int{2, 3, 4}, 2},
	{[]int{2, 5, 3, 2}, 1}, {[]int{2, 3, 2, 5}, 3}, {[]int{2, 3, 3}, 1}, {[]int{2, 4, 70}, 1},
}

func without(shape []int, axis int) []int {
	return append(append([]int{}, shape[:axis]...), shape[axis+1:]...)
}

func TestCrossEntropy(t *testing.T) {
	for _, c := range lossShapes {
		t.Run(fmt.Sprintf("%v/%d", c.shape, c.axis), func(t *testing.T) {
			x, y := randn(1, c.shape...), labels(2, c.shape[c.axis], without(c.shape, c.axis)...)
			if len(c.shape) == 1 {
				y = tensor.New(tensor.FromScalar(int64(2)))
			}
			checkGrad(t, of2(CrossEntropy), x, y)
			checkGrad(t, of2(NLL), x, y)
			checkValues(t, of2(CrossEntropy), func(int) float64 { return naiveCrossEntropy(x, y, c.axis) }, x, y)
			checkValues(t, of2(NLL), func(int) float64 { return naiveNLL(x, y, c.axis) }, x, y)
		})
	}
	// Several parts.
	x, y := randn(3, 700, 101), labels(4, 101, 700)
	checkValues(t, of2(CrossEntropy), func(int) float64 { return naiveCrossEntropy(x, y, 1) }, x, y)
}

func naiveNLL(x, y *tensor.Dense, axis int) float64 {
	s := x.Shape()
	inner, n := len0(s[axis+1:]), s[axis]
	lb, _ := FromValue(y)
	var sum float64
	for p, l := range lb.I64 {
		sum -= at64(x, (p/inner*n+int(l))*inner+p%inner)
	}
	return sum / float64(len(lb.I64))
}

func naiveCrossEntropy(x, y *tensor.Dense, axis int) float64 {
	s := x.Shape()
	inner, n := len0(s[axis+1:]), s[axis]
	var logs float64
	for p := range len0(s) / n {
		var z float64
		for i := range n {
			z += math.Exp(at64(x, (p/inner*n+i)*inner+p%inner))
		}
		logs += math.Log(z)
	}
	return naiveNLL(x, y, axis) + logs/float64(len0(s)/n)
}

// TestCrossEntropyLarge has logits whose exponentials overflow and underflow.
func TestCrossEntropyLarge(t *testing.T) {
	x := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float64{1000, 0, -1000, -3000, -3000, -3001}))
	y := tensor.New(tensor.WithShape(2), tensor.WithBacking([]int64{1, 2}))
	want := (1000 + 1 + math.Log(2+math.Exp(-1))) / 2
	checkValues(t, of2(CrossEntropy), func(int) float64 { return want }, x, y)
	checkGrad(t, of2(CrossEntropy), tensor.New(tensor.WithShape(1, 2), tensor.WithBacking([]float64{300, 300.5})),
		tensor.New(tensor.WithShape(1), tensor.WithBacking([]int64{0})))
}

func TestMSE(t *testing.T) {
	for _, shape := range [][]int{{}, {1}, {7}, {3, 2, 2}, {2*chunk + 5}} {
		y, want := randn(1, shape...), randn(2, shape...)
		if len0(shape) < 100 {
			checkGradWRT(t, []int{0}, of2(plainMSE), y, want)
		}
		var sum float64
		a, _ := FromValue(y)
		b, _ := FromValue(want)
		for i, v := range a.F64 {
			sum += math.Pow(v-b.F64[i], 2)
		}
		checkValues(t, of2(plainMSE), func(int) float64 { return sum / float64(len(a.F64)) }, y, want)
	}
}

func TestLabelOutOfRange(t *testing.T) {
	for _, bad := range []int64{-1, 3, math.MinInt64, math.MaxInt64} {
		y := labels(1, 3, 400)
		y.Data().([]int64)[271] = bad
		for name, f := range map[string]func(a, b *gorgonia.Node) (*gorgonia.Node, error){"CrossEntropy": CrossEntropy, "NLL": NLL} {
			_, err := forward(t, tensor.Float32, of2(f), randn(1, 400, 3), y)
			if err == nil {
				t.Fatalf("%s accepts the label %d of 3 classes", name, bad)
			}
			for _, want := range []string{name, "position 271", fmt.Sprint(bad), "3 classes"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		}
	}
}

func TestLossErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	x := newInput(g, tensor.Float32, "x", []int{4, 3})
	for _, y := range []*gorgonia.Node{
		newInput(g, tensor.Int64, "y1", []int{3}),
		newInput(g, tensor.Int64, "y2", []int{4, 3}),
		newInput(g, tensor.Float32, "y3", []int{4}),
	} {
		if _, err := CrossEntropy(x, y); err == nil {
			t.Errorf("targets of shape %v and type %v are accepted", y.Shape(), y.Dtype())
		}
	}
	if _, err := CrossEntropy(x, newInput(g, tensor.Int64, "y4", []int{3})); !strings.Contains(err.Error(), "(3)") || !strings.Contains(err.Error(), "(4, 3)") {
		t.Errorf("%q does not state both shapes", err)
	}
	if _, err := MSE(x, newInput(g, tensor.Float32, "t", []int{4}), nil); err == nil {
		t.Error("MSE of two shapes is accepted")
	}
}

func TestBinaryCrossEntropy(t *testing.T) {
	for _, shape := range [][]int{{1}, {7}, {3, 2, 2}, {2*chunk + 5}} {
		x, target := randn(1, shape...), randn(2, shape...)
		for i, v := range target.Data().([]float64) {
			target.Data().([]float64)[i] = []float64{0, 1, 1 / (1 + math.Exp(-v))}[i%3]
		}
		if len0(shape) < 100 {
			checkGradWRT(t, []int{0}, of2(plainBinary), x, target)
		}
		checkValues(t, of2(plainBinary), func(int) float64 { return naiveBinary(x, target) }, x, target)
	}
	// Probabilities that are rounded to 0 and 1, some of them wrong.
	vector := func(v ...float64) *tensor.Dense { return tensor.New(tensor.WithShape(len(v)), tensor.WithBacking(v)) }
	x, target := vector(800, -800, 1000, -2000, 0), vector(1, 0, 0, 1, 0.5)
	checkValues(t, of2(plainBinary), func(int) float64 { return (0 + 0 + 1000 + 2000 + math.Ln2) / 5 }, x, target)
	checkGradWRT(t, []int{0}, of2(plainBinary), vector(40, -40, 30.5, -30.5), vector(1, 0, 0, 1))
}

func naiveBinary(x, target *tensor.Dense) float64 {
	var sum float64
	n := len0(x.Shape())
	for i := range n {
		p := 1 / (1 + math.Exp(-at64(x, i)))
		sum -= at64(target, i)*math.Log(p) + (1-at64(target, i))*math.Log(1-p)
	}
	return sum / float64(n)
}

func plainBinary(x, t *gorgonia.Node) (*gorgonia.Node, error) { return BinaryCrossEntropy(x, t, nil) }

func plainMSE(y, t *gorgonia.Node) (*gorgonia.Node, error) { return MSE(y, t, nil) }

// TestWeightedLosses compares with the weighted mean of the losses of the samples one by one.
func TestWeightedLosses(t *testing.T) {
	for _, c := range lossShapes {
		if c.axis == 0 {
			continue
		}
		t.Run(fmt.Sprintf("%v/%d", c.shape, c.axis), func(t *testing.T) {
			x, y, w := randn(1, c.shape...), labels(2, c.shape[c.axis], without(c.shape, c.axis)...), randn(3, c.shape[0])
			target := randn(4, c.shape...)
			mean := func(f func(x, y, target *tensor.Dense) float64) func(int) float64 {
				return func(int) float64 {
					var sum float64
					for i := range c.shape[0] {
						sum += at64(w, i) * f(sampleOf(x, i), sampleOf(y, i), sampleOf(target, i))
					}
					return sum / float64(c.shape[0])
				}
			}
			weighted := func(f func(x, y, w *gorgonia.Node, e float64) (*gorgonia.Node, error)) func(*gorgonia.ExprGraph, []*gorgonia.Node) (*gorgonia.Node, error) {
				return func(_ *gorgonia.ExprGraph, n []*gorgonia.Node) (*gorgonia.Node, error) { return f(n[0], n[1], n[2], 0) }
			}
			mse := func(_ *gorgonia.ExprGraph, n []*gorgonia.Node) (*gorgonia.Node, error) { return MSE(n[0], n[1], n[2]) }
			checkValues(t, weighted(SmoothCrossEntropy), mean(func(x, y, _ *tensor.Dense) float64 { return naiveCrossEntropy(x, y, c.axis) }), x, y, w)
			checkValues(t, weighted(SmoothNLL), mean(func(x, y, _ *tensor.Dense) float64 { return naiveNLL(x, y, c.axis) }), x, y, w)
			checkValues(t, mse, mean(func(x, _, target *tensor.Dense) float64 {
				var sum float64
				for k := range len0(x.Shape()) {
					d := at64(x, k) - at64(target, k)
					sum += d * d
				}
				return sum / float64(len0(x.Shape()))
			}), x, target, w)
			checkGradWRT(t, []int{0}, weighted(SmoothCrossEntropy), x, y, w)
			checkGradWRT(t, []int{0}, weighted(SmoothNLL), x, y, w)
			checkGradWRT(t, []int{0}, mse, x, target, w)
			binary := func(_ *gorgonia.ExprGraph, n []*gorgonia.Node) (*gorgonia.Node, error) {
				return BinaryCrossEntropy(n[0], n[1], n[2])
			}
			checkValues(t, binary, mean(func(x, _, target *tensor.Dense) float64 { return naiveBinary(x, target) }), x, target, w)
			checkGradWRT(t, []int{0}, binary, x, target, w)
		})
	}
}

// sampleOf is a copy of sample i, with a first axis of 1.
func sampleOf(x *tensor.Dense, i int) *tensor.Dense {
	b, err := FromValue(x)
	if err != nil {
		panic(err)
	}
	n := len0(b.Shape) / b.Shape[0]
	one := b.Slice(i*n, (i+1)*n).clone().as(append([]int{1}, b.Shape[1:]...))
	return one.Value().(*tensor.Dense)
}
