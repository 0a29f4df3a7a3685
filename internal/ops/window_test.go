package ops

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// or is element i of a list of attributes, or what an absent list stands for.
func or(s []int, i, otherwise int) int {
	if len(s) == 0 {
		return otherwise
	}
	return s[i]
}

// positions calls f with every index tuple of a shape, in row-major order.
func positions(shape []int, f func(at []int)) {
	at := make([]int, len(shape))
	var walk func(d int)
	walk = func(d int) {
		if d == len(shape) {
			f(at)
			return
		}
		for i := range shape[d] {
			at[d] = i
			walk(d + 1)
		}
	}
	walk(0)
}

func flatIndex(at, shape []int) int {
	k := 0
	for d, i := range at {
		k = k*shape[d] + i
	}
	return k
}

func approx(t *testing.T, name string, got *Buf, shape []int, want []float64, tol float64) {
	t.Helper()
	if !sameShape(got.Shape, shape) || len(got.F64) != len(want) {
		t.Errorf("%s: shape %v, want %v", name, got.Shape, shape)
		return
	}
	for i, v := range want {
		if !(math.Abs(got.F64[i]-v) <= tol*max(1, math.Abs(v))) {
			t.Errorf("%s: element %d is %v, want %v", name, i, got.F64[i], v)
			return
		}
	}
}

var deepConvs = []struct {
	name  string
	x, w  []int
	a     ConvAttr
	extra []int
}{
	{"3-D", []int{2, 2, 3, 4, 3}, []int{3, 2, 2, 2, 3}, ConvAttr{}, nil},
	{"3-D all", []int{1, 4, 4, 3, 5}, []int{2, 2, 2, 2, 2}, ConvAttr{Group: 2, Pads: []int{1, 0, 2, 0, 1, 1}, Strides: []int{2, 1, 3}, Dilations: []int{2, 1, 2}}, []int{1, 0, 2}},
	{"3-D depthwise", []int{1, 3, 3, 3, 3}, []int{3, 1, 3, 1, 2}, ConvAttr{Group: 3, Pads: []int{2, 0, 1, 2, 0, 0}}, nil},
	{"4-D", []int{1, 1, 2, 3, 2, 3}, []int{2, 1, 2, 2, 1, 2}, ConvAttr{Strides: []int{1, 2, 1, 1}, Pads: []int{0, 1, 0, 0, 1, 0, 0, 1}}, nil},
}

// TestConvDeep compares with the definition, one product after the other.
func TestConvDeep(t *testing.T) {
	for i, c := range deepConvs {
		t.Run(c.name, func(t *testing.T) {
			x, w, bias := randn(uint64(i), c.x...), randn(uint64(i)+100, c.w...), randn(uint64(i)+200, c.w[0])
			rank := len(c.x) - 2
			shape := []int{c.x[0], c.w[0]}
			for d := range rank {
				room := c.x[2+d] + or(c.a.Pads, d, 0) + or(c.a.Pads, rank+d, 0) - (c.w[2+d]-1)*or(c.a.Dilations, d, 1) - 1
				shape = append(shape, room/or(c.a.Strides, d, 1)+1)
			}
			var want []float64
			group := max(c.a.Group, 1)
			positions(shape, func(at []int) {
				sum := bias.Data().([]float64)[at[1]]
				positions(c.w[1:], func(tap []int) {
					from := []int{at[0], at[1]*group/c.w[0]*c.w[1] + tap[0]}
					for d := range rank {
						p := at[2+d]*or(c.a.Strides, d, 1) + tap[1+d]*or(c.a.Dilations, d, 1) - or(c.a.Pads, d, 0)
						if p < 0 || p >= c.x[2+d] {
							return
						}
						from = append(from, p)
					}
					sum += x.Data().([]float64)[flatIndex(from, c.x)] * w.Data().([]float64)[flatIndex(append([]int{at[1]}, tap...), c.w)]
				})
				want = append(want, sum)
			})
			got, err := forward(t, tensor.Float64, convBuilder(c.a), x, w, bias)
			if err != nil {
				t.Fatal(err)
			}
			approx(t, "value", got, shape, want, 1e-12)
			checkGrad(t, convBuilder(c.a), x, w, bias)
		})
	}
}

