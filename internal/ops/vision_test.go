package ops

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestDet: values by Leibniz' formula, derivatives by differences; of singular matrices too.
func TestDet(t *testing.T) {
	for _, shape := range [][]int{{1, 1}, {2, 2}, {3, 2, 2}, {2, 1, 3, 3}, {4, 4}, {2, 5, 5}} {
		x := randn(uint64(len0(shape)), shape...)
		checkGrad(t, of1(Det), x)
		y, err := forward(t, tensor.Float64, of1(Det), x)
		if err != nil {
			t.Fatal(err)
		}
		m := shape[len(shape)-1]
		for k, got := range y.F64 {
			if want := leibniz(x.Data().([]float64)[k*m*m:], m, 0, 0, 1); math.Abs(got-want) > 1e-12*(1+math.Abs(want)) {
				t.Errorf("shape %v, matrix %d: %v, want %v", shape, k, got, want)
			}
		}
	}
	for name, x := range map[string][]float64{
		"rank 2": {1, 2, 3, 4, 5, 6, 7, 8, 9}, "rank 2, zeros": {0, 0, 0, 0, 2, 1, 0, 1, 3}, "rank 1": {1, 2, 3, 2, 4, 6, -1, -2, -3}, "rank 0": make([]float64, 9),
	} {
		t.Run(name, func(t *testing.T) {
			checkGrad(t, of1(Det), tensor.New(tensor.WithShape(3, 3), tensor.WithBacking(x)))
		})
	}
	if _, err := forward(t, tensor.Float64, of1(Det), randn(1, 2, 3)); err == nil {
		t.Error("a matrix of 2 rows and 3 columns has a determinant")
	}
}

// leibniz sums the signed products of m elements, one of each row and column; taken has a bit for each column before row.
func leibniz(x []float64, m, row, taken int, product float64) (sum float64) {
	if row == m {
		return product
	}
	for c := range m {
		if taken>>c&1 != 0 {
			continue
		}
		sign := 1.0
		for d := c + 1; d < m; d++ {
			if taken>>d&1 != 0 {
				sign = -sign
			}
		}
		sum += leibniz(x, m, row+1, taken|1<<c, product*sign*x[row*m+c])
	}
	return sum
}

func TestRoiAlign(t *testing.T) {
	x := distinct(1, 2, 3, 6, 5)
	regions := tensor.New(tensor.WithShape(4, 4), tensor.WithBacking([]float64{0.3, 1.1, 4.2, 5.3, -2.1, -1.7, 2.6, 3.3, 3.4, 2.2, 9.7, 8.1, 1.2, 1.3, 1.7, 1.9}))
	of := tensor.New(tensor.WithShape(4), tensor.WithBacking([]int64{1, 0, 1, 1}))
	for _, largest := range []bool{false, true} {
		for _, half := range []bool{false, true} {
			for _, samples := range []int{0, 1, 3} {
				a := RoiAttr{Height: 2, Width: 3, Samples: samples, Scale: 0.75, HalfPixel: half, Max: largest}
				t.Run(fmt.Sprintf("%+v", a), func(t *testing.T) {
					checkGradWRT(t, []int{0}, aligned(a), x, regions, of)
				})
			}
		}
	}
}

func aligned(a RoiAttr) builder {
	return func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return RoiAlign(in[0], in[1], in[2], a)
	}
}

