package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// A model of ten classes becomes one of three, learns them, and is used like any other.
func TestHead(t *testing.T) {
	workDir(t)
	ten := newLinear(6)
	ten.weights, ten.bias = make([]float32, 10*36), make([]float32, 10)
	write(t, "ten.onnx", ten.onnx())
	if _, errs, code := call(t, "train", "m.onnx", "--data", "data", "--head", "2"); code != 1 || !strings.Contains(errs, "--head K for K classes") {
		t.Errorf("labels of three classes for a head of two: %d, %s", code, errs)
	}
	args := []string{"train", "ten.onnx", "--data", "data", "--epochs", "40", "--batch", "16", "--head", "3"}
	out := must(t, append(args, "--out", "three.onnx")...)
	for _, want := range []string{"ten.onnx (file), 111 weights, 1x6x6 -> 3", "Head       gemm (Gemm), new: 36 features, 3 classes where there were 10", "test error 0.00 %"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if out := must(t, "eval", "three.onnx", "--data", "data"); !strings.Contains(out, "error 0.00 %") {
		t.Errorf("eval prints %s", out)
	}
	var v inspection
	if err := json.Unmarshal([]byte(must(t, "inspect", "three.onnx", "--json")), &v); err != nil {
		t.Fatal(err)
	}
	if v.Head == nil || v.Head.Classes != 3 || v.Head.Features != 36 || v.Head.Weight != "w" || v.Outputs[0].Shape[1] != "3" || v.Metadata["onnx_entropy.head"] != "3" {
		t.Errorf("inspect shows %+v", v)
	}
	must(t, append(args, "--seed", "2", "--out", "other.onnx")...)
	must(t, append(args, "--threads", "1", "--out", "again.onnx")...)
	if !bytes.Equal(read(t, "three.onnx"), read(t, "again.onnx")) || bytes.Equal(read(t, "three.onnx"), read(t, "other.onnx")) {
		t.Error("the file is no function of the seed")
	}

	// Nothing but the layer has changed.
	var before, after onnxpb.ModelProto
	if proto.Unmarshal(read(t, "ten.onnx"), &before) != nil || proto.Unmarshal(read(t, "three.onnx"), &after) != nil {
		t.Fatal("not ONNX")
	}
	after.MetadataProps = nil
	before.Graph.Output[0] = info("y", "batch", 3)
	before.Graph.Initializer, after.Graph.Initializer = nil, nil
	if !proto.Equal(&before, &after) {
		t.Errorf("the file has become %v", &after)
	}
}

// A run with a new head is resumed to the same bytes.
func TestHeadResumed(t *testing.T) {
	workDir(t)
	resumed(t, "--head", "4")
}

// resumed compares a run that was interrupted and resumed with one that was not. Runs are numbers 1 and 2.
func resumed(t *testing.T, args ...string) {
	t.Helper()
	stopped(t, args...)
	must(t, "train", "--resume", "runs/1")
	must(t, append([]string{"train", "m.onnx", "--data", "data", "--batch", "16", "--epochs", "5000"}, args...)...)
	if !bytes.Equal(read(t, "runs/1/trained.onnx"), read(t, "runs/2/trained.onnx")) {
		t.Error("the resumed run has written another file")
	}
}

func TestFreeze(t *testing.T) {
	workDir(t)
	before, err := openModel("m.onnx")
	if err != nil {
		t.Fatal(err)
	}
	tensors := func(b []byte) map[string][]float32 {
		var m onnxpb.ModelProto
		if err := proto.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		all := map[string][]float32{}
		for _, x := range m.Graph.Initializer {
			all[x.GetName()], _ = x.Floats()
		}
		return all
	}
	old := tensors(before.bytes)
	for _, args := range [][]string{{"--freeze", "w"}, {"--trainable", "b"}, {"--freeze", "*", "--trainable", "b"}, {"--freeze", "w", "--optimizer", "adamw"},
		{"--freeze", "w", "--optimizer", "parle", "--weight-decay", "0.1"}, {"--freeze", "w", "--optimizer", "swa+sam+sgd", "--weight-decay", "0.1"}} {
		out := must(t, append([]string{"train", "m.onnx", "--data", "data", "--epochs", "10", "--batch", "16", "--out", "f.onnx"}, args...)...)
		if !strings.Contains(out, "Frozen     108 weights in 1 tensor; trained are 3 in 1") {
			t.Errorf("%q: %s", args, out)
		}
		now := tensors(read(t, "f.onnx"))
		if !slices.Equal(now["w"], old["w"]) || slices.Equal(now["b"], old["b"]) {
			t.Errorf("%q: w has changed, or b has not", args)
		}
	}
	var v inspection
	if err := json.Unmarshal([]byte(must(t, "inspect", "m.onnx", "--freeze", "w", "--json")), &v); err != nil {
		t.Fatal(err)
	}
	if v.Frozen != 1 || v.FrozenWeights != 108 || v.Tensors != 1 || v.Weights != 3 || !v.Parameters[1].Frozen || v.Parameters[1].Layers[0] != "gemm" {
		t.Errorf("inspect shows %+v", v)
	}
	if out := must(t, "inspect", "m.onnx", "--freeze", "gemm", "--trainable", "b", "--parameters"); !strings.Contains(out, "w          gemm   Gemm      3x36   FLOAT  frozen\n") ||
		!strings.Contains(out, "Frozen   108 weights in 1 tensor\n") {
		t.Error(out)
	}
}

func TestFreezeResumed(t *testing.T) {
	workDir(t)
	resumed(t, "--freeze", "w")
}

// With --bn frozen the running statistics are used as they are, and keep their bits.
func TestFrozenNorms(t *testing.T) {
	workDir(t)
	args := []string{"--data", "builtin:digits", "--epochs", "0.2", "--batch", "32", "--threads", "2"}
	must(t, append([]string{"train", "mnistconv", "--out", "first.onnx"}, args...)...)
	out := must(t, append([]string{"train", "first.onnx", "--bn", "frozen", "--out", "second.onnx"}, args...)...)
	if want := "Frozen     1,140 running statistics of BatchNormalization"; !strings.Contains(out, want) {
		t.Errorf("the output lacks %q:\n%s", want, out)
	}
	statistics := func(file string) (out [][]byte) {
		var m onnxpb.ModelProto
		if err := proto.Unmarshal(read(t, file), &m); err != nil {
			t.Fatal(err)
		}
		values := map[string][]byte{}
		for _, i := range m.Graph.Initializer {
			values[i.GetName()] = i.RawData
		}
		for _, n := range m.Graph.Node {
			if n.GetOpType() == "BatchNormalization" {
				out = append(out, values[n.Input[3]], values[n.Input[4]])
			}
		}
		return out
	}
	before, after := statistics("first.onnx"), statistics("second.onnx")
	if len(before) != 6 || len(before[0]) == 0 || !slices.EqualFunc(before, after, bytes.Equal) {
		t.Errorf("%d statistics, changed", len(before))
	}
	if bytes.Equal(read(t, "first.onnx"), read(t, "second.onnx")) {
		t.Error("nothing was trained")
	}
	if _, errs, code := call(t, "train", "m.onnx", "--data", "data", "--bn", "frozen"); code != 2 || !strings.Contains(errs, "no BatchNormalization") {
		t.Errorf("a model without BatchNormalization: %d, %s", code, errs)
	}
}

// Dropout that is inserted has a part in training, in its metadata and when a run is resumed, and none in the file's nodes.
func TestInsertedDropout(t *testing.T) {
	workDir(t)
	args := []string{"train", "m.onnx", "--data", "data", "--epochs", "5", "--batch", "16"}
	must(t, append(args, "--out", "plain.onnx")...)
	out := must(t, append(args, "--dropout", "flatten=0.5", "--out", "dropped.onnx")...)
	if want := "Dropout    0.5 after flatten, in training only"; !strings.Contains(out, want) {
		t.Errorf("the output lacks %q:\n%s", want, out)
	}
	var v inspection
	if err := json.Unmarshal([]byte(must(t, "inspect", "dropped.onnx", "--json")), &v); err != nil || v.Metadata["onnx_entropy.dropout"] != "flatten=0.5" {
		t.Errorf("the metadata say %q (%v)", v.Metadata["onnx_entropy.dropout"], err)
	}
	var before, after onnxpb.ModelProto
	if proto.Unmarshal(read(t, "plain.onnx"), &before) != nil || proto.Unmarshal(read(t, "dropped.onnx"), &after) != nil {
		t.Fatal("not ONNX")
	}
	if !slices.EqualFunc(before.Graph.Node, after.Graph.Node, func(a, b *onnxpb.NodeProto) bool { return proto.Equal(a, b) }) {
		t.Error("the nodes of the file have changed")
	}
	if slices.EqualFunc(before.Graph.Initializer, after.Graph.Initializer, func(a, b *onnxpb.TensorProto) bool { return proto.Equal(a, b) }) {
		t.Error("dropout has no influence")
	}
}

// A run with inserted dropout is resumed to the same bytes.
func TestInsertedDropoutResumed(t *testing.T) {
	workDir(t)
	resumed(t, "--dropout", "flatten=0.3")
}
