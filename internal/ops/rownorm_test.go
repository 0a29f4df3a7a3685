package ops

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// normOf returns (v-mean)/sqrt(variance+eps) of a set of elements, in two passes; not centred, v/sqrt(mean square+eps).
func normOf(set []float64, eps float64, centred bool) func(v float64) float64 {
	var mean, square float64
	if centred {
		for _, v := range set {
			mean += v / float64(len(set))
		}
	}
	for _, v := range set {
		square += (v - mean) * (v - mean) / float64(len(set))
	}
	return func(v float64) float64 { return (v - mean) / math.Sqrt(square+eps) }
}

func TestLayerNorm(t *testing.T) {
	const eps = 1e-3
	for i, shape := range [][]int{{5, 7}, {2, 3, 4}, {1, 6}, {3, 1, 5}, {70, 3}, {9}} {
		for axis := range shape {
			if shape[axis] == 1 && axis == len(shape)-1 {
				continue
			}
			t.Run(fmt.Sprint(shape, axis), func(t *testing.T) {
				inner := shape[axis:]
				x, scale, bias := randn(uint64(i), shape...), randn(uint64(i)+10, inner...), randn(uint64(i)+20, inner...)
				n := len0(inner)
				for _, centred := range []bool{true, false} {
					build := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
						if !centred {
							return RMSNorm(in[0], in[1], axis, eps)
						}
						if len(in) == 2 {
							return LayerNorm(in[0], in[1], nil, axis-len(shape), eps)
						}
						return LayerNorm(in[0], in[1], in[2], axis, eps)
					}
					inputs := []*tensor.Dense{x, scale}
					if centred {
						checkGrad(t, build, inputs...)
						inputs = append(inputs, bias)
					}
					checkGrad(t, build, inputs...)
					got, err := forward(t, tensor.Float64, build, inputs...)
					if err != nil {
						t.Fatal(err)
					}
					data := x.Data().([]float64)
					want := make([]float64, len(data))
					for r := range len(data) / n {
						f := normOf(data[r*n:][:n], eps, centred)
						for j := range n {
							want[r*n+j] = f(data[r*n+j]) * scale.Data().([]float64)[j]
							if centred {
								want[r*n+j] += bias.Data().([]float64)[j]
							}
						}
					}
					approx(t, "value", got, shape, want, 1e-11)
				}
			})
		}
	}
}

func TestGroupNorm(t *testing.T) {
	const eps = 1e-3
	for i, c := range []struct {
		shape  []int
		groups int
	}{{[]int{2, 4, 3}, 2}, {[]int{1, 6, 2, 3}, 3}, {[]int{3, 4, 5}, 4}, {[]int{2, 3, 2, 2}, 1}, {[]int{3, 6}, 2}, {[]int{40, 2, 3}, 2}} {
		t.Run(fmt.Sprint(c.shape, c.groups), func(t *testing.T) {
			channels := c.shape[1]
			x, scale, bias := randn(uint64(i), c.shape...), randn(uint64(i)+10, channels), randn(uint64(i)+20, channels)
			build := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
				return GroupNorm(in[0], in[1], in[2], c.groups, eps)
			}
			checkGrad(t, build, x, scale, bias)
			scale.Data().([]float64)[0] = 0
			checkGrad(t, build, x, scale, bias)
			got, err := forward(t, tensor.Float64, build, x, scale, bias)
			if err != nil {
				t.Fatal(err)
			}
			data := x.Data().([]float64)
			want := make([]float64, len(data))
			positions(c.shape, func(at []int) {
				var set []float64
				positions(c.shape, func(other []int) {
					if other[0] == at[0] && other[1]*c.groups/channels == at[1]*c.groups/channels {
						set = append(set, data[flatIndex(other, c.shape)])
					}
				})
				k := flatIndex(at, c.shape)
				want[k] = normOf(set, eps, true)(data[k])*scale.Data().([]float64)[at[1]] + bias.Data().([]float64)[at[1]]
			})
			approx(t, "value", got, c.shape, want, 1e-11)
		})
	}
}

// TestRowNormLargeMean: the digits of the differences must survive a mean that is 10^4 standard deviations.
func TestRowNormLargeMean(t *testing.T) {
	x := fill(func(i int) float64 { return 4096 + float64(i%5)/8 }, 3, 50)
	one, zero := fill(func(int) float64 { return 1 }, 50), fill(func(int) float64 { return 0 }, 50)
	build := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return LayerNorm(in[0], in[1], in[2], -1, 1e-9)
	}
	got, err := forward(t, tensor.Float32, build, x, one, zero)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got.F32 {
		if want := (float64(i%5) - 2) / math.Sqrt2; math.Abs(float64(v)-want) > 1e-5 {
			t.Fatalf("element %d is %v, want %v", i, v, want)
		}
	}
}

func TestMeanVariance(t *testing.T) {
	x := randn(1, 2, 3, 4)
	for _, axes := range [][]int{{0, 2}, {1}, {0, 1, 2}} {
		build := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return MeanVariance(x, axes) })
		checkGrad(t, build, x)
		for k := range 2 {
			checkGrad(t, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) {
				mean, inverse, err := InverseDeviation(x, axes, 1e-3)
				return []*gorgonia.Node{mean, inverse}[k], err
			}), x)
		}
	}
}

func TestLRN(t *testing.T) {
	for i, c := range []struct {
		shape []int
		size  int
	}{{[]int{2, 5, 3}, 3}, {[]int{1, 4, 2, 2}, 2}, {[]int{1, 3, 2}, 7}, {[]int{3, 6}, 1}} {
		x := randn(uint64(i), c.shape...)
		data := x.Data().([]float64)
		build := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return LRN(x, c.size, 0.3, 0.75, 1.5) })
		checkGrad(t, build, x)
		got, err := forward(t, tensor.Float64, build, x)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float64, len(data))
		positions(c.shape, func(at []int) {
			sum, other := 0.0, append([]int(nil), at...)
			for ch := range c.shape[1] {
				if ch >= at[1]-(c.size-1)/2 && ch <= at[1]+c.size/2 {
					other[1] = ch
					sum += data[flatIndex(other, c.shape)] * data[flatIndex(other, c.shape)]
				}
			}
			k := flatIndex(at, c.shape)
			want[k] = data[k] / math.Pow(1.5+0.3/float64(c.size)*sum, 0.75)
		})
		approx(t, fmt.Sprint(c.shape, c.size), got, c.shape, want, 1e-12)
	}
}
