package main

import (
	"context"
	"slices"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// outputsOf computes the outputs of a model, by name, for inputs in file order. It goes through the runner, and
// so through the machine that trains: whose batches have the samples on axis 0 of every input. An input that
// does not, or is of integers, is given to the graph as a known value.
func outputsOf(ctx context.Context, m *onnxload.Model, inputs []value) (map[string]value, error) {
	o := onnxload.Options{Known: map[string]*tensor.Dense{}, Shapes: map[string][]int{}}
	var b runner.Batch
	batch := 0
	for i, v := range inputs {
		name := m.Inputs[i].Name
		switch {
		case v.empty() && v.f != nil:
			return nil, unsupported("input %q of shape %v holds nothing", name, v.shape)
		case v.f != nil && len(v.shape) > 0 && (batch == 0 || v.shape[0] == batch):
			batch = v.shape[0]
			o.Shapes[name] = v.shape
			b.Inputs = append(b.Inputs, v.dense())
		default:
			o.Known[name] = v.dense()
		}
	}
	net, err := m.Build(max(batch, 1), o)
	if err != nil {
		return nil, err
	}
	weights := net.Weights()
	if len(net.Params) == 0 { // a case has often nothing to train, which Compile does not expect
		net.Params = append(net.Params, onnxload.Param{})
	}
	got := map[string]value{}
	for i, n := range net.Outputs {
		name := net.OutputNames[i]
		if slices.Contains(net.Consts, n) {
			got[name] = constant(n.Value().Data(), n.Shape())
			continue
		}
		if n.Dtype() != tensor.Float32 {
			return nil, unsupported("output %q is of integers that depend on floating-point inputs", name)
		}
		if batch == 0 {
			return nil, unsupported("no input is a tensor of floating-point numbers")
		}
		step, err := runner.Compile(net, runner.MSE, runner.Options{Output: i})
		if err != nil {
			return nil, err
		}
		y, err := step.Predict(ctx, weights, net.Running(), &b)
		if err != nil {
			return nil, err
		}
		got[name] = constant(y.Data(), y.Shape())
	}
	return got, nil
}

// constant makes a value of a tensor's numbers.
func constant(data any, shape []int) value {
	v := value{shape: append([]int(nil), shape...)}
	switch d := data.(type) {
	case []float32:
		v.f = d
	case float32:
		v.f = []float32{d}
	case []int64:
		v.i = d
	case int64:
		v.i = []int64{d}
	}
	if v.f != nil {
		v.elem = int32(onnxpb.TensorProto_FLOAT)
	}
	return v
}
