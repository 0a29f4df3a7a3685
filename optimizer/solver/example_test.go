package solver_test

import (
	"fmt"
	"log"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/optimizer/solver"
)

// A Gorgonia program that learns exclusive or. Only the two lines with the solver tell it from one that
// uses a solver of Gorgonia.
func Example() {
	g := gorgonia.NewGraph()
	matrix := func(name string, rows, cols int, values ...float64) *gorgonia.Node {
		return gorgonia.NewMatrix(g, tensor.Float64, gorgonia.WithShape(rows, cols), gorgonia.WithName(name),
			gorgonia.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(values))))
	}
	x := matrix("x", 4, 3, 0, 0, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1) // the third input is the bias
	y := matrix("y", 4, 1, 0, 1, 1, 0)
	w1 := matrix("w1", 3, 4, 0.9, -0.7, 0.4, -0.2, -0.6, 0.8, 0.5, -0.9, 0.1, -0.3, 0.2, 0.7)
	w2 := matrix("w2", 4, 1, 0.6, -0.4, 0.8, -0.5)
	hidden := gorgonia.Must(gorgonia.Tanh(gorgonia.Must(gorgonia.Mul(x, w1))))
	out := gorgonia.Must(gorgonia.Sigmoid(gorgonia.Must(gorgonia.Mul(hidden, w2))))
	loss := gorgonia.Must(gorgonia.Mean(gorgonia.Must(gorgonia.Square(gorgonia.Must(gorgonia.Sub(out, y))))))
	if _, err := gorgonia.Grad(loss, w1, w2); err != nil {
		log.Fatal(err)
	}
	var learned gorgonia.Value
	gorgonia.Read(out, &learned) // the machine reuses the memory of out itself
	machine := gorgonia.NewTapeMachine(g, gorgonia.BindDualValues(w1, w2))
	defer machine.Close()

	method := optimizer.DefaultEntropySGD()
	method.InnerLR = 0.5
	model := gorgonia.NodesToValueGrads(gorgonia.Nodes{w1, w2})
	s := solver.New(method)
	for range 50 * method.L {
		if err := machine.RunAll(); err != nil {
			log.Fatal(err)
		}
		if err := s.Step(model); err != nil {
			log.Fatal(err)
		}
		machine.Reset()
	}
	if err := s.Finish(); err != nil {
		log.Fatal(err)
	}

	if err := machine.RunAll(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.1f after %d outer steps\n", learned.Data(), s.State().Outer)
	// Output: [0.0 1.0 1.0 0.0] after 50 outer steps
}
