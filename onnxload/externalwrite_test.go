package onnxload_test

import (
	"bytes"
	"fmt"
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

// outside moves a tensor's numbers to a range of a file.
func outside(t *onnxpb.TensorProto, location string, offset int64) *onnxpb.TensorProto {
	t.FloatData, t.Int64Data, t.RawData, t.DataLocation = nil, nil, nil, onnxpb.TensorProto_EXTERNAL.Enum()
	t.ExternalData = nil
	for _, e := range [][2]string{{"location", location}, {"offset", fmt.Sprint(offset)}} {
		t.ExternalData = append(t.ExternalData, &onnxpb.StringStringEntryProto{Key: proto.String(e[0]), Value: proto.String(e[1])})
	}
	return t
}

// outsideModel has tensors in w.bin everywhere: initializers, of which b and c share a range, a Constant, a subgraph, a function, training_info.
func outsideModel() (m *onnxpb.ModelProto, data []byte) {
	data = floatBytes(1, 2, 3, 4, 10, 20, 30, 40, 100, 200, 300, 400, 0.5, 0.25, 2, 4, 7, 8, 9, 6)
	four := func(name string, offset int64) *onnxpb.TensorProto {
		return outside(floats(name, []int64{4}), "w.bin", offset)
	}
	m = withFunctions(model(13, list(input("x", "N", 4)), list(four("b", 0), four("c", 0), scalar("yes", 1)), protos{
		node("Add", list("x", "b"), list("h1")), node("Mul", list("h1", "c"), list("h2")),
		node("Constant", nil, list("k"), "value", four("", 16)), node("Add", list("h2", "k"), list("h3")),
		graph("then_branch", graph("else_branch", node("If", list("yes"), list("h4")), nil, nil, protos{node("Relu", list("h3"), list("z"))}, "z"),
			nil, list(four("s", 32)), protos{node("Add", list("h3", "s"), list("z"))}, "z"),
		calling(node("F", list("h4"), list("y")))}, "y"),
		function("F", 13, list("a"), list("b"), nil, node("Constant", nil, list("f"), "value", four("", 48)), node("Mul", list("a", "f"), list("b"))))
	m.TrainingInfo = list(&onnxpb.TrainingInfoProto{Initialization: &onnxpb.GraphProto{Name: proto.String("i")},
		Algorithm: &onnxpb.GraphProto{Name: proto.String("step"), Initializer: list(four("rate", 64))}})
	return m, data
}

func floatBytes(x ...float32) []byte {
	t := &onnxpb.TensorProto{DataType: proto.Int32(1), Dims: []int64{int64(len(x))}, RawData: make([]byte, 4*len(x))}
	if err := t.SetFloats(x); err != nil {
		panic(err)
	}
	return t.RawData
}

// TestExternalEverywhere: tensors in other files are read wherever they are, and written beside the new file at their places.
func TestExternalEverywhere(t *testing.T) {
	dir := t.TempDir()
	m, data := outsideModel()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("w.bin", data)
	p := must(onnxload.ParseFile(write("m.onnx", marshal(m))))
	if !p.External() {
		t.Fatal("no external data")
	}
	value := func(p *onnxload.Model) []float64 {
		net := must(p.Build(1, onnxload.Options{Dtype: tensor.Float64}))
		return run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: []float64{1, 1, 1, 1}}, net.Outputs...)[0]
	}
	want := []float64{((1+1)*1 + 10 + 100) * 0.5, ((1+2)*2 + 20 + 200) * 0.25, ((1+3)*3 + 30 + 300) * 2, ((1+4)*4 + 40 + 400) * 4}
	if got := value(p); !slices.Equal(got, want) {
		t.Fatalf("%v, want %v", got, want)
	}
	net := must(p.Build(1, onnxload.Options{Training: true}))
	var names []string
	for _, q := range net.Params {
		names = append(names, q.Name)
	}
	if !slices.Equal(names, list("b", "c", "n_h4.then_branch/s")) {
		t.Fatal(names)
	}
	files := func(f *onnxload.Files, err error) (*onnxload.Model, []byte) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := f.WriteData(&b); err != nil {
			t.Fatal(err)
		}
		write(f.Data, b.Bytes())
		if bytes.Contains(f.Model, []byte("w.bin")) {
			t.Error("the new file still reads the old data")
		}
		return must(onnxload.ParseFile(write("new.onnx", f.Model))), b.Bytes()
	}
	// Nothing has changed: nor do the data.
	q, b := files(net.ExportFiles(net.Weights(), nil, "new.onnx.data", onnxload.ExportOptions{}))
	if !bytes.Equal(b, data) || !slices.Equal(value(q), want) {
		t.Errorf("data %v", b)
	}
	if q, b = files(p.Files("moved.data")); !bytes.Equal(b, data) || !slices.Equal(value(q), want) {
		t.Errorf("data %v", b)
	}
	// Two tensors of one range have become different: the second moves to the end.
	w := net.Weights()
	w[0], w[4], w[8] = 5, 7, 300
	q, b = files(net.ExportFiles(w, nil, "new.onnx.data", onnxload.ExportOptions{}))
	if !slices.Equal(must(q.Build(1, onnxload.Options{})).Weights(), w) || !bytes.Equal(b[16:32], data[16:32]) || !bytes.Equal(b[48:len(data)], data[48:]) || len(b) != 4096+16 {
		t.Errorf("%d bytes of data", len(b))
	}
	if got := value(q)[0]; got != ((1+5)*7+10+300)*0.5 {
		t.Error(got)
	}
	// Without a name the file stands alone.
	alone := must(net.Export(w, nil, onnxload.ExportOptions{}))
	if got := value(must(onnxload.Parse(alone)))[0]; got != ((1+5)*7+10+300)*0.5 {
		t.Error(got)
	}
	if f := must(must(onnxload.Parse(alone)).Files("none")); f.Data != "" || f.WriteData != nil {
		t.Error(f.Data)
	}
}

// TestExternalTotal: many tensors on one range are not many times the file.
func TestExternalTotal(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "w.bin"), make([]byte, 4<<18), 0o666); err != nil {
		t.Fatal(err)
	}
	m := relu()
	for i := range 100 {
		x := &onnxpb.TensorProto{Name: proto.String(fmt.Sprint("w", i)), DataType: proto.Int32(1), Dims: []int64{1 << 18}}
		m.Graph.Initializer = append(m.Graph.Initializer, outside(x, "w.bin", 0))
	}
	path := filepath.Join(dir, "m.onnx")
	if err := os.WriteFile(path, marshal(m), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := onnxload.ParseFile(path); err == nil || !strings.Contains(err.Error(), `tensor "w5": with it the tensors have 6.0 MiB`) {
		t.Error(err)
	}
}
