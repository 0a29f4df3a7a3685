package runner_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/models"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// A program that trains a language model on numbered symbols, here the letters of a text, with the recurrent states
// carried from window to window.
func ExampleNewTokens() {
	var ids []int64
	for _, b := range []byte(strings.Repeat("ROW, ROW, ROW YOUR BOAT, ", 60)) {
		ids = append(ids, int64(b)-' ')
	}
	file, err := models.Open("charlstm") // (batch, 50) symbols
	check(err)
	model, err := onnxload.Parse(file)
	check(err)
	const streams, window = 4, 50
	net, err := model.Build(streams, onnxload.Options{Training: true, Carry: true})
	check(err)
	step, err := runner.Compile(net, runner.CrossEntropy, runner.Options{})
	check(err)
	train, err := runner.NewTokens(ids[:1200], streams, window)
	check(err)
	test, err := runner.NewWholeText(ids[1200:], 1, window)
	check(err)
	method := optimizer.DefaultAdam()
	method.LR = 0.01
	report, err := runner.Train(context.Background(), step, method, train, runner.Config{Batch: streams, Evals: 60, Test: test})
	check(err)
	fmt.Println(len(net.States), "states;", report.Test.Count, "letters; mostly right:", report.Test.Error < 0.1)
	// Output: 4 states; 299 letters; mostly right: true
}