var transposedConvs = []struct {
	name  string
	x, w  []int // w is (C, M/group, kernel...)
	a     ConvAttr
	extra []int
}{
	{"1-D", []int{2, 3, 5}, []int{3, 2, 3}, ConvAttr{}, nil},
	{"1-D all", []int{2, 4, 5}, []int{4, 1, 3}, ConvAttr{Group: 2, Strides: []int{3}, Dilations: []int{2}, Pads: []int{1, 2}}, []int{2}},
	{"2-D", []int{1, 2, 3, 4}, []int{2, 3, 3, 2}, ConvAttr{}, nil},
	{"2-D stride", []int{2, 2, 3, 2}, []int{2, 1, 3, 3}, ConvAttr{Strides: []int{2, 3}}, []int{1, 2}},
	{"2-D pads", []int{1, 2, 4, 4}, []int{2, 2, 3, 3}, ConvAttr{Strides: []int{2, 1}, Pads: []int{1, 0, 0, 2}}, nil},
	{"2-D pads beyond the kernel", []int{1, 1, 5, 5}, []int{1, 1, 2, 2}, ConvAttr{Pads: []int{3, 1, 1, 2}}, nil},
	{"2-D negative pads", []int{1, 1, 3, 3}, []int{1, 2, 3, 3}, ConvAttr{Strides: []int{3, 2}, Pads: []int{0, -1, -1, -2}}, nil},
	{"2-D groups", []int{1, 4, 3, 3}, []int{4, 3, 2, 2}, ConvAttr{Group: 2, Strides: []int{2, 2}}, nil},
	{"2-D gaps", []int{1, 1, 3, 3}, []int{1, 1, 1, 2}, ConvAttr{Strides: []int{3, 4}, Dilations: []int{1, 2}}, []int{2, 3}},
	{"2-D output padding beyond the stride", []int{1, 1, 2, 3}, []int{1, 1, 2, 2}, ConvAttr{Dilations: []int{3, 3}}, []int{2, 1}},
	{"2-D many channels", []int{1, 17, 8, 8}, []int{17, 18, 3, 3}, ConvAttr{Pads: []int{1, 1, 1, 1}}, nil},
	{"3-D", []int{2, 2, 2, 3, 2}, []int{2, 2, 2, 2, 3}, ConvAttr{}, nil},
	{"3-D all", []int{1, 2, 3, 2, 2}, []int{2, 1, 2, 3, 2}, ConvAttr{Group: 2, Strides: []int{2, 3, 1}, Dilations: []int{3, 1, 2}, Pads: []int{1, 1, 0, 2, 0, 1}}, []int{1, 2, 0}},
}

func transposedBuilder(a ConvAttr, extra []int) builder {
	return func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return ConvTranspose(in[0], in[1], in[2], a, extra)
	}
}

// TestConvTranspose spreads every element of x over its kernel, one product after the other.
func TestConvTranspose(t *testing.T) {
	for i, c := range transposedConvs {
		t.Run(c.name, func(t *testing.T) {
			group := max(c.a.Group, 1)
			m := c.w[1] * group
			x, w, bias := randn(uint64(i), c.x...), randn(uint64(i)+100, c.w...), randn(uint64(i)+200, m)
			rank := len(c.x) - 2
			shape := []int{c.x[0], m}
			for d := range rank {
				shape = append(shape, or(c.a.Strides, d, 1)*(c.x[2+d]-1)+or(c.extra, d, 0)+(c.w[2+d]-1)*or(c.a.Dilations, d, 1)+1-
					or(c.a.Pads, d, 0)-or(c.a.Pads, rank+d, 0))
			}
			want := make([]float64, len0(shape))
			positions(shape, func(at []int) { want[flatIndex(at, shape)] = bias.Data().([]float64)[at[1]] })
			positions(c.x, func(at []int) {
				positions(c.w[1:], func(tap []int) {
					to := []int{at[0], at[1]*group/c.x[1]*c.w[1] + tap[0]}
					for d := range rank {
						p := at[2+d]*or(c.a.Strides, d, 1) + tap[1+d]*or(c.a.Dilations, d, 1) - or(c.a.Pads, d, 0)
						if p < 0 || p >= shape[2+d] {
							return
						}
						to = append(to, p)
					}
					want[flatIndex(to, shape)] += x.Data().([]float64)[flatIndex(at, c.x)] * w.Data().([]float64)[flatIndex(append([]int{at[1]}, tap...), c.w)]
				})
			})
			got, err := forward(t, tensor.Float64, transposedBuilder(c.a, c.extra), x, w, bias)
			if err != nil {
				t.Fatal(err)
			}
			approx(t, "value", got, shape, want, 1e-12)
			if len0(c.w) < 1000 {
				checkGrad(t, transposedBuilder(c.a, c.extra), x, w, bias)
			}
		})
	}
}

