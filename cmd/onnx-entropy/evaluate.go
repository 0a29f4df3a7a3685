package main

import (
	"context"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// outputsOf computes the outputs of a model, by name, for inputs of any shapes in file order. Integers and scalars are
// given to the graph as known values: shapes, axes and bounds are among them.
func outputsOf(ctx context.Context, m *onnxload.Model, inputs []value) (map[string]value, error) {
	o := onnxload.Options{Known: map[string]*tensor.Dense{}, Shapes: map[string][]int{}}
	var free []*tensor.Dense
	for i, v := range inputs {
		name := m.Inputs[i].Name
		if v.f == nil || len(v.shape) == 0 {
			o.Known[name] = v.dense()
			continue
		}
		if v.empty() {
			return nil, unsupported("input %q of shape %v holds nothing", name, v.shape)
		}
		o.Shapes[name] = v.shape
		free = append(free, v.dense())
	}
	net, err := m.Build(1, o)
	if err != nil {
		return nil, err
	}
	outputs, err := runner.Outputs(ctx, net, net.Weights(), net.Running(), free)
	if err != nil {
		return nil, err
	}
	got := map[string]value{}
	for i, y := range outputs {
		got[net.OutputNames[i]] = constant(y.Data(), y.Shape())
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
