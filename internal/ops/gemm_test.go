package ops

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func TestGemmGrad(t *testing.T) {
	seed := uint64(0)
	for _, s := range [][3]int{{1, 1, 1}, {3, 5, 4}, {1, 7, 2}, {6, 1, 3}, {2, 3, 1}} {
		m, n, k := s[0], s[1], s[2]
		for _, c := range [][]int{nil, {}, {1}, {n}, {m, n}, {1, n}, {m, 1}, {1, 1}} {
			seed++
			transA, transB := seed&1 == 0, seed&2 == 0
			alpha, beta := 1.0, 1.0
			if seed%3 == 0 {
				alpha, beta = 0.7, -1.3
			}
			a, b := []int{m, k}, []int{k, n}
			if transA {
				a = []int{k, m}
			}
			if transB {
				b = []int{n, k}
			}
			inputs := []*tensor.Dense{randn(seed, a...), randn(seed+100, b...)}
			if c != nil {
				inputs = append(inputs, randn(seed+200, c...))
			}
			t.Run(fmt.Sprintf("%dx%dx%d,C=%v,%v,%v", m, n, k, c, transA, transB), func(t *testing.T) {
				checkGrad(t, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
					var c *gorgonia.Node
					if len(in) == 3 {
						c = in[2]
					}
					return Gemm(in[0], in[1], c, alpha, beta, transA, transB)
				}, inputs...)
			})
		}
	}
}

// The value is checked against the definition, for a shape with several blocks.
func TestGemmValue(t *testing.T) {
	for _, s := range [][3]int{{100, 140, 30}, {20, 14, 2100}} {
		checkGemmValue(t, s[0], s[1], s[2])
	}
}

func checkGemmValue(t *testing.T, m, n, k int) {
	t.Helper()
	a, b, c := randn(1, k, m), randn(2, n, k), randn(3, m, 1)
	got, err := forward(t, tensor.Float64, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return Gemm(in[0], in[1], in[2], 2, 0.5, true, true)
	}, a, b, c)
	if err != nil {
		t.Fatal(err)
	}
	x, y, z := a.Data().([]float64), b.Data().([]float64), c.Data().([]float64)
	for i := range m {
		for j := range n {
			want := 0.5 * z[i]
			for p := range k {
				want += 2 * x[p*m+i] * y[j*k+p]
			}
			if d := got.F64[i*n+j] - want; math.Abs(d) > 1e-14*float64(k+100) {
				t.Fatalf("[%d,%d] = %v, want %v", i, j, got.F64[i*n+j], want)
			}
		}
	}
}

func TestMatMulGrad(t *testing.T) {
	for i, s := range [][2][]int{
		{{3}, {3}}, {{3}, {3, 4}}, {{2, 3}, {3}}, {{2, 3}, {3, 4}}, {{1, 1}, {1, 1}},
		{{5, 2, 3}, {3, 4}}, {{2, 2, 2, 3}, {3, 1}}, {{5, 2, 3}, {3}}, {{3}, {2, 3, 4}},
		{{2, 3}, {4, 3, 2}}, {{4, 2, 3}, {4, 3, 2}}, {{2, 1, 2, 3}, {3, 3, 4}}, {{1, 2, 3}, {4, 3, 2}},
		{{3, 2, 3}, {1, 3, 4}}, {{2, 3}, {1, 1, 3, 2}}, {{2, 2, 3}, {1, 1, 3, 2}}, {{2, 1, 1, 3}, {1, 3, 3, 1}}, {{2, 2, 3}, {2, 3, 1}},
	} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			checkGrad(t, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
				return MatMul(in[0], in[1])
			}, randn(uint64(i), s[0]...), randn(uint64(i)+50, s[1]...))
		})
	}
}

// naiveMatMul follows the text of numpy.matmul: indices of the result are walked one by one.
func naiveMatMul(a, b *tensor.Dense) (shape []int, out []float64) {
	sa, sb := append([]int(nil), a.Shape()...), append([]int(nil), b.Shape()...)
	if len(sa) == 1 {
		sa = []int{1, sa[0]}
	}
	if len(sb) == 1 {
		sb = []int{sb[0], 1}
	}
	for len(sa) < len(sb) {
		sa = append([]int{1}, sa...)
	}
	for len(sb) < len(sa) {
		sb = append([]int{1}, sb...)
	}
	r := len(sa)
	full := make([]int, r)
	for i := range r - 2 {
		full[i] = max(sa[i], sb[i])
	}
	full[r-2], full[r-1] = sa[r-2], sb[r-1]
	at := func(s, idx []int) int {
		o := 0
		for i, d := range s {
			j := idx[i]
			if d == 1 {
				j = 0
			}
			o = o*d + j
		}
		return o
	}
	idx := make([]int, r)
	for range len0(full) {
		var sum float64
		ia, ib := append([]int(nil), idx...), append([]int(nil), idx...)
		for p := range sa[r-1] {
			ia[r-1], ib[r-2] = p, p
			sum += a.Data().([]float64)[at(sa, ia)] * b.Data().([]float64)[at(sb, ib)]
		}
		out = append(out, sum)
		for i := r - 1; i >= 0; i-- {
			if idx[i]++; idx[i] < full[i] {
				break
			}
			idx[i] = 0
		}
	}
	shape = append(shape, full[:r-2]...)
	if a.Dims() > 1 {
		shape = append(shape, full[r-2])
	}
	if b.Dims() > 1 {
		shape = append(shape, full[r-1])
	}
	return shape, out
}

