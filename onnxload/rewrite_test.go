package onnxload_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// export trains every number of a model a little and writes it; the file also goes to ONNX_ENTROPY_EXPORTS.
func export(t *testing.T, m *onnxpb.ModelProto, o onnxload.ExportOptions) (*onnxpb.ModelProto, *onnxload.Net) {
	t.Helper()
	net := build(t, m, 2, onnxload.Options{Training: true, Dtype: tensor.Float64})
	out, err := net.Export(trained(net.Weights()), trained(net.Running()), o)
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("ONNX_ENTROPY_EXPORTS"); dir != "" {
		name := strings.ReplaceAll(t.Name(), "/", "_")
		if err := os.WriteFile(filepath.Join(dir, name+".small.onnx"), out, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return unmarshal(t, out), net
}

func batchNorms(opset int64, attrs ...any) *onnxpb.ModelProto {
	c := []int64{2}
	outputs := list("a", "m1", "v1")
	if opset < 14 {
		outputs = append(outputs, "s1", "t1")
	}
	m := model(opset, list(input("x", "N", 2, 3)), list(
		floats("scale", c), floats("bias", c), floats("mean", c), floats("var", c),
		&onnxpb.TensorProto{Name: proto.String("on"), DataType: proto.Int32(int32(onnxpb.TensorProto_BOOL)), RawData: []byte{1}}),
		protos{node("BatchNormalization", list("x", "scale", "bias", "mean", "var"), outputs, attrs...)}, "y")
	drop := node("Dropout", list("a", "", "on"), list("y"))
	if opset < 12 {
		drop = node("Dropout", list("a"), list("y"))
	}
	m.Graph.Node = append(m.Graph.Node, drop)
	m.Graph.ValueInfo = append(m.Graph.ValueInfo, input("a", "N", 2, 3), input("m1", 2), input("v1", 2))
	return m
}

func TestToInference(t *testing.T) {
	for name, c := range map[string]struct {
		m     *onnxpb.ModelProto
		attr  string // that must be value
		value int64
	}{
		"opset 17": {batchNorms(17, "training_mode", 1), "training_mode", 0},
		"opset 9":  {batchNorms(9), "", 0},
		"opset 7":  {batchNorms(7), "", 0},
		"opset 6":  {batchNorms(6), "is_test", 1},
	} {
		t.Run(name, func(t *testing.T) {
			out, net := export(t, c.m, onnxload.ExportOptions{})
			if !net.Model().TrainingMode() || must(onnxload.Parse(marshal(out))).TrainingMode() {
				t.Error("training mode was not found, or not ended")
			}
			bn, drop := out.Graph.Node[0], out.Graph.Node[1]
			if !slices.Equal(bn.Output, list("a")) || !slices.Equal(drop.Input, list("a")) {
				t.Error(bn, drop)
			}
			if c.attr != "" && !slices.ContainsFunc(bn.Attribute, func(a *onnxpb.AttributeProto) bool {
				return a.GetName() == c.attr && a.GetI() == c.value
			}) {
				t.Error(bn)
			}
			if len(out.Graph.ValueInfo) != 1 || out.Graph.ValueInfo[0].GetName() != "a" {
				t.Error(out.Graph.ValueInfo)
			}
			// The same file in training mode, on demand.
			same, _ := export(t, c.m, onnxload.ExportOptions{Same: true})
			same.Graph.Initializer = c.m.Graph.Initializer
			if !proto.Equal(same, c.m) {
				t.Error("same changes more than numbers")
			}
		})
	}
}

// Who reads the running statistics of a BatchNormalization in training mode gets them in inference too.
func TestToInferenceKeepsStatisticsThatAreRead(t *testing.T) {
	m := batchNorms(17, "training_mode", 1)
	m.Graph.Output = append(m.Graph.Output, input("v1", 2))
	out, net := export(t, m, onnxload.ExportOptions{})
	if len(net.Outputs) != 1 {
		t.Errorf("a training graph has outputs %v", net.OutputNames)
	}
	infer := build(t, out, 2, onnxload.Options{Dtype: tensor.Float64})
	got := run(t, infer, map[*gorgonia.Node]any{infer.Inputs[0]: make([]float64, 12)}, infer.Outputs[1])[0]
	b, _ := find(infer.Buffers, "var")
	if want := wide(infer.Running()[b.From:b.To]); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A Dropout's mode that other nodes read stays for them; a Constant for it alone goes.
func TestSharedDropoutMode(t *testing.T) {
	on := &onnxpb.TensorProto{DataType: proto.Int32(int32(onnxpb.TensorProto_BOOL)), RawData: []byte{1}}
	m := model(13, list(input("x", "N", 2)), list(floats("b", []int64{2})), protos{
		node("Constant", nil, list("mode"), "value", on),
		node("Constant", nil, list("mode2"), "value", on),
		node("Add", list("x", "b"), list("c")),
		node("Dropout", list("c", "", "mode"), list("d")),
		node("Dropout", list("d", "", "mode"), list("e")),
		node("Dropout", list("e", "", "mode2"), list("f")),
		node("Cast", list("mode2"), list("g"), "to", 1),
		node("Mul", list("f", "g"), list("y")),
	}, "y")
	out, _ := export(t, m, onnxload.ExportOptions{})
	var names []string
	for _, n := range out.Graph.Node {
		names = append(names, n.Output[0])
	}
	if want := list("mode2", "c", "d", "e", "f", "g", "y"); !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	build(t, out, 1, onnxload.Options{})
}

// One initializer that is the scale of two layers, their biases, a running mean, a bound of Clip: what exporters
// make of a fresh network. Statistics get tensors of their own and the bound stays.
func TestMergedTensors(t *testing.T) {
	m := model(17, list(input("x", "N", 1)), list(floats("zero", []int64{1}, 0), floats("one", []int64{1}, 1)), protos{
		node("Identity", list("one"), list("bn2.running_var")),
		node("BatchNormalization", list("x", "one", "zero", "zero", "one"), list("a"), "training_mode", 0),
		node("BatchNormalization", list("a", "one", "zero", "zero", "bn2.running_var"), list("b"), "training_mode", 0),
		node("Clip", list("b", "zero"), list("y")),
	}, "y")
	net := build(t, m, 1, onnxload.Options{Dtype: tensor.Float64})
	if len(net.Params) != 2 || len(net.Buffers) != 4 || !net.Params[0].Tied {
		t.Fatalf("%v %v", net.Params, net.Buffers)
	}
	var names []string
	running := net.Running()
	for i, b := range net.Buffers {
		names = append(names, b.Name)
		running[b.From] = float32(10 + i)
	}
	if want := list("n_a.running_mean", "n_b.running_mean", "n_a.running_var", "bn2.running_var"); !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	out := must(net.Export([]float32{-3, 2}, running, onnxload.ExportOptions{}))
	again := build(t, unmarshal(t, out), 1, onnxload.Options{Dtype: tensor.Float64})
	if w := again.Weights(); !slices.Equal(w, list[float32](-3, 2)) {
		t.Error(w)
	}
	for _, b := range net.Buffers {
		if a, ok := find(again.Buffers, b.Name); !ok || again.Running()[a.From] != running[b.From] {
			t.Errorf("%q is lost", b.Name)
		}
	}
	// (x-10)/sqrt(12)*2-3 and again with 11 and 13; the bound is still 0, not -3.
	step := func(x, mean, variance float64) float64 { return (x-mean)/math.Sqrt(variance+1e-5)*2 - 3 }
	x := 500.0
	y := run(t, again, map[*gorgonia.Node]any{again.Inputs[0]: list(x)}, again.Outputs[0])[0][0]
	if want := step(step(x, 10, 12), 11, 13); !near(y, want, 1e-6) {
		t.Errorf("%v, want %v", y, want)
	}
	if y := run(t, again, map[*gorgonia.Node]any{again.Inputs[0]: list(-x)}, again.Outputs[0])[0][0]; y != 0 {
		t.Errorf("the bound of Clip has become %v", y)
	}
}

// Types and places of numbers stay; so do fields that no version of ONNX knows.
func TestExportKeepsStorage(t *testing.T) {
	half := &onnxpb.TensorProto{Name: proto.String("half"), DataType: proto.Int32(int32(onnxpb.TensorProto_FLOAT16)), Dims: []int64{2}, RawData: []byte{0, 0x3c, 0, 0x40}}
	double := &onnxpb.TensorProto{Name: proto.String("double"), DataType: proto.Int32(int32(onnxpb.TensorProto_DOUBLE)), Dims: []int64{2},
		DoubleData: []float64{math.Pi, 1}, DocString: proto.String("kept")}
	m := model(17, list(input("x", "N", 2)), list(half, double), protos{
		node("Cast", list("half"), list("h"), "to", 1),
		node("Add", list("x", "h"), list("a")),
		node("Cast", list("double"), list("d"), "to", 1),
		node("Mul", list("a", "d"), list("b")),
		node("Constant", nil, list("w"), "value_floats", []float32{1, 2}),
		node("MatMul", list("b", "w"), list("y")),
	}, "y")
	unknown := []byte{0xfa, 0x7f, 3, 'a', 'b', 'c'} // field 2047
	double.ProtoReflect().SetUnknown(unknown)
	m.Graph.ProtoReflect().SetUnknown(unknown)
	m.Graph.Node[1].ProtoReflect().SetUnknown(unknown)
	m.ProtoReflect().SetUnknown(unknown)
	net := build(t, m, 1, onnxload.Options{})
	w := net.Weights()
	if !slices.Equal(w, list[float32](1, 2, math.Pi, 1, 1, 2)) {
		t.Fatal(w)
	}
	w[1], w[3], w[4] = 0.5, 4, 8
	out := unmarshal(t, must(net.Export(w, nil, onnxload.ExportOptions{})))
	want := proto.Clone(m).(*onnxpb.ModelProto)
	want.Graph.Initializer[0].RawData = []byte{0, 0x3c, 0, 0x38}
	want.Graph.Initializer[1].DoubleData = []float64{math.Pi, 4} // pi was not trained and keeps all its digits
	want.Graph.Node[4].Attribute[0].Floats = []float32{8, 2}
	if !proto.Equal(out, want) {
		t.Errorf("got  %v\nwant %v", out, want)
	}
}

// Metadata replace those of the same key, and alone are a change.
func TestExportMetadata(t *testing.T) {
	m := relu()
	m.MetadataProps = []*onnxpb.StringStringEntryProto{
		{Key: proto.String("onnx_entropy.seed"), Value: proto.String("1")}, {Key: proto.String("author"), Value: proto.String("me")}}
	net := build(t, m, 1, onnxload.Options{})
	o := onnxload.ExportOptions{Metadata: map[string]string{"onnx_entropy.seed": "2", "onnx_entropy.epochs": "5"}}
	out := must(net.Export(net.Weights(), nil, o))
	m.MetadataProps = []*onnxpb.StringStringEntryProto{
		{Key: proto.String("author"), Value: proto.String("me")}, {Key: proto.String("onnx_entropy.epochs"), Value: proto.String("5")},
		{Key: proto.String("onnx_entropy.seed"), Value: proto.String("2")}}
	if !proto.Equal(unmarshal(t, out), m) {
		t.Error(unmarshal(t, out))
	}
	again := build(t, unmarshal(t, out), 1, onnxload.Options{})
	if b := must(again.Export(again.Weights(), nil, o)); !bytes.Equal(b, must(again.Export(again.Weights(), nil, o))) {
		t.Error("two exports differ")
	}
	if _, err := net.Export(nil, nil, o); err == nil || !strings.Contains(err.Error(), "0 weights") {
		t.Error(err)
	}
}
