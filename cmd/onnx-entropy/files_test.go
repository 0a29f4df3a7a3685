package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// TestExternalData: a model that came with its tensors in another file trains to the same weights as one that holds them, and is
// written in the same form: beside --out and in the run's folder.
func TestExternalData(t *testing.T) {
	workDir(t)
	m := new(onnxpb.ModelProto)
	if err := proto.Unmarshal(newLinear(6).onnx(), m); err != nil {
		t.Fatal(err)
	}
	var data []byte
	for _, x := range m.Graph.Initializer {
		v, err := x.Floats()
		if err != nil {
			continue // the target of a Reshape
		}
		raw := &onnxpb.TensorProto{DataType: x.DataType, Dims: x.Dims, RawData: make([]byte, 4*len(v))}
		if err := raw.SetFloats(v); err != nil {
			t.Fatal(err)
		}
		entries := [][2]string{{"location", "weights.bin"}, {"offset", fmt.Sprint(len(data))}, {"length", fmt.Sprint(len(raw.RawData))}}
		x.FloatData, x.RawData, x.DataLocation = nil, nil, onnxpb.TensorProto_EXTERNAL.Enum()
		for _, e := range entries {
			x.ExternalData = append(x.ExternalData, &onnxpb.StringStringEntryProto{Key: proto.String(e[0]), Value: proto.String(e[1])})
		}
		data = append(data, raw.RawData...)
	}
	if len(data) == 0 {
		t.Fatal("the model has no floats")
	}
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	write(t, "ext.onnx", b)
	write(t, "weights.bin", data)
	args := []string{"--data", "data", "--epochs", "1", "--batch", "8", "--seed", "3"}
	must(t, append([]string{"train", "ext.onnx", "--out", "a.onnx"}, args...)...)
	must(t, append([]string{"train", "m.onnx", "--out", "b.onnx"}, args...)...)
	if !bytes.Equal(read(t, "weights.bin"), data) {
		t.Error("the original's data have changed")
	}
	if n := len(read(t, "a.onnx.data")); n != len(data) {
		t.Errorf("a.onnx.data has %d bytes, the original's data %d", n, len(data))
	}
	if !bytes.Equal(read(t, "a.onnx.data"), read(t, "runs/1/trained.onnx.data")) {
		t.Error("the run's folder has other data")
	}
	want := must(t, "eval", "b.onnx", "--data", "data", "--json")
	for _, path := range []string{"a.onnx", "runs/1/trained.onnx"} {
		if got := must(t, "eval", path, "--data", "data", "--json"); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// A folder does not hide the embedded model of its name.
func TestFolderOfAModelsName(t *testing.T) {
	workDir(t)
	if err := os.Mkdir("mnistconv", 0o755); err != nil {
		t.Fatal(err)
	}
	if out := must(t, "inspect", "mnistconv"); !strings.Contains(out, "Model    mnistconv: opset") {
		t.Error(out)
	}
	squaresDir(t, "pictures", 28)
	train := []string{"train", "mnistconv", "--data", "pictures", "--max-outer", "1", "-L", "2", "--batch", "16"}
	if out := must(t, train...); !strings.Contains(out, "mnistconv (embedded)") {
		t.Error(out)
	}
	if out := must(t, "train", "--resume", "runs/1"); !strings.Contains(out, "finished") {
		t.Error(out)
	}
	if c := string(read(t, "runs/1/config")); strings.Contains(c, "/mnistconv\"") {
		t.Error("the config names the folder: ", c)
	}
}
