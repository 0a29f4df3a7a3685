package onnxload_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/fixture"
	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// small returns the fixtures without the largest, which shows nothing more here.
func small(t testing.TB) []string {
	return slices.DeleteFunc(fixtures(t), func(s string) bool { return strings.HasPrefix(s, "allcnn") && s != "allcnn_training" })
}

func load(t testing.TB, name string, training bool) (b []byte, want fixture.Expected, net *onnxload.Net) {
	t.Helper()
	b, want, err := fixture.Load("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnxload.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	net, err = m.Build(want.Input.Shape[0], onnxload.Options{Training: training, Dtype: tensor.Float64})
	if err != nil {
		t.Fatal(err)
	}
	return b, want, net
}

func TestExportOfWhatWasNotTrained(t *testing.T) {
	for _, name := range small(t) {
		b, _, net := load(t, name, true)
		for _, same := range []bool{false, true} {
			got, err := net.Export(net.Weights(), net.Running(), onnxload.ExportOptions{Same: same})
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("%s, same=%v: the bytes differ (%v)", name, same, err)
			}
		}
	}
}

// trained returns numbers that differ from those of the file.
func trained(x []float32) []float32 {
	for i := range x {
		x[i] += 0.01 + 0.001*float32(i%7)
	}
	return x
}

// Both files are walked side by side: only the tensors that were trained may differ, and in these only the
// numbers.
func TestExportChangesTrainedTensorsOnly(t *testing.T) {
	for _, name := range small(t) {
		b, _, net := load(t, name, true)
		weights, running := trained(net.Weights()), trained(net.Running())
		out, err := net.Export(weights, running, onnxload.ExportOptions{Same: true, Metadata: map[string]string{"onnx_entropy.b": "2", "onnx_entropy.a": "1"}})
		if err != nil {
			t.Fatal(name, err)
		}
		before, after := unmarshal(t, b), unmarshal(t, out)
		if p := after.MetadataProps; len(p) < 2 || p[len(p)-2].GetKey() != "onnx_entropy.a" || p[len(p)-1].GetValue() != "2" {
			t.Errorf("%s: metadata %v", name, p)
		}
		after.MetadataProps = after.MetadataProps[:len(before.MetadataProps)]

		want := map[string][]float32{}
		for _, p := range net.Params {
			want[p.Name] = weights[p.From:p.To]
		}
		for _, f := range net.Buffers {
			want[f.Name] = running[f.From:f.To]
		}
		had := map[string]*onnxpb.TensorProto{}
		for _, x := range before.Graph.Initializer {
			had[x.GetName()] = x
		}
		for i, x := range after.Graph.Initializer {
			old := had[x.GetName()]
			if i < len(before.Graph.Initializer) && before.Graph.Initializer[i] != old {
				t.Fatalf("%s: the order of initializers has changed", name)
			}
			w, changed := want[x.GetName()]
			delete(want, x.GetName())
			if !changed {
				if !proto.Equal(old, x) {
					t.Errorf("%s: initializer %q has changed", name, x.GetName())
				}
				continue
			}
			if got, err := x.Floats(); err != nil || !slices.Equal(got, w) {
				t.Errorf("%s: initializer %q does not hold what was trained (%v)", name, x.GetName(), err)
			}
			if old == nil {
				if _, buffer := find(net.Buffers, x.GetName()); !buffer {
					t.Errorf("%s: initializer %q is new", name, x.GetName())
				}
				continue
			}
			if (x.RawData == nil) != (old.RawData == nil) {
				t.Errorf("%s: initializer %q is stored in another way", name, x.GetName())
			}
			x.RawData, x.FloatData = old.RawData, old.FloatData
			if !proto.Equal(old, x) {
				t.Errorf("%s: initializer %q has changed beyond its numbers", name, x.GetName())
			}
		}
		if len(want) > 0 {
			t.Errorf("%s: not in the file: %v", name, want)
		}
		// Where tensors were merged, the Identity nodes that stood for copies make place for copies.
		if len(after.Graph.Initializer) > len(before.Graph.Initializer) {
			before.Graph.Node = slices.DeleteFunc(before.Graph.Node, func(n *onnxpb.NodeProto) bool {
				_, buffer := find(net.Buffers, n.Output[0])
				return n.GetOpType() == "Identity" && buffer
			})
		}
		before.Graph.Initializer, after.Graph.Initializer = nil, nil
		if !proto.Equal(before, after) {
			t.Errorf("%s: something besides the initializers has changed", name)
		}
		roundTrip(t, name, out, net, weights, running)
	}
}

