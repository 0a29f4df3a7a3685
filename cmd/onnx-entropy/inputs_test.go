package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/internal/fixture"
	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// unpack returns a file of a fixture.
func unpack(t *testing.T, path string) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(read(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// PyTorch's outputs, loss and gradients of a BERT of two inputs, in float64 (runner/testdata/networks), by way of the verbs.
func TestInputsOfBERT(t *testing.T) {
	for _, name := range []string{"bert_torchscript_eval", "bert_dynamo_eval"} {
		t.Run(name, func(t *testing.T) {
			file, record := unpack(t, "../../runner/testdata/networks/"+name+".onnx.gz"), unpack(t, "../../runner/testdata/networks/"+name+".json.gz")
			t.Chdir(t.TempDir())
			write(t, "m.onnx", file)
			var want struct {
				Inputs []struct {
					Shape []int
					Data  []int64
				}
				Target    struct{ Data []int64 }
				Loss      float64
				Output    struct{ Data []float64 }
				Gradients map[string]struct{ L2 float64 }
			}
			if err := json.Unmarshal(record, &want); err != nil {
				t.Fatal(err)
			}
			n := len(want.Target.Data)
			arrays := map[string][]byte{"y": fixture.NPY(want.Target.Data, n)}
			write(t, "case/target_0.pb", marshal(t, intTensor(want.Target.Data, n)))
			for i, name := range []string{"input_ids", "attention_mask"} {
				arrays[name] = fixture.NPY(want.Inputs[i].Data, want.Inputs[i].Shape...)
				write(t, name+".npy", arrays[name])
				write(t, fmt.Sprintf("case/input_%d.pb", i), marshal(t, intTensor(want.Inputs[i].Data, want.Inputs[i].Shape...)))
			}
			write(t, "data.npz", fixture.NPZ(arrays))

			must(t, "predict", "m.onnx", "--input", "attention_mask=attention_mask.npy", "--input", "input_ids=input_ids.npy", "--batch", "2", "--out", "y.npy")
			y, err := dataset.ReadArray("y.npy")
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range y.Floats {
				if math.Abs(float64(v)-want.Output.Data[i]) > 1e-6 { // single precision of numbers below 1
					t.Errorf("output %d is %v, PyTorch's %v", i, v, want.Output.Data[i])
				}
			}
			must(t, "predict", "m.onnx", "--data", "data.npz", "--out", "z.npy")
			if !bytes.Equal(read(t, "y.npy"), read(t, "z.npy")) {
				t.Error("predictions of an archive are others than those of its arrays")
			}
			var e evaluation
			if err := json.Unmarshal([]byte(must(t, "eval", "m.onnx", "--data", "data.npz", "--json")), &e); err != nil || math.Abs(float64(e.Loss)-want.Loss) > 1e-6 {
				t.Errorf("loss %v, PyTorch's %v; %v", e.Loss, want.Loss, err)
			}
			var g gradients
			if err := json.Unmarshal([]byte(must(t, "grad", "m.onnx", "--case", "case", "--json")), &g); err != nil || len(g.Gradients) != len(want.Gradients) {
				t.Fatalf("%d gradients, PyTorch has %d; %v", len(g.Gradients), len(want.Gradients), err)
			}
			for name, w := range want.Gradients {
				if got := float64(g.Gradients[name].L2); math.Abs(got-w.L2) > 1e-5*w.L2+1e-7 {
					t.Errorf("gradient of %s: %v, PyTorch's %v", name, got, w.L2)
				}
			}
			out := must(t, "train", "m.onnx", "--data", "data.npz", "--batch", "3", "--epochs", "60", "--optimizer", "adam", "--lr", "0.01", "--out", "trained.onnx")
			if !strings.Contains(out, "8 and 8 -> 3") || !strings.Contains(out, "integers as they are") {
				t.Error(out)
			}
			if out := must(t, "eval", "trained.onnx", "--data", "data.npz"); !strings.Contains(out, "error 0.00 %") {
				t.Errorf("three samples are not learnt: %s", out)
			}
		})
	}
}

// bag is a classifier of bags of words with a mask, over sequences of a length that the file leaves open: the embeddings of 12
// words are masked and added up, beside a float for each sample that is added to the first class. Output aux is of the sum too.
func bag(t *testing.T) []byte {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	random := func(name string, dims ...int) *onnxpb.TensorProto {
		x := make([]float32, product(dims))
		for i := range x {
			x[i] = float32(r.NormFloat64()) / 4
		}
		return floatTensor(name, x, dims...)
	}
	axis := func(name string, x int64) *onnxpb.TensorProto {
		a := intTensor([]int64{x}, 1)
		a.Name = proto.String(name)
		return a
	}
	of := func(v *onnxpb.ValueInfoProto, elem onnxpb.TensorProto_DataType) *onnxpb.ValueInfoProto {
		v.GetType().GetTensorType().ElemType = proto.Int32(int32(elem))
		return v
	}
	node := func(op, out string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{Name: proto.String("n_" + out), OpType: proto.String(op), Input: in, Output: []string{out}}
	}
	integer := func(n *onnxpb.NodeProto, name string, x int64) *onnxpb.NodeProto {
		n.Attribute = append(n.Attribute, &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_INT.Enum(), I: proto.Int64(x)})
		return n
	}
	return marshal(t, &onnxpb.ModelProto{
		IrVersion: proto.Int64(8), ProducerName: proto.String("test"),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}},
		Graph: &onnxpb.GraphProto{
			Name: proto.String("bag"),
			Node: []*onnxpb.NodeProto{
				node("Gather", "e", "words", "ids"), integer(node("Cast", "m", "mask"), "to", 1), node("Unsqueeze", "m3", "m", "last"),
				node("Mul", "masked", "e", "m3"), integer(node("ReduceSum", "sum", "masked", "one"), "keepdims", 0),
				node("Gemm", "scores", "sum", "w", "b"), node("Add", "logits", "scores", "bias"), node("Gemm", "aux", "sum", "v", "c"),
			},
			Input: []*onnxpb.ValueInfoProto{of(info("ids", "batch", "sequence"), onnxpb.TensorProto_INT64),
				of(info("mask", "batch", "sequence"), onnxpb.TensorProto_BOOL), info("bias", "batch", 1)},
			Output:      []*onnxpb.ValueInfoProto{info("logits", "batch", 2), info("aux", "batch", 3)},
			Initializer: []*onnxpb.TensorProto{random("words", 12, 4), random("w", 4, 2), random("b", 2), random("v", 4, 3), random("c", 3), axis("last", 2), axis("one", 1)},
		},
	})
}

