package ops

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func buildNorm(eps float64) builder {
	return func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return BatchNorm(in[0], in[1], in[2], in[3], in[4], eps)
	}
}

func buildNormTrain(eps float64) builder {
	return func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		y, _, err := BatchNormTrain(in[0], in[1], in[2], eps)
		return y, err
	}
}

func buildStats(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
	_, stats, err := BatchNormTrain(in[0], in[1], in[2], 1e-5)
	return stats, err
}

var normShapes = [][]int{{5, 3}, {4, 1}, {4, 2, 3}, {3, 2, 2, 3}, {2, 3, 1, 1}, {2, 2, 1, 2, 3}, {1, 2, 5}}

// TestBatchNormOfNothing has batches without samples, of so many channels that they are several parts, and tensors without channels
// or elements: the statistics are zeros.
func TestBatchNormOfNothing(t *testing.T) {
	for _, shape := range [][]int{{0, 40000}, {3, 0}, {0, 3, 5}, {3, 40, 0}} {
		g := gorgonia.NewGraph()
		channels := newInput(g, tensor.Float32, "channels", shape[1:2])
		y, stats, err := BatchNormTrain(newInput(g, tensor.Float32, "x", shape), channels, channels, 1e-2)
		if err != nil {
			t.Fatal(err)
		}
		nothing, zeros := NewBuf(tensor.Float32, shape), NewBuf(tensor.Float32, shape[1:2])
		got, err := Eval(stats.Op().(Op), []*Buf{nothing})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.F32) != 2*shape[1] || slices.ContainsFunc(got.F32, func(v float32) bool { return v != 0 }) {
			t.Errorf("shape %v: statistics %v", shape, got.F32)
		}
		if _, err = Eval(y.Op().(Op), []*Buf{nothing, zeros, zeros, zeros, zeros}); err != nil {
			t.Error(err)
		}
	}
}

func TestBatchNorm(t *testing.T) {
	for _, shape := range normShapes {
		t.Run(fmt.Sprint(shape), func(t *testing.T) {
			c := shape[1]
			checkGradWRT(t, []int{0, 1, 2}, buildNorm(1e-3), randn(1, shape...), randn(2, c), randn(3, c), randn(4, c), uniform(5, 0.5, 2, c))
			checkGrad(t, buildNormTrain(1e-2), randn(1, shape...), randn(2, c), randn(3, c))
		})
	}
}

// TestBatchNormValues compares with sums written out, at sizes of several parts and slices.
func TestBatchNormValues(t *testing.T) {
	shapes := append([][]int{{130, 150}, {70, 3, 11, 29}, {9000, 3}, {20000, 1}, {3, 2, 9000}, {40, 130, 5}}, normShapes...)
	for _, shape := range shapes {
		t.Run(fmt.Sprint(shape), func(t *testing.T) {
			n, c, s := shape[0], shape[1], len0(shape[2:])
			const eps = 1e-3
			x, scale, bias := randn(1, shape...), randn(2, c), randn(3, c)
			v := x.Float64s()
			mean, variance := make([]float64, c), make([]float64, c)
			for k := range c {
				for i := range n * s {
					mean[k] += v[(i/s*c+k)*s+i%s] / float64(n*s)
				}
				for i := range n * s {
					variance[k] += math.Pow(v[(i/s*c+k)*s+i%s]-mean[k], 2) / float64(n*s)
				}
			}
			checkValues(t, buildStats, func(i int) float64 {
				if i < c {
					return mean[i]
				}
				return variance[i-c]
			}, x, scale, bias)
			want := func(i int) float64 {
				k := i / s % c
				return (v[i]-mean[k])/math.Sqrt(variance[k]+eps)*scale.Float64s()[k] + bias.Float64s()[k]
			}
			checkValues(t, buildNormTrain(eps), want, x, scale, bias)
			m, w := tensor.New(tensor.WithShape(c), tensor.WithBacking(mean)), tensor.New(tensor.WithShape(c), tensor.WithBacking(variance))
			checkValues(t, buildNorm(eps), want, x, scale, bias, m, w)
		})
	}
}

