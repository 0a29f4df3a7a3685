package onnxload_test

import (
	"context"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/exec"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// run computes nodes of a net at the weights and running statistics of its file. Values of the free inputs and of
// targets are given by node; floats are rounded if the net computes in float32.
func run(t testing.TB, net *onnxload.Net, values map[*gorgonia.Node]any, results ...*gorgonia.Node) [][]float64 {
	t.Helper()
	out, err := tryRun(t, net, values, results...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tryRun is run for graphs whose run may be an error.
func tryRun(t testing.TB, net *onnxload.Net, values map[*gorgonia.Node]any, results ...*gorgonia.Node) ([][]float64, error) {
	t.Helper()
	plan, err := exec.Compile(results, exec.Options{})
	if err != nil {
		t.Fatal(err)
	}
	vm := plan.New(parallel.New(1))
	bind := func(n *gorgonia.Node, v any) {
		t.Helper()
		h, ok := vm.Input(n)
		if !ok {
			return
		}
		var err error
		switch v := v.(type) {
		case []int64:
			err = vm.BindI64(h, v)
		case []float32:
			if n.Dtype() == tensor.Float32 {
				err = vm.BindF32(h, v)
			} else {
				err = vm.BindF64(h, wide(v))
			}
		case []float64:
			if n.Dtype() == tensor.Float32 {
				err = vm.BindF32(h, narrow(v))
			} else {
				err = vm.BindF64(h, v)
			}
		}
		if err != nil {
			t.Fatalf("input %q: %v", n.Name(), err)
		}
	}
	weights, running := net.Weights(), net.Running()
	for _, p := range net.Params {
		bind(p.Node, weights[p.From:p.To])
	}
	frozen := net.FrozenWeights()
	for _, p := range net.Frozen {
		bind(p.Node, frozen[p.From:p.To])
	}
	for _, b := range net.Buffers {
		if b.Node != nil {
			bind(b.Node, running[b.From:b.To])
		}
	}
	for n, v := range values {
		bind(n, v)
	}
	if err := vm.Run(context.Background(), exec.Draw{}); err != nil {
		return nil, err
	}
	var out [][]float64
	for _, n := range results {
		b := vm.Buf(n)
		if b.I64 != nil {
			var x []float64
			for _, v := range b.I64 {
				x = append(x, float64(v))
			}
			out = append(out, x)
			continue
		}
		if b.F32 != nil {
			out = append(out, wide(b.F32))
			continue
		}
		out = append(out, append([]float64(nil), b.F64...))
	}
	return out, nil
}

func wide(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

// gradients returns the loss (mean cross-entropy of output 0) and its derivative by every parameter. shape is that
// of the labels, by default one dimension.
func gradients(t testing.TB, net *onnxload.Net, x any, labels []int64, shape ...int) (loss float64, grads [][]float64) {
	t.Helper()
	var target, l *gorgonia.Node
	var g gorgonia.Nodes
	err := ops.Building(func() (err error) {
		if shape == nil {
			shape = []int{len(labels)}
		}
		target = gorgonia.NewTensor(net.Graph, tensor.Int64, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName("target"))
		if l, err = ops.CrossEntropy(net.Outputs[0], target); err != nil {
			return err
		}
		var wrt gorgonia.Nodes
		for _, p := range net.Params {
			wrt = append(wrt, p.Node)
		}
		g, err = gorgonia.Grad(l, wrt...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	out := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: x, target: labels}, append([]*gorgonia.Node{l}, g...)...)
	return out[0][0], out[1:]
}

// near tells whether a and b agree to a relative tolerance, or absolutely where they are below 1.
func near(a, b, tol float64) bool {
	return math.Abs(a-b) <= tol*max(1, math.Abs(a), math.Abs(b))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