// bags are arrays for it: the class says whether word 3 is among the words that count.
func bags(n, length int, seed uint64) map[string][]byte {
	r := rand.New(rand.NewPCG(seed, 0))
	var ids, y []int64
	var mask []bool
	bias := make([]byte, n) // bytes, which are scaled
	for i := range n {
		class := r.Int64N(2)
		at := r.IntN(length / 2)
		for k := range length {
			id := 4 + r.Int64N(8)
			if k == at && class == 1 || k >= length/2 && r.IntN(2) == 0 {
				id = 3
			}
			ids, mask = append(ids, id), append(mask, k < length/2)
		}
		y = append(y, class)
		bias[i] = byte(i)
	}
	return map[string][]byte{"ids": fixture.NPY(ids, n, length), "mask": fixture.NPY(mask, n, length), "bias": fixture.NPY(bias, n), "y": fixture.NPY(y, n)}
}

// bagData writes an archive and a directory of them.
func bagData(t *testing.T) {
	t.Helper()
	all := map[string][]byte{}
	for part, n := range map[string]int{"train": 120, "test": 40} {
		for name, b := range bags(n, 6, uint64(n)) {
			all[name+"_"+part] = b
			write(t, "dir/"+part+"-"+name+".npy", b)
		}
	}
	write(t, "data.npz", fixture.NPZ(all))
	write(t, "bag.onnx", bag(t))
}

