package runner

import (
	"context"
	"fmt"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/exec"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// Outputs computes all outputs of net once, at the weights x and the running statistics, in the mode and for
// the shapes that net was built with; dropout, if it is active, has the masks of seed 0. inputs are float32 or
// int64, in the order of net.Inputs. The results, in the order of net.Outputs, are the caller's.
//
// It plans anew at each call; Step.Predict does not.
func Outputs(ctx context.Context, net *onnxload.Net, x, running []float32, inputs []*tensor.Dense) ([]*tensor.Dense, error) {
	if len(x) != net.NumWeights() || len(running) != net.NumRunning() {
		return nil, fmt.Errorf("runner: %d weights and %d running statistics for a network of %d and %d", len(x), len(running), net.NumWeights(), net.NumRunning())
	}
	plan, err := exec.Compile(net.Outputs, exec.Options{})
	if err != nil {
		return nil, err
	}
	c := &compiled{net: net, vm: plan.New(parallel.New(0))}
	c.bindings()
	if err := c.run(ctx, x, running, &Batch{Inputs: inputs}, exec.Draw{}); err != nil {
		return nil, err
	}
	var out []*tensor.Dense
	for _, n := range net.Outputs {
		out = append(out, dense(c.vm.Buf(n)))
	}
	return out, nil
}

// dense copies a buffer to a tensor.
func dense(b *ops.Buf) *tensor.Dense {
	shape := tensor.WithShape(b.Shape...)
	switch {
	case b.F32 != nil:
		return tensor.New(shape, tensor.WithBacking(append([]float32(nil), b.F32...)))
	case b.F64 != nil:
		return tensor.New(shape, tensor.WithBacking(append([]float64(nil), b.F64...)))
	}
	return tensor.New(shape, tensor.WithBacking(append([]int64(nil), b.I64...)))
}
