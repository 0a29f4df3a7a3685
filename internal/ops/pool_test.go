package ops

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

type poolFunc func(x *gorgonia.Node, a PoolAttr) (*gorgonia.Node, error)

func poolBuilder(f poolFunc, a PoolAttr) builder {
	return func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) { return f(in[0], a) }
}

var poolCases = []struct {
	name string
	x    []int
	a    PoolAttr
}{
	{"2x2", []int{2, 3, 4, 6}, PoolAttr{Kernel: []int{2, 2}, Strides: []int{2, 2}}},
	{"2x2 odd", []int{2, 1, 5, 7}, PoolAttr{Kernel: []int{2, 2}, Strides: []int{2, 2}}},
	{"2x2 odd ceil", []int{2, 1, 5, 7}, PoolAttr{Kernel: []int{2, 2}, Strides: []int{2, 2}, CeilMode: true}},
	{"3x3 apart", []int{1, 2, 9, 6}, PoolAttr{Kernel: []int{3, 3}, Strides: []int{3, 3}}},
	{"overlapping", []int{1, 2, 5, 6}, PoolAttr{Kernel: []int{3, 2}}},
	{"asymmetric pads", []int{1, 2, 5, 4}, PoolAttr{Kernel: []int{3, 3}, Strides: []int{2, 1}, Pads: []int{0, 2, 1, 1}}},
	{"asymmetric pads counted", []int{1, 2, 5, 4}, PoolAttr{Kernel: []int{3, 3}, Strides: []int{2, 1}, Pads: []int{0, 2, 1, 1}, CountIncludePad: true}},
	{"pads and ceil", []int{1, 1, 6, 7}, PoolAttr{Kernel: []int{3, 3}, Strides: []int{2, 3}, Pads: []int{1, 1, 1, 1}, CeilMode: true}},
	{"pads and ceil counted", []int{1, 1, 6, 7}, PoolAttr{Kernel: []int{3, 3}, Strides: []int{2, 3}, Pads: []int{1, 1, 1, 1}, CeilMode: true, CountIncludePad: true}},
	{"ceil, last window would start in the pads", []int{1, 1, 5, 5}, PoolAttr{Kernel: []int{2, 2}, Strides: []int{3, 3}, Pads: []int{1, 1, 1, 1}, CeilMode: true}},
	{"dilation", []int{1, 2, 7, 6}, PoolAttr{Kernel: []int{2, 3}, Dilations: []int{3, 2}, Pads: []int{1, 1, 0, 1}}},
	{"dilation counted", []int{1, 2, 7, 6}, PoolAttr{Kernel: []int{2, 3}, Dilations: []int{3, 2}, Pads: []int{1, 1, 0, 1}, CountIncludePad: true}},
	{"stride larger than the kernel", []int{1, 1, 7, 7}, PoolAttr{Kernel: []int{1, 2}, Strides: []int{3, 4}}},
	{"1-D", []int{2, 2, 9}, PoolAttr{Kernel: []int{3}, Strides: []int{2}, Pads: []int{1, 0}}},
	{"1-D ceil counted", []int{2, 2, 8}, PoolAttr{Kernel: []int{3}, Strides: []int{2}, CeilMode: true, CountIncludePad: true}},
}

func TestPoolGrad(t *testing.T) {
	for i, c := range poolCases {
		t.Run(c.name, func(t *testing.T) {
			if !c.a.CountIncludePad {
				checkGrad(t, poolBuilder(MaxPool, c.a), distinct(uint64(i), c.x...))
			}
			checkGrad(t, poolBuilder(AveragePool, c.a), randn(uint64(i), c.x...))
		})
	}
	for _, shape := range [][]int{{2, 3, 4, 5}, {1, 2, 7}, {2, 1, 2, 3, 4}, {1, 1, 1, 1}} {
		t.Run(fmt.Sprint("global ", shape), func(t *testing.T) {
			checkGrad(t, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
				return GlobalAveragePool(in[0])
			}, randn(1, shape...))
			checkGrad(t, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
				return GlobalMaxPool(in[0])
			}, distinct(1, shape...))
		})
	}
}

// TestPoolValue looks at every element of the padded image for every window.
func TestPoolValue(t *testing.T) {
	for i, c := range poolCases {
		x := randn(uint64(i), c.x...)
		for _, largest := range []bool{true, false} {
			f := AveragePool
			if largest {
				f = MaxPool
			}
			got, err := forward(t, tensor.Float64, poolBuilder(f, c.a), x)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			want := naivePool(c.x, got.Shape, c.a, x.Data().([]float64), largest)
			for j, v := range want {
				if d := math.Abs(got.F64[j] - v); !(d <= 1e-14) {
					t.Errorf("%s, largest %v: element %d is %v, want %v", c.name, largest, j, got.F64[j], v)
					break
				}
			}
		}
	}
}

