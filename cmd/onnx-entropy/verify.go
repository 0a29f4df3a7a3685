package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

type verifyCmd struct {
	Dirs        []string `arg:"" name:"dir" help:"A test case (model.onnx and test_data_set_0, ...), or a directory with cases in it."`
	memoryFlags `embed:""`
	JSON        bool `name:"json" help:"Print one JSON object a case: case, result (pass, wrong, unsupported, error), detail."`
}

// Tolerances of the ONNX backend tests.
const (
	verifyRelative = 1e-3
	verifyAbsolute = 1e-5
	verifyBfloat   = 1.0 / 64 // relative, for BFLOAT16: two units in the last place
)

// verdict is the outcome of a case.
type verdict struct {
	Case   string `json:"case"`
	Result string `json:"result"` // pass, wrong, unsupported or error
	Detail string `json:"detail"`
}

// Run succeeds if every case passes or is unsupported.
func (c *verifyCmd) Run(e *env) error {
	var dirs []string
	for _, d := range c.Dirs {
		found, err := cases(d)
		if err != nil {
			return err
		}
		dirs = append(dirs, found...)
	}
	count := map[string]int{}
	enc := json.NewEncoder(e.stdout)
	enc.SetEscapeHTML(false)
	for _, d := range dirs {
		if err := e.ctx.Err(); err != nil {
			return errors.New("interrupted")
		}
		v := verify(e.ctx, d, c.limit())
		count[v.Result]++
		if c.JSON {
			if err := enc.Encode(v); err != nil {
				return err
			}
			continue
		}
		if v.Detail == "" {
			e.printf("%-11s  %s", v.Result, v.Case)
		} else {
			e.printf("%-11s  %s: %s", v.Result, v.Case, v.Detail)
		}
	}
	if !c.JSON {
		e.printf("%s: %d pass, %d wrong, %d unsupported, %d error", report.Plural(len(dirs), "case", "cases"),
			count["pass"], count["wrong"], count["unsupported"], count["error"])
	}
	if bad := count["wrong"] + count["error"]; bad > 0 {
		return fmt.Errorf("%d of %s gave a wrong result or an error", bad, report.Plural(len(dirs), "case", "cases"))
	}
	return nil
}

// cases finds the directories at or below root that hold a model.onnx.
func cases(root string) (dirs []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() == "model.onnx" {
			dirs = append(dirs, filepath.Dir(path))
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: there is no such directory", root)
	}
	if err != nil {
		return nil, err
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("%s holds no test case: no model.onnx at or below it", root)
	}
	slices.Sort(dirs)
	return dirs, nil
}

// An outcome is a result other than pass.
type outcome struct{ result, detail string }

func (o *outcome) Error() string { return o.detail }

func unsupported(format string, args ...any) error {
	return &outcome{"unsupported", fmt.Sprintf(format, args...)}
}

func wrong(format string, args ...any) error { return &outcome{"wrong", fmt.Sprintf(format, args...)} }

// verify runs one case. Whatever happens in it becomes its verdict.
func verify(ctx context.Context, dir string, limit int64) (v verdict) {
	v.Case = filepath.Base(dir)
	if abs, err := filepath.Abs(dir); err == nil {
		v.Case = filepath.Base(abs)
	}
	defer func() {
		if p := recover(); p != nil {
			v.Result, v.Detail = "error", fmt.Sprintf("panic: %v", p)
		}
	}()
	err := verifyCase(ctx, dir, limit)
	oneLine := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	var o *outcome
	var u *onnxload.UnsupportedError
	var t *unsupportedType
	switch {
	case err == nil:
		v.Result = "pass"
	case errors.As(err, &o):
		v.Result, v.Detail = o.result, oneLine(o.detail)
	case errors.As(err, &u), errors.As(err, &t):
		v.Result, v.Detail = "unsupported", oneLine(message(err))
	default:
		v.Result, v.Detail = "error", oneLine(message(err))
	}
	return v
}

