package ops

import (
	"fmt"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func TestNLLLoss(t *testing.T) {
	for i, shape := range [][]int{{4, 3}, {2, 5, 3}, {1, 2, 2, 3}, {3, 4, 70}} {
		for _, reduction := range []string{"none", "sum", "mean", ""} {
			for _, ignore := range []bool{false, true} {
				for _, weighted := range []bool{false, true} {
					name := fmt.Sprint(shape, reduction, ignore, weighted)
					a := NLLAttr{reduction, 1, ignore}
					x := randn(uint64(i), shape...)
					label := labels(uint64(i), shape[1], append([]int{shape[0]}, shape[2:]...)...)
					if ignore {
						a.Ignore = -7 // outside of the classes, as PyTorch's -100 is
						label.Data().([]int64)[0] = -7
					}
					weights := uniform(3, 0.5, 2, shape[1])
					build := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
						var w *gorgonia.Node
						if weighted {
							w = in[2]
						}
						return NLLLoss(in[0], in[1], w, a)
					}
					inputs := []*tensor.Dense{x, label}
					if weighted {
						inputs = append(inputs, weights)
					}
					if len0(shape) < 200 {
						checkGradWRT(t, []int{0}, build, inputs...)
					}
					got, err := forward(t, tensor.Float64, build, inputs...)
					if err != nil {
						t.Fatal(err)
					}
					var each []float64
					var sum, total float64
					out := append([]int{shape[0]}, shape[2:]...)
					positions(out, func(at []int) {
						l := label.Data().([]int64)[flatIndex(at, out)]
						if l < 0 {
							each = append(each, 0)
							return
						}
						w := 1.0
						if weighted {
							w = weights.Data().([]float64)[l]
						}
						v := -w * x.Data().([]float64)[flatIndex(append([]int{at[0], int(l)}, at[1:]...), shape)]
						each = append(each, v)
						sum, total = sum+v, total+w
					})
					want := each
					if reduction != "none" {
						if out = []int{}; reduction == "sum" {
							total = 1
						}
						want = []float64{sum / total}
					}
					approx(t, name, got, out, want, 1e-12)
				}
			}
		}
	}
	for _, bad := range []int64{-1, 3} {
		label := tensor.New(tensor.WithShape(2), tensor.WithBacking([]int64{0, bad}))
		if _, err := forward(t, tensor.Float64, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
			return NLLLoss(in[0], in[1], nil, NLLAttr{})
		}, randn(1, 2, 3), label); err == nil {
			t.Errorf("label %d of 3 classes: no error", bad)
		}
	}
}
