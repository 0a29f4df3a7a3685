package main

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// A feed gives one input of the network its samples.
type feed struct {
	set    *dataset.Set
	sample []int        // shape of a sample
	dtype  tensor.Dtype // Float32, or Int64 for integers, which are fed as they are
}

// feeds fits the samples of set to the inputs of the network.
func feeds(set *dataset.Set, m *model, net *onnxload.Net) ([]feed, error) {
	sets := set.Each()
	if err := m.checkInputs(set); err != nil {
		return nil, err
	}
	var fs []feed
	for k, in := range net.Inputs {
		if in.Dims() == 0 {
			return nil, fmt.Errorf("%s: its input %q is one number for all samples, and data hold one for each; export the network with that number "+
				"as a constant, or as an input of shape (batch, 1)", m.label, in.Name())
		}
		f := feed{set: sets[k], sample: in.Shape()[1:], dtype: in.Dtype()}
		if !fits(f.set.Shape, f.sample) {
			return nil, m.unfit(f, in.Name())
		}
		if f.dtype == tensor.Int64 {
			if err := f.integers(m, k); err != nil {
				return nil, err
			}
		}
		fs = append(fs, f)
	}
	return fs, nil
}

// checkInputs checks that set has samples for each input.
func (m *model) checkInputs(set *dataset.Set) error {
	if n := len(set.Each()); n != len(m.Inputs) {
		return fmt.Errorf("%s has %s, and %s holds samples for %d; %s", m.label, report.Plural(len(m.Inputs), "input", "inputs"), set.Name, n, m.arraysHint())
	}
	return nil
}

// unfit is the error for samples of another shape than an input takes.
func (m *model) unfit(f feed, input string) error {
	name, remedy := m.label, "give samples of that shape, or export the network for these"
	if len(m.Inputs) > 1 {
		name = fmt.Sprintf("%s: its input %q", m.label, input)
	}
	if m.open() {
		remedy = "give all samples one shape, padded if need be, or export the network for these"
	}
	return fmt.Errorf("%s takes samples of shape %s, and those of %s are %s; %s", name, report.Shape(f.sample), f.set.Name, report.Shape(f.set.Shape), remedy)
}

// integers checks that the samples are integers of the type that input k takes.
func (f feed) integers(m *model, k int) error {
	in := m.Inputs[k]
	if f.set.Floats != nil {
		return fmt.Errorf("%s: its input %q takes integers (%s), and %s holds floats; save them as int64", m.label, in.Name, in.Type, f.set.Name)
	}
	low, high := limits(in.Type)
	check := func(i int, v int64) error {
		if v >= low && v <= high {
			return nil
		}
		return fmt.Errorf("%s: sample %d holds %d, and the input %q of %s takes %s, %d to %d", f.set.Name, i/max(1, f.set.Size()), v, in.Name, m.label, in.Type, low, high)
	}
	for i, v := range f.set.Ints {
		if err := check(i, v); err != nil {
			return err
		}
	}
	for i, v := range f.set.Bytes {
		if err := check(i, int64(v)); err != nil {
			return err
		}
	}
	return nil
}

// limits are the smallest and the largest number of a type of integers.
func limits(typeName string) (low, high int64) {
	var bits int
	switch {
	case typeName == "BOOL":
		return 0, 1
	case typeName == "UINT64":
		return 0, math.MaxInt64
	case strings.HasPrefix(typeName, "UINT"):
		fmt.Sscanf(typeName, "UINT%d", &bits)
		return 0, 1<<bits - 1
	}
	fmt.Sscanf(typeName, "INT%d", &bits)
	if bits == 0 || bits == 64 {
		return math.MinInt64, math.MaxInt64
	}
	return -1 << (bits - 1), 1<<(bits-1) - 1
}

// read puts the samples idx into t or a new tensor.
func (f feed) read(t *tensor.Dense, idx []int) (*tensor.Dense, error) {
	t = runner.Reuse(t, f.dtype, len(idx), f.sample)
	if f.dtype == tensor.Int64 {
		return t, f.set.FillInts(t.Int64s(), idx)
	}
	return t, f.set.Fill(t.Float32s(), nil, idx)
}

// takesIntegers tells whether an input does, or an output gives them.
func takesIntegers(v onnxload.ValueInfo) bool {
	return onnxpb.IsInt(onnxpb.TensorProto_DataType_value[v.Type])
}

// scaled are the sets of s that are scaled: not those for inputs of integers.
func (m *model) scaled(s *dataset.Set) (sets []*dataset.Set) {
	for k, in := range s.Each() {
		if k >= len(m.Inputs) || !takesIntegers(m.Inputs[k]) {
			sets = append(sets, in)
		}
	}
	return sets
}

// dataInputs are the inputs of the network as data are looked up for them.
func (m *model) dataInputs() (inputs []dataset.Input) {
	for _, v := range m.Inputs {
		inputs = append(inputs, dataset.Input{Name: v.Name, Type: strings.TrimSpace(v.Type + " " + strings.Join(v.Shape, "x"))})
	}
	return inputs
}

// open tells whether the file leaves sizes besides the batch to the data.
func (m *model) open() bool {
	return slices.ContainsFunc(m.Inputs, isOpen)
}

func isOpen(v onnxload.ValueInfo) bool {
	return v.Shape == nil || len(v.Shape) > 1 && slices.ContainsFunc(v.Shape[1:], func(d string) bool { return strings.Trim(d, "0123456789") != "" })
}

// shapes are those of the inputs whose sizes the file leaves open, for a batch of samples of set; nil if there are none.
func (m *model) shapes(set *dataset.Set, batch int) map[string][]int {
	sets := set.Each()
	var shapes map[string][]int
	for k, v := range m.Inputs {
		sample := sets[k].Shape
		if !isOpen(v) || v.Shape != nil && len(v.Shape) != len(sample)+1 {
			continue
		}
		if shapes == nil {
			shapes = map[string][]int{}
		}
		shapes[v.Name] = append([]int{batch}, sample...)
	}
	return shapes
}

// arraysHint says how arrays for the inputs are named.
func (m *model) arraysHint() string {
	if len(m.Inputs) == 0 {
		return "there is nothing to feed it"
	}
	var names []string
	for _, v := range m.Inputs {
		names = append(names, v.Name+"_train")
	}
	return fmt.Sprintf("give --data FILE.npz, or a directory of NPY files, with arrays named %s, %s_train, and %s_test and so on", strings.Join(names, ", "), dataset.TargetName(m.dataInputs()), m.Inputs[0].Name)
}

// shapesOf are the shapes of a network's samples, or of those of a set.
func shapesOf(shapes [][]int) string {
	var s []string
	for _, shape := range shapes {
		s = append(s, report.Shape(shape))
	}
	return strings.Join(s, " and ")
}
