package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// vectorModel is one Gemm from vectors of n values to k outputs, of small weights.
func vectorModel(n, k int) []byte {
	w := make([]float32, n*k)
	for i := range w {
		w[i] = float32(i%5-2) / 50
	}
	b, err := proto.Marshal(&onnxpb.ModelProto{
		IrVersion:   proto.Int64(6),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(11)}},
		Graph: &onnxpb.GraphProto{
			Name:        proto.String("vector"),
			Node:        []*onnxpb.NodeProto{{Name: proto.String("gemm"), OpType: proto.String("Gemm"), Input: []string{"x", "w", "b"}, Output: []string{"y"}}},
			Input:       []*onnxpb.ValueInfoProto{info("x", "batch", n)},
			Output:      []*onnxpb.ValueInfoProto{info("y", "batch", k)},
			Initializer: []*onnxpb.TensorProto{floatTensor("w", w, n, k), floatTensor("b", make([]float32, k), k)},
		},
	})
	if err != nil {
		panic(err)
	}
	return b
}

// points is a table of two classes that a line separates, and a number that depends on the columns.
func points(n int, header string) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 2))
	b := []byte(header + "\n")
	for range n {
		x, y := r.NormFloat64(), r.NormFloat64()
		kind := "apple"
		if x > y {
			kind = "pear"
		}
		if header == "y,x,kind,sum" {
			b = fmt.Appendf(b, "%v,%v,%s,%v\n", y, x, kind, x+y/2)
		} else {
			b = fmt.Appendf(b, "%v,%v,%s,%v\n", x, y, kind, x+y/2)
		}
	}
	return b
}

// without leaves a column out of a table.
func without(table []byte, column int) []byte {
	var out []byte
	for _, line := range strings.Split(strings.TrimSpace(string(table)), "\n") {
		f := strings.Split(line, ",")
		out = append(out, strings.Join(append(f[:column:column], f[column+1:]...), ",")+"\n"...)
	}
	return out
}

func evaluated(t *testing.T, args ...string) (e evaluation) {
	t.Helper()
	if err := json.Unmarshal([]byte(must(t, append([]string{"eval"}, append(args, "--json")...)...)), &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestTrainTable trains on a CSV file with names of classes, and evaluates and predicts from files with other orders.
func TestTrainTable(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "m.onnx", vectorModel(2, 2))
	write(t, "p.csv", without(points(300, "x,y,kind,sum"), 3))
	out := must(t, "train", "m.onnx", "--data", "p.csv", "--target", "kind", "--split", "0.7,0.1,0.2", "--optimizer", "sgd", "--batch", "16", "--epochs", "20", "--out", "t.onnx")
	if !strings.Contains(out, "210 training samples, 30 for validation and 60 test samples of 2 in 2 classes") || !strings.Contains(out, "validation loss") {
		t.Errorf("%s", out)
	}
	var r result
	if err := report.ReadJSON("runs/1/result", &r); err != nil || r.Test == nil || r.Valid == nil || r.Test.Count != 60 || r.Valid.Count != 30 || float64(*r.Test.Error) > 0.05 {
		t.Fatalf("%v, %+v", err, r)
	}
	m, err := onnxload.ParseFile("t.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if meta := m.Metadata(); meta[metaClasses] != `["apple","pear"]` || meta[metaColumns] != `["x","y"]` || meta[metaTarget] != "kind" || meta[metaSplit] != "0.7,0.1,0.2" {
		t.Errorf("%v", meta)
	}
	if got := evaluated(t, "t.onnx", "--data", "p.csv"); got.Loss != r.Test.Loss {
		t.Errorf("eval of the test part has loss %v, training had %v", got.Loss, r.Test.Loss)
	}
	// The same table with its columns in another order, and without the target.
	write(t, "parts/test.csv", without(points(300, "x,y,kind,sum"), 3))
	write(t, "turned/test.csv", without(points(300, "y,x,kind,sum"), 3))
	if a, b := evaluated(t, "t.onnx", "--data", "parts"), evaluated(t, "t.onnx", "--data", "turned"); a != (evaluation{}) && (a.Loss != b.Loss || *a.Error != *b.Error || a.Count != 300) {
		t.Errorf("%v and %v", a, b)
	}
	write(t, "new/test.csv", without(without(points(300, "y,x,kind,sum"), 3), 2))
	if a, b := must(t, "predict", "t.onnx", "--data", "new"), must(t, "predict", "t.onnx", "--data", "parts"); a != b || strings.Count(a, "\n") != 301 {
		t.Errorf("%d and %d lines, or other numbers", strings.Count(a, "\n"), strings.Count(b, "\n"))
	}
	if a := must(t, "predict", "t.onnx", "--data", "p.csv"); strings.Count(a, "\n") != 301 {
		t.Errorf("%d lines for 300 rows", strings.Count(a, "\n"))
	}
	_, errs, code := call(t, "train", "m.onnx", "--data", "p.csv")
	if code != 1 || !strings.Contains(errs, "its columns are x, y, kind; name the one to be predicted with --target") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	// A number to be regressed, and whole numbers of which the loss says what they are.
	write(t, "one.onnx", vectorModel(2, 1))
	write(t, "sum.csv", without(points(100, "x,y,kind,sum"), 2))
	must(t, "train", "one.onnx", "--data", "sum.csv", "--target", "sum", "--optimizer", "sgd", "--batch", "10", "--epochs", "20", "--out", "s.onnx")
	if got := evaluated(t, "s.onnx", "--data", "sum.csv"); !(got.Loss < 1e-3) || got.Error != nil {
		t.Errorf("%v", &got)
	}
	write(t, "whole.csv", []byte("a,b,n\n1,2,3\n0.5,1,1\n0,2,2\n"))
	must(t, "train", "one.onnx", "--data", "whole.csv", "--target", "n", "--loss", "mse", "--optimizer", "sgd", "--batch", "3", "--max-outer", "1")
}

// pictures writes images of two classes, which differ by their upper and lower half.
func pictures(t *testing.T, dir string, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 3))
	for i := range n {
		class := i % 2
		m := image.NewGray(image.Rect(0, 0, 4, 4))
		for p := range 16 {
			v := 60 + r.IntN(80)
			if p/8 == class {
				v += 90
			}
			m.Set(p%4, p/4, color.Gray{uint8(v)})
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		write(t, fmt.Sprintf("%s/%s/%d.png", dir, []string{"upper", "lower"}[class], i), b.Bytes())
	}
}

