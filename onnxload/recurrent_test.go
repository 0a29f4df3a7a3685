package onnxload_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

func unzip(t testing.TB, path string) []byte {
	t.Helper()
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Recurrent networks that both of PyTorch's exporters wrote give PyTorch's numbers, whether parameters reach the
// operator directly or through Slice, Concat and Unsqueeze; models/fixtures_recurrent.py recorded them.
func TestRecurrentAgreesWithPyTorch(t *testing.T) {
	files, err := filepath.Glob("testdata/recurrent/*.onnx.gz")
	if err != nil || len(files) != 11 {
		t.Fatal(len(files), "recorded networks", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".onnx.gz")
		t.Run(filepath.Base(name), func(t *testing.T) {
			var want struct {
				Shape      []int
				IDs        []int64
				Labels     []int64
				LabelShape []int `json:"label_shape"`
				Loss       float64
				Output     []float64
				Gradients  map[string][]float64
			}
			if err := json.Unmarshal(unzip(t, name+".json.gz"), &want); err != nil {
				t.Fatal(err)
			}
			m, err := onnxload.Parse(unzip(t, file))
			if err != nil {
				t.Fatal(err)
			}
			net, err := m.Build(want.Shape[0], onnxload.Options{Training: true, Dtype: tensor.Float64})
			if err != nil {
				t.Fatal(err)
			}
			loss, grads := gradients(t, net, want.IDs, want.Labels, want.LabelShape...)
			if !near(loss, want.Loss, 1e-9) {
				t.Errorf("loss %v, PyTorch has %v", loss, want.Loss)
			}
			if len(net.Params) != len(want.Gradients) {
				t.Errorf("%d parameters, PyTorch has %d", len(net.Params), len(want.Gradients))
			}
			for i, p := range net.Params {
				g, ok := want.Gradients[p.Name]
				if !ok || len(g) != len(grads[i]) {
					t.Errorf("parameter %q of %d elements is none of PyTorch's", p.Name, len(grads[i]))
					continue
				}
				for k, v := range grads[i] {
					if math.Abs(v-g[k]) > 1e-9 {
						t.Errorf("gradient of %q, element %d: %v, PyTorch has %v", p.Name, k, v, g[k])
						break
					}
				}
			}
			infer, err := m.Build(want.Shape[0], onnxload.Options{Dtype: tensor.Float64})
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range run(t, infer, map[*gorgonia.Node]any{infer.Inputs[0]: want.IDs}, infer.Outputs[0])[0] {
				if !near(v, want.Output[i], 1e-9) {
					t.Fatalf("output %d is %v, PyTorch has %v", i, v, want.Output[i])
				}
			}
		})
	}
}

// Attributes that PyTorch does not use, as onnxruntime computes them: testdata/record_recurrent.py.
func TestRecurrentAttributes(t *testing.T) {
	var cases []struct {
		Name    string
		Model   []byte
		Inputs  map[string][]float64
		Lens    []int64
		Outputs map[string][]float64
	}
	if err := json.Unmarshal(unzip(t, "testdata/recurrent_attributes.json.gz"), &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 15 {
		t.Errorf("%d cases are recorded", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			m, err := onnxload.Parse(c.Model)
			if err != nil {
				t.Fatal(err)
			}
			const steps = 4 // dimension 0 of x
			net, err := m.Build(steps, onnxload.Options{Dtype: tensor.Float64})
			if err != nil {
				t.Fatal(err)
			}
			values := map[*gorgonia.Node]any{}
			for _, n := range net.Inputs {
				if x, ok := c.Inputs[n.Name()]; ok {
					values[n] = x
				} else {
					values[n] = c.Lens
				}
			}
			for k, y := range run(t, net, values, net.Outputs...) {
				want := c.Outputs[net.OutputNames[k]]
				if len(y) != len(want) {
					t.Fatalf("output %s has %d elements, want %d", net.OutputNames[k], len(y), len(want))
				}
				for i, v := range y {
					if math.Abs(v-want[i]) > 2e-6 { // onnxruntime computes in float32
						t.Fatalf("output %s, element %d: %v, want %v", net.OutputNames[k], i, v, want[i])
					}
				}
			}
		})
	}
}

// With layout 1 everything that has a batch has it first.
func TestRecurrentLayout(t *testing.T) {
	weights := func() []*onnxpb.TensorProto {
		ws := list(floats("w", []int64{2, 12, 2}), floats("r", []int64{2, 12, 3}))
		for _, w := range ws {
			for i := range w.FloatData {
				w.FloatData[i] = float32(math.Sin(float64(7*i + len(w.FloatData))))
			}
		}
		return ws
	}
	batch := model(14, list(input("x", 2, 3, 2), input("h", 2, 2, 3)), weights(),
		protos{node("LSTM", list("x", "w", "r", "", "", "h"), list("y", "yh", "yc"), "direction", "bidirectional", "layout", 1, "hidden_size", 3)}, "y", "yh", "yc")
	steps := model(14, list(input("x", 2, 3, 2), input("h", 2, 2, 3)), weights(), protos{
		node("Transpose", list("x"), list("xt"), "perm", []int64{1, 0, 2}), node("Transpose", list("h"), list("ht"), "perm", []int64{1, 0, 2}),
		node("LSTM", list("xt", "w", "r", "", "", "ht"), list("yt", "yht", "yct"), "direction", "bidirectional", "hidden_size", 3),
		node("Transpose", list("yt"), list("y"), "perm", []int64{2, 0, 1, 3}), node("Transpose", list("yht"), list("yh"), "perm", []int64{1, 0, 2}),
		node("Transpose", list("yct"), list("yc"), "perm", []int64{1, 0, 2})}, "y", "yh", "yc")
	x := []float64{1, -2, 0.5, 0.25, -1, 3, 2, 1, 0, -0.5, 0.75, 1.5}
	h := []float64{0.5, -0.5, 0.25, 1, -1, 0.1, 0.2, 0.3, -0.7, 0.6, 0.9, -0.2}
	var out [2][][]float64
	for k, m := range []*onnxpb.ModelProto{batch, steps} {
		net := build(t, m, 2, onnxload.Options{Dtype: tensor.Float64})
		out[k] = run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: x, net.Inputs[1]: h}, net.Outputs...)
	}
	for k := range out[0] {
		for i, v := range out[0][k] {
			if v != out[1][k][i] || v == 0 {
				t.Fatalf("output %d, element %d: %v and %v", k, i, v, out[1][k][i])
			}
		}
	}
}