func TestConvTransposeErrors(t *testing.T) {
	for name, c := range map[string]struct {
		x, w  []int
		a     ConvAttr
		extra []int
	}{
		"rank":    {[]int{1, 2}, []int{2, 1}, ConvAttr{}, nil},
		"group":   {[]int{1, 3, 4}, []int{3, 1, 2}, ConvAttr{Group: 2}, nil},
		"weights": {[]int{1, 3, 4}, []int{2, 1, 2}, ConvAttr{}, nil},
		"pads":    {[]int{1, 1, 2}, []int{1, 1, 2}, ConvAttr{Pads: []int{2, 1}}, nil},
		"strides": {[]int{1, 1, 2, 2}, []int{1, 1, 2, 2}, ConvAttr{Strides: []int{1}}, nil},
		"stride":  {[]int{1, 1, 2}, []int{1, 1, 2}, ConvAttr{Strides: []int{0}}, nil},
		"output":  {[]int{1, 1, 2}, []int{1, 1, 2}, ConvAttr{}, []int{-1}},
		"layers":  {[]int{1, 1, 1, 1, 1}, []int{1, 1, 5000, 1, 1}, ConvAttr{}, nil},
	} {
		_, err := forward(t, tensor.Float64, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
			return ConvTranspose(in[0], in[1], nil, c.a, c.extra)
		}, randn(1, c.x...), randn(2, c.w...))
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

var deepPools = []struct {
	name string
	x    []int
	a    PoolAttr
}{
	{"3-D", []int{2, 2, 4, 4, 6}, PoolAttr{Kernel: []int{2, 2, 2}, Strides: []int{2, 2, 2}}},
	{"3-D all", []int{1, 2, 5, 6, 7}, PoolAttr{Kernel: []int{2, 3, 2}, Strides: []int{2, 1, 3}, Dilations: []int{2, 1, 3}, Pads: []int{1, 2, 0, 1, 0, 1}, CeilMode: true}},
	{"3-D all counted", []int{1, 2, 5, 6, 7}, PoolAttr{Kernel: []int{2, 3, 2}, Strides: []int{2, 1, 3}, Dilations: []int{2, 1, 3}, Pads: []int{1, 2, 0, 1, 0, 1}, CeilMode: true, CountIncludePad: true}},
	{"4-D", []int{1, 1, 3, 2, 4, 3}, PoolAttr{Kernel: []int{2, 1, 3, 2}, Pads: []int{0, 0, 1, 1, 1, 0, 0, 0}}},
	{"2-D", []int{1, 2, 5, 6}, PoolAttr{Kernel: []int{3, 2}, Strides: []int{1, 2}, Pads: []int{1, 0, 0, 1}, CeilMode: true}},
	{"1-D", []int{2, 1, 7}, PoolAttr{Kernel: []int{3}, Strides: []int{2}, Pads: []int{1, 1}}},
}

// windowsOf calls f for every window of y with the flat indices in x of its elements, in row-major order, and the number
// of positions inside the padded input.
func windowsOf(sx, sy []int, a PoolAttr, f func(k int, members []int, counted int)) {
	rank := len(sx) - 2
	positions(sy, func(at []int) {
		var members []int
		counted := 0
		positions(a.Kernel, func(tap []int) {
			from := []int{at[0], at[1]}
			padded, inside := true, true
			for d := range rank {
				p := at[2+d]*or(a.Strides, d, 1) + tap[d]*or(a.Dilations, d, 1) - or(a.Pads, d, 0)
				padded = padded && p < sx[2+d]+or(a.Pads, rank+d, 0)
				inside = inside && p >= 0 && p < sx[2+d]
				from = append(from, p)
			}
			if padded {
				counted++
			}
			if inside {
				members = append(members, flatIndex(from, sx))
			}
		})
		f(flatIndex(at, sy), members, counted)
	})
}

func TestPoolDeep(t *testing.T) {
	for i, c := range deepPools {
		t.Run(c.name, func(t *testing.T) {
			x := distinct(uint64(i), c.x...)
			data := x.Data().([]float64)
			for name, f := range map[string]poolFunc{"max": MaxPool, "average": AveragePool, "l3": func(x *gorgonia.Node, a PoolAttr) (*gorgonia.Node, error) { return LpPool(x, a, 3) },
				"l2": func(x *gorgonia.Node, a PoolAttr) (*gorgonia.Node, error) { return LpPool(x, a, 2) }} {
				got, err := forward(t, tensor.Float64, poolBuilder(f, c.a), x)
				if err != nil {
					t.Fatal(err)
				}
				want := make([]float64, len(got.F64))
				windowsOf(c.x, got.Shape, c.a, func(k int, members []int, counted int) {
					best, sum, cubes, squares := math.Inf(-1), 0.0, 0.0, 0.0
					for _, m := range members {
						v := data[m]
						best, sum, cubes, squares = max(best, v), sum+v, cubes+math.Abs(v*v*v), squares+v*v
					}
					if !c.a.CountIncludePad {
						counted = len(members)
					}
					want[k] = map[string]float64{"max": best, "average": sum / float64(counted), "l3": math.Cbrt(cubes), "l2": math.Sqrt(squares)}[name]
				})
				approx(t, name, got, got.Shape, want, 1e-12)
				checkGrad(t, poolBuilder(f, c.a), x)
			}
		})
	}
}

func TestMaxPoolIndices(t *testing.T) {
	for i, c := range deepPools {
		for _, columnMajor := range []bool{false, true} {
			x := randn(uint64(i), c.x...)
			data := x.Data().([]float64)
			data[len(data)/2] = math.NaN()
			for k := range data[:len(data)/3] {
				data[k] = math.Round(data[k]) // ties
			}
			got, err := forward(t, tensor.Float64, poolBuilder(func(x *gorgonia.Node, a PoolAttr) (*gorgonia.Node, error) {
				return MaxPoolIndices(x, a, columnMajor)
			}, c.a), x)
			if err != nil {
				t.Fatal(err)
			}
			windowsOf(c.x, got.Shape, c.a, func(k int, members []int, _ int) {
				best := members[0]
				for _, m := range members {
					if data[m] > data[best] || data[m] != data[m] {
						best = m
					}
				}
				want := best
				if columnMajor {
					plane := len0(c.x[2:])
					want = best / plane * plane
					rest, at := best%plane, 1
					// Digits of the row-major index, from the innermost; the outermost has weight 1.
					var digits []int
					for d := len(c.x) - 1; d >= 2; d-- {
						digits = append(digits, rest%c.x[d])
						rest /= c.x[d]
					}
					for d := 2; d < len(c.x); d++ {
						want += digits[len(c.x)-1-d] * at
						at *= c.x[d]
					}
				}
				if got.I64[k] != int64(want) {
					t.Errorf("%s, column-major %v: window %d has %d, want %d", c.name, columnMajor, k, got.I64[k], want)
				}
			})
		}
	}
}

func TestMaxUnpool(t *testing.T) {
	unpool := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return MaxUnpool(in[0], in[1], []int{1, 1, 3, 4})
	}
	index := func(v ...int64) *tensor.Dense {
		return tensor.New(tensor.WithShape(1, 1, 2, 2), tensor.WithBacking(v))
	}
	x := fill(func(i int) float64 { return float64(i + 1) }, 1, 1, 2, 2)
	got, err := forward(t, tensor.Float64, unpool, x, index(5, 0, 11, 2))
	if err != nil {
		t.Fatal(err)
	}
	approx(t, "value", got, []int{1, 1, 3, 4}, []float64{2, 0, 4, 0, 0, 1, 0, 0, 0, 0, 0, 3}, 0)
	checkGrad(t, unpool, x, index(5, 0, 11, 2))
	checkGrad(t, unpool, x, index(5, 0, 5, 2)) // one place twice
	for _, bad := range []int64{-1, 12} {
		if _, err := forward(t, tensor.Float64, unpool, x, index(bad, 0, 1, 2)); err == nil {
			t.Errorf("index %d: no error", bad)
		}
	}
}

