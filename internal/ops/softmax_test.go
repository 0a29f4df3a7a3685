package ops

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func TestSoftmax(t *testing.T) {
	for _, shape := range [][]int{{5}, {3, 4}, {4, 1}, {2, 3, 4}, {2, 3, 2, 2}, {2, 3, 70}, {130, 200}} {
		for axis := -len(shape); axis < len(shape); axis++ {
			t.Run(fmt.Sprintf("%v/%d", shape, axis), func(t *testing.T) {
				soft := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Softmax(x, axis) })
				logs := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return LogSoftmax(x, axis) })
				x := randn(1, shape...)
				if len0(shape) < 500 {
					checkGrad(t, soft, x)
					checkGrad(t, logs, x)
				}
				k := axis
				if k < 0 {
					k += len(shape)
				}
				n, inner := shape[k], len0(shape[k+1:])
				v := x.Float64s()
				want := make([]float64, len(v))
				for i := range v {
					first := i/(n*inner)*n*inner + i%inner
					var z float64
					for j := range n {
						z += math.Exp(v[first+j*inner])
					}
					want[i] = math.Exp(v[i]) / z
				}
				checkValues(t, soft, func(i int) float64 { return want[i] }, x)
				checkValues(t, logs, func(i int) float64 { return math.Log(want[i]) }, x)
			})
		}
	}
}

func TestSoftmaxEdges(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	x := tensor.New(tensor.WithShape(5, 2), tensor.WithBacking([]float64{1000, 1000, -inf, 0, nan, 0, -2000, -1e30, -inf, -inf}))
	want := []float64{0.5, 0.5, 0, 1, nan, nan, 1, 0, nan, nan}
	wantLog := []float64{-math.Ln2, -math.Ln2, -inf, 0, nan, nan, 0, -1e30 + 2000, nan, nan}
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
		for name, c := range map[string]struct {
			make func(x *gorgonia.Node, axis int) (*gorgonia.Node, error)
			want []float64
		}{"Softmax": {Softmax, want}, "LogSoftmax": {LogSoftmax, wantLog}} {
			y, err := forward(t, dt, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return c.make(x, 1) }), x)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range widened(y) {
				if !same(v, c.want[i]) {
					t.Errorf("%s %v: element %d is %v, want %v", name, dt, i, v, c.want[i])
				}
			}
		}
	}
}

func TestSoftmaxErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	x := newInput(g, tensor.Float32, "x", []int{2, 3})
	for _, axis := range []int{2, -3} {
		if _, err := Softmax(x, axis); err == nil {
			t.Errorf("axis %d of %v is accepted", axis, x.Shape())
		}
	}
	if _, err := LogSoftmax(newInput(g, tensor.Float32, "s", nil), 0); err == nil {
		t.Error("a scalar is accepted")
	}
}
