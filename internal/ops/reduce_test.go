package ops

import (
	"fmt"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// naiveReduce sums over axes by adding every element to its place.
func naiveReduce(x []float64, shape []int, over []bool) (out []float64, count int) {
	count = 1
	n := 1
	for k, d := range shape {
		if over[k] {
			count *= d
		} else {
			n *= d
		}
	}
	out = make([]float64, n)
	at := make([]int, len(shape))
	for _, v := range x {
		i := 0
		for k := range shape {
			if !over[k] {
				i = i*shape[k] + at[k]
			}
		}
		out[i] += v
		for k := len(shape) - 1; k >= 0; k-- {
			if at[k]++; at[k] < shape[k] {
				break
			}
			at[k] = 0
		}
	}
	return out, count
}

func TestReduce(t *testing.T) {
	for _, shape := range [][]int{{}, {1}, {6}, {3, 4}, {2, 3, 4}, {2, 1, 3, 2}, {3, 2, 1, 2, 2}} {
		for set := range 1 << len(shape) {
			over := make([]bool, len(shape))
			var axes []int
			for k := range shape {
				if set>>k&1 == 1 {
					axes = append(axes, k-k%2*len(shape)) // some from the end
					over[k] = true
				}
			}
			if set == 0 {
				for k := range over {
					over[k] = true // no axes means all
				}
			}
			for _, keep := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v/%v/%v", shape, axes, keep), func(t *testing.T) {
					x := randn(1, shape...)
					total := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ReduceSum(x, axes, keep) })
					mean := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ReduceMean(x, axes, keep) })
					checkGrad(t, total, x)
					checkGrad(t, mean, x)
					b, _ := FromValue(x)
					want, count := naiveReduce(b.F64, shape, over)
					checkValues(t, total, func(i int) float64 { return want[i] }, x)
					checkValues(t, mean, func(i int) float64 { return want[i] / float64(count) }, x)
					y, err := forward(t, tensor.Float64, total, x)
					if err != nil {
						t.Fatal(err)
					}
					out := []int{}
					for k, d := range shape {
						if !over[k] {
							out = append(out, d)
						} else if keep {
							out = append(out, 1)
						}
					}
					if !sameShape(y.Shape, out) {
						t.Errorf("shape %v, want %v", y.Shape, out)
					}
				})
			}
		}
	}
}

// TestReduceParts has sums of several parts and slices, of all the kinds of loops.
func TestReduceParts(t *testing.T) {
	for _, c := range []struct{ shape, axes []int }{
		{[]int{5*chunk + 3}, []int{0}},
		{[]int{3, 20001}, []int{1}},
		{[]int{3, 20001}, []int{0}},
		{[]int{20001, 3}, []int{0}},
		{[]int{20001, 3}, []int{1}},
		{[]int{301, 203}, []int{0}},
		{[]int{301, 203}, []int{1}},
		{[]int{50, 3, 33, 31}, []int{0, 2, 3}},
		{[]int{50, 3, 33, 31}, []int{1}},
		{[]int{50, 3, 33, 31}, []int{0, 2}},
		{[]int{2, 3, 133, 130}, []int{2}},
		{[]int{100, 1000}, []int{0}},
		{[]int{3, 33, 1023}, []int{1}},
		{[]int{2, 40000, 2}, []int{1}},
		{[]int{2, 2, 9000, 3}, []int{0, 2}},
	} {
		over := make([]bool, len(c.shape))
		for _, a := range c.axes {
			over[a] = true
		}
		x := randn(1, c.shape...)
		want, _ := naiveReduce(x.Float64s(), c.shape, over)
		total := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ReduceSum(x, c.axes, false) })
		checkValues(t, total, func(i int) float64 { return want[i] }, x)
	}
}

// TestSumAccuracy sums a million times 0.1: in float32 alone the error would be of order 1e3.
func TestSumAccuracy(t *testing.T) {
	const n = 1 << 20
	x := fill(func(int) float64 { return 0.1 }, n)
	b, err := forward(t, tensor.Float32, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ReduceSum(x, nil, false) }), x)
	if err != nil {
		t.Fatal(err)
	}
	tenth := float32(0.1)
	if want := float32(n * float64(tenth)); b.F32[0] != want {
		t.Errorf("sum %v, want %v", b.F32[0], want)
	}
}

func TestReduceErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	x := newInput(g, tensor.Float32, "x", []int{2, 3})
	for _, axes := range [][]int{{2}, {-3}, {0, 0}, {1, -1}} {
		if _, err := ReduceSum(x, axes, true); err == nil {
			t.Errorf("axes %v of %v are accepted", axes, x.Shape())
		}
	}
}
