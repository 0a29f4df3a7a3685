package ops

import (
	"fmt"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func convBuilder(a ConvAttr) builder {
	return func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		var bias *gorgonia.Node
		if len(in) == 3 {
			bias = in[2]
		}
		return Conv(in[0], in[1], bias, a)
	}
}

// convCases are shapes of x and w with attributes.
var convCases = []struct {
	name string
	x, w []int
	a    ConvAttr
}{
	{"plain", []int{2, 3, 5, 6}, []int{4, 3, 3, 2}, ConvAttr{}},
	{"1x1", []int{2, 3, 3, 3}, []int{2, 3, 1, 1}, ConvAttr{Group: 1}},
	{"whole image", []int{3, 2, 4, 3}, []int{2, 2, 4, 3}, ConvAttr{}},
	{"asymmetric pads", []int{1, 2, 4, 5}, []int{3, 2, 3, 3}, ConvAttr{Pads: []int{0, 2, 1, 3}}},
	{"pads larger than the kernel", []int{2, 1, 2, 3}, []int{2, 1, 2, 2}, ConvAttr{Pads: []int{4, 3, 3, 5}}},
	{"stride larger than the kernel", []int{1, 2, 7, 8}, []int{2, 2, 2, 1}, ConvAttr{Strides: []int{3, 4}, Pads: []int{1, 0, 0, 2}}},
	{"stride leaves a rest", []int{1, 1, 6, 6}, []int{1, 1, 3, 3}, ConvAttr{Strides: []int{2, 2}}},
	{"dilation", []int{1, 2, 7, 8}, []int{2, 2, 3, 2}, ConvAttr{Dilations: []int{2, 3}, Pads: []int{1, 2, 0, 1}}},
	{"groups", []int{2, 4, 4, 4}, []int{6, 2, 3, 3}, ConvAttr{Group: 2, Pads: []int{1, 1, 1, 1}, Strides: []int{2, 1}}},
	{"depthwise", []int{2, 3, 4, 5}, []int{6, 1, 3, 3}, ConvAttr{Group: 3, Pads: []int{1, 1, 1, 1}}},
	{"1-D", []int{2, 3, 9}, []int{4, 3, 3}, ConvAttr{}},
	{"1-D all", []int{2, 4, 9}, []int{2, 2, 3}, ConvAttr{Group: 2, Pads: []int{3, 1}, Strides: []int{2}, Dilations: []int{2}}},
}

func TestConvGrad(t *testing.T) {
	for i, c := range convCases {
		t.Run(c.name, func(t *testing.T) {
			inputs := []*tensor.Dense{randn(uint64(i), c.x...), randn(uint64(i)+100, c.w...)}
			checkGrad(t, convBuilder(c.a), inputs...)
			checkGrad(t, convBuilder(c.a), append(inputs, randn(uint64(i)+200, c.w[0]))...)
		})
	}
}

// The shape and value of each case, from the definition: each product is looked up in the padded image.
func TestConvValue(t *testing.T) {
	for i, c := range convCases {
		x, w, bias := randn(uint64(i), c.x...), randn(uint64(i)+100, c.w...), randn(uint64(i)+200, c.w[0])
		got, err := forward(t, tensor.Float64, convBuilder(c.a), x, w, bias)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		shape, want := naiveConv(c.x, c.w, c.a, x.Data().([]float64), w.Data().([]float64), bias.Data().([]float64))
		if !sameShape(got.Shape, shape) {
			t.Errorf("%s: shape %v, want %v", c.name, got.Shape, shape)
			continue
		}
		for j, v := range want {
			if d := got.F64[j] - v; d > 1e-12 || d < -1e-12 {
				t.Errorf("%s: element %d is %v, want %v", c.name, j, got.F64[j], v)
				break
			}
		}
	}
}