// roundTrip checks that the exported file gives the exported numbers, under the same names.
func roundTrip(t *testing.T, name string, out []byte, net *onnxload.Net, weights, running []float32) {
	t.Helper()
	m, err := onnxload.Parse(out)
	if err != nil {
		t.Fatal(name, err)
	}
	again, err := m.Build(net.Batch, net.Options())
	if err != nil {
		t.Fatal(name, err)
	}
	if !slices.Equal(again.Weights(), weights) {
		t.Errorf("%s: the exported file has other weights", name)
	}
	r := again.Running()
	for _, f := range net.Buffers {
		g, ok := find(again.Buffers, f.Name)
		if !ok || !slices.Equal(r[g.From:g.To], running[f.From:f.To]) {
			t.Errorf("%s: the exported file has other running statistics %q", name, f.Name)
		}
	}
}

func find(bs []onnxload.Buffer, name string) (onnxload.Buffer, bool) {
	for _, b := range bs {
		if b.Name == name {
			return b, true
		}
	}
	return onnxload.Buffer{}, false
}

// A file in training mode comes out in inference mode, and gives what our inference graph gives.
func TestExportForInference(t *testing.T) {
	for _, name := range small(t) {
		_, want, net := load(t, name, true)
		weights, running := trained(net.Weights()), trained(net.Running())
		out, err := net.Export(weights, running, onnxload.ExportOptions{})
		if err != nil {
			t.Fatal(name, err)
		}
		m, err := onnxload.Parse(out)
		if err != nil {
			t.Fatal(name, err)
		}
		if m.TrainingMode() {
			t.Errorf("%s: it is still in training mode", name)
		}
		if net.Model().TrainingMode() != strings.Contains(name, "_training") {
			t.Errorf("%s: training mode is %v", name, net.Model().TrainingMode())
		}
		for _, n := range unmarshal(t, out).Graph.Node {
			if n.GetOpType() == "BatchNormalization" && len(n.Output) != 1 || n.GetOpType() == "Dropout" && len(n.Input) > 2 {
				t.Errorf("%s: %v", name, n)
			}
		}
		roundTrip(t, name, out, net, weights, running)
		keepExport(t, name, out, want, must(m.Build(net.Batch, onnxload.Options{Dtype: tensor.Float64})))
	}
}

// keepExport writes the file and our outputs for it to the folder ONNX_ENTROPY_EXPORTS, if that is set, where
// testdata/check_exports.py compares them with onnxruntime's.
func keepExport(t *testing.T, name string, out []byte, want fixture.Expected, net *onnxload.Net) {
	dir := os.Getenv("ONNX_ENTROPY_EXPORTS")
	if dir == "" {
		return
	}
	y := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: want.X}, net.Outputs[0])[0]
	save := func(name string, shape []int, x []float64) {
		p := &onnxpb.TensorProto{DataType: proto.Int32(int32(onnxpb.TensorProto_DOUBLE)), DoubleData: x}
		for _, d := range shape {
			p.Dims = append(p.Dims, int64(d))
		}
		if err := os.WriteFile(filepath.Join(dir, name), must(proto.Marshal(p)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, name+".onnx"), out, 0o666); err != nil {
		t.Fatal(err)
	}
	save(name+".x.pb", want.Input.Shape, wide(want.X))
	save(name+".y.pb", net.Outputs[0].Shape(), y)
}

func unmarshal(t testing.TB, b []byte) *onnxpb.ModelProto {
	p := new(onnxpb.ModelProto)
	if err := proto.Unmarshal(b, p); err != nil {
		t.Fatal(err)
	}
	return p
}

// How a model is to be trained elsewhere is none of our business: training_info keeps its bytes.
func TestTrainingInfoKept(t *testing.T) {
	m := model(13, list(input("x", "N", 3)), list(floats("w", []int64{3, 2})), protos{node("MatMul", list("x", "w"), list("y"))}, "y")
	m.TrainingInfo = list(&onnxpb.TrainingInfoProto{
		Algorithm:     &onnxpb.GraphProto{Name: proto.String("step"), Node: protos{node("Sub", list("w", "w"), list("w_new"))}},
		UpdateBinding: list(&onnxpb.StringStringEntryProto{Key: proto.String("w"), Value: proto.String("w_new")}),
	})
	net := build(t, m, 2, onnxload.Options{Training: true})
	w := net.Weights()
	for i := range w {
		w[i]++
	}
	b, err := net.Export(w, nil, onnxload.ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var p onnxpb.ModelProto
	if err := proto.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	if want := marshal(m.TrainingInfo[0]); len(p.TrainingInfo) != 1 || !bytes.Contains(b, want) {
		t.Errorf("training_info is %v", p.TrainingInfo)
	}
	if bytes.Equal(b, marshal(m)) {
		t.Error("the weights have not changed")
	}
}
