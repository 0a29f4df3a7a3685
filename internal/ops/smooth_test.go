package ops

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func TestLabelSmoothing(t *testing.T) {
	const e = 0.15
	for name, f := range map[string]func(x, y, w *gorgonia.Node, e float64) (*gorgonia.Node, error){"cross-entropy": SmoothCrossEntropy, "nll": SmoothNLL} {
		smooth := of2(func(x, y *gorgonia.Node) (*gorgonia.Node, error) { return f(x, y, nil, e) })
		for _, c := range lossShapes {
			if len(c.shape) == 1 {
				continue
			}
			x, y := randn(1, c.shape...), labels(2, c.shape[c.axis], without(c.shape, c.axis)...)
			checkGrad(t, smooth, x, y)
			// The mean over the classes k of the loss with label k has the weight e.
			classes := c.shape[c.axis]
			want := func(y *tensor.Dense) float64 {
				if name == "nll" {
					return naiveNLL(x, y, c.axis)
				}
				return naiveCrossEntropy(x, y, c.axis)
			}
			sum := (1 - e) * want(y)
			for k := range classes {
				all := make([]int64, y.Shape().TotalSize())
				for i := range all {
					all[i] = int64(k)
				}
				sum += e / float64(classes) * want(tensor.New(tensor.WithShape(y.Shape()...), tensor.WithBacking(all)))
			}
			checkValues(t, smooth, func(int) float64 { return sum }, x, y)
		}
	}
}

// torch.nn.functional.cross_entropy(torch.tensor([[1., 2, -1], [0.5, 0, 3]], dtype=torch.float64),
// torch.tensor([1, 0]), label_smoothing=0.1), torch 2.15
func TestLabelSmoothingIsTorchs(t *testing.T) {
	const want = 1.51977592090211
	x := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float64{1, 2, -1, 0.5, 0, 3}))
	y := tensor.New(tensor.WithShape(2), tensor.WithBacking([]int64{1, 0}))
	got, err := forward(t, tensor.Float64, of2(func(x, y *gorgonia.Node) (*gorgonia.Node, error) { return SmoothCrossEntropy(x, y, nil, 0.1) }), x, y)
	if err != nil {
		t.Fatal(err)
	}
	if d := math.Abs(got.F64[0] - want); d > 1e-12 {
		t.Errorf("%v, torch has %v", got.F64[0], want)
	}
}
