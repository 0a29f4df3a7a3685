package ops

import (
	"fmt"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

var binaryCases = []struct {
	name string
	make func(a, b *gorgonia.Node) (*gorgonia.Node, error)
	want func(a, b float64) float64
}{
	{"Add", Add, func(a, b float64) float64 { return a + b }},
	{"Sub", Sub, func(a, b float64) float64 { return a - b }},
	{"Mul", Mul, func(a, b float64) float64 { return a * b }},
	{"Div", Div, func(a, b float64) float64 { return a / b }},
}

// of2 makes a builder from an operator of two operands.
func of2(f func(a, b *gorgonia.Node) (*gorgonia.Node, error)) builder {
	return func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) { return f(in[0], in[1]) }
}

// index returns the flat index, in an operand of the given shape, of what broadcasting puts at flat index i of
// out. It works by division from the last axis, for the tests only.
func index(shape, out []int, i int) int {
	at, stride := 0, 1
	for k := 1; k <= len(out); k++ {
		n := out[len(out)-k]
		c := i % n
		i /= n
		if k <= len(shape) {
			m := shape[len(shape)-k]
			if m > 1 {
				at += c * stride
			}
			stride *= m
		}
	}
	return at
}

func TestBinary(t *testing.T) {
	shapes := []struct{ a, b, out []int }{
		{[]int{}, []int{}, []int{}},
		{[]int{5}, []int{}, []int{5}},
		{[]int{}, []int{2, 3}, []int{2, 3}},
		{[]int{1}, []int{}, []int{1}},
		{[]int{3, 4}, []int{3, 4}, []int{3, 4}},
		{[]int{3, 4}, []int{4}, []int{3, 4}},
		{[]int{4}, []int{3, 4}, []int{3, 4}},
		{[]int{3, 1}, []int{1, 4}, []int{3, 4}},
		{[]int{3, 1}, []int{4}, []int{3, 4}},
		{[]int{3, 1}, []int{3, 4}, []int{3, 4}},
		{[]int{1, 4}, []int{4}, []int{1, 4}},
		{[]int{2, 3, 2, 2}, []int{3, 1, 1}, []int{2, 3, 2, 2}},
		{[]int{2, 1, 3, 1}, []int{4, 1, 2}, []int{2, 4, 3, 2}},
		{[]int{1, 1}, []int{2, 1, 3}, []int{2, 1, 3}},
		{[]int{2, 3, 1}, []int{1, 3, 5}, []int{2, 3, 5}},
	}
	for _, c := range binaryCases {
		for _, s := range shapes {
			t.Run(fmt.Sprintf("%s/%v%v", c.name, s.a, s.b), func(t *testing.T) {
				a, b := randn(1, s.a...), uniform(2, 0.5, 2, s.b...)
				checkGrad(t, of2(c.make), a, b)
				checkValues(t, of2(c.make), func(i int) float64 {
					return c.want(at64(a, index(s.a, s.out, i)), at64(b, index(s.b, s.out, i)))
				}, a, b)
			})
		}
	}
}

// TestBinaryParts has more than one part, which begin inside rows.
func TestBinaryParts(t *testing.T) {
	for _, c := range binaryCases {
		for _, s := range []struct{ a, b, out []int }{
			{[]int{3, 7, 50, 49}, []int{7, 1, 1}, []int{3, 7, 50, 49}},
			{[]int{333, 101}, []int{101}, []int{333, 101}},
			{[]int{333, 1}, []int{101}, []int{333, 101}},
			{[]int{}, []int{2*chunk + 1}, []int{2*chunk + 1}},
			{[]int{2*chunk + 1}, []int{2*chunk + 1}, []int{2*chunk + 1}},
		} {
			a, b := randn(1, s.a...), uniform(2, 0.5, 2, s.b...)
			x, y := a.Data(), b.Data()
			checkValues(t, of2(c.make), func(i int) float64 {
				return c.want(pick(x, index(s.a, s.out, i)), pick(y, index(s.b, s.out, i)))
			}, a, b)
		}
	}
}

func pick(data any, i int) float64 {
	if s, ok := data.([]float64); ok {
		return s[i]
	}
	return data.(float64)
}

func TestBinarySameOperand(t *testing.T) {
	for _, c := range binaryCases {
		twice := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return c.make(x, x) })
		checkGrad(t, twice, uniform(1, 0.5, 2, 3, 4))
	}
	// x*x + x used again: derivatives of several uses meet.
	checkGrad(t, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) {
		y, err := Mul(x, x)
		if err != nil {
			return nil, err
		}
		if y, err = Add(y, x); err != nil {
			return nil, err
		}
		return Div(y, x)
	}), uniform(2, 0.5, 2, 2, 3))
}

func TestSum(t *testing.T) {
	build := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) { return Sum(in...) }
	checkGrad(t, build, randn(1, 3))
	checkGrad(t, build, randn(1, 3), randn(2, 2, 1), randn(3), randn(4, 2, 3))
}

func TestBinaryErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	a := newInput(g, tensor.Float32, "a", []int{2, 3})
	b := newInput(g, tensor.Float32, "b", []int{2})
	c := newInput(g, tensor.Float64, "c", []int{2, 3})
	if _, err := Add(a, b); err == nil {
		t.Error("shapes that do not broadcast are accepted")
	}
	if _, err := Mul(a, c); err == nil {
		t.Error("two element types are accepted")
	}
	if _, err := Sum(); err == nil {
		t.Error("a sum of nothing is accepted")
	}
}