func TestRecurrentRefusals(t *testing.T) {
	build := func(op string, in []string, attrs ...any) *onnxpb.ModelProto {
		return model(14, list(input("x", "N", 3, 2)), list(floats("w", []int64{1, 12, 2}), floats("r", []int64{1, 12, 3}), floats("b", []int64{1, 24})),
			protos{node(op, append(list("x", "w", "r"), in...), list("y"), attrs...)}, "y")
	}
	text := func(m *onnxpb.ModelProto, name string, values ...string) *onnxpb.ModelProto {
		a := &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_STRINGS.Enum()}
		for _, v := range values {
			a.Strings = append(a.Strings, []byte(v))
		}
		m.Graph.Node[0].Attribute = append(m.Graph.Node[0].Attribute, a)
		return m
	}
	for _, c := range []struct {
		m    *onnxpb.ModelProto
		want string
	}{
		{build("LSTM", nil, "hidden_size", 4), "hidden_size 4 differs"},
		{build("LSTM", nil, "direction", "up"), `direction "up"`},
		{build("LSTM", nil, "clip", 0.0), "clip is 0"},
		{build("LSTM", nil, "clip", math.NaN()), "clip is NaN"},
		{build("GRU", nil), "W has shape (1, 12, 2); [1 9 2] is needed"},
		{build("LSTM", list("x")), "B has shape"},
		{build("LSTM", list("", "b")), "integers are needed"},
		{text(build("LSTM", nil), "activations", "Sigmoid", "Tanh"), "2 activations where 3 are needed"},
		{text(build("LSTM", nil), "activations", "Sigmoid", "Sine", "Tanh"), `"Sine" is unknown`},
	} {
		err := buildError(t, c.m, 2, onnxload.Options{})
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "n_y") {
			t.Errorf("%v: want %q", err, c.want)
		}
	}
	big := model(14, list(input("x", 1<<14, 1<<5, 1)), list(floats("w", []int64{1, 4, 1}), floats("r", []int64{1, 4, 1})),
		protos{node("LSTM", list("x", "w", "r"), list("y"))}, "y")
	if err := buildError(t, big, 1<<14, onnxload.Options{MaxElements: 1 << 20}); !strings.Contains(err.Error(), "its gates of shape") {
		t.Error(err)
	}
}
