package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// outputFlag chooses one output of several.
type outputFlag struct {
	Output string `placeholder:"NAME" help:"The output of the network that is meant, of several (default: the one it was trained on here, else the first of floats; inspect shows them)."`
}

// metaOutput is the key of the metadata by which a file of several outputs remembers the one that was trained.
const metaOutput = "onnx_entropy.output"

// choose makes m a model of the output that the flag names, else of the one that it was trained on, else of the first
// of floats. A model of one output is left as it is.
func (f *outputFlag) choose(m *model) error {
	var names []string
	for _, v := range m.Outputs {
		names = append(names, v.Name)
	}
	switch recorded := m.meta[metaOutput]; {
	case f.Output != "" && !slices.Contains(names, f.Output):
		hint := ""
		for _, end := range []string{".onnx", ".npy", ".csv"} {
			if strings.HasSuffix(f.Output, end) {
				hint = "; a file to be written is named with --out"
			}
		}
		return usagef("--output %s: %s has no output of that name; it has %s%s", f.Output, m.label, strings.Join(names, ", "), hint)
	case len(names) < 2:
	case f.Output != "":
		m.output = f.Output
	case recorded != "" && !slices.Contains(names, recorded):
		return fmt.Errorf("%s: its metadata %s is %q, and it has no such output; choose one with --output: %s", m.label, metaOutput, recorded, strings.Join(names, ", "))
	case recorded != "":
		m.output = recorded
	default:
		m.output = names[0]
		// A classifier may give its answer, an integer or a name, in front of its scores.
		if k := slices.IndexFunc(m.Outputs, func(v onnxload.ValueInfo) bool { return !takesIntegers(v) && v.Type != "STRING" }); k >= 0 {
			m.output = names[k]
		}
	}
	return nil
}

// outputInfo is what the file says of the output that is meant.
func (m *model) outputInfo() onnxload.ValueInfo {
	for _, v := range m.Outputs {
		if v.Name == m.output {
			return v
		}
	}
	return m.Outputs[0]
}

// others says that there are more outputs, for a message about the one that is meant; "" if there are none.
func (m *model) others() string {
	if m.output == "" {
		return ""
	}
	var names []string
	for _, v := range m.Outputs {
		if v.Name != m.output {
			names = append(names, v.Name)
		}
	}
	return fmt.Sprintf("; --output chooses another of its outputs: %s", strings.Join(names, ", "))
}