func naiveConv(sx, sw []int, a ConvAttr, x, w, bias []float64) (shape []int, y []float64) {
	or := func(s []int, i, otherwise int) int {
		if len(s) == 0 {
			return otherwise
		}
		return s[i]
	}
	rank := len(sx) - 2
	type axis struct{ n, k, stride, dilation, pad, out int }
	var axes []axis
	for i := range rank {
		d := axis{n: sx[2+i], k: sw[2+i], stride: or(a.Strides, i, 1), dilation: or(a.Dilations, i, 1), pad: or(a.Pads, i, 0)}
		// Count the windows that fit by trying.
		for p := 0; p+(d.k-1)*d.dilation < d.n+d.pad+or(a.Pads, rank+i, 0); p += d.stride {
			d.out++
		}
		axes = append(axes, d)
	}
	shape = []int{sx[0], sw[0]}
	for _, d := range axes {
		shape = append(shape, d.out)
	}
	if rank == 1 {
		axes = append([]axis{{1, 1, 1, 1, 0, 1}}, axes...)
	}
	h, l := axes[0], axes[1]
	group := max(a.Group, 1)
	for n := range sx[0] {
		for m := range sw[0] {
			for i := range h.out {
				for j := range l.out {
					sum := bias[m]
					for c := range sw[1] {
						channel := m*group/sw[0]*sw[1] + c
						for u := range h.k {
							for v := range l.k {
								r, s := i*h.stride+u*h.dilation-h.pad, j*l.stride+v*l.dilation-l.pad
								if r >= 0 && r < h.n && s >= 0 && s < l.n {
									sum += x[((n*sx[1]+channel)*h.n+r)*l.n+s] * w[((m*sw[1]+c)*h.k+u)*l.k+v]
								}
							}
						}
					}
					y = append(y, sum)
				}
			}
		}
	}
	return shape, y
}

func TestConvErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	for i, c := range []struct {
		x, w []int
		bias []int
		a    ConvAttr
		want string
	}{
		{[]int{1, 1, 3, 3}, []int{1, 1, 4, 2}, nil, ConvAttr{}, "covers 4 elements, more than the 3"},
		{[]int{1, 1, 3, 3}, []int{1, 1, 2, 2}, nil, ConvAttr{Dilations: []int{1, 3}}, "covers 4 elements"},
		{[]int{1, 2, 3, 3}, []int{1, 1, 2, 2}, nil, ConvAttr{}, "groups"},
		{[]int{1, 3, 3, 3}, []int{2, 1, 2, 2}, nil, ConvAttr{Group: 2}, "2 groups"},
		{[]int{1, 1, 3, 3}, []int{2, 1, 2, 2}, []int{3}, ConvAttr{}, "bias has shape (3)"},
		{[]int{1, 1}, []int{2, 1}, nil, ConvAttr{}, "spatial..."},
		{[]int{1, 1, 3, 3, 3}, []int{2, 1, 4, 2, 2}, nil, ConvAttr{}, "covers 4 elements"},
		{[]int{1, 1, 3, 3}, []int{2, 1, 2}, nil, ConvAttr{}, "4 axes"},
		{[]int{1, 1, 3, 3}, []int{2, 1, 2, 2}, nil, ConvAttr{Strides: []int{0, 1}}, "at least 1"},
		{[]int{1, 1, 3, 3}, []int{2, 1, 2, 2}, nil, ConvAttr{Strides: []int{1}}, "strides has 1 entries"},
		{[]int{1, 1, 3, 3}, []int{2, 1, 2, 2}, nil, ConvAttr{Pads: []int{1, 1}}, "pads has 2 entries"},
		{[]int{1, 1, 3, 3}, []int{2, 1, 2, 2}, nil, ConvAttr{Pads: []int{1, -1, 1, 1}}, "negative pads"},
	} {
		x := newInput(g, tensor.Float32, fmt.Sprint("x", i), c.x)
		w := newInput(g, tensor.Float32, fmt.Sprint("w", i), c.w)
		var bias *gorgonia.Node
		if c.bias != nil {
			bias = newInput(g, tensor.Float32, fmt.Sprint("b", i), c.bias)
		}
		if _, err := Conv(x, w, bias, c.a); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("case %d: error %v, want one with %q", i, err, c.want)
		}
	}
}

// A second derivative is an error, not a panic and not a wrong number.
func TestConvSecondDerivative(t *testing.T) {
	g := gorgonia.NewGraph()
	x, w := newInput(g, tensor.Float32, "x", []int{1, 1, 3, 3}), newInput(g, tensor.Float32, "w", []int{1, 1, 2, 2})
	y, err := Conv(x, w, nil, ConvAttr{})
	if err != nil {
		t.Fatal(err)
	}
	cost, err := apply(&weigh{base: base{name: "weigh"}}, y)
	if err != nil {
		t.Fatal(err)
	}
	d, err := gorgonia.Grad(cost, w)
	if err != nil {
		t.Fatal(err)
	}
	if cost, err = apply(&weigh{base: base{name: "weigh"}}, d[0]); err != nil {
		t.Fatal(err)
	}
	if _, err = gorgonia.Grad(cost, x); err == nil {
		t.Error("the derivative of ConvGradW exists")
	}
}