// TestTrainImages trains on folders of images, made comparable, and evaluates and predicts from the written files.
func TestTrainImages(t *testing.T) {
	t.Chdir(t.TempDir())
	m := newLinear(4)
	write(t, "m.onnx", m.onnx())
	pictures(t, "im/train", 120)
	pictures(t, "im/test", 40)
	write(t, "im/about.txt", []byte("halves of images"))
	args := []string{"train", "m.onnx", "--data", "im", "--gcn", "--zca", "0.1", "--optimizer", "sgd", "--batch", "10", "--epochs", "5"}
	out := must(t, append(args, "--out", "t.onnx", "--whitening", "w.npy")...)
	if !strings.Contains(out, "120 training samples and 40 test samples of 1x4x4 in 2 classes") || !strings.Contains(out, "values scaled by 1/255, contrast normalised, whitened (ZCA, 0.1)") {
		t.Errorf("%s", out)
	}
	var r result
	if err := report.ReadJSON("runs/1/result", &r); err != nil || float64(*r.Test.Error) > 0.05 {
		t.Fatalf("%v, %+v", err, r)
	}
	for _, model := range []string{"t.onnx", "runs/1/trained.onnx"} {
		if got := evaluated(t, model, "--data", "im"); got.Loss != r.Test.Loss {
			t.Errorf("%s: loss %v, training had %v", model, got.Loss, r.Test.Loss)
		}
	}
	if a, b := read(t, "w.npy"), read(t, "t.whitening.npy"); !bytes.Equal(a, b) {
		t.Error("the files of the whitening differ")
	}
	// What was fitted before is taken, and the run is the same.
	must(t, append(args, "--out", "u.onnx", "--whitening", "w.npy", "--threads", "1")...)
	if !bytes.Equal(read(t, "t.onnx"), read(t, "u.onnx")) {
		t.Error("a run with the whitening of a file ends at another model")
	}
	pictures(t, "other/train", 30)
	for args, part := range map[string]string{
		"--data im --zca 0.2 --gcn --whitening w.npy":    "was fitted with --zca 0.1 and --gcn true",
		"--data im --zca 0.1 --whitening w.npy":          "was fitted with --zca 0.1 and --gcn true",
		"--data other --zca 0.1 --gcn --whitening w.npy": "was fitted on other samples than those of train images of other",
	} {
		if _, errs, code := call(t, append([]string{"train", "m.onnx", "--batch", "10"}, strings.Fields(args)...)...); code != 1 || !strings.Contains(errs, part) {
			t.Errorf("%s: exit code %d, %s", args, code, errs)
		}
	}
	// Further training takes the samples as the first did.
	must(t, "train", "t.onnx", "--data", "im", "--optimizer", "sgd", "--batch", "10", "--max-outer", "1", "--out", "v.onnx")
	if !bytes.Equal(read(t, "v.whitening.npy"), read(t, "t.whitening.npy")) {
		t.Error("further training has another whitening")
	}
	if p := must(t, "predict", "t.onnx", "--data", "im"); strings.Count(p, "\n") != 41 {
		t.Errorf("%s", p)
	}
	os.Rename("t.whitening.npy", "away.npy")
	if _, errs, code := call(t, "eval", "t.onnx", "--data", "im"); code != 1 || !strings.Contains(errs, "t.whitening.npy") || !strings.Contains(errs, "keep both files together") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	write(t, "t.whitening.npy", append(read(t, "away.npy"), 0))
	if _, errs, code := call(t, "eval", "t.onnx", "--data", "im"); code != 1 || !strings.Contains(errs, "is not what t.onnx was trained with") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	for flags, part := range map[string]string{"--zca 0": "above 0", "--whitening w.npy": "no effect without --zca", "--split 0.5,0.5": "parts of their own"} {
		if _, errs, code := call(t, append([]string{"train", "m.onnx", "--data", "im"}, strings.Fields(flags)...)...); code != 2 || !strings.Contains(errs, part) {
			t.Errorf("%s: exit code %d, %s", flags, code, errs)
		}
	}
}
