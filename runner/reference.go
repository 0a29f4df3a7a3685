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

// Gradient64 computes the loss over b and its derivative by the weights in double precision, once, at the weights of
// the file: a reference to hold float32's against, of plain loops. net is built with Options.Training and Dtype
// tensor.Float64; floating-point inputs and targets of b are float64, others int64. The derivative is in the order of
// net.Params; a weight that has no influence on the loss has zeros. The loss becomes a part of net's graph, so net
// serves one call. threads is 0 for one a processor.
func Gradient64(ctx context.Context, net *onnxload.Net, loss Loss, b *Batch, threads int) (l float64, grad []float64, err error) {
	if o := net.Options(); o.Dtype != tensor.Float64 || !o.Training {
		return 0, nil, fmt.Errorf("runner: Gradient64 needs a network built with Training and Dtype Float64")
	}
	if len(net.Params) == 0 {
		return 0, nil, fmt.Errorf("runner: the network has no trainable weights")
	}
	s := &Step{net: net, loss: loss, pool: parallel.New(threads)}
	if _, err := s.check(b); err != nil {
		return 0, nil, err
	}
	var c *compiled
	err = ops.Building(func() (err error) {
		c, err = s.differentiate(net, forGradient, b)
		return err
	})
	if err != nil {
		return 0, nil, err
	}
	grad = make([]float64, net.NumWeights())
	for _, g := range c.grads {
		if err := c.vm.BindF64(g.handle, grad[g.from:g.to]); err != nil {
			return 0, nil, err
		}
	}
	if err := c.bindWide(net.Weights(), net.Running(), net.FrozenWeights()); err != nil {
		return 0, nil, err
	}
	c.params, c.buffers, c.frozen = nil, nil, nil
	if err := c.run(ctx, nil, nil, b, exec.Draw{}); err != nil {
		return 0, nil, err
	}
	return c.vm.Buf(c.loss).F64[0], grad, nil
}
