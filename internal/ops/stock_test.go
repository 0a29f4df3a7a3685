package ops_test

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// TestName: Gorgonia calls its sum, which bench --ops lists where derivatives meet, "+ false".
func TestName(t *testing.T) {
	g := gorgonia.NewGraph()
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithShape(2, 3), gorgonia.WithName("x"))
	sum := gorgonia.Must(gorgonia.Add(x, x))
	relu := gorgonia.Must(ops.Relu(sum))
	for n, want := range map[*gorgonia.Node]string{x: "x", sum: "Add", relu: "Relu"} {
		if got := ops.Name(n); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