func verifyCase(ctx context.Context, dir string, limit int64) error {
	m, err := onnxload.ParseFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return err
	}
	for _, in := range append(slices.Clone(m.Inputs), m.Outputs...) {
		if in.Type == "no tensor" {
			return unsupported("%q is a sequence, map or optional value; tensors are supported", in.Name)
		}
		if elem := onnxpb.TensorProto_DataType_value[in.Type]; !onnxpb.IsFloat(elem) && !onnxpb.IsInt(elem) {
			return unsupported("%q is of type %s; floating-point numbers of at least 16 bits, integers of at least 8 and BOOL are supported", in.Name, in.Type)
		}
	}
	if m.MixedModes() {
		return unsupported("some of its nodes are in training mode, others are not")
	}
	sets, err := filepath.Glob(filepath.Join(dir, "test_data_set_*"))
	if err != nil {
		return err
	}
	sets = slices.DeleteFunc(sets, func(p string) bool { i, err := os.Stat(p); return err != nil || !i.IsDir() })
	if len(sets) == 0 {
		return errors.New("there is no directory test_data_set_0 with inputs and outputs")
	}
	for _, set := range sets {
		if err := verifySet(ctx, m, set, limit); err != nil {
			if len(sets) > 1 {
				return fmt.Errorf("%s: %w", filepath.Base(set), err)
			}
			return err
		}
	}
	return nil
}

// verifySet compares the outputs for one set of inputs.
func verifySet(ctx context.Context, m *onnxload.Model, dir string, limit int64) error {
	inputs, err := readValues(dir, "input")
	if err != nil {
		return err
	}
	want, err := readValues(dir, "output")
	if err != nil {
		return err
	}
	if len(inputs) > len(m.Inputs) || len(want) > len(m.Outputs) || len(want) == 0 {
		return fmt.Errorf("%d inputs and %d outputs for a model of %d and %d", len(inputs), len(want), len(m.Inputs), len(m.Outputs))
	}
	for i := range inputs {
		inputs[i].bfloat(m.Inputs[i].Type)
		if s := m.Inputs[i].Shape; s != nil && len(s) != len(inputs[i].shape) {
			return unsupported("the case gives input %q %d dimensions where the model has %d", m.Inputs[i].Name, len(inputs[i].shape), len(s))
		}
	}
	for i := range want {
		want[i].bfloat(m.Outputs[i].Type)
	}
	got, err := outputsOf(ctx, m, inputs, limit)
	if err != nil {
		return err
	}
	for i, w := range want {
		name := m.Outputs[i].Name
		g, ok := got[name]
		if !ok {
			return unsupported("output %q is a running statistic or made of strings, which are not computed", name)
		}
		if err := compare(name, g, w); err != nil {
			return err
		}
	}
	return nil
}

// compare finds the first difference between an output and what it should be. A result of a 16-bit type was
// computed in float32 and is rounded first.
func compare(name string, got, want value) error {
	if got.elem != want.elem {
		return wrong("output %q is of type %s instead of %s", name, onnxpb.TypeName(got.elem), onnxpb.TypeName(want.elem))
	}
	if !slices.Equal(got.shape, want.shape) {
		return wrong("output %q has shape %v instead of %v", name, got.shape, want.shape)
	}
	for i, w := range want.i {
		if got.i[i] != w {
			return wrong("output %q: element %d is %d instead of %d", name, i, got.i[i], w)
		}
	}
	relative := verifyRelative
	if want.elem == int32(onnxpb.TensorProto_BFLOAT16) {
		relative = verifyBfloat
	}
	for i, w := range want.f {
		g := onnxpb.Round(got.elem, got.f[i])
		same := g == w || math.IsNaN(g) && math.IsNaN(w) || math.Abs(g-w) <= verifyAbsolute+relative*math.Abs(w)
		if math.IsInf(w, 0) {
			same = g == w
		}
		if !same {
			return wrong("output %q: element %d is %v instead of %v", name, i, g, w)
		}
	}
	return nil
}