func TestMatMulValue(t *testing.T) {
	for _, s := range [][2][]int{
		{{3}, {3, 4}}, {{2, 3}, {3}}, {{70, 40}, {40, 90}}, {{5, 20, 3}, {3, 4}}, {{3}, {2, 3, 4}},
		{{2, 3}, {4, 3, 2}}, {{2, 1, 20, 30}, {3, 30, 4}}, {{4, 1, 2, 3}, {1, 5, 3, 2}}, {{2, 2, 3}, {1, 1, 3, 2}}, {{3, 1, 2, 5}, {5}},
		{{2, 3, 2100}, {2, 2100, 5}}, {{2, 1, 3, 2100}, {2, 2100, 2}}, {{2, 3, 2100}, {2100, 5}},
	} {
		a, b := randn(1, s[0]...), randn(2, s[1]...)
		got, err := forward(t, tensor.Float64, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
			return MatMul(in[0], in[1])
		}, a, b)
		if err != nil {
			t.Fatalf("%v: %v", s, err)
		}
		shape, want := naiveMatMul(a, b)
		if !sameShape(got.Shape, shape) {
			t.Errorf("%v: shape %v, want %v", s, got.Shape, shape)
			continue
		}
		for i, v := range want {
			if d := got.F64[i] - v; math.Abs(d) > 1e-12 {
				t.Errorf("%v: element %d is %v, want %v", s, i, got.F64[i], v)
				break
			}
		}
	}
}

// TestMatMulOfTransposed has stacks of products as the derivative by the left operand takes them: few rows, and the right matrices
// transposed.
func TestMatMulOfTransposed(t *testing.T) {
	for _, s := range [][2][]int{{{3, 20, 150}, {3, 131, 150}}, {{1, 12, 80}, {7, 140, 80}}, {{2, 1, 30, 190}, {3, 129, 190}}, {{3, 13, 40}, {1, 131, 40}}} {
		a, b := randn(3, s[0]...), randn(4, s[1]...)
		got, err := forward(t, tensor.Float64, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
			o, err := newMatmul(in[0].Shape(), in[1].Shape(), false, true)
			if err != nil {
				return nil, err
			}
			o.out = o.prod
			return apply(o, in...)
		}, a, b)
		if err != nil {
			t.Fatalf("%v: %v", s, err)
		}
		upright := fill(func(int) float64 { return 0 }, s[1][0], s[1][2], s[1][1])
		for m := range s[1][0] {
			for i := range s[1][1] {
				for j := range s[1][2] {
					upright.Float64s()[(m*s[1][2]+j)*s[1][1]+i] = b.Float64s()[(m*s[1][1]+i)*s[1][2]+j]
				}
			}
		}
		shape, want := naiveMatMul(a, upright)
		if !sameShape(got.Shape, shape) {
			t.Fatalf("%v: shape %v, want %v", s, got.Shape, shape)
		}
		for i, v := range want {
			if d := got.F64[i] - v; math.Abs(d) > 1e-12 {
				t.Fatalf("%v: element %d is %v, want %v", s, i, got.F64[i], v)
			}
		}
	}
}

func TestGemmErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	node := func(dt tensor.Dtype, shape ...int) *gorgonia.Node {
		return newInput(g, dt, fmt.Sprintf("n%d", len(g.AllNodes())), shape)
	}
	f := tensor.Float32
	for _, c := range []struct {
		err  func() error
		want string
	}{
		{func() error {
			_, err := Gemm(node(f, 2, 3), node(f, 4, 5), nil, 1, 1, false, false)
			return err
		}, "3 columns, 4 rows"},
		{func() error {
			_, err := Gemm(node(f, 2, 3), node(f, 3, 5), node(f, 2), 1, 1, false, false)
			return err
		}, "C of shape (2)"},
		{func() error {
			_, err := Gemm(node(f, 2, 3, 4), node(f, 3, 5), nil, 1, 1, false, false)
			return err
		}, "both must be matrices"},
		{func() error {
			_, err := Gemm(node(f, 2, 3), node(tensor.Float64, 3, 5), nil, 1, 1, false, false)
			return err
		}, "float64"},
		{func() error { _, err := MatMul(node(f, 2, 3), node(f, 2, 3)); return err }, "do not fit"},
		{func() error { _, err := MatMul(node(f, 2, 2, 3), node(f, 3, 3, 4)); return err }, "do not fit"},
		{func() error { _, err := MatMul(node(f), node(f, 3)); return err }, "scalar"},
	} {
		if err := c.err(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
	}
}
