package ops

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func TestAttention(t *testing.T) {
	for i, c := range []struct {
		q, k, v []int
		bias    []int
		softcap float64
	}{
		{[]int{2, 2, 3, 4}, []int{2, 2, 3, 4}, []int{2, 2, 3, 4}, nil, 0},
		{[]int{1, 4, 3, 2}, []int{1, 2, 5, 2}, []int{1, 2, 5, 3}, []int{3, 5}, 0},
		{[]int{2, 3, 2, 5}, []int{2, 1, 4, 5}, []int{2, 1, 4, 1}, []int{2, 1, 1, 4}, 1.5},
		{[]int{1, 1, 1, 3}, []int{1, 1, 2, 3}, []int{1, 1, 2, 2}, []int{2}, 0.7},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			inputs := []*tensor.Dense{randn(uint64(i), c.q...), randn(uint64(i)+10, c.k...), randn(uint64(i)+20, c.v...)}
			if c.bias != nil {
				inputs = append(inputs, randn(uint64(i)+30, c.bias...))
			}
			const scale = 0.6
			build := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
				a := Attention{Q: in[0], K: in[1], V: in[2], Scale: scale, Softcap: c.softcap}
				if len(in) > 3 {
					a.Bias = in[3]
				}
				y, _, err := a.Apply()
				return y, err
			}
			checkGrad(t, build, inputs...)
			if c.bias != nil {
				// One key is hidden from all queries, and all from the queries of the last rows.
				data := inputs[3].Data().([]float64)
				data[len(data)-1] = math.Inf(-1)
				if len(c.bias) == 2 {
					for k := len(data) - c.bias[1]; k < len(data); k++ {
						data[k] = math.Inf(-1)
					}
				}
			}
			got, err := forward(t, tensor.Float64, build, inputs...)
			if err != nil {
				t.Fatal(err)
			}
			q, k, v := inputs[0].Data().([]float64), inputs[1].Data().([]float64), inputs[2].Data().([]float64)
			shape := []int{c.q[0], c.q[1], c.q[2], c.v[3]}
			want := make([]float64, len0(shape))
			positions(shape[:3], func(at []int) {
				head := at[1] / (c.q[1] / c.k[1])
				var sum float64
				out := make([]float64, c.v[3])
				for key := range c.k[2] {
					var s float64
					for d := range c.q[3] {
						s += q[flatIndex([]int{at[0], at[1], at[2], d}, c.q)] * k[flatIndex([]int{at[0], head, key, d}, c.k)]
					}
					s *= scale
					if c.softcap > 0 {
						s = c.softcap * math.Tanh(s/c.softcap)
					}
					if c.bias != nil {
						full := []int{at[0], at[1], at[2], key}[4-len(c.bias):]
						for d, n := range c.bias {
							full[d] = min(full[d], n-1)
						}
						s += inputs[3].Data().([]float64)[flatIndex(full, c.bias)]
					}
					e := math.Exp(s)
					sum += e
					for d := range out {
						out[d] += e * v[flatIndex([]int{at[0], head, key, d}, c.v)]
					}
				}
				for d := range out {
					if sum > 0 {
						want[flatIndex([]int{at[0], at[1], at[2], d}, shape)] = out[d] / sum
					}
				}
			})
			approx(t, "value", got, shape, want, 1e-12)
		})
	}
}

func TestRotate(t *testing.T) {
	for _, interleaved := range []bool{false, true} {
		shape := []int{2, 3, 2, 6}
		x, angle := randn(1, shape...), randn(2, 1, 1, 2, 3)
		cos := fill(func(i int) float64 { return math.Cos(angle.Data().([]float64)[i]) }, 1, 1, 2, 3)
		sin := fill(func(i int) float64 { return math.Sin(angle.Data().([]float64)[i]) }, 1, 1, 2, 3)
		build := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
			return Rotate(in[0], in[1], in[2], interleaved)
		}
		checkGrad(t, build, x, cos, sin)
		got, err := forward(t, tensor.Float64, build, x, cos, sin)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float64, len(got.F64))
		positions([]int{2, 3, 2, 3}, func(at []int) {
			// A complex number times e^(i*angle).
			first, second := []int{at[0], at[1], at[2], at[3]}, []int{at[0], at[1], at[2], at[3] + 3}
			if interleaved {
				first[3], second[3] = 2*at[3], 2*at[3]+1
			}
			a, b := flatIndex(first, shape), flatIndex(second, shape)
			data := x.Data().([]float64)
			z := complex(data[a], data[b]) * complex(cos.Data().([]float64)[at[2]*3+at[3]], sin.Data().([]float64)[at[2]*3+at[3]])
			want[a], want[b] = real(z), imag(z)
		})
		approx(t, "value", got, shape, want, 1e-14)
	}
}

func TestResample(t *testing.T) {
	rows := [][]Tap{{{0, 0.5}, {2, -1}}, {}, {{1, 2}}, {{2, 0.25}, {2, 0.5}}, {{0, 1}, {1, 1}, {2, 1}}}
	add := []float64{0, 3, 0, 0, -1}
	for _, shape := range [][]int{{3}, {2, 3}, {3, 4}, {2, 3, 5}, {70, 3, 300}} {
		for axis, n := range shape {
			if n != 3 {
				continue
			}
			for _, add := range [][]float64{nil, add} {
				build := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Resample(x, axis, rows, add) })
				x := randn(1, shape...)
				if len0(shape) < 100 {
					checkGrad(t, build, x)
				}
				got, err := forward(t, tensor.Float64, build, x)
				if err != nil {
					t.Fatal(err)
				}
				out := append([]int(nil), shape...)
				out[axis] = len(rows)
				var want []float64
				positions(out, func(at []int) {
					from, sum := append([]int(nil), at...), 0.0
					if add != nil {
						sum = add[at[axis]]
					}
					for _, tap := range rows[at[axis]] {
						from[axis] = tap.Index
						sum += tap.Weight * x.Data().([]float64)[flatIndex(from, shape)]
					}
					want = append(want, sum)
				})
				approx(t, fmt.Sprint(shape, axis), got, out, want, 1e-14)
			}
		}
	}
}
