package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/internal/report"
)

// Keys of the metadata by which a trained file remembers how its inputs were made.
const (
	metaScale = "onnx_entropy.scale"
	metaMean  = "onnx_entropy.mean"
	metaStd   = "onnx_entropy.std"
	metaInput = "onnx_entropy.input" // "uint8" or "float32": the stored type that the three are for

	metaClasses = "onnx_entropy.classes" // names of the classes, a JSON list
	metaColumns = "onnx_entropy.columns" // of a table, a JSON list
	metaTarget  = "onnx_entropy.target"  // its column to be predicted
)

// kindOf is the stored type of the values of s.
func kindOf(s *dataset.Set) string {
	if s.Bytes != nil {
		return "uint8"
	}
	return "float32"
}

// recorded is the transform that the model was trained with, if that was on values stored like those of s.
// Floats of a model that was trained on bytes are taken to be network inputs already.
func recorded(m *model, s *dataset.Set) (t dataset.Transform, err error) {
	if m.meta[metaScale] == "" || m.meta[metaInput] != kindOf(s) {
		return t, nil
	}
	for _, p := range []struct {
		key string
		to  *[]float64
	}{{metaScale, nil}, {metaMean, &t.Mean}, {metaStd, &t.Std}} {
		var v []float64
		for _, field := range strings.Split(m.meta[p.key], ",") {
			x, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return t, fmt.Errorf("%s: its metadata %s is %q, which is no number; give --scale, --mean and --std", m.label, p.key, m.meta[p.key])
			}
			v = append(v, x)
		}
		if p.to != nil {
			*p.to = v
		} else {
			t.Scale = v[0]
		}
	}
	return t, nil
}

// record puts the transform of s into metadata, and the names in it. Of several inputs one at most has another than the default
// for its kind.
func record(meta map[string]string, m *model, s *dataset.Set) {
	if scaled := m.scaled(s); len(scaled) > 0 {
		t := scaled[0].Transform()
		meta[metaScale] = report.Number(t.Scale)
		meta[metaMean] = numbers(t.Mean)
		meta[metaStd] = numbers(t.Std)
		meta[metaInput] = kindOf(scaled[0])
	}
	for key, names := range map[string][]string{metaClasses: s.ClassNames, metaColumns: s.Columns} {
		if names != nil {
			list, _ := json.Marshal(names) // of strings: it cannot fail
			meta[key] = string(list)
		}
	}
}

func numbers(v []float64) string {
	var s []string
	for _, x := range v {
		s = append(s, report.Number(x))
	}
	return strings.Join(s, ",")
}

// parts are those of --split, else what the model records, else nil.
func (f *dataFlags) parts(m *model) (v []float64, err error) {
	if f.Split != nil || m.meta[metaSplit] == "" {
		return f.Split, nil
	}
	for _, s := range strings.Split(m.meta[metaSplit], ",") {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: its metadata %s is %q, which is no list of numbers", m.label, metaSplit, m.meta[metaSplit])
		}
		v = append(v, x)
	}
	return v, nil
}

// list is a JSON list of names in the metadata, nil if there is none.
func (m *model) list(key string) (names []string, err error) {
	if m.meta[key] == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(m.meta[key]), &names); err != nil {
		return nil, fmt.Errorf("%s: its metadata %s is no JSON list of names", m.label, key)
	}
	return names, nil
}