func TestNorms(t *testing.T) {
	for _, p := range []float64{1, 2, 3} {
		for _, shape := range [][]int{{2, 3, 4}, {3, 2, 3, 2}} {
			x := distinct(uint64(p), shape...)
			checkGrad(t, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return GlobalLpPool(x, p) }), x)
			for axis := range shape {
				normalise := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return LpNormalization(x, axis, p) })
				checkGrad(t, normalise, x)
				got, err := forward(t, tensor.Float64, normalise, x)
				if err != nil {
					t.Fatal(err)
				}
				want := make([]float64, len(got.F64))
				positions(shape, func(at []int) {
					sum, line := 0.0, append([]int(nil), at...)
					for i := range shape[axis] {
						line[axis] = i
						sum += math.Pow(math.Abs(x.Data().([]float64)[flatIndex(line, shape)]), p)
					}
					want[flatIndex(at, shape)] = x.Data().([]float64)[flatIndex(at, shape)] / math.Pow(sum, 1/p)
				})
				approx(t, "value", got, shape, want, 1e-12)
			}
		}
		zero, err := forward(t, tensor.Float64, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return LpNormalization(x, -1, p) }), tensor.New(tensor.WithShape(2, 2), tensor.WithBacking([]float64{0, 0, 3, 0})))
		if err != nil {
			t.Fatal(err)
		}
		approx(t, "zeros", zero, []int{2, 2}, []float64{0, 0, 1, 0}, 1e-12)
	}
}
