package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

type predictCmd struct {
	Model string `arg:"" help:"ONNX file, or the name of an embedded model."`

	dataFlags `embed:""`
	Input     []string `group:"Data:" sep:"none" placeholder:"[NAME=]FILE" help:"NPY or IDX file with samples, instead of --data; labels beside it are not looked at. For several inputs once for each, with its name."`
	Batch     int      `group:"Data:" default:"256" placeholder:"N" help:"Samples at a time (default ${default}); it does not change the result."`

	Out     string `short:"o" placeholder:"FILE" help:"y.npy, float32 of the output's shape, or y.csv, a line a sample (default: CSV on the standard output)."`
	Threads int    `placeholder:"N" help:"Threads (default: one a processor)."`

	outputFlag `embed:""`
	graphFlags `embed:""`
}

// Run writes the outputs in inference mode, for the test samples if there are any.
func (c *predictCmd) Run(e *env) error {
	m, set, err := c.open(e)
	if err != nil {
		return err
	}
	batch := min(c.Batch, set.Len())
	net, err := m.build(batch, onnxload.Options{Shapes: m.shapes(set, batch)})
	if err != nil {
		return err
	}
	src, err := newSource(set, m, net, "")
	if err != nil {
		return err
	}
	step, err := runner.Compile(net, runner.CrossEntropy, runner.Options{Threads: c.Threads, Inference: true})
	if err != nil {
		return fmt.Errorf("%s: %w", m.label, err)
	}
	shape, values, err := predict(e.ctx, step, src, batch)
	if err != nil {
		return fmt.Errorf("%s: %w", m.label, err)
	}
	e.warnOf(m, step)
	if c.Out == "" {
		return dataset.WriteCSV(e.stdout, columns(net.OutputNames[net.Output()], shape), values)
	}
	var b bytes.Buffer
	if filepath.Ext(c.Out) == ".npy" {
		err = dataset.WriteNPY(&b, shape, values)
	} else {
		err = dataset.WriteCSV(&b, columns(net.OutputNames[net.Output()], shape), values)
	}
	if err != nil {
		return err
	}
	if err := report.WriteFile(c.Out, b.Bytes()); err != nil {
		return err
	}
	e.printf("%s: %s for %s of %s", c.Out, report.Plural(len(values), "value", "values"), report.Plural(shape[0], "sample", "samples"), set.Name)
	return nil
}

// open checks the flags and opens what they name.
func (c *predictCmd) open(e *env) (*model, *dataset.Set, error) {
	switch ext := filepath.Ext(c.Out); {
	case c.Batch < 1:
		return nil, nil, usagef("--batch is %d; it must be at least 1", c.Batch)
	case c.Data != "" && len(c.Input) > 0:
		return nil, nil, usagef("--data and --input both name the samples; give one of them")
	case c.Out != "" && ext != ".npy" && ext != ".csv":
		return nil, nil, usagef("--out %s: the name must end in .npy or .csv, which is the format", c.Out)
	}
	if err := checkThreads(c.Threads); err != nil {
		return nil, nil, err
	}
	m, err := openModel(c.Model)
	if err != nil {
		return nil, nil, err
	}
	if err := c.bound(m); err != nil {
		return nil, nil, err
	}
	if err := c.choose(m); err != nil {
		return nil, nil, err
	}
	if c.Out != "" {
		if err := report.CheckWritable(c.Out); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case len(c.Input) > 0:
		set, err := m.samples(c.Input)
		if err != nil {
			return nil, nil, err
		}
		if err := c.use(set, m); err != nil {
			return nil, nil, err
		}
		return m, set, whiten(m, c.Threads, set)
	case c.Data == "":
		return nil, nil, usagef("no samples to feed %s: it takes %s; give --data or --input", m.label, m.asks())
	}
	if isText(c.Data, m) {
		return nil, nil, usagef("predict writes outputs for samples, and %s is text; eval says how well a model predicts it", c.Data)
	}
	d, err := c.dataFlags.open(m, c.Threads, true)
	if err != nil {
		return nil, nil, err
	}
	if d.Test != nil {
		return m, d.Test, nil
	}
	return m, d.Train, nil
}

