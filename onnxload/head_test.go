package onnxload_test

import (
	"bytes"
	"fmt"
	"math"
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

// A head whose weights are those of the first classes of the old one gives the numbers that the old one gives for them,
// which shows that everything fits together and nothing else has changed.
func TestHeadOfFewerClasses(t *testing.T) {
	for _, name := range small(t) {
		t.Run(name, func(t *testing.T) {
			b, want, err := fixture.Load("testdata/" + name)
			if err != nil {
				t.Fatal(err)
			}
			shareHead(t, b, want.Input.Shape, want.X, 10, 4)
		})
	}
	files, err := filepath.Glob("testdata/recurrent/*.onnx.gz")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var ids []int64
			for k := range 18 {
				ids = append(ids, int64(k*7%11))
			}
			shareHead(t, unzip(t, file), []int{3, 6}, ids, 11, 5)
		})
	}
}

// shareHead replaces the head of a file, of so many classes, puts weights of the old one into it, and compares the outputs
// for x. It returns the new file.
func shareHead(t *testing.T, file []byte, shape []int, x any, was, classes int) *onnxload.Model {
	t.Helper()
	m := must(onnxload.Parse(file))
	h, err := m.Head("")
	if err != nil {
		t.Fatal(err)
	}
	if h.Classes != was {
		t.Fatalf("%+v; %d classes are expected", h, was)
	}
	again, err := m.WithHead(onnxload.HeadOptions{Classes: classes, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	g, err := again.Head("")
	if err != nil {
		t.Fatal(err)
	}
	if g.Classes != classes || g.Node != h.Node || g.Features != h.Features {
		t.Errorf("the head has become %+v from %+v", g, h)
	}
	o := onnxload.Options{Dtype: tensor.Float64}
	if len(m.Inputs[0].Shape) == len(shape) {
		o.Shapes = map[string][]int{m.Inputs[0].Name: shape}
	}
	old, now := must(m.Build(shape[0], o)), must(again.Build(shape[0], o))
	theirs := func(all []float32, from, to int, a, b []int) []float32 { return part(all[from:to], a, b) }
	weights, running := now.Weights(), now.Running()
	for _, p := range now.Params {
		k := slices.IndexFunc(old.Params, func(q onnxload.Param) bool { return q.Name == strings.TrimSuffix(p.Name, ".head") })
		if k < 0 {
			t.Fatalf("%q is new", p.Name)
		}
		q := old.Params[k]
		copy(weights[p.From:p.To], theirs(old.Weights(), q.From, q.To, q.Shape, p.Shape))
	}
	for i, f := range now.Buffers {
		g := old.Buffers[i]
		copy(running[f.From:f.To], theirs(old.Running(), g.From, g.To, g.Shape, f.Shape))
	}
	again = must(onnxload.Parse(must(now.Export(weights, running, onnxload.ExportOptions{}))))
	now = must(again.Build(shape[0], o))
	a := run(t, old, map[*gorgonia.Node]any{old.Inputs[0]: x}, old.Outputs[0])[0]
	b := run(t, now, map[*gorgonia.Node]any{now.Inputs[0]: x}, now.Outputs[0])[0]
	compareClasses(t, a, old.Outputs[0].Shape(), b, now.Outputs[0].Shape())
	if dir := os.Getenv("ONNX_ENTROPY_EXPORTS"); dir != "" {
		name := strings.ReplaceAll(t.Name(), "/", "_")
		if err := os.WriteFile(filepath.Join(dir, name+".small.onnx"), again.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return again
}

// part is x, of shape a, cut to shape b.
func part[T any](x []T, a, b []int) []T {
	if len(a) == 0 {
		return x
	}
	var out []T
	size := len(x) / a[0]
	for k := range min(a[0], b[0]) {
		out = append(out, part(x[k*size:(k+1)*size], a[1:], b[1:])...)
	}
	return out
}

// compareClasses compares b with the part of a that has its shape. If the classes are probabilities, the part is
// made to sum to 1 again.
func compareClasses(t *testing.T, a []float64, from []int, b []float64, to []int) {
	t.Helper()
	if len(from) != len(to) || product(to) != len(b) {
		t.Fatalf("shapes %v and %v, %d numbers", from, to, len(b))
	}
	want := part(a, from, to)
	if !slices.ContainsFunc(a, func(v float64) bool { return v > 0 }) { // logarithms of probabilities
		a, b, want = exps(a), exps(b), exps(want)
	}
	if math.Abs(total(a)-float64(from[0])) < 1e-6 && !slices.ContainsFunc(a, func(v float64) bool { return v < 0 }) {
		for k := 0; k < len(want); k += len(want) / from[0] {
			row := want[k : k+len(want)/from[0]]
			sum := total(row)
			for i := range row {
				row[i] /= sum
			}
		}
	}
	for i := range want {
		if !near(b[i], want[i], 1e-6) {
			t.Fatalf("output %d is %v, with the old head %v", i, b[i], want[i])
		}
	}
}

func exps(x []float64) []float64 {
	y := slices.Clone(x)
	for i := range y {
		y[i] = math.Exp(y[i])
	}
	return y
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// constant is a Constant node.
func constant(name string, x *onnxpb.TensorProto) *onnxpb.NodeProto {
	x.Name = nil
	return node("Constant", nil, list(name), "value", x)
}

// half makes a tensor one of FLOAT16, in raw_data.
func half(x *onnxpb.TensorProto) *onnxpb.TensorProto {
	h := &onnxpb.TensorProto{Name: x.Name, Dims: x.Dims, DataType: proto.Int32(int32(onnxpb.TensorProto_FLOAT16)), RawData: make([]byte, 2*len(x.FloatData))}
	if err := h.SetFloats(x.FloatData); err != nil {
		panic(err)
	}
	return h
}

// Every way in which a file may hold its last layer, with what of it changes.
func TestHeadForms(t *testing.T) {
	weight := func(dims ...int64) *onnxpb.TensorProto {
		var x []float32
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		for k := range n {
			x = append(x, float32(math.Sin(float64(3*k+1))))
		}
		return floats("w", dims, x...)
	}
	bias := floats("b", []int64{7}, 0.1, 0.2, -0.3, 0.4, -0.5, 0.6, 0.7)
	vector := list(input("x", "N", 4))
	image := list(input("x", "N", 4, 2, 2))
	after := func(last ...*onnxpb.NodeProto) protos {
		return append(protos{node("Relu", list("x"), list("a")), node("Gemm", list("a", "w", "b"), list("h"), "transB", 1)}, last...)
	}
	for name, c := range map[string]struct {
		inputs  []*onnxpb.ValueInfoProto
		inits   []*onnxpb.TensorProto
		nodes   protos
		changed string // names of tensors and nodes
	}{
		"gemm":                {vector, list(weight(4, 7), bias), protos{node("Gemm", list("x", "w", "b"), list("y"))}, "w b"},
		"gemm, transposed":    {vector, list(weight(7, 4), bias), protos{node("Gemm", list("x", "w", "b"), list("y"), "transB", 1)}, "w b"},
		"gemm without bias":   {vector, list(weight(7, 4)), protos{node("Gemm", list("x", "w"), list("y"), "transB", 1)}, "w"},
		"bias of two axes":    {vector, list(weight(4, 7), floats("b", []int64{1, 7})), protos{node("Gemm", list("x", "w", "b"), list("y"))}, "w b"},
		"one bias for all":    {vector, list(weight(4, 7), floats("b", []int64{1})), protos{node("Gemm", list("x", "w", "b"), list("y"))}, "w"},
		"product":             {vector, list(weight(4, 7)), protos{node("MatMul", list("x", "w"), list("y"))}, "w"},
		"product and sum":     {vector, list(weight(4, 7), bias), protos{node("MatMul", list("x", "w"), list("h")), node("Add", list("b", "h"), list("y"))}, "w b"},
		"temperature":         {vector, list(weight(4, 7), floats("c", []int64{}, 2)), protos{node("MatMul", list("x", "w"), list("h")), node("Div", list("h", "c"), list("y"))}, "w"},
		"half":                {vector, list(half(weight(4, 7)), half(bias)), protos{node("Gemm", list("x", "w", "b"), list("y"))}, "w b"},
		"constants":           {vector, nil, protos{constant("w", weight(4, 7)), constant("b", proto.Clone(bias).(*onnxpb.TensorProto)), node("Gemm", list("x", "w", "b"), list("y"))}, "n_w n_b"},
		"constant of numbers": {vector, list(weight(4, 7)), protos{node("Constant", nil, list("b"), "value_floats", bias.FloatData), node("MatMul", list("x", "w"), list("h")), node("Add", list("h", "b"), list("y"))}, "w n_b"},
		"transpose": {vector, list(weight(7, 4), bias), protos{node("Transpose", list("w"), list("wt"), "perm", []int64{1, 0}),
			node("MatMul", list("x", "wt"), list("h")), node("Add", list("h", "b"), list("y"))}, "w b"},
		"cast":                 {vector, list(half(weight(4, 7))), protos{node("Cast", list("w"), list("wf"), "to", 1), node("MatMul", list("x", "wf"), list("y"))}, "w"},
		"softmax":              {vector, list(weight(7, 4), bias), after(node("Softmax", list("h"), list("y"))), "w b"},
		"log softmax":          {vector, list(weight(7, 4), bias), after(node("LogSoftmax", list("h"), list("y"))), "w b"},
		"dropout":              {vector, list(weight(7, 4), bias), after(node("Dropout", list("h"), list("y"))), "w b"},
		"reshape":              {vector, list(weight(7, 4), bias, ints("s", -1, 7)), after(node("Reshape", list("h", "s"), list("y"))), "w b s"},
		"reshape that copies":  {vector, list(weight(7, 4), bias, ints("s", 0, -1)), after(node("Reshape", list("h", "s"), list("y"))), "w b"},
		"reshape to more axes": {vector, list(weight(7, 4), bias, ints("s", -1, 1, 7, 1)), after(node("Reshape", list("h", "s"), list("y"))), "w b s"},
		"reshape by parts": {vector, list(weight(7, 4), bias, ints("seven", 7), ints("zero", 0)), after(
			node("Shape", list("x"), list("sh")), node("Gather", list("sh", "zero"), list("n")), node("Concat", list("n", "seven"), list("s"), "axis", 0),
			node("Reshape", list("h", "s"), list("y"))), "w b seven"},
		"reshape by a shared constant": {vector, list(weight(7, 4), bias, ints("s", -1, 7)), after(
			node("Reshape", list("h", "s"), list("y")), node("Reshape", list("k", "s"), list("z"))), "w b n_y s.head"},
		"squeeze": {image, list(weight(7, 4, 2, 2), bias, ints("axes", 2, 3)), protos{node("Conv", list("x", "w", "b"), list("h")), node("Squeeze", list("h", "axes"), list("y"))}, "w b"},
		"conv, pool, flatten": {image, list(weight(7, 4, 1, 1), bias), protos{node("Conv", list("x", "w", "b"), list("h")), node("Relu", list("h"), list("r")),
			node("GlobalAveragePool", list("r"), list("p")), node("Flatten", list("p"), list("y"))}, "w b"},
		"conv and sum": {image, list(weight(7, 4, 1, 1), floats("b", []int64{7, 1, 1})), protos{node("Conv", list("x", "w"), list("h")), node("Add", list("h", "b"), list("g")),
			node("ReduceMean", list("g"), list("y"), "axes", []int64{2, 3}, "keepdims", 0)}, "w b"},
		"bias that another reads": {vector, list(weight(7, 4), bias), protos{node("Gemm", list("x", "w", "b"), list("y"), "transB", 1), node("Relu", list("b"), list("z"))}, "w n_y b.head"},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "reshape by a shared constant" {
				c.inits = append(c.inits, floats("k", []int64{1, 7}))
			}
			m := model(17, c.inputs, c.inits, c.nodes, "y")
			if slices.ContainsFunc(c.nodes, func(n *onnxpb.NodeProto) bool { return n.Output[0] == "z" }) {
				m.Graph.Output = append(m.Graph.Output, input("z"))
			}
			m.DocString = proto.String("keep")
			if slices.ContainsFunc(c.nodes, func(n *onnxpb.NodeProto) bool { return n.Output[0] == "h" }) && len(c.inputs[0].Type.GetTensorType().Shape.Dim) == 2 {
				m.Graph.ValueInfo = list(input("h", "N", 7))
			}
			if name != "reshape to more axes" {
				m.Graph.Output[0] = input("y", "N", 7)
			}
			x := make([]float64, 3*product(dims(c.inputs[0])))
			for k := range x {
				x[k] = math.Cos(float64(k))
			}
			file := marshal(m)
			shareHead(t, file, append([]int{3}, dims(c.inputs[0])...), x, 7, 3)

			again := must(must(onnxload.Parse(file)).WithHead(onnxload.HeadOptions{Classes: 3, Seed: 1}))
			if got := differences(m, unmarshal(t, again.Bytes())); got != c.changed {
				t.Errorf("%q have changed, want %q", got, c.changed)
			}
		})
	}
}

func dims(v *onnxpb.ValueInfoProto) []int {
	var s []int
	for _, d := range v.Type.GetTensorType().Shape.Dim[1:] {
		s = append(s, int(d.GetDimValue()))
	}
	return s
}

// differences names the initializers and nodes that differ, initializers first, then nodes, then new initializers;
// and what else differs, but for the 7 that became 3 in value_info and outputs.
func differences(a, b *onnxpb.ModelProto) string {
	a, b = proto.Clone(a).(*onnxpb.ModelProto), proto.Clone(b).(*onnxpb.ModelProto)
	var names []string
	for i, x := range a.Graph.Initializer {
		if !proto.Equal(x, b.Graph.Initializer[i]) {
			names = append(names, x.GetName())
		}
	}
	for i, x := range a.Graph.Node {
		if !proto.Equal(x, b.Graph.Node[i]) {
			names = append(names, x.GetName())
		}
	}
	for _, x := range b.Graph.Initializer[len(a.Graph.Initializer):] {
		names = append(names, x.GetName())
	}
	for _, v := range slices.Concat(a.Graph.ValueInfo, a.Graph.Output) {
		for _, d := range v.Type.GetTensorType().GetShape().GetDim() {
			if d.GetDimValue() == 7 {
				d.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: 3}
			}
		}
	}
	a.Graph.Initializer, b.Graph.Initializer, a.Graph.Node, b.Graph.Node = nil, nil, nil, nil
	if !proto.Equal(a, b) {
		names = append(names, fmt.Sprint("and ", b))
	}
	return strings.Join(names, " ")
}

// The numbers of a head: uniform in ±1/sqrt(features), a function of the seed alone.
func TestHeadNumbers(t *testing.T) {
	m := must(onnxload.Parse(marshal(model(17, list(input("x", "N", 100)), list(floats("w", []int64{7, 100}), floats("b", []int64{7})),
		protos{node("Gemm", list("x", "w", "b"), list("y"), "transB", 1)}, "y"))))
	with := func(seed uint64) *onnxload.Model {
		return must(m.WithHead(onnxload.HeadOptions{Classes: 500, Seed: seed}))
	}
	if !bytes.Equal(with(1).Bytes(), with(1).Bytes()) || bytes.Equal(with(1).Bytes(), with(2).Bytes()) {
		t.Error("the numbers are no function of the seed")
	}
	w := must(with(1).Build(1, onnxload.Options{Training: true})).Weights()
	var sum, squares float64
	seen := map[float32]bool{}
	for _, v := range w {
		if !(math.Abs(float64(v)) <= 0.1) {
			t.Fatalf("%v is not in ±1/sqrt(100)", v)
		}
		sum += float64(v)
		squares += float64(v) * float64(v)
		seen[v] = true
	}
	// 50,500 numbers: the standard errors of mean and mean square are 2.6e-4 and 1.3e-5. Of 2^24 values some agree.
	n := float64(len(w))
	if n != 50500 || math.Abs(sum/n) > 1e-3 || math.Abs(squares/n-0.01/3) > 5e-5 || len(seen) < 50000 {
		t.Errorf("%v numbers of mean %v and mean square %v, %d different", n, sum/n, squares/n, len(seen))
	}
	if slices.Equal(w[:500], w[len(w)-500:]) {
		t.Error("the bias has the numbers of the weights")
	}
}

// A file of another folder's tensors: the head moves into the file, the other tensors stay where they are.
func TestHeadWithExternalData(t *testing.T) {
	dir := t.TempDir()
	ext := func(name string, offset int, dims ...int64) *onnxpb.TensorProto {
		x := floats(name, dims)
		x.FloatData = nil
		x.DataLocation = onnxpb.TensorProto_EXTERNAL.Enum()
		n := must(x.ByteLen())
		for _, kv := range [][2]string{{"location", "data"}, {"offset", fmt.Sprint(offset)}, {"length", fmt.Sprint(n)}} {
			x.ExternalData = append(x.ExternalData, &onnxpb.StringStringEntryProto{Key: proto.String(kv[0]), Value: proto.String(kv[1])})
		}
		return x
	}
	m := model(17, list(input("x", "N", 4)), list(ext("v", 0, 4, 4), ext("w", 64, 4, 7)),
		protos{node("MatMul", list("x", "v"), list("h")), node("MatMul", list("h", "w"), list("y"))}, "y")
	data := make([]byte, 64+4*28)
	for i := range data {
		data[i] = byte(i * 37 % 61)
	}
	path := filepath.Join(dir, "m.onnx")
	if err := os.WriteFile(filepath.Join(dir, "data"), data, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, marshal(m), 0o666); err != nil {
		t.Fatal(err)
	}
	again := must(must(onnxload.ParseFile(path)).WithHead(onnxload.HeadOptions{Classes: 3}))
	net := must(again.Build(1, onnxload.Options{Training: true}))
	if net.NumWeights() != 16+12 {
		t.Errorf("%d weights", net.NumWeights())
	}
	if got := net.Weights()[:16]; !slices.Equal(got, must(must(onnxload.ParseFile(path)).Build(1, onnxload.Options{})).Weights()[:16]) {
		t.Error("the other weights have changed")
	}
	if p := unmarshal(t, again.Bytes()).Graph.Initializer; p[0].GetDataLocation() != onnxpb.TensorProto_EXTERNAL || p[1].GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
		t.Error("tensors lie elsewhere than they should")
	}
}

func TestHeadRefusals(t *testing.T) {
	vector := list(input("x", "N", 4))
	w := floats("w", []int64{4, 7})
	for name, c := range map[string]struct {
		m       *onnxpb.ModelProto
		output  string
		classes int
		want    []string
	}{
		"tied": {model(17, list(integers(onnxpb.TensorProto_INT64, "x", "N")), list(floats("w", []int64{7, 4})), protos{node("Gather", list("w", "x"), list("e")),
			node("Gemm", list("e", "w"), list("y"), "transB", 1)}, "y"), "", 3, []string{`weights "w"`, `node "n_e" (Gather, opset 17)`, "tied"}},
		"no layer":   {model(17, vector, nil, protos{node("Relu", list("x"), list("y"))}, "y"), "", 3, []string{"output \"y\"", "no Gemm, MatMul or Conv"}},
		"two layers": {model(17, vector, list(w), protos{node("MatMul", list("x", "w"), list("a")), node("Relu", list("a"), list("r")), node("Add", list("a", "r"), list("y"))}, "y"), "", 3, []string{`"n_y" (Add`, "more than"}},
		"data":       {model(17, list(input("x", "N", 4), input("z", 4, 7)), nil, protos{node("MatMul", list("x", "z"), list("y"))}, "y"), "", 3, []string{"second input is not its weights"}},
		"computed":   {model(17, vector, list(w), protos{node("Exp", list("w"), list("e")), node("MatMul", list("x", "e"), list("y"))}, "y"), "", 3, []string{`computed by node "n_e"`}},
		"group":      {model(17, list(input("x", "N", 4, 1, 1)), list(floats("w", []int64{4, 1, 1, 1})), protos{node("Conv", list("x", "w"), list("y"), "group", 4)}, "y"), "", 3, []string{"4 groups"}},
		"no output":  {model(17, vector, list(w), protos{node("MatMul", list("x", "w"), list("y"))}, "y"), "logits", 3, []string{`no output "logits"`, `"y"`}},
		"zero":       {model(17, vector, list(w), protos{node("MatMul", list("x", "w"), list("y"))}, "y"), "", 0, []string{"0 classes"}},
		"too many":   {model(17, vector, list(w), protos{node("MatMul", list("x", "w"), list("y"))}, "y"), "", 1 << 30, []string{`"w"`, "bytes"}},
		"a second sum": {model(17, vector, list(w, floats("b", []int64{7}), floats("c", []int64{7})), protos{node("Gemm", list("x", "w", "b"), list("h")),
			node("Add", list("h", "c"), list("y"))}, "y"), "", 3, []string{"3 classes in the place of 7", `"n_y" (Add`}},
		"function": {func() *onnxpb.ModelProto {
			m := model(17, vector, list(w), protos{node("Layer", list("x", "w"), list("y"))}, "y")
			m.Graph.Node[0].Domain = proto.String("local")
			m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("local"), Version: proto.Int64(1)})
			m.Functions = []*onnxpb.FunctionProto{{Name: proto.String("Layer"), Domain: proto.String("local"), Input: list("a", "b"), Output: list("c"), Node: protos{node("MatMul", list("a", "b"), list("c"))}}}
			return m
		}(), "", 3, []string{"function of the file", "inline_local_functions"}},
	} {
		m := must(onnxload.Parse(marshal(c.m)))
		_, err := m.WithHead(onnxload.HeadOptions{Classes: c.classes, Output: c.output})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, s := range c.want {
			if !strings.Contains(err.Error(), s) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %q lacks %q", name, err, s)
			}
		}
	}
}

// A dimension that is named as the batch of another input is the batch, as in a state of shape (layers, batch, hidden).
func TestOpenShapesOfStates(t *testing.T) {
	m := must(onnxload.Parse(marshal(model(17, list(input("x", "batch", "time", 4), input("state", 2, "batch", 3)), list(floats("w", []int64{4, 7}), floats("v", []int64{3, 5})), protos{
		node("MatMul", list("x", "w"), list("y")), node("MatMul", list("state", "v"), list("z")),
	}, "y", "z"))))
	got := m.OpenShapes(2, 16)
	if !slices.Equal(got["x"], []int{2, 16, 4}) || !slices.Equal(got["state"], []int{2, 2, 3}) {
		t.Errorf("the shapes are %v", got)
	}
	if _, err := m.Build(2, onnxload.Options{Shapes: got}); err != nil {
		t.Error(err)
	}
	if _, err := m.WithHead(onnxload.HeadOptions{Classes: 3, Output: "y"}); err != nil {
		t.Error(err)
	}
}
