package runner_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/onnx-entropy/onnx-entropy/models"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// A service whose runs survive it: it goes on where there is a checkpoint, else it begins. The run that was stopped ends with the
// weights of one that was not.
func ExampleCheckpoints() {
	file, err := models.Open("mnistconv")
	check(err)
	model, err := onnxload.Parse(file)
	check(err)
	net, err := model.Build(16, onnxload.Options{Training: true})
	check(err)
	step, err := runner.Compile(net, runner.CrossEntropy, runner.Options{})
	check(err)
	source, err := runner.NewMemory(stripes(64))
	check(err)
	train := func(ctx context.Context, dir string, watch func(runner.Progress)) (*runner.Report, error) {
		method := optimizer.DefaultEntropySGD()
		method.L = 4
		config := runner.Config{Batch: 16, Evals: 20, Observe: watch, Checkpoints: &runner.Checkpoints{Dir: dir, Gradients: 6, Resume: true}}
		report, err := runner.Train(ctx, step, method, source, config)
		if errors.Is(err, runner.ErrNoCheckpoint) {
			config.Checkpoints.Resume = false
			report, err = runner.Train(ctx, step, method, source, config)
		}
		return report, err
	}

	dir, err := os.MkdirTemp("", "run")
	check(err)
	defer os.RemoveAll(dir)
	whole, err := train(context.Background(), filepath.Join(dir, "whole"), nil)
	check(err)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	_, err = train(ctx, filepath.Join(dir, "stopped"), func(p runner.Progress) {
		if p.Outer == 2 {
			stop()
		}
	})
	fmt.Println("stopped:", errors.Is(err, context.Canceled))
	again, err := train(context.Background(), filepath.Join(dir, "stopped"), nil)
	check(err)
	fmt.Println(again.Evals, "gradients, the same weights:", slices.Equal(again.Weights, whole.Weights))
	// Output:
	// stopped: true
	// 20 gradients, the same weights: true
}