func naivePool(sx, sy []int, a PoolAttr, x []float64, largest bool) []float64 {
	rank := len(sx) - 2
	or := func(s []int, i, otherwise int) int {
		if len(s) == 0 {
			return otherwise
		}
		return s[i]
	}
	// member tells whether position p of axis i is in window o: 1 inside the input, 0 in the padding, -1 not at all.
	member := func(i, o, p int) int {
		d := p - (o*or(a.Strides, i, 1) - or(a.Pads, i, 0))
		dil := or(a.Dilations, i, 1)
		if d < 0 || d%dil != 0 || d/dil >= a.Kernel[i] {
			return -1
		}
		if p >= 0 && p < sx[2+i] {
			return 1
		}
		return 0
	}
	outer := sx[0] * sx[1]
	plane, windows := len0(sx[2:]), len0(sy[2:])
	var y []float64
	for n := range outer {
		for w := range windows {
			o := []int{w}
			if rank == 2 {
				o = []int{w / sy[3], w % sy[3]}
			}
			best, sum, count := math.Inf(-1), 0.0, 0
			lo, hi := []int{0, 0}, []int{1, 1}
			for i := range rank {
				lo[i], hi[i] = -or(a.Pads, i, 0), sx[2+i]+or(a.Pads, rank+i, 0)
			}
			for p := lo[0]; p < hi[0]; p++ {
				for q := lo[1]; q < hi[1]; q++ {
					in := member(0, o[0], p)
					at := p
					if rank == 2 {
						in = min(in, member(1, o[1], q))
						at = p*sx[3] + q
					}
					if in == 1 {
						best = max(best, x[n*plane+at])
						sum += x[n*plane+at]
					}
					if in == 1 || in == 0 && a.CountIncludePad {
						count++
					}
				}
			}
			if largest {
				y = append(y, best)
			} else {
				y = append(y, sum/float64(count))
			}
		}
	}
	return y
}

// poolRecord is one case of testdata/pool.json, recorded by testdata/record_pool.py from PyTorch.
type poolRecord struct {
	Op     string
	Shape  []int
	Attr   PoolAttr
	X, DY  []any // numbers, or "nan"
	Y, DX  []any
	YShape []int
}

// TestPoolAgainstPyTorch covers what a finite difference can't see: ties, NaN, and the sizes of ceil mode.
func TestPoolAgainstPyTorch(t *testing.T) {
	raw, err := os.ReadFile("testdata/pool.json")
	if err != nil {
		t.Fatal(err)
	}
	var records []poolRecord
	if err := json.Unmarshal(raw, &records); err != nil {
		t.Fatal(err)
	}
	if len(records) < 10 {
		t.Fatalf("%d records", len(records))
	}
	for i, r := range records {
		g := gorgonia.NewGraph()
		x := newInput(g, tensor.Float64, "x", r.Shape)
		f := AveragePool
		if r.Op == "max" {
			f = MaxPool
		}
		y, err := f(x, r.Attr)
		if err != nil {
			t.Errorf("record %d: %v", i, err)
			continue
		}
		if !sameShape(y.Shape(), r.YShape) {
			t.Errorf("record %d %+v: shape %v, PyTorch %v", i, r.Attr, y.Shape(), r.YShape)
			continue
		}
		dy := newInput(g, tensor.Float64, "dy", r.YShape)
		d, err := gorgonia.Backpropagate(gorgonia.Nodes{y}, gorgonia.Nodes{dy}, gorgonia.Nodes{x})
		if err != nil {
			t.Errorf("record %d: %v", i, err)
			continue
		}
		values := []*Buf{{Shape: r.Shape, F64: numbers(r.X)}, {Shape: r.YShape, F64: numbers(r.DY)}}
		got, err := interpret(g, []*gorgonia.Node{x, dy}, values, gorgonia.Nodes{y, d[0]}, true)
		if err != nil {
			t.Errorf("record %d: %v", i, err)
			continue
		}
		for k, want := range [][]float64{numbers(r.Y), numbers(r.DX)} {
			for j, v := range want {
				w := got[k].F64[j]
				if !(math.Abs(v-w) <= 1e-14) && !(math.IsNaN(v) && math.IsNaN(w)) {
					t.Errorf("record %d %s %+v: %s[%d] = %v, PyTorch %v", i, r.Op, r.Attr, []string{"y", "dx"}[k], j, w, v)
					break
				}
			}
		}
	}
}

func numbers(list []any) []float64 {
	out := make([]float64, len(list))
	for i, v := range list {
		if f, ok := v.(float64); ok {
			out[i] = f
		} else {
			out[i] = math.NaN()
		}
	}
	return out
}

func TestPoolErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	for i, c := range []struct {
		x    []int
		a    PoolAttr
		want string
	}{
		{[]int{1, 1, 3, 3}, PoolAttr{Kernel: []int{4, 1}}, "covers 4 elements"},
		{[]int{1, 1, 3, 3}, PoolAttr{Kernel: []int{2}}, "kernel has 1 entries"},
		{[]int{1, 1, 3, 3}, PoolAttr{}, "kernel has 0 entries"},
		{[]int{1, 1, 3, 3}, PoolAttr{Kernel: []int{2, 2}, Pads: []int{2, 0, 0, 0}}, "in the padding"},
		{[]int{1, 3}, PoolAttr{Kernel: []int{2}}, "spatial axes"},
		{[]int{1, 1, 3, 3, 3}, PoolAttr{Kernel: []int{4, 2, 2}}, "covers 4 elements"},
		{[]int{1, 1, 3, 3}, PoolAttr{Kernel: []int{0, 1}}, "at least 1"},
	} {
		x := newInput(g, tensor.Float32, fmt.Sprint("x", i), c.x)
		for _, f := range []poolFunc{MaxPool, AveragePool} {
			if _, err := f(x, c.a); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("case %d: error %v, want one with %q", i, err, c.want)
			}
		}
	}
	flat := newInput(g, tensor.Float32, "flat", []int{2, 3})
	if _, err := GlobalMaxPool(flat); err == nil || !strings.Contains(err.Error(), "no spatial axes") {
		t.Errorf("GlobalMaxPool of a matrix: %v", err)
	}
}
