package runner_test

import (
	"context"
	"fmt"
	"log"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/models"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// A service trains a network on samples that it has in memory and gets an ONNX file back.
func Example() {
	file, err := models.Open("mnistconv") // or os.ReadFile
	check(err)
	model, err := onnxload.Parse(file)
	check(err)
	net, err := model.Build(32, onnxload.Options{Training: true})
	check(err)
	step, err := runner.Compile(net, runner.CrossEntropy, runner.Options{})
	check(err)
	source, err := runner.NewMemory(stripes(320))
	check(err)

	method := optimizer.DefaultEntropySGD()
	method.L = 5
	report, err := runner.Train(context.Background(), step, method, source,
		runner.Config{Batch: 32, Evals: 60, Test: source})
	check(err)
	trained, err := net.Export(report.Weights, report.Running, onnxload.ExportOptions{})
	check(err)
	fmt.Printf("%d gradients, %d outer steps, error below 5 %%: %t, a file again: %t\n",
		report.Evals, report.Outer, report.Test.Error < 0.05, len(trained) > 400_000)
	// Output: 60 gradients, 12 outer steps, error below 5 %: true, a file again: true
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// stripes makes n images of 28x28 whose class is the place of a bright stripe.
func stripes(n int) (inputs, targets []*tensor.Dense) {
	x, y := make([]float32, n*28*28), make([]int64, n)
	for i := range y {
		y[i] = int64(i * 7 % 10)
		for j := range 28 * 5 {
			x[i*784+int(y[i])*2*28+j] = 0.5 + float32((i*31+j*17)%64)/64
		}
	}
	return []*tensor.Dense{tensor.New(tensor.WithShape(n, 1, 28, 28), tensor.WithBacking(x))},
		[]*tensor.Dense{tensor.New(tensor.WithShape(n), tensor.WithBacking(y))}
}
