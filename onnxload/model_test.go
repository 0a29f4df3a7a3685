package onnxload_test

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

type protos = []*onnxpb.NodeProto

// relu is a model that is right; each case of the table breaks it.
func relu() *onnxpb.ModelProto {
	return model(13, list(input("x", "N", 4)), list(floats("b", []int64{4})), protos{
		node("Add", list("x", "b"), list("h")), node("Relu", list("h"), list("y")),
	}, "y")
}

func TestParseErrors(t *testing.T) {
	good := marshal(relu())
	if _, err := onnxload.Parse(good); err != nil {
		t.Fatal(err)
	}
	broken := func(f func(m *onnxpb.ModelProto)) []byte {
		m := relu()
		f(m)
		return marshal(m)
	}
	for name, c := range map[string]struct {
		b    []byte
		want string // in the error
	}{
		"empty":        {nil, "not an ONNX file (it is empty)"},
		"text":         {[]byte("hello, world\n"), "not an ONNX file"},
		"zip":          {[]byte("PK\x03\x04 and so on"), "torch.save"},
		"gzip":         {[]byte("\x1f\x8b\x08"), "gzip"},
		"cut off":      {good[:len(good)-9], "cut off"},
		"no graph":     {broken(func(m *onnxpb.ModelProto) { m.Graph = nil }), "no graph"},
		"no opset":     {broken(func(m *onnxpb.ModelProto) { m.OpsetImport = nil }), "opset_import"},
		"future opset": {broken(func(m *onnxpb.ModelProto) { m.OpsetImport[0].Version = proto.Int64(99) }), "version 99"},
		"two opsets": {broken(func(m *onnxpb.ModelProto) {
			m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("ai.onnx"), Version: proto.Int64(7)})
		}), "13 and 7"},
		"twice an init":       {broken(func(m *onnxpb.ModelProto) { m.Graph.Initializer = append(m.Graph.Initializer, m.Graph.Initializer[0]) }), `initializers are named "b"`},
		"twice a value":       {broken(func(m *onnxpb.ModelProto) { m.Graph.Node[1].Output[0] = "h" }), `"n_y" (Relu, opset 13) computes "h"`},
		"twice an input":      {broken(func(m *onnxpb.ModelProto) { m.Graph.Input = append(m.Graph.Input, m.Graph.Input[0]) }), `inputs are named "x"`},
		"twice an output":     {broken(func(m *onnxpb.ModelProto) { m.Graph.Output = append(m.Graph.Output, m.Graph.Output[0]) }), `outputs are named "y"`},
		"unknown output":      {broken(func(m *onnxpb.ModelProto) { m.Graph.Output[0].Name = proto.String("z") }), `output "z"`},
		"unknown input":       {broken(func(m *onnxpb.ModelProto) { m.Graph.Node[1].Input[0] = "z" }), `"n_y" (Relu, opset 13) reads "z"`},
		"no output of a node": {broken(func(m *onnxpb.ModelProto) { m.Graph.Node[0].Output = nil }), "no output"},
		"too little data":     {broken(func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].FloatData = nil }), `initializer "b": shape [4] of type FLOAT takes 4 numbers, but there are 0`},
		"dims that overflow":  {broken(func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].Dims = []int64{math.MaxInt64, math.MaxInt64} }), `initializer "b": shape`},
		"negative dims":       {broken(func(m *onnxpb.ModelProto) { m.Graph.Initializer[0].Dims = []int64{-4} }), `-4 is negative`},
		"circle":              {broken(func(m *onnxpb.ModelProto) { m.Graph.Node[0].Input[0] = "y" }), `circle`},
		"external": {broken(func(m *onnxpb.ModelProto) {
			m.Graph.Initializer[0].DataLocation = onnxpb.TensorProto_EXTERNAL.Enum()
		}), `tensor "b": its numbers lie in another file`},
	} {
		_, err := onnxload.Parse(c.b)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "onnxload: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v\nwant one line with %q", name, err, c.want)
		}
	}
	file := filepath.Join(t.TempDir(), "x.txt")
	if err := os.WriteFile(file, []byte("hello"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := onnxload.ParseFile(file); err == nil || !strings.Contains(err.Error(), `x.txt" is not an ONNX file (`) {
		t.Error(err)
	}
	if _, err := onnxload.ParseFile(file + ".gone"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// Nodes in the wrong order are put right.
func TestUnsortedNodes(t *testing.T) {
	m := relu()
	m.Graph.Node[0], m.Graph.Node[1] = m.Graph.Node[1], m.Graph.Node[0]
	net := must(must(onnxload.Parse(marshal(m))).Build(3, onnxload.Options{}))
	if got := net.Outputs[0].Shape(); !got.Eq(tensor.Shape{3, 4}) {
		t.Error(got)
	}
}

func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	raw := []byte{9, 9, 9, 9, 0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 64} // 1, 2, 3, 4 from byte 4 on
	write("w.bin", raw)
	external := func(entries ...string) []byte {
		m := relu()
		x := m.Graph.Initializer[0]
		x.FloatData, x.DataLocation = nil, onnxpb.TensorProto_EXTERNAL.Enum()
		for i := 0; i < len(entries); i += 2 {
			x.ExternalData = append(x.ExternalData, &onnxpb.StringStringEntryProto{Key: &entries[i], Value: &entries[i+1]})
		}
		return marshal(m)
	}
	m, err := onnxload.ParseFile(write("m.onnx", external("location", "w.bin", "offset", "4", "length", "16")))
	if err != nil {
		t.Fatal(err)
	}
	net := must(m.Build(1, onnxload.Options{}))
	if w := net.Weights(); w[0] != 1 || w[3] != 4 {
		t.Error(w)
	}
	// The exported file stands alone.
	out := must(net.Export([]float32{5, 6, 7, 8}, nil, onnxload.ExportOptions{}))
	if w := must(must(onnxload.Parse(out)).Build(1, onnxload.Options{})).Weights(); w[0] != 5 || w[3] != 8 {
		t.Error(w)
	}

	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Log(err)
	}
	for name, c := range map[string]struct {
		entries []string
		want    string
	}{
		"above":      {[]string{"location", "../w.bin"}, "not a path below"},
		"absolute":   {[]string{"location", "/etc/passwd"}, "not a path below"},
		"link":       {[]string{"location", "link"}, "escapes"},
		"missing":    {[]string{"location", "gone.bin"}, "is not there"},
		"folder":     {[]string{"location", "."}, "no regular file"},
		"no place":   {[]string{"offset", "0"}, "not a path below"},
		"too short":  {[]string{"location", "w.bin", "offset", "8"}, "do not fit"},
		"overflow":   {[]string{"location", "w.bin", "offset", "9223372036854775800"}, "do not fit"},
		"negative":   {[]string{"location", "w.bin", "offset", "-4"}, "negative"},
		"no number":  {[]string{"location", "w.bin", "offset", "four"}, "no number"},
		"bad length": {[]string{"location", "w.bin", "length", "20"}, "takes 16 bytes"},
	} {
		_, err := onnxload.ParseFile(write("bad.onnx", external(c.entries...)))
		if err == nil || !strings.Contains(err.Error(), `tensor "b"`) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}

	// A named pipe, which would be waited for if it were opened.
	if out, err := exec.Command("mkfifo", filepath.Join(dir, "pipe")).CombinedOutput(); err != nil {
		t.Skipf("no named pipe can be made here: %v %s", err, out)
	}
	pipe := write("pipe.onnx", external("location", "pipe"))
	answer := make(chan error, 1)
	go func() {
		_, err := onnxload.ParseFile(pipe)
		answer <- err
	}()
	select {
	case err := <-answer:
		if err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("pipe: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a pipe in the model's folder is waited for")
	}
}
