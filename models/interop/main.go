// Command interop is this module's part of models/networks.py, which holds it against PyTorch and onnxruntime:
//
//	interop [-loss NAME] [-lr X] [-steps N] [-output NAME] MODEL CASE OUT
//
// CASE holds input_0.pb, ... and target_0.pb (TensorProtos), as the verb grad takes them. Into the directory OUT it writes
//
//	gradient64.bin, gradient32.bin  the gradient in training mode without dropout, little-endian, in double and in single precision
//	trained64.bin                   the weights after N steps of plain SGD on the case, in double precision
//	before_0.pb, ...                all outputs in inference mode
//	trained.onnx                    the file after N steps in single precision
//	after_0.pb, ...                 its outputs in inference mode
//	result.json                     the rest; see result
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

type result struct {
	Loss64 float64   `json:"loss64"`
	Loss32 float64   `json:"loss32"`
	Losses []float64 `json:"losses"` // of the mini-batch at each step
	Params []param   `json:"params"` // the gradients and trained64.bin are in this order
}

type param struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

func main() {
	loss := flag.String("loss", "cross-entropy", "cross-entropy, nll, mse or bce")
	lr := flag.Float64("lr", 0.01, "rate of SGD")
	steps := flag.Uint64("steps", 3, "steps of SGD")
	output := flag.String("output", "", "output that is trained (default: the first)")
	flag.Parse()
	if flag.NArg() != 3 {
		fmt.Fprintln(os.Stderr, "usage: interop [flags] MODEL CASE OUT")
		os.Exit(2)
	}
	j := job{dir: flag.Arg(2), lr: *lr, steps: *steps, output: *output}
	if err := j.run(flag.Arg(0), flag.Arg(1), *loss); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A job is one model with one case.
type job struct {
	dir    string
	lr     float64
	steps  uint64
	output string

	model  *onnxload.Model
	loss   runner.Loss
	result result
}

func (j *job) run(model, dir, loss string) (err error) {
	if j.model, err = onnxload.ParseFile(model); err != nil {
		return err
	}
	if j.loss, err = runner.LossByName(loss); err != nil {
		return err
	}
	if loss == "cross-entropy" {
		j.loss = runner.OnLogits(j.loss) // as training does
	}
	for _, step := range []func(dir string) error{j.double, j.single} {
		if err := step(dir); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(j.result, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(j.dir, "result.json"), b, 0o644)
}

// build makes the training graph for the case.
func (j *job) build(b *runner.Batch, dt tensor.Dtype) (*onnxload.Net, error) {
	shapes := map[string][]int{}
	for i, t := range b.Inputs {
		if i < len(j.model.Inputs) {
			shapes[j.model.Inputs[i].Name] = t.Shape()
		}
	}
	zero := 0.0
	return j.model.Build(b.Inputs[0].Shape()[0], onnxload.Options{Training: true, Dropout: &zero, Dtype: dt, Shapes: shapes})
}

// double computes the gradient and the steps in double precision.
func (j *job) double(dir string) error {
	b, err := readCase(dir, tensor.Float64)
	if err != nil {
		return err
	}
	net, err := j.build(b, tensor.Float64)
	if err != nil {
		return err
	}
	if k := slices.Index(net.OutputNames, j.output); k > 0 {
		net.Outputs[0] = net.Outputs[k] // the losses take the first
	}
	for _, p := range net.Params {
		j.result.Params = append(j.result.Params, param{p.Name, append([]int{}, p.Shape...)})
	}
	ref, err := runner.NewReference(net, j.loss, b, 0)
	if err != nil {
		return err
	}
	for k := range j.steps {
		l, grad, err := ref.Grad(context.Background())
		if err != nil {
			return err
		}
		if k == 0 {
			j.result.Loss64 = l
			if err := j.write("gradient64.bin", grad); err != nil {
				return err
			}
		}
		for i, g := range grad {
			ref.Weights()[i] -= j.lr * g
		}
	}
	return j.write("trained64.bin", ref.Weights())
}

// single computes gradient and outputs in single precision, trains, and computes the outputs again.
func (j *job) single(dir string) error {
	b, err := readCase(dir, tensor.Float32)
	if err != nil {
		return err
	}
	net, err := j.build(b, tensor.Float32)
	if err != nil {
		return err
	}
	ctx := context.Background()
	zero := 0.0
	step, err := runner.Compile(net, j.loss, runner.Options{Dropout: &zero, Output: max(0, slices.Index(net.OutputNames, j.output))})
	if err != nil {
		return err
	}
	grad := make([]float32, step.Dim())
	if j.result.Loss32, err = step.Grad(ctx, grad, net.Weights(), b, optimizer.Draw{}); err != nil {
		return err
	}
	if err := j.write("gradient32.bin", grad); err != nil {
		return err
	}
	if err := j.outputs("before", b, net.Weights(), net.Running()); err != nil {
		return err
	}

	src, err := runner.NewMemory(b.Inputs, b.Targets)
	if err != nil {
		return err
	}
	sgd := &optimizer.SGD{LR: j.lr}
	rep, err := runner.Train(ctx, step, sgd, src, runner.Config{Batch: src.Len(), Evals: j.steps, InOrder: true,
		Gradient: func(_ uint64, loss float64) { j.result.Losses = append(j.result.Losses, loss) }})
	if err != nil {
		return err
	}
	file, err := net.Export(rep.Weights, rep.Running, onnxload.ExportOptions{})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(j.dir, "trained.onnx"), file, 0o644); err != nil {
		return err
	}
	return j.outputs("after", b, rep.Weights, rep.Running)
}

// outputs writes the outputs in inference mode.
func (j *job) outputs(name string, b *runner.Batch, weights, running []float32) error {
	shapes := map[string][]int{}
	for i, t := range b.Inputs {
		shapes[j.model.Inputs[i].Name] = t.Shape()
	}
	net, err := j.model.Build(b.Inputs[0].Shape()[0], onnxload.Options{Shapes: shapes})
	if err != nil {
		return err
	}
	ys, err := runner.Outputs(context.Background(), net, weights, running, b.Inputs)
	if err != nil {
		return err
	}
	for i, y := range ys {
		t := &onnxpb.TensorProto{Name: proto.String(net.OutputNames[i]), DataType: proto.Int32(int32(onnxpb.TensorProto_FLOAT))}
		for _, d := range y.Shape() {
			t.Dims = append(t.Dims, int64(d))
		}
		switch x := y.Data().(type) {
		case []float32:
			t.FloatData = x
		case []int64:
			t.DataType, t.Int64Data = proto.Int32(int32(onnxpb.TensorProto_INT64)), x
		case float32:
			t.FloatData = []float32{x}
		case int64:
			t.DataType, t.Int64Data = proto.Int32(int32(onnxpb.TensorProto_INT64)), []int64{x}
		}
		data, err := proto.Marshal(t)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(j.dir, fmt.Sprintf("%s_%d.pb", name, i)), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) write(name string, x any) error {
	f, err := os.Create(filepath.Join(j.dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := binary.Write(f, binary.LittleEndian, x); err != nil {
		return err
	}
	return f.Close()
}

// readCase reads the tensors of a case; those of floats become of the given type, others int64.
func readCase(dir string, floats tensor.Dtype) (*runner.Batch, error) {
	b := new(runner.Batch)
	for _, of := range []struct {
		prefix string
		list   *[]*tensor.Dense
	}{{"input", &b.Inputs}, {"target", &b.Targets}} {
		for i := 0; ; i++ {
			data, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%s_%d.pb", of.prefix, i)))
			if os.IsNotExist(err) && i > 0 {
				break
			}
			if err != nil {
				return nil, err
			}
			var t onnxpb.TensorProto
			if err := proto.Unmarshal(data, &t); err != nil {
				return nil, err
			}
			d, err := dense(&t, floats)
			if err != nil {
				return nil, fmt.Errorf("%s_%d.pb: %w", of.prefix, i, err)
			}
			*of.list = append(*of.list, d)
		}
	}
	return b, nil
}

func dense(t *onnxpb.TensorProto, floats tensor.Dtype) (*tensor.Dense, error) {
	shape := []int{}
	for _, d := range t.GetDims() {
		shape = append(shape, int(d))
	}
	var data any
	var err error
	switch {
	case !onnxpb.IsFloat(t.GetDataType()):
		data, err = t.Ints()
	case floats == tensor.Float64:
		data, err = t.Doubles()
	default:
		data, err = t.Floats()
	}
	if err != nil {
		return nil, err
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data)), nil
}