// samples reads the files of the arguments of --input, FILE for a model of one input or NAME=FILE for each. dataset.Open would
// take a y.npy beside x.npy for labels, which is where predictions tend to go.
func (m *model) samples(args []string) (*dataset.Set, error) {
	files := map[string]string{}
	for _, arg := range args {
		name, file, err := m.inputArg(arg)
		if err != nil {
			return nil, err
		}
		if files[name] != "" {
			return nil, usagef("--input %s: the input %s is given twice", arg, name)
		}
		files[name] = file
	}
	var arrays []*dataset.Array
	for _, in := range m.dataInputs() {
		file, ok := files[in.Name]
		if !ok {
			return nil, usagef("the input %q (%s) of %s is missing; give --input %s=FILE.npy too", in.Name, in.Type, m.label, in.Name)
		}
		a, err := dataset.ReadArray(file)
		if err != nil {
			return nil, err
		}
		a.Name = filepath.Base(file)
		arrays = append(arrays, a)
	}
	set, err := dataset.Combine(arrays, nil)
	if err == nil && len(arrays) == 1 {
		set = set.Inputs[0]
	}
	return set, err
}

// inputArg takes an argument of --input apart.
func (m *model) inputArg(arg string) (name, file string, err error) {
	var names []string
	for _, in := range m.Inputs {
		if rest, ok := strings.CutPrefix(arg, in.Name+"="); ok {
			return in.Name, rest, nil
		}
		names = append(names, in.Name)
	}
	if len(names) == 1 {
		if name, _, ok := strings.Cut(arg, "="); ok && !exists(arg) {
			return "", "", usagef("--input %s: %s has no input %q; it has %s", arg, m.label, name, names[0])
		}
		return names[0], arg, nil
	}
	if len(names) == 0 {
		return "", "", fmt.Errorf("%s has no inputs that could be given", m.label)
	}
	return "", "", usagef("--input %s: %s has %d inputs; say which by --input NAME=FILE, once for each of %s", arg, m.label, len(names), strings.Join(names, ", "))
}

// predict returns the outputs of all samples and their shape.
func predict(ctx context.Context, step *runner.Step, src runner.Source, batch int) (shape []int, values []float32, err error) {
	net := step.Net()
	p := step.Predictor(net.Weights(), net.Running())
	var b runner.Batch
	n := src.Len()
	for from := 0; from < n; from += batch {
		idx := make([]int, min(batch, n-from))
		for i := range idx {
			idx[i] = from + i
		}
		if err := src.Read(&b, idx); err != nil {
			return nil, nil, err
		}
		y, err := p.Predict(ctx, &b)
		if err != nil {
			return nil, nil, err
		}
		s := y.Shape()
		if len(s) == 0 || s[0] != len(idx) {
			return nil, nil, fmt.Errorf("its output for %d samples has shape %s, which is not one row a sample", len(idx), report.Shape(s))
		}
		shape = append([]int{n}, s[1:]...)
		if values, err = appendFloats(values, y); err != nil {
			return nil, nil, err
		}
	}
	return shape, values, nil
}

// appendFloats appends the numbers of y, which are float32 or int64.
func appendFloats(to []float32, y *tensor.Dense) ([]float32, error) {
	if y.Dtype() != tensor.Int64 {
		return append(to, y.Float32s()...), nil
	}
	for _, v := range y.Int64s() {
		f := float32(v)
		if float64(f) != float64(v) || v != int64(float64(v)) {
			return nil, fmt.Errorf("its output holds %d, which float32 does not", v)
		}
		to = append(to, f)
	}
	return to, nil
}

// columns names the values of a sample: y for one, y_0, y_1, ... for a vector, y_0_0, ... for more axes.
func columns(name string, shape []int) []string {
	names := []string{strings.ReplaceAll(name, ",", "_")}
	for _, d := range shape[1:] {
		var next []string
		for _, n := range names {
			for i := range d {
				next = append(next, fmt.Sprintf("%s_%d", n, i))
			}
		}
		names = next
	}
	return names
}