// TestBatchNormGradValues compares the gradients at sizes of several parts with the sums written out.
func TestBatchNormGradValues(t *testing.T) {
	for _, shape := range [][]int{{300, 70}, {9000, 2}, {40, 3, 500}} {
		n, c, s := shape[0], shape[1], len0(shape[2:])
		const eps = 1e-3
		m := float64(n * s)
		point := buffers(t, []*tensor.Dense{randn(1, shape...), randn(2, c), randn(3, c)})
		tr := newTrial(t, buildNormTrain(eps), tensor.Float64, point, []int{0, 1, 2})
		got := tr.grads(t, point)
		v, scale := point[0].F64, point[1].F64
		for k := range c {
			of := func(i int) int { return (i/s*c+k)*s + i%s }
			var mean, variance, dbias, dscale float64
			for i := range n * s {
				mean += v[of(i)] / m
			}
			for i := range n * s {
				variance += (v[of(i)] - mean) * (v[of(i)] - mean) / m
			}
			sd := math.Sqrt(variance + eps)
			for i := range n * s {
				dbias += weight(of(i))
				dscale += weight(of(i)) * (v[of(i)] - mean) / sd
			}
			if math.Abs(got[1].F64[k]-dscale) > 1e-9*m || math.Abs(got[2].F64[k]-dbias) > 1e-9*m {
				t.Fatalf("%v: channel %d: dscale %v, dbias %v; want %v, %v", shape, k, got[1].F64[k], got[2].F64[k], dscale, dbias)
			}
			for i := range n * s {
				// The derivative by the chain rule through mean and variance, term by term.
				d := v[of(i)] - mean
				dxhat := weight(of(i)) * scale[k]
				dvariance := -scale[k] * dscale / (2 * sd * sd)
				dmean := -scale[k] * dbias / sd
				want := dxhat/sd + dvariance*2*d/m + dmean/m
				if math.Abs(got[0].F64[of(i)]-want) > 1e-10 {
					t.Fatalf("%v: dx[%d] = %v, want %v", shape, of(i), got[0].F64[of(i)], want)
				}
			}
		}
	}
}

// TestBatchStatsFarFromZero has a spread that a plain sum of squares loses in float32, and nearly in
// float64.
func TestBatchStatsFarFromZero(t *testing.T) {
	for _, shape := range [][]int{{9000, 2}, {30, 2, 600}} {
		c, s := shape[1], len0(shape[2:])
		// Multiples of 1/16 near 1e5 are exact in float32. Per channel mean and variance follow by counting.
		x := fill(func(i int) float64 {
			v := 1e5
			v += float64((i/s/c*s+i%s)%5) / 16
			return v
		}, shape...)
		for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64} {
			b, err := forward(t, dt, buildStats, x, randn(1, c), randn(2, c))
			if err != nil {
				t.Fatal(err)
			}
			got := widened(b)
			// 0..4 sixteenths equally often: mean 2/16, variance 2/256.
			for k := range c {
				if math.Abs(got[k]-1e5-0.125) > 1e-8 || math.Abs(got[c+k]-2.0/256) > 1e-9 {
					t.Errorf("%v %v: mean %v, variance %v; want 100000.125, %v", shape, dt, got[k], got[c+k], 2.0/256)
				}
			}
		}
	}
}

func TestBatchNormOneElement(t *testing.T) {
	for _, shape := range [][]int{{1, 3}, {1, 3, 1, 1}} {
		x, scale, bias := randn(1, shape...), randn(2, 3), randn(3, 3)
		checkValues(t, buildNormTrain(1e-5), func(i int) float64 { return bias.Float64s()[i] }, x, scale, bias)
		point := buffers(t, []*tensor.Dense{x, scale, bias})
		tr := newTrial(t, buildNormTrain(1e-5), tensor.Float64, point, []int{0, 1, 2})
		for i, g := range tr.grads(t, point)[:2] {
			for _, v := range g.F64 {
				if v != 0 {
					t.Errorf("%v: the gradient of input %d is %v, not 0", shape, i, g.F64)
				}
			}
		}
	}
}

func TestBatchNormErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	x := newInput(g, tensor.Float32, "x", []int{2, 3})
	v := newInput(g, tensor.Float32, "v", []int{3})
	w := newInput(g, tensor.Float32, "w", []int{2})
	if _, err := BatchNorm(x, v, v, v, w, 1e-5); err == nil {
		t.Error("a variance of the wrong size is accepted")
	}
	if _, _, err := BatchNormTrain(v, v, v, 1e-5); err == nil {
		t.Error("x of one axis is accepted")
	}
	if _, _, err := BatchNormTrain(x, v, v, math.NaN()); err == nil {
		t.Error("an epsilon that is not a number is accepted")
	}
}
