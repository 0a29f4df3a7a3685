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

// forked is the linear model with a second output z, which has a layer, a BatchNormalization and a Softmax of its own behind the
// Flatten that both read, for four classes.
func forked(t *testing.T) []byte {
	t.Helper()
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(newLinear(6).onnx(), &m); err != nil {
		t.Fatal(err)
	}
	node := func(op, out string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{Name: proto.String(out + "_" + strings.ToLower(op)), OpType: proto.String(op), Input: in, Output: []string{out}}
	}
	weights := make([]float32, 36*4)
	for i := range weights {
		weights[i] = float32(i%7-3) / 16
	}
	g := m.Graph
	g.Node = append(g.Node, node("MatMul", "p", "flatten_out", "v"), node("BatchNormalization", "q", "p", "scale", "shift", "mean", "var"),
		node("Softmax", "z", "q"))
	g.Initializer = append(g.Initializer, floatTensor("v", weights, 36, 4), floatTensor("scale", []float32{1, 1, 1, 1}, 4),
		floatTensor("shift", make([]float32, 4), 4), floatTensor("mean", make([]float32, 4), 4), floatTensor("var", []float32{1, 1, 1, 1}, 4))
	g.Output = append(g.Output, info("z", "batch", 4))
	return marshal(t, &m)
}

