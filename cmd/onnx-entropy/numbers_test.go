package main

import (
	"encoding/json"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/models"
)

// grad against the gradient of a linear classifier written out: with p = softmax(W x + b), the gradient of the mean
// cross-entropy is the mean of (p - onehot) xT and of p - onehot.
func TestGradOfLinearModel(t *testing.T) {
	const side, n = 4, 5
	dir := t.TempDir()
	t.Chdir(dir)
	l := newLinear(side)
	l.dropout = true // which grad must switch off
	write(t, "m.onnx", l.onnx())
	images, labels := squares(n, side, 5)
	x := make([]float32, len(images))
	target := make([]int64, n)
	for i, v := range images {
		x[i] = float32(v) / 255
	}
	for i, v := range labels {
		target[i] = int64(v)
	}
	write(t, "case/input_0.pb", marshal(t, floatTensor("x", x, n, 1, side, side)))
	write(t, "case/target_0.pb", marshal(t, intTensor(target, n)))

	loss := 0.0
	dw, db := make([]float64, 3*side*side), make([]float64, 3)
	for s := range n {
		in := x[s*side*side : (s+1)*side*side]
		var z [3]float64
		sum := 0.0
		for k := range z {
			z[k] = float64(l.bias[k])
			for j, v := range in {
				z[k] += float64(l.weights[k*side*side+j]) * float64(v)
			}
			sum += math.Exp(z[k])
		}
		loss -= (z[labels[s]] - math.Log(sum)) / n
		for k := range z {
			d := math.Exp(z[k]) / sum
			if k == int(labels[s]) {
				d--
			}
			db[k] += d / n
			for j, v := range in {
				dw[k*side*side+j] += d * float64(v) / n
			}
		}
	}

	var got gradients
	if err := json.Unmarshal([]byte(must(t, "grad", "m.onnx", "--case", "case", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	near := func(what string, got number, want float64) {
		t.Helper()
		if math.Abs(float64(got)-want) > 1e-6*max(1, math.Abs(want)) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	near("loss", got.Loss, loss)
	for name, want := range map[string][]float64{"w": dw, "b": db} {
		g := got.Gradients[name]
		squares, sum := 0.0, 0.0
		for _, v := range want {
			squares += v * v
			sum += v
		}
		near("l2 of "+name, g.L2, math.Sqrt(squares))
		near("sum of "+name, g.Sum, sum)
		if size := product(g.Shape); size != len(want) {
			t.Errorf("%s has shape %v", name, g.Shape)
		}
	}
	if out := must(t, "grad", "m.onnx", "--case", "case"); !strings.Contains(out, "loss ") || !strings.Contains(out, "3x16") {
		t.Errorf("the text is\n%s", out)
	}
}

// predict for NPY and IDX input, as NPY and CSV, against the linear model written out.
func TestPredictFormats(t *testing.T) {
	dir := workDir(t)
	l := newLinear(6)
	x := make([]float32, 4*36)
	for i := range x {
		x[i] = float32(i%7) / 7
	}
	var b strings.Builder
	if err := dataset.WriteNPY(&b, []int{4, 1, 6, 6}, x); err != nil {
		t.Fatal(err)
	}
	write(t, "x.npy", []byte(b.String()))
	write(t, "y.npy", []byte("labels that predict must not look at"))
	must(t, "predict", "m.onnx", "--input", "x.npy", "--out", "out.npy")
	y, err := dataset.ReadArray(filepath.Join(dir, "out.npy"))
	if err != nil || len(y.Shape) != 2 || y.Shape[0] != 4 || y.Shape[1] != 3 {
		t.Fatalf("%v %v", y, err)
	}
	for s := range 4 {
		for k := range 3 {
			want := float64(l.bias[k])
			for j := range 36 {
				want += float64(l.weights[k*36+j]) * float64(x[s*36+j])
			}
			if got := float64(y.Floats[s*3+k]); math.Abs(got-want) > 1e-5 {
				t.Errorf("output %d of sample %d is %v, want %v", k, s, got, want)
			}
		}
	}
	csv := must(t, "predict", "m.onnx", "--input", "x.npy", "--batch", "3")
	must(t, "predict", "m.onnx", "--input", "x.npy", "--out", "y.csv")
	if string(read(t, "y.csv")) != csv || strings.Count(csv, "\n") != 5 {
		t.Errorf("on stdout %q, in the file %q", csv, read(t, "y.csv"))
	}
	if a, b := must(t, "predict", "m.onnx", "--data", "data"), must(t, "predict", "m.onnx", "--input", "data/t10k-images-idx3-ubyte"); a != b {
		t.Error("--data and --input give different outputs for the same IDX file")
	}
}

func TestInspect(t *testing.T) {
	workDir(t)
	var v inspection
	if err := json.Unmarshal([]byte(must(t, "inspect", "mnistconv", "--json")), &v); err != nil {
		t.Fatal(err)
	}
	if v.Opset != 17 || !v.TrainingMode || v.Weights != 132220 || v.Tensors != 14 || v.Statistics != 1140 || len(v.Warnings) != 0 {
		t.Errorf("%+v", v)
	}
	sum := 0
	for _, l := range v.Layers {
		sum += l.Parameters
		if l.Trainable != (l.Parameters > 0) {
			t.Errorf("%+v", l)
		}
	}
	if conv := v.Layers[0]; sum != v.Weights || conv.Op != "Conv" || strings.Join(conv.Shape, "x") != "Nx20x24x24" || conv.Parameters != 520 {
		t.Errorf("%d parameters in the layers; the first is %+v", sum, conv)
	}
	out := must(t, "inspect", "mnistconv")
	for _, want := range []string{"opset 17", "training mode", "pytorch", "batchx1x28x28", "/conv2/Conv", "Nx50x4x4", "25,050", "16 layers, 7 trainable; 132,220 weights in 14 tensors"} {
		if !strings.Contains(out, want) {
			t.Errorf("the text lacks %q:\n%s", want, out)
		}
	}
	if out := must(t, "inspect", "m.onnx"); !strings.Contains(out, "Warning  There is no Dropout") {
		t.Errorf("no warning about Dropout:\n%s", out)
	}
}

// testCase writes a case of one node with the given input and output.
func testCase(t *testing.T, dir, op string, x, y []float32) {
	t.Helper()
	m := &onnxpb.ModelProto{
		IrVersion:   proto.Int64(8),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(13)}},
		Graph: &onnxpb.GraphProto{Name: proto.String("g"), Node: []*onnxpb.NodeProto{{OpType: proto.String(op), Input: []string{"x"}, Output: []string{"y"}}},
			Input: []*onnxpb.ValueInfoProto{info("x", len(x))}, Output: []*onnxpb.ValueInfoProto{info("y", len(y))}},
	}
	write(t, filepath.Join(dir, "model.onnx"), marshal(t, m))
	write(t, filepath.Join(dir, "test_data_set_0", "input_0.pb"), marshal(t, floatTensor("x", x, len(x))))
	write(t, filepath.Join(dir, "test_data_set_0", "output_0.pb"), marshal(t, floatTensor("y", y, len(y))))
}

func TestVerify(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	x := []float32{-1, 0, 2}
	inf := float32(math.Inf(1))
	testCase(t, "cases/a_pass", "Relu", x, []float32{0, 0, 2})
	testCase(t, "cases/b_near", "Relu", x, []float32{0, 0.9e-5, 2.0019})
	testCase(t, "cases/c_far", "Relu", x, []float32{0, 0, 2.003})
	testCase(t, "cases/d_shape", "Relu", x, []float32{0, 0})
	testCase(t, "cases/e_inf", "Relu", []float32{1, 1, 1}, []float32{1, inf, 1})
	testCase(t, "cases/f_unknown", "Nonsense", x, x)
	testCase(t, "cases/g_broken", "Relu", x, x)
	write(t, "cases/g_broken/model.onnx", []byte("no"))
	testCase(t, "cases/h_nan", "Relu", []float32{1, float32(math.NaN()), 1}, []float32{1, float32(math.NaN()), 1})
	want := []string{"pass", "pass", "wrong", "wrong", "wrong", "unsupported", "error", "pass"}

	out, errs, code := call(t, "verify", "--json", "cases")
	if code != 1 || !strings.Contains(errs, "4 of 8 cases gave a wrong result or an error") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines:\n%s", len(lines), out)
	}
	for i, line := range lines {
		var v verdict
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.Result != want[i] || (v.Detail == "") != (want[i] == "pass") {
			t.Errorf("%v: %s, want %s", err, line, want[i])
		}
	}
	text := must(t, "verify", "cases/a_pass", "cases/f_unknown")
	if !strings.HasSuffix(text, "2 cases: 1 pass, 0 wrong, 1 unsupported, 0 error\n") || !strings.Contains(text, "Nonsense") {
		t.Errorf("the text is\n%s", text)
	}
}

func TestModels(t *testing.T) {
	t.Chdir(t.TempDir())
	list := must(t, "models")
	for _, name := range models.Names() {
		if !strings.Contains(list, name) {
			t.Errorf("%s is not listed:\n%s", name, list)
		}
	}
	must(t, "models", "mnistconv", "--out", "m.onnx")
	want, err := models.Open("mnistconv")
	if err != nil || string(read(t, "m.onnx")) != string(want) {
		t.Errorf("the file is not the embedded model: %v", err)
	}
}

// The operations of mnistconv at batch 2, counted by hand: 24x24 positions of 25 products for 20 maps without a data
// gradient, 4x4 of 20x25 for 50 maps, 200x500 and 500x10.
func TestBench(t *testing.T) {
	var r benchmark
	if err := json.Unmarshal([]byte(must(t, "bench", "mnistconv", "--batch", "2", "--threads", "1", "--time", "1ms", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if want := 2.0 * 2 * (2*24*24*25*20 + 3*4*4*500*50 + 3*200*500 + 3*500*10); r.FLOPs != want {
		t.Errorf("%v operations, want %v", r.FLOPs, want)
	}
	if r.GradientMS <= 0 || r.StepMS < r.GradientMS/2 || r.GFLOPS <= 0 || r.Batch != 2 || r.Threads != 1 || r.Gradients < 10 {
		t.Errorf("%+v", r)
	}
	if r.Ops != nil {
		t.Error("operators without --ops")
	}
	if err := json.Unmarshal([]byte(must(t, "bench", "mnistconv", "--batch", "2", "--time", "1ms", "--ops", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	var flops, ms, share float64
	for _, o := range r.Ops {
		flops, ms, share = flops+o.FLOPs, ms+o.MS, share+o.Share
	}
	for _, k := range r.Kinds {
		ms -= k.MS
	}
	if flops != r.FLOPs || math.Abs(ms) > 1e-9 || math.Abs(share-1) > 1e-9 || len(r.Kinds) < 10 || r.Kinds[0].MS < r.Kinds[1].MS {
		t.Errorf("operators: %+v\nkinds: %+v", r.Ops, r.Kinds)
	}
	if out := must(t, "bench", "mnistconv", "--batch", "2", "--time", "1ms", "--ops"); !strings.Contains(out, "/conv2/Conv") || !strings.Contains(out, "GB/s") {
		t.Errorf("the text is\n%s", out)
	}
	if out := must(t, "bench", "mnistfc", "--batch", "2", "--time", "1ms"); !strings.Contains(out, "gradient ") || !strings.Contains(out, "GFLOP/s") {
		t.Errorf("the text is\n%s", out)
	}
}

// An inference has a third of the products of a gradient, but for those of the data gradient that the first layer lacks.
func TestBenchInference(t *testing.T) {
	var r benchmark
	if err := json.Unmarshal([]byte(must(t, "bench", "mnistconv", "--inference", "--batch", "2", "--time", "1ms", "--ops", "--json")), &r); err != nil {
		t.Fatal(err)
	}
	if want := 2.0 * 2 * (24*24*25*20 + 4*4*500*50 + 200*500 + 500*10); r.FLOPs != want {
		t.Errorf("%v operations, want %v", r.FLOPs, want)
	}
	if r.ForwardMS <= 0 || r.Inferences < 5 || r.Gradients != 0 || r.StepMS != 0 || r.GFLOPS <= 0 {
		t.Errorf("%+v", r)
	}
	for _, o := range r.Ops {
		if strings.HasSuffix(o.Op, "Grad") || o.Op == "BatchStats" || o.Layer == "" {
			t.Errorf("%s of layer %q in an inference", o.Op, o.Layer)
		}
	}
	if out := must(t, "bench", "mnistfc", "--inference", "--batch", "2", "--time", "1ms"); !strings.Contains(out, "inference ") || strings.Contains(out, "gradient") {
		t.Errorf("the text is\n%s", out)
	}
}

// The cases of single operators that come with ONNX 1.12 (Debian's package libonnx-testdata): nothing may be wrong.
func TestVerifyONNXNodeCases(t *testing.T) {
	const dir = "/usr/share/libonnx-testdata/data/node"
	if !exists(dir) {
		t.Skip("libonnx-testdata is not installed")
	}
	out, errs, code := call(t, "verify", dir)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	t.Log(lines[len(lines)-1])
	if code != 0 {
		t.Error(errs)
	}
	if pass := strings.Count("\n"+out, "\npass "); pass < 800 {
		t.Errorf("%d cases pass; 800 did when this was written", pass)
	}
}

// A file that fixes its batch is shown with it if a node depends on it.
func TestInspectOfOneBatch(t *testing.T) {
	t.Chdir(t.TempDir())
	l := newLinear(6)
	l.fixed = 16
	write(t, "m.onnx", l.onnx())
	out := must(t, "inspect", "m.onnx")
	for _, want := range []string{"16x36", "16x3", "111 weights", "Warning  The batch is fixed"} {
		if !strings.Contains(out, want) {
			t.Errorf("the text lacks %q:\n%s", want, out)
		}
	}
}