func TestInputsTrainEvalPredict(t *testing.T) {
	t.Chdir(t.TempDir())
	bagData(t)
	args := []string{"--batch", "16", "--epochs", "60", "--lr", "0.3"}
	out := must(t, append([]string{"train", "bag.onnx", "--data", "data.npz", "--out", "a.onnx"}, args...)...)
	for _, want := range []string{"6 and 6 and 1 -> 2", "120 training samples and 40 test samples of 6 and 6 and scalar in 2 classes (data.npz: ids_train.npy, mask_train.npy, bias_train.npy, y_train.npy), values scaled by 1/255, integers as they are",
		"Output     logits, of 2; 15 weights in 2 tensors that only others use keep their bits", "test error 0.00 %"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	must(t, append([]string{"train", "bag.onnx", "--data", "dir", "--out", "b.onnx"}, args...)...)
	if !bytes.Equal(read(t, "a.onnx"), read(t, "b.onnx")) {
		t.Error("the directory and the archive give different files")
	}
	if a, b := must(t, "eval", "a.onnx", "--data", "data.npz"), must(t, "eval", "a.onnx", "--data", "dir", "--batch", "7"); a != b || !strings.Contains(a, "error 0.00 %") {
		t.Errorf("eval prints %s and %s", a, b)
	}
	// Sequences of another length, without labels, by single files.
	for name, b := range bags(9, 10, 5) {
		write(t, name+".npy", b)
	}
	out = must(t, "predict", "a.onnx", "--input", "ids=ids.npy", "--input", "mask=mask.npy", "--input", "bias=bias.npy")
	labels := must(t, "eval", "a.onnx", "--data", ".", "--json")
	if !strings.Contains(labels, `"error":0,`) || !strings.HasPrefix(out, "logits_0,logits_1\n") || strings.Count(out, "\n") != 10 {
		t.Errorf("predict prints\n%s\neval %s", out, labels)
	}
	// A scale is for the one input that is scaled, and is remembered.
	must(t, append([]string{"train", "bag.onnx", "--data", "data.npz", "--scale", "0.5", "--out", "s.onnx"}, args...)...)
	if a, b := must(t, "predict", "s.onnx", "--data", "data.npz"), must(t, "predict", "s.onnx", "--data", "data.npz", "--scale", "0.5"); a != b || a == must(t, "predict", "s.onnx", "--data", "data.npz", "--scale", "1") {
		t.Error("the scale is not remembered")
	}
	write(t, "one.npz", fixture.NPZ(bags(50, 6, 5)))
	if out := must(t, append([]string{"train", "bag.onnx", "--data", "one.npz", "--split", "0.8,0.2,0"}, args...)...); !strings.Contains(out, "40 training samples, 10 for validation") {
		t.Error(out)
	}
	must(t, "inspect", "bag.onnx", "--output", "aux")
	must(t, "bench", "bag.onnx", "--time", "1ms", "--batch", "4")
}

func TestInputsResumed(t *testing.T) {
	t.Chdir(t.TempDir())
	bagData(t)
	for from, to := range map[string]string{"bag.onnx": "m.onnx", "dir": "data"} { // as resumed calls them
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	resumed(t, "--output", "aux")
}

func TestInputsErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	bagData(t)
	good := bags(5, 6, 1)
	for name, b := range good {
		write(t, name+".npy", b)
	}
	write(t, "floats.npy", fixture.NPY(make([]float32, 30), 5, 6))
	write(t, "beyond.npy", fixture.NPY(slices.Repeat([]int64{3, 3, 12, 3, 3, 3}, 5), 5, 6))
	write(t, "two.npy", fixture.NPY(slices.Repeat([]int64{1, 0, 2, 0, 0, 0}, 5), 5, 6))
	write(t, "bytes.npy", fixture.NPY(slices.Repeat([]byte{1, 0, 0, 0, 0, 255}, 5), 5, 6))
	write(t, "short.npy", fixture.NPY(make([]bool, 20), 5, 4))
	write(t, "few.npy", fixture.NPY(make([]bool, 24), 4, 6))
	write(t, "three.npy", fixture.NPY(make([]float32, 15), 5, 3))
	other := maps.Clone(good)
	delete(other, "mask")
	write(t, "other.npz", fixture.NPZ(other))
	unlike := map[string][]byte{}
	for part, length := range map[string]int{"train": 6, "test": 8} {
		for name, b := range bags(20, length, 3) {
			unlike[name+"_"+part] = b
		}
	}
	write(t, "unlike.npz", fixture.NPZ(unlike))
	write(t, "m.onnx", newLinear(6).onnx())
	write(t, "case/input_0.pb", marshal(t, intTensor([]int64{1, 2}, 1, 2)))
	write(t, "case/target_0.pb", marshal(t, intTensor([]int64{1}, 1)))
	predict := func(files ...string) []string {
		args := []string{"predict", "bag.onnx"}
		for i, f := range files {
			args = append(args, "--input", []string{"ids", "mask", "bias"}[i]+"="+f)
		}
		return args
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{predict("ids.npy", "mask.npy"), 2, `the input "bias" (FLOAT batchx1) of bag.onnx is missing; give --input bias=FILE.npy too`},
		{[]string{"predict", "bag.onnx", "--input", "ids.npy"}, 2, "--input ids.npy: bag.onnx has 3 inputs; say which by --input NAME=FILE, once for each of ids, mask, bias"},
		{append(predict("ids.npy"), "--input", "ids=ids.npy"), 2, "--input ids=ids.npy: the input ids is given twice"},
		{append(predict("ids.npy"), "--input", "nix=ids.npy"), 2, "--input nix=ids.npy: bag.onnx has 3 inputs"},
		{[]string{"predict", "m.onnx", "--input", "nix=ids.npy"}, 2, `--input nix=ids.npy: m.onnx has no input "nix"; it has x`},
		{predict("floats.npy", "mask.npy", "bias.npy"), 1, `bag.onnx: its input "ids" takes integers (INT64), and floats.npy holds floats; save them as int64`},
		{predict("beyond.npy", "mask.npy", "bias.npy"), 1, `node "n_e" (Gather (5, 6, 4)): index 12, number 2 of 30, is outside of axis 0 of shape (12, 4): indices are -12 to 11`},
		{predict("ids.npy", "two.npy", "bias.npy"), 1, `two.npy: sample 0 holds 2, and the input "mask" of bag.onnx takes BOOL, 0 to 1`},
		{predict("ids.npy", "bytes.npy", "bias.npy"), 1, `bytes.npy: sample 0 holds 255, and the input "mask" of bag.onnx takes BOOL, 0 to 1`},
		{predict("ids.npy", "short.npy", "bias.npy"), 1, `dimension "sequence" is 6 in the shape given for input "ids" and 4 in that for "mask"`},
		{predict("ids.npy", "few.npy", "bias.npy"), 1, "few.npy: sample count 4 differs from 5 in ids.npy"},
		{predict("ids.npy", "mask.npy", "three.npy"), 1, `bag.onnx: its input "bias" takes samples of shape 1, and those of three.npy are 3`},
		{predict("ids.npy", "mask.npy", "nix.npy"), 1, "nix.npy: no such file"},
		{[]string{"predict", "bag.onnx", "--data", "ids.npy"}, 1, "the network has 3 inputs, ids, mask, bias; give an NPZ file or a directory"},
		{[]string{"predict", "bag.onnx"}, 2, "it takes arrays for the inputs ids (INT64 batchxsequence), mask (BOOL batchxsequence), bias (FLOAT batchx1); give --data or --input"},
		{[]string{"grad", "bag.onnx", "--case", "case"}, 1, `bag.onnx has 3 inputs, and case is for 1: input_1.pb, for "mask" (BOOL batchxsequence), is missing`},
		{[]string{"grad", "m.onnx", "--case", "case"}, 1, `case: input_0.pb holds elements of type INT64, and the input "x" of m.onnx takes FLOAT`},
		{[]string{"predict", "m.onnx", "--input", "data.npz"}, 1, "data.npz: is a zip archive, as NPZ is, and not one array"},
		{[]string{"train", "bag.onnx", "--data", builtinDigits}, 1, "bag.onnx has 3 inputs, and"},
		{[]string{"train", "bag.onnx", "--data", "other.npz"}, 1, `other.npz: there is no array for the input "mask" (BOOL batchxsequence) of the network`},
		{[]string{"train", "bag.onnx"}, 2, "arrays named ids_train, mask_train, bias_train, y_train, and ids_test and so on"},
		{[]string{"train", "bag.onnx", "--data", "data.npz", "--gcn"}, 2, "--gcn and --zca are for a network of one input of floats"},
		{[]string{"train", "bag.onnx", "--data", "unlike.npz", "--batch", "4"}, 1, `bag.onnx: its input "ids" takes samples of shape 6, and those of unlike.npz: ids_test.npy are 8; give all samples one shape`},
		{[]string{"eval", "bag.onnx", "--data", "data.npz", "--target", "nix"}, 1, "there is no array for --target nix"},
		{[]string{"eval", "bag.onnx", "--data", "data.npz", "--output", "nix"}, 2, "--output nix: bag.onnx has no output of that name; it has logits, aux"},
		{[]string{"eval", "bag.onnx", "--data", "data.npz", "--loss", "mse"}, 1, "has no target values, which the loss mse wants"},
	} {
		_, errs, code := call(t, c.args...)
		if code != c.code || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%q: exit code %d\ngot  %swant %s", c.args, code, errs, c.want)
		}
	}
	if exists("runs") {
		t.Error("a run that could not begin has left a folder")
	}
}