// tensorsOf are the numbers of a file's initializers by name.
func tensorsOf(t *testing.T, b []byte) map[string][]float32 {
	t.Helper()
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

// What is only for another output than the trained one keeps its bits, whatever the optimizer does to weights without a
// gradient; the file remembers the output for eval, predict and further training.
func TestOutput(t *testing.T) {
	workDir(t)
	write(t, "two.onnx", forked(t))
	old := tensorsOf(t, read(t, "two.onnx"))
	shared := []string{"y", "z"}
	of := map[string][]string{"y": {"w", "b"}, "z": {"v", "scale", "shift", "mean", "var"}}
	for _, optimizer := range []string{"entropy-sgd", "adamw", "parle"} {
		for i, name := range shared {
			args := []string{"train", "two.onnx", "--data", "data", "--epochs", "10", "--batch", "16", "--optimizer", optimizer, "--weight-decay", "0.1",
				"--output", name, "--out", name + ".onnx"}
			out := must(t, args...)
			want := map[string]string{"y": "Output     y, of 2; 152 weights in 3 tensors that only others use keep their bits",
				"z": "Output     z, of 2; 111 weights in 2 tensors that only others use keep their bits"}[name]
			if !strings.Contains(out, want) || name == "z" && !strings.Contains(out, "before the final Softmax") {
				t.Errorf("the output lacks %q:\n%s", want, out)
			}
			now := tensorsOf(t, read(t, name+".onnx"))
			for _, w := range of[name] {
				if slices.Equal(now[w], old[w]) {
					t.Errorf("%s, --output %s: %s has not changed", optimizer, name, w)
				}
			}
			for _, w := range of[shared[1-i]] {
				if !slices.Equal(now[w], old[w]) {
					t.Errorf("%s, --output %s: %s has changed", optimizer, name, w)
				}
			}
		}
	}

	must(t, "train", "two.onnx", "--data", "data", "--epochs", "40", "--batch", "16", "--output", "z", "--out", "z.onnx")
	own := must(t, "eval", "z.onnx", "--data", "data")
	if named := must(t, "eval", "z.onnx", "--data", "data", "--output", "z"); own != named || !strings.Contains(own, "error 0.00 %") {
		t.Errorf("eval prints %s, and %s of the output by name", own, named)
	}
	if other := must(t, "eval", "z.onnx", "--data", "data", "--output", "y"); other == own {
		t.Error("eval of another output prints the same")
	}
	for args, want := range map[string]string{"": "z_0,z_1,z_2,z_3\n", "--output y": "y_0,y_1,y_2\n"} {
		if out := must(t, append([]string{"predict", "z.onnx", "--data", "data"}, strings.Fields(args)...)...); !strings.HasPrefix(out, want) {
			t.Errorf("predict %s prints %.40q", args, out)
		}
	}
	must(t, "train", "z.onnx", "--data", "data", "--epochs", "1", "--batch", "16", "--out", "more.onnx")
	if now, before := tensorsOf(t, read(t, "more.onnx")), tensorsOf(t, read(t, "z.onnx")); !slices.Equal(now["w"], before["w"]) || slices.Equal(now["v"], before["v"]) {
		t.Error("a trained file is not trained on at its own output")
	}
	out := must(t, "train", "two.onnx", "--data", "data", "--epochs", "1", "--batch", "16", "--output", "z", "--head", "3", "--out", "h.onnx")
	if !strings.Contains(out, "Head       z_matmul") && !strings.Contains(out, "Head       p_matmul") {
		t.Errorf("the head of another output was replaced:\n%s", out)
	}
	var g gradients
	write(t, "case/input_0.pb", marshal(t, floatTensor("", make([]float32, 2*36), 2, 1, 6, 6)))
	write(t, "case/target_0.pb", marshal(t, intTensor([]int64{3, 1}, 2)))
	if err := json.Unmarshal([]byte(must(t, "grad", "two.onnx", "--case", "case", "--output", "z", "--json")), &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Gradients) != 3 || g.Gradients["v"].Shape == nil {
		t.Errorf("grad prints %+v", g)
	}
	must(t, "bench", "two.onnx", "--output", "z", "--time", "1ms", "--batch", "4")
	if out := must(t, "inspect", "two.onnx", "--output", "z", "--parameters"); !strings.Contains(out, "of other outputs") || !strings.Contains(out, "4 classes") {
		t.Error(out)
	}
	for _, verb := range [][]string{{"train", "--data", "data"}, {"eval", "--data", "data"}, {"predict", "--data", "data"}, {"grad", "--case", "case"}, {"bench"}, {"inspect"}} {
		args := slices.Concat(verb[:1], []string{"two.onnx", "--output", "y.npy"}, verb[1:])
		if _, errs, code := call(t, args...); code != 2 || !strings.Contains(errs, `--output y.npy: two.onnx has no output of that name; it has y, z; a file to be written is named with --out`) {
			t.Errorf("%q: %d, %s", args, code, errs)
		}
	}
	if _, errs, code := call(t, "train", "two.onnx", "--data", "data", "--trainable", "v"); code != 1 || !strings.Contains(errs, `no parameter of output "y" has a name that "v" matches; close are`) {
		t.Errorf("%d, %s", code, errs)
	}
	if bytes.Contains(read(t, "two.onnx"), []byte(metaOutput)) || !bytes.Contains(read(t, "z.onnx"), []byte(metaOutput)) {
		t.Error("the output is not recorded")
	}
}

func TestOutputResumed(t *testing.T) {
	workDir(t)
	write(t, "m.onnx", forked(t))
	resumed(t, "--output", "z")
}

// A classifier that gives its answer in front of its scores, as those of scikit-learn do.
func TestOutputOfIntegers(t *testing.T) {
	workDir(t)
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(newLinear(6).onnx(), &m); err != nil {
		t.Fatal(err)
	}
	integer := func(name string, x int64) *onnxpb.AttributeProto {
		return &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_INT.Enum(), I: proto.Int64(x)}
	}
	m.Graph.Node = append(m.Graph.Node, &onnxpb.NodeProto{Name: proto.String("argmax"), OpType: proto.String("ArgMax"), Input: []string{"y"}, Output: []string{"class"},
		Attribute: []*onnxpb.AttributeProto{integer("axis", 1), integer("keepdims", 0)}})
	class := info("class", "batch")
	class.GetType().GetTensorType().ElemType = proto.Int32(int32(onnxpb.TensorProto_INT64))
	m.Graph.Output = append([]*onnxpb.ValueInfoProto{class}, m.Graph.Output...)
	write(t, "m.onnx", marshal(t, &m))
	out := must(t, "train", "m.onnx", "--data", "data", "--epochs", "40", "--batch", "16", "--out", "trained.onnx")
	if !strings.Contains(out, "Output     y, of 2\n") || !strings.Contains(out, "test error 0.00 %") {
		t.Error(out)
	}
	_, labels := squares(30, 6, 30)
	want := "class\n"
	for _, l := range labels {
		want += string('0'+rune(l)) + "\n"
	}
	if got := must(t, "predict", "trained.onnx", "--data", "data", "--output", "class"); got != want {
		t.Errorf("predict prints %q, want %q", got, want)
	}
	for _, verb := range []string{"train", "eval"} {
		if _, errs, code := call(t, verb, "m.onnx", "--data", "data", "--output", "class"); code != 1 || !strings.Contains(errs, `m.onnx: its output "class" holds integers, which no loss is for; --output chooses another of its outputs: y`) {
			t.Errorf("%s: %d, %s", verb, code, errs)
		}
	}
}
