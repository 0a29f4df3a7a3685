package main

import (
	"context"
	"errors"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// outputsOf computes the outputs of a model, in the mode that the file is in, by name, for inputs of any shapes in file order. Shapes, axes and bounds
// may be among the inputs, which a graph must know when it is built: if the graph cannot be built with all inputs
// free, the last is given to it as a known value, then the last two, and so on.
func outputsOf(ctx context.Context, m *onnxload.Model, inputs []value, limit int64) (map[string]value, error) {
	dtype := tensor.Float32
	for _, v := range append(m.Inputs[:len(m.Inputs):len(m.Inputs)], m.Outputs...) {
		if v.Type == "DOUBLE" {
			dtype = tensor.Float64
		}
	}
	var first error
	for known := 0; known <= len(inputs); known++ {
		got, err := outputsWith(ctx, m, inputs, len(inputs)-known, dtype, limit)
		var u *onnxload.UnsupportedError
		if err == nil || !errors.As(err, &u) {
			return got, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// outputsWith gives the first inputs, as many as free says and of those the ones that have elements, when the graph
// runs.
func outputsWith(ctx context.Context, m *onnxload.Model, inputs []value, free int, dtype tensor.Dtype, limit int64) (map[string]value, error) {
	o := onnxload.Options{Training: m.TrainingMode(), Dtype: dtype, MaxMemory: limit, Known: map[string]*tensor.Dense{}, Shapes: map[string][]int{}}
	var data []*tensor.Dense
	for i, v := range inputs {
		name := m.Inputs[i].Name
		if i >= free || v.empty() {
			o.Known[name] = v.dense(tensor.Float64)
			continue
		}
		o.Shapes[name] = append([]int{}, v.shape...)
		data = append(data, v.dense(dtype))
	}
	net, err := m.Build(1, o)
	if err != nil {
		return nil, err
	}
	if net.Random {
		return nil, unsupported("it draws random numbers, which no two implementations have in common")
	}
	outputs, err := runner.Outputs(ctx, net, net.Weights(), net.Running(), data)
	if err != nil {
		return nil, err
	}
	got := map[string]value{}
	for i, y := range outputs {
		got[net.OutputNames[i]] = numbersOf(net.OutputTypes[i], y)
	}
	return got, nil
}

// numbersOf makes a value of a tensor's numbers.
func numbersOf(typeName string, y *tensor.Dense) value {
	v := value{elem: onnxpb.TensorProto_DataType_value[typeName], shape: append([]int(nil), y.Shape()...)}
	if product(v.shape) == 0 {
		return v // of which Gorgonia's tensors have no data
	}
	switch d := y.Data().(type) {
	case []float32:
		v.f = make([]float64, len(d))
		for i, x := range d {
			v.f[i] = float64(x)
		}
	case float32:
		v.f = []float64{float64(d)}
	case []float64:
		v.f = d
	case float64:
		v.f = []float64{d}
	case []int64:
		v.i = d
	case int64:
		v.i = []int64{d}
	}
	return v
}
