package main

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/models"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// A model is a MODEL argument that was opened.
type model struct {
	*onnxload.Model
	label string            // as the user called it
	bytes []byte            // of the file
	meta  map[string]string // metadata_props
	limit int64             // of memory, see onnxload.Options.MaxMemory

	rounds int // of loops that only the data end, see onnxload.Options.LoopRounds

	output string // the one of several that is meant, see outputFlag; "" if there is one
}

// embedded tells whether a MODEL argument means an embedded model. A file of that name goes before it, a folder, as reproduce makes
// them, does not.
func embedded(arg string) bool {
	info, err := os.Stat(arg)
	return slices.Contains(models.Names(), arg) && (err != nil || info.IsDir())
}

// openModel reads a file or, if there is none of that name, an embedded model.
func openModel(arg string) (*model, error) {
	info, err := os.Stat(arg)
	switch {
	case embedded(arg):
		return openEmbedded(arg)
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a directory; name the ONNX file in it", arg)
	case err == nil:
		return openFile(arg)
	}
	if p, ok := err.(*fs.PathError); ok && !os.IsNotExist(err) {
		return nil, fmt.Errorf("%s cannot be opened: %w", arg, p.Err)
	}
	return nil, fmt.Errorf("%s: there is no such file, and the embedded models are %s", arg, strings.Join(models.Names(), ", "))
}

func openFile(path string) (*model, error) {
	m, err := onnxload.ParseFile(path)
	if err != nil {
		return nil, err
	}
	return newModel(path, m), nil
}

func openEmbedded(name string) (*model, error) {
	b, err := models.Open(name)
	if err != nil {
		return nil, err
	}
	m, err := onnxload.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return newModel(name, m), nil
}

func newModel(label string, m *onnxload.Model) *model {
	return &model{Model: m, label: label, bytes: m.Bytes(), meta: m.Metadata(), limit: machineMemory()}
}

// build makes the model's graph for a batch.
func (m *model) build(batch int, o onnxload.Options) (*onnxload.Net, error) {
	o.MaxMemory, o.Output, o.LoopRounds = m.limit, m.output, m.rounds
	net, err := m.Build(batch, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.label, err)
	}
	return net, nil
}

// buildOpen is build where no data say what sizes the file leaves open: the network gets one that it takes, which is returned
// too; 0 if the file leaves none open.
func (m *model) buildOpen(batch int, o onnxload.Options) (net *onnxload.Net, size int, err error) {
	if !m.open() {
		net, err = m.build(batch, o)
		return net, 0, err
	}
	var first error
	for _, size := range []int{224, 64, 16, 8} {
		o.Shapes = m.OpenShapes(batch, size)
		if net, err = m.build(batch, o); err == nil {
			return net, size, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, 0, first
}

// fixedBatch is the size of the batch if the file fixes it.
func (m *model) fixedBatch() (int, bool) {
	if m.DynamicBatch() || len(m.Inputs) == 0 || len(m.Inputs[0].Shape) == 0 {
		return 0, false
	}
	n, err := strconv.Atoi(m.Inputs[0].Shape[0])
	return n, err == nil && n > 0
}

// asks describes the data that the model's inputs and outputs want: "images of 1x28x28 and labels from 0 to 9".
func (m *model) asks() string {
	if m.readsText() {
		return fmt.Sprintf("text, in windows of %s symbols", textInput(m)[1])
	}
	if len(m.Inputs) != 1 || takesIntegers(m.Inputs[0]) {
		var names []string
		for _, in := range m.dataInputs() {
			names = append(names, fmt.Sprintf("%s (%s)", in.Name, in.Type))
		}
		if len(names) == 1 {
			return "arrays for the input " + names[0]
		}
		return "arrays for the inputs " + strings.Join(names, ", ")
	}
	what, shape := "samples", m.Inputs[0].Shape
	if len(shape) < 2 {
		return "samples and labels"
	}
	if len(shape) == 4 {
		what = "images"
	}
	s := fmt.Sprintf("%s of %s", what, strings.Join(shape[1:], "x"))
	if out := m.outputInfo().Shape; len(out) == 2 {
		if n, err := strconv.Atoi(out[1]); err == nil && n > 1 {
			return fmt.Sprintf("%s and labels from 0 to %d", s, n-1)
		}
	}
	return s + " and labels"
}
