package ops

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// TestFLOPs compares with numbers counted by hand.
func TestFLOPs(t *testing.T) {
	g := gorgonia.NewGraph()
	in := func(name string, shape ...int) *gorgonia.Node { return newInput(g, tensor.Float32, name, shape) }
	x := in("x", 5, 3, 6) // steps, sequences, features
	lstm, _, _, err := LSTM(Recurrent{X: x, W: in("w", 1, 16, 6), R: in("r", 1, 16, 4)})
	if err != nil {
		t.Fatal(err)
	}
	tape := operandsOf(lstm)[0]
	grads, err := gorgonia.Grad(must1(t)(ReduceSum(lstm, nil, false)), x)
	if err != nil {
		t.Fatal(err)
	}
	back := operandsOf(operandsOf(grads[0])[0])[0] // of the view that the product reads
	conv := ConvAttr{Group: 2}
	for _, c := range []struct {
		name string
		node *gorgonia.Node
		want float64
	}{
		{"Gemm", must1(t)(Gemm(in("a", 4, 3), in("b", 4, 5), nil, 1, 1, true, false)), 2 * 3 * 4 * 5},
		{"MatMul of a stack", must1(t)(MatMul(in("c", 7, 2, 3), in("d", 7, 3, 5))), 7 * 2 * 2 * 3 * 5},
		{"MatMul of rows", must1(t)(MatMul(in("e", 7, 2, 3), in("f", 3, 5))), 7 * 2 * 2 * 3 * 5},
		{"Conv in 2 groups", must1(t)(Conv(in("h", 2, 4, 5, 5), in("i", 6, 2, 3, 3), nil, conv)), 2 * 2 * 6 * 9 * 2 * 9},
		{"LSTM", tape, 2 * 5 * 3 * 16 * (6 + 4)},
		{"its derivative", back, 2 * 5 * 3 * 16 * 4},
		{"product with W in it", grads[0], 2 * 5 * 3 * 16 * 6},
		{"Relu", must1(t)(Relu(x)), 0},
	} {
		if got := FLOPs(c.node.Op()); got != c.want {
			t.Errorf("%s (%v): %v, want %v", c.name, c.node.Op(), got, c.want)
		}
	}
}

func must1(t *testing.T) func(*gorgonia.Node, error) *gorgonia.Node {
	return func(n *gorgonia.Node, err error) *gorgonia.Node {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

func operandsOf(n *gorgonia.Node) []*gorgonia.Node {
	var in []*gorgonia.Node
	for it := n.Graph().From(n.ID()); it.Next(); {
		in = append(in, it.Node().(*gorgonia.Node))
	}
	return in
}
