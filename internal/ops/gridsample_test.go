package ops

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestGridSample: the values are those of PyTorch where the ONNX cases have them; here the derivatives, and that places of the
// grid that name elements give these elements.
func TestGridSample(t *testing.T) {
	for i, c := range []struct{ x, grid []int }{
		{[]int{2, 2, 4, 5}, []int{2, 3, 2, 2}}, {[]int{1, 2, 3, 2, 4}, []int{1, 1, 2, 3, 3}}, {[]int{2, 1, 6}, []int{2, 5, 1}},
	} {
		for _, mode := range []string{"linear", "nearest", "cubic"} {
			for _, padding := range []string{"zeros", "border", "reflection"} {
				for _, corners := range []bool{false, true} {
					t.Run(fmt.Sprint(c.x, mode, padding, corners), func(t *testing.T) {
						build := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
							return GridSample(in[0], in[1], GridAttr{mode, padding, corners})
						}
						x, grid := randn(uint64(i), c.x...), uniform(uint64(i), -1.4, 1.4, c.grid...)
						if mode != "nearest" {
							checkGrad(t, build, x, grid)
						} else {
							checkGradWRT(t, []int{0}, build, x, grid)
						}
					})
				}
			}
		}
	}
	shape := []int{1, 2, 3, 5}
	var grid []float64
	for r := range 3 {
		for q := range 5 {
			grid = append(grid, float64(q)/2-1, float64(r)-1)
		}
	}
	x := randn(1, shape...)
	for _, mode := range []string{"linear", "nearest", "cubic"} {
		got, err := forward(t, tensor.Float64, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
			return GridSample(in[0], in[1], GridAttr{mode, "zeros", true})
		}, x, tensor.New(tensor.WithShape(1, 3, 5, 2), tensor.WithBacking(grid)))
		if err != nil {
			t.Fatal(err)
		}
		approx(t, mode, got, shape, x.Data().([]float64), 1e-12)
	}
	// Places that are no numbers, or far away, are outside.
	far := tensor.New(tensor.WithShape(1, 1, 2, 2), tensor.WithBacking([]float64{math.NaN(), 0, 1e300, math.Inf(-1)}))
	for _, mode := range []string{"linear", "nearest", "cubic"} {
		got, err := forward(t, tensor.Float64, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
			return GridSample(in[0], in[1], GridAttr{mode, "zeros", true})
		}, x, far)
		if err != nil {
			t.Fatal(err)
		}
		if got.F64[1] != 0 || math.IsNaN(got.F64[0]) {
			t.Errorf("%s: %v", mode, got.F64)
		}
	}
}
