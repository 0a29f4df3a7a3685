package optimizer_test

import (
	"fmt"
	"log"

	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// A driver that knows its gradients, here of the loss |x - (1, 2)|^2 / 2, needs no graph. Any method can stand in the first
// line: SAM asks twice a step, Parle for several points at once.
func Example() {
	method := optimizer.DefaultEntropySGD()
	method.Gamma, method.Scoping = 0.1, 0.01
	if err := method.Validate(); err != nil {
		log.Fatal(err)
	}
	s := method.Init([]float32{5, -5}, nil)
	var queries []optimizer.Query
	for s.Outer < 10 {
		queries = method.Ask(s, queries[:0])
		var results []optimizer.Result
		for _, q := range queries {
			dx, dy := q.Point[0]-1, q.Point[1]-2
			results = append(results, optimizer.Result{Loss: float64(dx*dx+dy*dy) / 2, Grad: []float32{dx, dy}})
		}
		method.Tell(s, results)
	}
	fmt.Printf("%.1f after %d gradients in %d outer steps, gamma %.3f\n", method.Params(s), s.Evals, s.Outer, method.Stats(s).Gamma)
	// Output: [1.0 2.0] after 200 gradients in 10 outer steps, gamma 0.109
}

// Schedules are plain functions of the progress through a run, and compose.
func ExampleWarmUp() {
	f := optimizer.WarmUp(0.1, optimizer.Drops(0.5, 0.5))
	for _, progress := range []float64{0, 0.05, 0.1, 0.5, 0.6} {
		fmt.Print(f(1, progress), " ")
	}
	// Output: 0.1 0.55 1 1 0.5
}