// withSecond is m.onnx with an operator that joins the scores with a second input.
func withSecond(t *testing.T, op string, second *onnxpb.ValueInfoProto, output string) []byte {
	t.Helper()
	var m onnxpb.ModelProto
	if err := proto.Unmarshal(read(t, "m.onnx"), &m); err != nil {
		t.Fatal(err)
	}
	m.Graph.Node[len(m.Graph.Node)-1].Output[0] = "scores"
	m.Graph.Node = append(m.Graph.Node, &onnxpb.NodeProto{Name: proto.String("join"), OpType: proto.String(op), Input: []string{"scores", second.GetName()}, Output: []string{output}})
	m.Graph.Input = append(m.Graph.Input, second)
	m.Graph.Output[0].Name = proto.String(output)
	return marshal(t, &m)
}

// An input without a dimension has no sample for each row of the data.
func TestInputOfOneNumber(t *testing.T) {
	workDir(t)
	write(t, "warm.onnx", withSecond(t, "Div", info("temperature"), "y"))
	write(t, "warm.npz", fixture.NPZ(map[string][]byte{
		"x_train": fixture.NPY(make([]float32, 4*36), 4, 1, 6, 6), "temperature_train": fixture.NPY(make([]float32, 4), 4), "y_train": fixture.NPY(make([]int64, 4), 4),
	}))
	must(t, "inspect", "warm.onnx")
	for _, args := range [][]string{{"train", "warm.onnx", "--data", "warm.npz"}, {"predict", "warm.onnx", "--data", "warm.npz"}, {"bench", "warm.onnx", "--time", "1ms"}} {
		if _, errs, code := call(t, args...); code != 1 || !strings.Contains(errs, `input "temperature" is one number for all samples`) {
			t.Errorf("%q: exit code %d: %s", args, code, errs)
		}
	}
}

