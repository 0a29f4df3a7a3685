package ops

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestFoldNorm compares the folded convolution with a convolution of one position and BatchNormalization written out, in
// both types and with gradients, groups, with and without a bias.
func TestFoldNorm(t *testing.T) {
	const eps, n, channels, area, out = 1e-3, 2, 4, 6, 6
	for _, group := range []int{1, 2} {
		for _, biased := range []bool{true, false} {
			per := channels / group
			build := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
				bias := in[6]
				if !biased {
					bias = nil
				}
				x, err := Conv(in[0], in[1], bias, ConvAttr{Group: group})
				if err != nil {
					return nil, err
				}
				y, ok, err := FoldNorm(x, in[2], in[3], in[4], in[5], eps)
				if !ok {
					t.Error("not folded")
				}
				if err == nil && !biased {
					y, err = Add(y, in[6]) // so that it is used; it is 0
				}
				return y, err
			}
			x, w := randn(1, n, channels, 2, 3), randn(2, out, per, 1, 1)
			scale, shift, mean, bias := randn(3, out), randn(4, out), randn(5, out), randn(6, out)
			if !biased {
				bias = tensor.New(tensor.WithShape(1), tensor.Of(tensor.Float64))
			}
			variance := uniform(7, 0.2, 3, out)
			at := func(d *tensor.Dense, i int) float64 { return d.Float64s()[i] }
			want := func(i int) float64 {
				s, m, p := i/(out*area), i/area%out, i%area
				sum := 0.0
				if biased {
					sum = at(bias, m)
				}
				for c := range per {
					sum += at(w, m*per+c) * at(x, (s*channels+m/(out/group)*per+c)*area+p)
				}
				return (sum-at(mean, m))/math.Sqrt(at(variance, m)+eps)*at(scale, m) + at(shift, m)
			}
			checkValues(t, build, want, x, w, scale, shift, mean, variance, bias)
		}
	}
	g := gorgonia.NewGraph()
	x := gorgonia.NewTensor(g, tensor.Float32, 2, gorgonia.WithShape(2, 3), gorgonia.WithName("x"))
	if _, ok, err := FoldNorm(x, x, x, x, x, 0); ok || err != nil {
		t.Errorf("an input is folded: %v", err)
	}
}
