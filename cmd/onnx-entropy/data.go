package main

import (
	"cmp"
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// builtinDigits is the --data of the digits that the program draws itself.
const builtinDigits = "builtin:digits"

// digitsSeed is that of the built-in digits: one data set, whatever the seed of a run.
const digitsSeed = 1

// dataFlags are the flags that say what the network is fed.
type dataFlags struct {
	Data   string    `group:"Data:" placeholder:"PATH" help:"Directory or file with IDX, NPY, NPZ, CSV or CIFAR-10 data, images in folders or tar files, or text (gzip or not); or builtin:digits. For several inputs, arrays named as they are: ids_train, mask_train, y_train and so on."`
	Target string    `group:"Data:" placeholder:"NAME" help:"Column of a CSV file, or array of an NPZ file, to be predicted (default: as recorded in the model)."`
	Split  []float64 `group:"Data:" placeholder:"A,B,C" help:"Parts of data in one piece for training, validation and test (default: as recorded in the model, else 0.8,0.1,0.1 of a text and all other data for training)."`
	Scale  *float64  `group:"Data:" placeholder:"X" help:"Inputs are (value*scale - mean)/std. Default: as recorded in the model, else 1/255 for bytes and 1 for floats."`
	Mean   []float64 `group:"Data:" placeholder:"M" help:"One number, or one a channel (default: as recorded, else 0)."`
	Std    []float64 `group:"Data:" placeholder:"S" help:"One number, or one a channel (default: as recorded, else 1)."`
}

// open reads the data and makes them what the model was trained on; for predictions a table needs no target.
func (f *dataFlags) open(m *model, threads int, predicting bool) (*dataset.Data, error) {
	d, err := f.load(m, predicting)
	if err != nil {
		return nil, err
	}
	return d, whiten(m, threads, d.Train, d.Valid, d.Test)
}

// load reads the data and sets its transform.
func (f *dataFlags) load(m *model, predicting bool) (*dataset.Data, error) {
	d, err := f.read(m, predicting)
	if err != nil {
		return nil, err
	}
	for _, s := range []*dataset.Set{d.Train, d.Valid, d.Test} {
		if s == nil {
			continue
		}
		if err := m.checkInputs(s); err != nil {
			return nil, err
		}
		if err := f.use(s, m); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// read reads the data, with the names that the model records, and cuts them if they come in one piece.
func (f *dataFlags) read(m *model, predicting bool) (*dataset.Data, error) {
	if f.Data == builtinDigits {
		if f.Target != "" || f.Split != nil {
			return nil, usagef("--target and --split have no effect with --data %s", builtinDigits)
		}
		train, test, err := dataset.Digits(digitsSeed, dataset.DigitsTrain, dataset.DigitsTest)
		return &dataset.Data{Train: train, Test: test}, err
	}
	o := dataset.Options{Target: f.Target, NoTarget: predicting, Inputs: m.dataInputs()}
	var err error
	if o.Classes, err = m.list(metaClasses); err != nil {
		return nil, err
	}
	if o.Columns, err = m.list(metaColumns); err != nil {
		return nil, err
	}
	if o.Target == "" && o.Columns != nil {
		o.Target = m.meta[metaTarget]
	}
	d, err := dataset.OpenWith(f.Data, o)
	if err != nil {
		return nil, err
	}
	v, err := f.parts(m)
	if predicting { // all samples, unless a split is asked for
		v, err = f.Split, nil
	}
	if v == nil || err != nil || f.Split == nil && (d.Train == nil || d.Valid != nil || d.Test != nil) {
		return d, err
	}
	split, err := dataset.ParseSplit(v)
	if err != nil {
		return nil, &usageError{err: err}
	}
	if err := d.Cut(split); err != nil {
		return nil, &usageError{err: err}
	}
	return d, nil
}

// use sets the transform of s: what the flags say, else what the model records for samples of that kind. Integers stay as they are.
func (f *dataFlags) use(s *dataset.Set, m *model) error {
	scaled := m.scaled(s)
	if f.Scale != nil || f.Mean != nil || f.Std != nil {
		switch len(scaled) {
		case 0:
			return usagef("--scale, --mean and --std have no effect: %s takes integers, which are fed as they are", m.label)
		case 1:
		default:
			return usagef("--scale, --mean and --std do not say which of %d inputs of %s they are for; scale the arrays in the files", len(scaled), m.label)
		}
	}
	for _, in := range scaled {
		t, err := f.transform(in, m)
		if err != nil {
			return err
		}
		if err := in.Use(t); err != nil {
			return err
		}
	}
	return nil
}

func (f *dataFlags) transform(s *dataset.Set, m *model) (dataset.Transform, error) {
	t, err := recorded(m, s)
	if err != nil {
		return t, err
	}
	if f.Scale != nil {
		if *f.Scale == 0 {
			return t, usagef("--scale 0 makes every input the same; give another scale, such as %s", report.Number(1.0/255))
		}
		t.Scale = *f.Scale
	}
	if f.Mean != nil {
		t.Mean = f.Mean
	}
	if f.Std != nil {
		t.Std = f.Std
	}
	return t, nil
}

// A source feeds a set to the runner, in the shapes that the network and the loss want.
type source struct {
	set    *dataset.Set
	feeds  []feed // one for each input
	target []int  // shape of a sample's target
	floats bool   // targets are floats
}

// newSource fits set to the network's inputs and, unless loss is empty, to its output under that loss.
func newSource(set *dataset.Set, m *model, net *onnxload.Net, loss string) (*source, error) {
	fs, err := feeds(set, m, net)
	if err != nil {
		return nil, err
	}
	s := &source{set: set, feeds: fs}
	if k := net.Output(); loss != "" && net.Outputs[k].Dtype() == tensor.Int64 {
		return nil, fmt.Errorf("%s: its output %q holds integers, which no loss is for%s", m.label, net.OutputNames[k], cmp.Or(m.others(), "; export the scores that they come from as an output too"))
	}
	switch loss {
	case "":
		return s, nil
	case "mse":
		return s, s.values(m, net, loss)
	case "bce":
		if err := s.decisions(); err != nil {
			return nil, err
		}
		return s, s.values(m, net, loss)
	}
	return s, s.classes(m, net, loss)
}

// fits tells whether samples of shape got can be read as want without guessing: axes of 1 may come and go, and
// a network that takes vectors gets the values in order.
func fits(got, want []int) bool {
	if len(want) == 1 {
		return product(got) == want[0]
	}
	bare := func(s []int) []int { return slices.DeleteFunc(slices.Clone(s), func(d int) bool { return d == 1 }) }
	return slices.Equal(bare(got), bare(want))
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// classes checks that the labels are classes of the network's output.
func (s *source) classes(m *model, net *onnxload.Net, loss string) error {
	if s.set.Labels == nil {
		if s.set.Targets != nil {
			return fmt.Errorf("%s: its targets are floats, and the loss %s wants class numbers; try --loss mse, or bce for targets from 0 to 1", s.set.Name, loss)
		}
		if name := dataset.TargetName(m.dataInputs()); name != "y" {
			return fmt.Errorf("%s has no labels; the array y is for the input of that name, so call theirs %s", s.set.Name, name)
		}
		return fmt.Errorf("%s has no labels; put the file with the labels beside it", s.set.Name)
	}
	s.target = s.set.LabelShape
	out := []int(net.Outputs[net.Output()].Shape())
	if len(out) < 2 {
		return fmt.Errorf("%s: its output has shape %s, and the loss %s wants classes on an axis; try --loss bce or mse%s", m.label, report.Shape(out), loss, m.others())
	}
	if len(out) == 2 && product(s.target) == 1 {
		s.target = nil
	}
	axis := len(out) - 1
	if slices.Equal(out[2:], s.target) {
		axis = 1
	} else if !slices.Equal(out[1:axis], s.target) {
		return fmt.Errorf("%s: a sample's labels have shape %s, which does not go with the output of %s, shape %s%s",
			s.set.Name, report.Shape(s.target), m.label, report.Shape(out[1:]), m.others())
	}
	per := product(s.target)
	for i, l := range s.set.Labels {
		if l < 0 || l >= int64(out[axis]) {
			return fmt.Errorf("%s: the label of sample %d is %d, and %s has %s, 0 to %d; correct the labels, or train with --head K for K classes",
				s.set.Name, i/per, l, m.label, report.Plural(out[axis], "class", "classes"), out[axis]-1)
		}
	}
	return nil
}

// decisions makes targets of labels that are 0 and 1, and checks that all targets are from 0 to 1.
func (s *source) decisions() error {
	if s.set.Targets == nil {
		per := product(s.set.LabelShape)
		for i, l := range s.set.Labels {
			if l != 0 && l != 1 {
				return fmt.Errorf("%s: the label of sample %d is %d, and the loss bce wants 0 or 1; for values take --loss mse, for more classes a network with an output for each (--head K)",
					s.set.Name, i/per, l)
			}
		}
		s.labelsAsTargets()
		return nil
	}
	per := product(s.set.TargetShape)
	for i, v := range s.set.Targets {
		if !(v >= 0 && v <= 1) {
			return fmt.Errorf("%s: a target of sample %d is %v, and the loss bce wants 0 to 1; for values take --loss mse", s.set.Name, i/per, v)
		}
	}
	return nil
}

func (s *source) labelsAsTargets() {
	for _, l := range s.set.Labels {
		s.set.Targets = append(s.set.Targets, float32(l))
	}
	s.set.TargetShape = s.set.LabelShape
}

// values checks that the targets are values of the network's output.
func (s *source) values(m *model, net *onnxload.Net, loss string) error {
	if s.set.Targets == nil && s.set.Columns != nil { // whole numbers of a table
		s.labelsAsTargets()
	}
	if s.set.Targets == nil {
		return fmt.Errorf("%s has no target values, which the loss %s wants: floats of the output's shape beside the samples", s.set.Name, loss)
	}
	out := []int(net.Outputs[net.Output()].Shape())
	if len(out) == 0 || product(s.set.TargetShape) != product(out[1:]) {
		return fmt.Errorf("%s: a sample's targets have shape %s, and the output of %s has %s%s", s.set.Name, report.Shape(s.set.TargetShape), m.label, report.Shape(out[min(1, len(out)):]), m.others())
	}
	s.floats, s.target = true, out[1:]
	return nil
}

func (s *source) Len() int { return s.set.Len() }

func (s *source) Read(dst *runner.Batch, idx []int) (err error) {
	dst.Inputs = tensors(dst.Inputs, len(s.feeds))
	for k, f := range s.feeds {
		if dst.Inputs[k], err = f.read(dst.Inputs[k], idx); err != nil {
			return err
		}
	}
	switch {
	case s.floats:
		dst.Targets = tensors(dst.Targets, 1)
		t := runner.Reuse(dst.Targets[0], tensor.Float32, len(idx), s.target)
		dst.Targets[0] = t
		return s.set.FillTargets(t.Float32s(), idx)
	case s.set.Labels != nil:
		dst.Targets = tensors(dst.Targets, 1)
		t := runner.Reuse(dst.Targets[0], tensor.Int64, len(idx), s.target)
		dst.Targets[0] = t
		return s.set.FillLabels(t.Int64s(), idx)
	}
	return nil
}

// tensors is ts if there are n, else room for as many.
func tensors(ts []*tensor.Dense, n int) []*tensor.Dense {
	if len(ts) == n {
		return ts
	}
	return make([]*tensor.Dense, n)
}

// lossOf is the loss to use: what the user says, else mse where the data have target values, and bce where the network's
// output, whose first axis is the batch, has one number for each label instead of one for each class.
func lossOf(flag string, d *dataset.Data, output []int) string {
	if flag != "" {
		return flag
	}
	for _, s := range []*dataset.Set{d.Train, d.Valid, d.Test} {
		if s != nil && s.Targets != nil {
			return "mse"
		}
		if s != nil && s.Labels != nil && product(output[min(1, len(output)):]) == product(s.LabelShape) {
			return "bce"
		}
	}
	return "cross-entropy"
}

// lossByName is runner.LossByName, but cross-entropy passes over a final Softmax or LogSoftmax.
func lossByName(name string) (runner.Loss, error) {
	if name == "cross-entropy" {
		return runner.CrossEntropyOnLogits, nil
	}
	return runner.LossByName(name)
}
