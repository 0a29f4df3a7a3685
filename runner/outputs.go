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
// int64, in the order of net.Inputs; float64 in place of float32 for a net of float64. The results, in the order of
// net.Outputs, are the caller's, and of the same types.
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
	pool := parallel.New(0)
	width := int64(1)
	if net.Options().Dtype == tensor.Float64 {
		width = 3
	}
	if err := fits(net, plan, net.Memory()+4*width*int64(net.NumWeights()+net.NumRunning()), 1, pool.Threads()); err != nil {
		return nil, err
	}
	c := &compiled{net: net, vm: plan.New(pool)}
	c.bindings()
	frozen := net.FrozenWeights()
	if net.Options().Dtype == tensor.Float64 {
		if err := c.bindWide(widened(x), widened(running), widened(frozen)); err != nil {
			return nil, err
		}
		c.params, c.buffers, c.frozen = nil, nil, nil
	}
	if err := c.bindFrozen(frozen); err != nil {
		return nil, err
	}
	if err := c.run(ctx, x, running, &Batch{Inputs: inputs}, exec.Draw{}); err != nil {
		return nil, err
	}
	var out []*tensor.Dense
	for _, n := range net.Outputs {
		out = append(out, dense(c.vm.Buf(n)))
	}
	return out, nil
}

// bindWide binds weights and running statistics to a net of float64, which reads them where they are.
func (c *compiled) bindWide(x, running, frozen []float64) error {
	for _, of := range []struct {
		list []binding
		data []float64
	}{{c.params, x}, {c.buffers, running}, {c.frozen, frozen}} {
		for _, p := range of.list {
			if err := c.vm.BindF64(p.handle, of.data[p.from:p.to]); err != nil {
				return err
			}
		}
	}
	return nil
}

// widened returns x in double precision.
func widened(x []float32) []float64 {
	wide := make([]float64, len(x))
	for i, v := range x {
		wide[i] = float64(v)
	}
	return wide
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