// Regions that are huge, or lie beside x, take no time; what is none is an error.
func TestRoiAlignHostile(t *testing.T) {
	a := RoiAttr{Height: 1, Width: 1, Scale: 1}
	x, zero := fill(func(int) float64 { return 1 }, 1, 1, 3, 3), tensor.New(tensor.WithShape(1), tensor.WithBacking([]int64{0}))
	for _, c := range []struct {
		region []float64
		want   float64
	}{
		{[]float64{-1e9, -1e9, 1e9, 1e9}, 16 / 4e18}, {[]float64{50, 50, 60, 60}, 0}, {[]float64{0.2, 0.2, 1.1, 1.3}, 1}, {[]float64{2, 2, 1, 1}, 1},
	} {
		y, err := forward(t, tensor.Float64, aligned(a), x, tensor.New(tensor.WithShape(1, 4), tensor.WithBacking(c.region)), zero)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(y.F64[0]-c.want) > 1e-12*math.Max(c.want, 1e-18) && y.F64[0] != c.want {
			t.Errorf("region %v: %v, want %v", c.region, y.F64[0], c.want)
		}
	}
	for _, c := range []struct {
		corner float64
		sample int64
	}{{math.NaN(), 0}, {math.Inf(1), 0}, {0, 1}, {0, -1}} {
		region := tensor.New(tensor.WithShape(1, 4), tensor.WithBacking([]float64{c.corner, 0, 2, 2}))
		if _, err := forward(t, tensor.Float64, aligned(a), x, region, tensor.New(tensor.WithShape(1), tensor.WithBacking([]int64{c.sample}))); err == nil {
			t.Errorf("corner %v, sample %d: no error", c.corner, c.sample)
		}
	}
}

func TestDeformConv(t *testing.T) {
	for i, c := range []struct {
		name       string
		x, w       []int
		groups     int
		a          ConvAttr
		out        []int
		bias, mask bool
	}{
		{"plain", []int{2, 2, 4, 5}, []int{3, 2, 2, 3}, 1, ConvAttr{Group: 1}, []int{3, 3}, false, false},
		{"everything", []int{1, 4, 5, 6}, []int{6, 2, 3, 2}, 2, ConvAttr{Group: 2, Strides: []int{2, 1}, Pads: []int{1, 0, 2, 1}, Dilations: []int{1, 2}}, []int{3, 5}, true, true},
		{"one axis", []int{2, 2, 6}, []int{2, 1, 3}, 1, ConvAttr{Group: 2}, []int{4}, true, false},
		{"three axes", []int{1, 2, 3, 3, 4}, []int{2, 2, 2, 1, 2}, 2, ConvAttr{Group: 1}, []int{2, 3, 3}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			taps, rank := len0(c.w[2:]), len(c.out)
			at := func(channels int) []int { return append([]int{c.x[0], c.groups * channels}, c.out...) }
			in := []*tensor.Dense{randn(uint64(i), c.x...), randn(uint64(i+9), c.w...), uniform(uint64(i), -1.9, 1.9, at(taps*rank)...)}
			if c.bias {
				in = append(in, randn(3, c.w[0]))
			}
			if c.mask {
				in = append(in, randn(4, at(taps)...))
			}
			checkGrad(t, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
				var bias, mask *gorgonia.Node
				rest := in[3:]
				if c.bias {
					bias, rest = rest[0], rest[1:]
				}
				if c.mask {
					mask = rest[0]
				}
				return DeformConv(in[0], in[1], in[2], bias, mask, c.groups, c.a)
			}, in...)
		})
	}
	// Without offsets it is Conv.
	a := ConvAttr{Group: 1, Pads: []int{1, 0, 0, 1}}
	x, w := randn(1, 2, 3, 5, 4), randn(2, 4, 3, 2, 2)
	want, err := forward(t, tensor.Float64, of2(func(x, w *gorgonia.Node) (*gorgonia.Node, error) { return Conv(x, w, nil, a) }), x, w)
	if err != nil {
		t.Fatal(err)
	}
	got, err := forward(t, tensor.Float64, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return DeformConv(in[0], in[1], in[2], nil, nil, 1, a)
	}, x, w, fill(func(int) float64 { return 0 }, 2, 8, 5, 4))
	if err != nil {
		t.Fatal(err)
	}
	approx(t, "no offsets", got, want.Shape, want.F64, 1e-12)
	// A tap that is nowhere finds 0.
	nowhere := fill(func(i int) float64 { return []float64{math.NaN(), math.Inf(1), -1e300}[i%3] }, 2, 8, 5, 4)
	if got, err = forward(t, tensor.Float64, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return DeformConv(in[0], in[1], in[2], nil, nil, 1, a)
	}, x, w, nowhere); err != nil {
		t.Fatal(err)
	}
	approx(t, "no places", got, want.Shape, make([]float64, len(want.F64)), 0)
}
