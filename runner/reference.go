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

// A Reference computes losses over one mini-batch and their derivatives in double precision: a reference to hold float32's
// against, of plain loops. It is not safe for concurrent use.
type Reference struct {
	c             *compiled
	batch         *Batch
	weights, grad []float64
}

// NewReference compiles the loss over b. net is built with Options.Training and Dtype tensor.Float64; floating-point inputs and
// targets of b are float64, others int64. The loss becomes a part of net's graph, so net serves one call. threads is 0 for
// one a processor.
func NewReference(net *onnxload.Net, loss Loss, b *Batch, threads int) (*Reference, error) {
	if o := net.Options(); o.Dtype != tensor.Float64 || !o.Training {
		return nil, fmt.Errorf("runner: a Reference needs a network built with Training and Dtype Float64")
	}
	if len(net.Params) == 0 {
		return nil, fmt.Errorf("runner: the network has no trainable weights")
	}
	s := &Step{net: net, loss: loss, pool: parallel.New(threads)}
	if _, err := s.check(b); err != nil {
		return nil, err
	}
	r := &Reference{batch: b, weights: widened(net.Weights()), grad: make([]float64, net.NumWeights())}
	err := ops.Building(func() (err error) {
		r.c, err = s.differentiate(net, forGradient, b)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, g := range r.c.grads {
		if err := r.c.vm.BindF64(g.handle, r.grad[g.from:g.to]); err != nil {
			return nil, err
		}
	}
	if err := r.c.bindWide(r.weights, widened(net.Running()), widened(net.FrozenWeights())); err != nil {
		return nil, err
	}
	r.c.params, r.c.buffers, r.c.frozen = nil, nil, nil // bound for good
	return r, nil
}

// Weights are the file's at first, in the order of net.Params. Whoever changes them changes what Grad computes.
func (r *Reference) Weights() []float64 { return r.weights }

// Grad computes the loss, in training mode without dropout if net's Options.Dropout is 0, and its derivative by the weights, which
// is overwritten by the next call; a weight that has no influence on the loss has zeros.
func (r *Reference) Grad(ctx context.Context) (loss float64, grad []float64, err error) {
	if err := r.c.run(ctx, nil, nil, r.batch, exec.Draw{}); err != nil {
		return 0, nil, err
	}
	return r.c.vm.Buf(r.c.loss).F64[0], r.grad, nil
}

// Gradient64 is the first Grad of a Reference.
func Gradient64(ctx context.Context, net *onnxload.Net, loss Loss, b *Batch, threads int) (l float64, grad []float64, err error) {
	r, err := NewReference(net, loss, b, threads)
	if err != nil {
		return 0, nil, err
	}
	return r.Grad(ctx)
}