// An array y is for an input y, as PyTorch's exporter calls the second argument of many a network, and not for the labels.
func TestInputNamedY(t *testing.T) {
	workDir(t)
	write(t, "two.onnx", withSecond(t, "Add", info("y", "batch", 1), "z"))
	arrays := map[string][]byte{"x_train": fixture.NPY(make([]float32, 4*36), 4, 1, 6, 6), "y_train": fixture.NPY(make([]float32, 4), 4, 1)}
	write(t, "unlabelled.npz", fixture.NPZ(arrays))
	for _, c := range []struct{ data, want string }{
		{"unlabelled.npz", "unlabelled.npz: x_train.npy, y_train.npy has no labels; the array y is for the input of that name, so call theirs labels"},
		{builtinDigits, "with arrays named x_train, y_train, labels_train, and x_test and so on"},
		{"two.onnx", "the network has 2 inputs, x, y; give an NPZ file or a directory of NPY files with an array for each: x_train.npy or train-x.npy and so on, and labels_train for the labels"},
	} {
		if _, errs, code := call(t, "train", "two.onnx", "--data", c.data); code != 1 || !strings.Contains(errs, c.want) {
			t.Errorf("exit code %d: %s", code, errs)
		}
	}
	arrays["labels_train"] = fixture.NPY(make([]int64, 4), 4)
	write(t, "labelled.npz", fixture.NPZ(arrays))
	must(t, "train", "two.onnx", "--data", "labelled.npz", "--max-outer", "1")
}
