package main

import (
	"encoding/json"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

type gradCmd struct {
	Model       string `arg:"" help:"ONNX file, or the name of an embedded model."`
	Case        string `required:"" placeholder:"DIR" help:"Directory with input_0.pb, ... and target_0.pb, each a TensorProto."`
	Loss        string `default:"" enum:",cross-entropy,nll,bce,mse" placeholder:"NAME" help:"cross-entropy, nll, bce or mse (default: mse if the target is of floats, else cross-entropy)."`
	outputFlag  `embed:""`
	freezeFlags `embed:""`
	Threads     int `placeholder:"N" help:"Threads (default: one a processor)."`
	graphFlags  `embed:""`
	JSON        bool `name:"json" help:"Print one JSON object: loss, and shape, l2 and sum of the gradient of each parameter."`
}

// gradients is what grad prints as JSON.
type gradients struct {
	Loss      number              `json:"loss"`
	Gradients map[string]gradient `json:"gradients"`
}

type gradient struct {
	Shape []int  `json:"shape"`
	L2    number `json:"l2"`
	Sum   number `json:"sum"`
}

// Run evaluates loss and gradient once, in training mode (batch statistics) without dropout.
func (c *gradCmd) Run(e *env) error {
	if err := checkThreads(c.Threads); err != nil {
		return err
	}
	m, err := openModel(c.Model)
	if err != nil {
		return err
	}
	if err := c.bound(m); err != nil {
		return err
	}
	if err := c.choose(m); err != nil {
		return err
	}
	b, target, err := c.batch(m)
	if err != nil {
		return err
	}
	loss := c.Loss
	if loss == "" {
		loss = "cross-entropy"
		if target.f != nil {
			loss = "mse"
		}
	}
	f, err := lossByName(loss)
	if err != nil {
		return err
	}
	shapes := map[string][]int{}
	for i, t := range b.Inputs {
		shapes[m.Inputs[i].Name] = t.Shape()
	}
	zero := 0.0
	o := c.options()
	o.Dropout, o.Shapes = &zero, shapes
	net, err := m.build(b.Inputs[0].Shape()[0], o)
	if err != nil {
		return err
	}
	step, err := runner.Compile(net, f, runner.Options{Threads: c.Threads, Dropout: &zero})
	if err != nil {
		return fmt.Errorf("%s: %w", m.label, err)
	}
	grad := make([]float32, step.Dim())
	l, err := step.Grad(e.ctx, grad, net.Weights(), b, optimizer.Draw{})
	if err != nil {
		return fmt.Errorf("%s: %w", m.label, err)
	}
	e.warnOf(m, step)
	g := gradients{Loss: number(l), Gradients: map[string]gradient{}}
	rows := [][]string{{"Parameter", "Shape", "l2", "Sum"}}
	for _, p := range net.Params {
		v := summarise(p.Shape, grad[p.From:p.To])
		g.Gradients[p.Name] = v
		rows = append(rows, []string{p.Name, report.Shape(p.Shape), fmt.Sprintf("%.6g", v.L2), fmt.Sprintf("%.6g", v.Sum)})
	}
	if c.JSON {
		return json.NewEncoder(e.stdout).Encode(g)
	}
	e.printf("loss %.7g", l)
	fmt.Fprint(e.stdout, report.Table(rows, 2, 3))
	return nil
}

// summarise accumulates in float64, in order.
func summarise(shape []int, grad []float32) gradient {
	var squares, sum float64
	for _, v := range grad {
		x := float64(v)
		squares += x * x
		sum += x
	}
	return gradient{append([]int{}, shape...), number(math.Sqrt(squares)), number(sum)}
}

// batch reads the case.
func (c *gradCmd) batch(m *model) (*runner.Batch, value, error) {
	inputs, err := readValues(c.Case, "input")
	if err != nil {
		return nil, value{}, err
	}
	targets, err := readValues(c.Case, "target")
	if err != nil {
		return nil, value{}, err
	}
	if len(inputs) == 0 || len(targets) != 1 {
		return nil, value{}, fmt.Errorf("%s: it must hold input_0.pb (and input_1.pb, ... for more inputs) and target_0.pb", c.Case)
	}
	if n := len(inputs); n < len(m.Inputs) {
		in := m.dataInputs()[n]
		return nil, value{}, fmt.Errorf("%s has %s, and %s is for %d: input_%d.pb, for %q (%s), is missing", m.label, report.Plural(len(m.Inputs), "input", "inputs"), c.Case, n, n, in.Name, in.Type)
	}
	if len(inputs) != len(m.Inputs) {
		return nil, value{}, fmt.Errorf("%s has %s, and %s is for %d", m.label, report.Plural(len(m.Inputs), "input", "inputs"), c.Case, len(inputs))
	}
	b := &runner.Batch{Targets: []*tensor.Dense{targets[0].dense(tensor.Float32)}}
	for i, v := range inputs {
		if len(v.shape) == 0 || v.empty() {
			return nil, value{}, fmt.Errorf("%s: input_%d.pb of shape %s holds no samples", c.Case, i, report.Shape(v.shape))
		}
		if takesIntegers(m.Inputs[i]) != (v.f == nil) {
			return nil, value{}, fmt.Errorf("%s: input_%d.pb holds elements of type %s, and the input %q of %s takes %s", c.Case, i, onnxpb.TypeName(v.elem), m.Inputs[i].Name, m.label, m.Inputs[i].Type)
		}
		b.Inputs = append(b.Inputs, v.dense(tensor.Float32))
	}
	if targets[0].empty() {
		return nil, value{}, fmt.Errorf("%s: target_0.pb is empty", c.Case)
	}
	return b, targets[0], nil
}
