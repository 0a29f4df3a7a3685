package onnxload_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// build makes the net of a model written in Go.
func build(t testing.TB, m *onnxpb.ModelProto, batch int, o onnxload.Options) *onnxload.Net {
	t.Helper()
	parsed, err := onnxload.Parse(marshal(m))
	if err != nil {
		t.Fatal(err)
	}
	net, err := parsed.Build(batch, o)
	if err != nil {
		t.Fatal(err)
	}
	return net
}

func buildError(t testing.TB, m *onnxpb.ModelProto, batch int, o onnxload.Options) error {
	t.Helper()
	parsed, err := onnxload.Parse(marshal(m))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parsed.Build(batch, o)
	if err == nil {
		t.Fatal("no error")
	}
	return err
}

// eval builds the inference graph of a model in float64 and computes its outputs for input x.
func eval(t testing.TB, m *onnxpb.ModelProto, batch int, x ...float64) [][]float64 {
	t.Helper()
	net := build(t, m, batch, onnxload.Options{Dtype: tensor.Float64})
	return run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: x}, net.Outputs...)
}

func TestUnsupportedNodesAreListedAtOnce(t *testing.T) {
	m := model(13, list(input("x", "N", 4)), nil, protos{
		node("Relu", list("x"), list("a")),
		node("Frobnicate", list("a"), list("b")),
		node("Relu", list("b"), list("c")),
		node("Quux", list("c", "a"), list("d")),
		node("Pad", list("a", "p"), list("e"), "mode", "mirror"),
		node("Add", list("d", "e"), list("y")),
	}, "y")
	m.Graph.Initializer = append(m.Graph.Initializer, ints("p", 0, 0, 0, 0))
	m.Graph.Node[3].Domain = proto.String("com.example")
	m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("com.example"), Version: proto.Int64(2)})
	err := buildError(t, m, 1, onnxload.Options{})
	var u *onnxload.UnsupportedError
	if !errors.As(err, &u) || len(u.Nodes) != 3 {
		t.Fatal(err)
	}
	for i, want := range []onnxload.Unsupported{
		{Name: "n_b", Op: "Frobnicate", Opset: 13},
		{Name: "n_d", Op: "Quux", Domain: "com.example", Opset: 2},
		{Name: "n_e", Op: "Pad", Opset: 13},
	} {
		got := u.Nodes[i]
		if got.Reason == "" || !strings.Contains(err.Error(), got.String()) {
			t.Errorf("%q is not in %q", got, err)
		}
		got.Reason = ""
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestInputShapes(t *testing.T) {
	in := func(dims ...any) *onnxpb.ValueInfoProto { return input("x", dims...) }
	second := func(dims ...any) *onnxpb.ValueInfoProto { return input("z", dims...) }
	for name, c := range map[string]struct {
		inputs []*onnxpb.ValueInfoProto
		o      onnxload.Options
		want   string // shapes, or a part of the error
	}{
		"named batch":       {list(in("N", 3)), onnxload.Options{}, "(5, 3)"},
		"unnamed batch":     {list(in(nil, 3)), onnxload.Options{}, "(5, 3)"},
		"-1":                {list(in(-1, 3)), onnxload.Options{}, "(5, 3)"},
		"fixed batch":       {list(in(1, 3)), onnxload.Options{}, "(5, 3)"},
		"fixed, two inputs": {list(in(1, 3), second(1, 2)), onnxload.Options{}, "(5, 3) (5, 2)"},
		"state of layers":   {list(in("N", 3), second(2, "N", 4)), onnxload.Options{}, "(5, 3) (2, 5, 4)"},
		"state first":       {list(in(2, "N", 4), second("N", 3)), onnxload.Options{}, "(2, 5, 4) (5, 3)"},
		"two names":         {list(in("N", 3), second("M", 2)), onnxload.Options{}, "(5, 3) (5, 2)"},
		"unknown size":      {list(in("N", "T")), onnxload.Options{}, `dimension 1 (T) of input "x" has no size`},
		"given size":        {list(in("N", "T")), onnxload.Options{Shapes: map[string][]int{"x": {2, 7}}}, "(2, 7)"},
		"size from another": {list(in("N", "T"), second("N", "T")), onnxload.Options{Shapes: map[string][]int{"x": {2, 7}}}, "(2, 7) (2, 7)"},
		"contradiction": {list(in("N", "T"), second("N", "T")), onnxload.Options{Shapes: map[string][]int{"x": {2, 7}, "z": {2, 8}}},
			`dimension "T" is 7 in the shape given for input "`},
		"wrong rank":     {list(in("N", 3)), onnxload.Options{Shapes: map[string][]int{"x": {2, 3, 4}}}, `input "x" has 2 dimensions`},
		"no such input":  {list(in("N", 3)), onnxload.Options{Shapes: map[string][]int{"q": {2}}}, `given for "q", which is no free input; they are ["x"]`},
		"no such value":  {list(in("N", 3)), onnxload.Options{Known: map[string]*tensor.Dense{"q": nil}}, `given for "q", which is no input`},
		"negative":       {list(in("N", 3)), onnxload.Options{Shapes: map[string][]int{"x": {2, -3}}}, "-3"},
		"no rank":        {list(in()), onnxload.Options{}, `no shape for input "x"`},
		"too large":      {list(in("N", 1<<40)), onnxload.Options{}, `input "x" of shape`},
		"empty":          {list(in("N", 0)), onnxload.Options{}, `input "x": a shape without elements`},
		"known elsewise": {list(in("N", 3), second(3)), onnxload.Options{Known: map[string]*tensor.Dense{"z": dense([]float32{1, 2, 3}, []int{3})}}, "(5, 3)"},
	} {
		m := model(13, c.inputs, nil, protos{node("Relu", list("x"), list("y"))}, "y")
		parsed, err := onnxload.Parse(marshal(m))
		if err != nil {
			t.Fatal(name, err)
		}
		net, err := parsed.Build(5, c.o)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			for _, n := range net.Inputs {
				got += fmt.Sprint(n.Shape()) + " "
			}
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s\nwant %s", name, got, c.want)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	m := must(onnxload.Parse(marshal(relu())))
	bad := 1.5
	for _, c := range []struct {
		batch int
		o     onnxload.Options
		want  string
	}{
		{0, onnxload.Options{}, "batch of 0"},
		{1, onnxload.Options{Dropout: &bad}, "dropout ratio of 1.5"},
		{1, onnxload.Options{Dtype: tensor.Int}, "graphs of int"},
		{1 << 20, onnxload.Options{MaxElements: 1000}, "larger than 1000 elements"},
	} {
		if _, err := m.Build(c.batch, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	// A file with a fixed batch says so when another does not fit.
	fixed := model(13, list(input("x", 1, 6)), list(ints("s", 1, 2, 3)), protos{node("Reshape", list("x", "s"), list("y"))}, "y")
	err := buildError(t, fixed, 4, onnxload.Options{})
	if want := `node "n_y" (Reshape, opset 13): an input of shape [4 6] cannot become one of shape [1 2 3]`; !strings.Contains(err.Error(), want) ||
		!strings.Contains(err.Error(), "export with a dynamic batch") {
		t.Errorf("%v, want %s", err, want)
	}
}

// What is trained, what decays, and under which name. Constants of the program are not trained; weights that come
// through a Transpose are.
func TestParameters(t *testing.T) {
	m := model(17, list(input("x", "N", 3)), list(
		floats("unused", []int64{3}),
		floats("w", []int64{4, 3}), floats("w.bias", []int64{4}),
		floats("gain", []int64{4}), floats("table", []int64{1, 4}),
		floats("val_7", nil, 0.5), floats("temperature", nil, 2),
		floats("v", []int64{2, 4}), floats("v.bias", []int64{2}),
		floats("lo", nil, -9), ints("count", 1),
	), protos{
		node("Transpose", list("w"), list("wt"), "perm", []int64{1, 0}),
		node("MatMul", list("x", "wt"), list("a")),
		node("Add", list("w.bias", "a"), list("b")),
		node("Mul", list("b", "gain"), list("c")),
		node("Add", list("c", "table"), list("d")),
		node("Constant", nil, list("k"), "value", floats("", []int64{4})),
		node("Mul", list("d", "k"), list("e")),
		node("Mul", list("e", "val_7"), list("f")),
		node("Div", list("f", "temperature"), list("g")),
		node("Identity", list("v"), list("v2")),
		node("Gemm", list("g", "v2", "v.bias"), list("h"), "transB", 1),
		node("Constant", nil, list("u"), "value", floats("", []int64{2, 2})),
		node("MatMul", list("h", "u"), list("i")),
		node("Clip", list("i", "lo"), list("y")),
	}, "y")
	net := build(t, m, 1, onnxload.Options{})
	got, at := "", 0
	for _, p := range net.Params {
		got += fmt.Sprintln(p.Name, p.Shape, p.Decay, p.Op)
		if p.From != at || p.To-p.From != tensor.Shape(p.Shape).TotalSize() {
			t.Errorf("%q has range %d to %d", p.Name, p.From, p.To)
		}
		at = p.To
	}
	want := "w [4 3] true MatMul, w.bias [4] false Add, gain [4] false Mul, table [1 4] true Add, temperature [] false Div, " +
		"v [2 4] true Gemm, v.bias [2] false Gemm, u [2 2] true MatMul, "
	got = strings.ReplaceAll(got, "\n", ", ")
	if got != want || net.NumWeights() != at {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// The constants are inputs with values; nothing else has one.
	var consts []string
	for _, n := range net.Consts {
		consts = append(consts, n.Name())
	}
	if slices.Sort(consts); !slices.Equal(consts, list("k", "val_7")) {
		t.Error(consts)
	}
	for _, n := range net.Graph.Inputs() {
		if (n.Value() != nil) != slices.Contains(consts, n.Name()) {
			t.Errorf("input %q has value %v", n.Name(), n.Value())
		}
	}
	// Every parameter has a derivative.
	if _, err := gorgonia.Grad(must(gorgonia.Sum(net.Outputs[0])), func() (n gorgonia.Nodes) {
		for _, p := range net.Params {
			n = append(n, p.Node)
		}
		return n
	}()...); err != nil {
		t.Error(err)
	}

	w, _ := net.Reinit(3)
	again, _ := net.Reinit(3)
	other, _ := net.Reinit(4)
	if !slices.Equal(w, again) || slices.Equal(w, other) {
		t.Error("Reinit does not depend on the seed alone")
	}
	fan := map[string]float64{"w": 3, "w.bias": 3, "v": 4, "v.bias": 4, "u": 2}
	file := net.Weights()
	for _, p := range net.Params {
		f, random := fan[p.Name]
		for i := p.From; i < p.To; i++ {
			if !random && w[i] != file[i] || random && (w[i] == file[i] || math.Abs(float64(w[i])) > 1/math.Sqrt(f)) {
				t.Errorf("%q starts with %v", p.Name, w[p.From:p.To])
				break
			}
		}
	}
	if net.NodeName(net.Outputs[0]) != "n_y" {
		t.Error(net.NodeName(net.Outputs[0]))
	}
}

// Uniform numbers in +-1/sqrt(fan in) have variance 1/(3 fan in).
func TestReinitSpreads(t *testing.T) {
	m := model(17, list(input("x", "N", 100)), list(floats("w", []int64{300, 100})), protos{node("Gemm", list("x", "w"), list("y"), "transB", 1)}, "y")
	w, _ := build(t, m, 1, onnxload.Options{}).Reinit(1)
	sum, sq := 0.0, 0.0
	for _, v := range w {
		sum, sq = sum+float64(v), sq+float64(v)*float64(v)
	}
	n := float64(len(w))
	// Standard deviations of the mean and of the mean square over 30000 draws: 0.00033 and 0.000017.
	if mean, square := sum/n, sq/n; math.Abs(mean) > 0.0017 || math.Abs(square-1.0/300) > 0.000085 {
		t.Errorf("mean %g, mean square %g", mean, square)
	}
}

func TestDropout(t *testing.T) {
	for _, opset := range []int64{6, 10, 12, 13} {
		m := model(opset, list(input("x", "N", 100)), list(floats("r", nil, 0.75)), protos{
			node("Dropout", list("x"), list("a")), node("Dropout", list("a", "r"), list("y"))}, "y")
		if opset < 12 {
			m.Graph.Node[1] = node("Dropout", list("a"), list("y"), "ratio", 0.75)
		}
		zero := 0.0
		for _, c := range []struct {
			o    onnxload.Options
			keep float64
		}{
			{onnxload.Options{Training: true}, 0.5 * 0.25},
			{onnxload.Options{Training: true, Dropout: &zero}, 1},
			{onnxload.Options{}, 1},
		} {
			c.o.Dtype = tensor.Float64
			net := build(t, m, 100, c.o)
			y := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: slices.Repeat([]float64{1}, 10000)}, net.Outputs[0])[0]
			kept := 0
			for _, v := range y {
				if v != 0 {
					kept++
					if !near(v, 1/c.keep, 1e-12) {
						t.Fatalf("opset %d: a kept element became %v", opset, v)
					}
				}
			}
			// 10000 draws: the standard deviation is at most 33.
			if math.Abs(float64(kept)-10000*c.keep) > 170 {
				t.Errorf("opset %d: %d of 10000 kept, want about %g", opset, kept, 10000*c.keep)
			}
		}
	}
}

// Semantics that changed with the opset and that the ONNX project's cases, which are of today, do not show.
func TestOldOpsets(t *testing.T) {
	x := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	in := list(input("x", "N", 2, 3))
	t.Run("Softmax", func(t *testing.T) {
		// Before 13: over all dimensions from axis 1 on.
		y := eval(t, model(11, in, nil, protos{node("Softmax", list("x"), list("y"))}, "y"), 2, x...)[0]
		for n := range 2 {
			sum := 0.0
			for _, v := range x[6*n : 6*n+6] {
				sum += math.Exp(v)
			}
			for k := range 6 {
				if want := math.Exp(x[6*n+k]) / sum; !near(y[6*n+k], want, 1e-12) {
					t.Errorf("element %d is %v, want %v", 6*n+k, y[6*n+k], want)
				}
			}
		}
		// From 13: over the last.
		y = eval(t, model(13, in, nil, protos{node("LogSoftmax", list("x"), list("y"))}, "y"), 2, x...)[0]
		if want := 1 - math.Log(math.Exp(1)+math.Exp(2)+math.Exp(3)); !near(y[0], want, 1e-12) {
			t.Errorf("%v, want %v", y[0], want)
		}
	})
	t.Run("Add", func(t *testing.T) {
		m := model(6, in, list(floats("b", []int64{2}, 10, 20)), protos{node("Add", list("x", "b"), list("y"), "broadcast", 1, "axis", 1)}, "y")
		y := eval(t, m, 2, x...)[0]
		if want := []float64{11, 12, 13, 24, 25, 26, 17, 18, 19, 30, 31, 32}; !slices.Equal(y, want) {
			t.Errorf("%v, want %v", y, want)
		}
	})
	t.Run("attributes", func(t *testing.T) {
		m := model(5, in, nil, protos{
			node("Unsqueeze", list("x"), list("a"), "axes", []int64{0}),
			node("Squeeze", list("a"), list("b"), "axes", []int64{0}),
			node("Slice", list("b"), list("c"), "starts", []int64{1}, "ends", []int64{99}, "axes", []int64{2}),
			node("Pad", list("c"), list("d"), "pads", []int64{0, 0, 0, 0, 0, 1}, "value", -1.0),
			node("Clip", list("d"), list("e"), "max", 8.0),
			node("ReduceSum", list("e"), list("y"), "axes", []int64{1}, "keepdims", 0),
		}, "y")
		y := eval(t, m, 2, x...)[0]
		if want := []float64{7, 9, -2, 16, 16, -2}; !slices.Equal(y, want) {
			t.Errorf("%v, want %v", y, want)
		}
	})
	t.Run("Reshape", func(t *testing.T) {
		m := model(1, in, nil, protos{node("Reshape", list("x"), list("y"), "shape", []int64{0, -1})}, "y")
		if s := build(t, m, 2, onnxload.Options{}).Outputs[0].Shape(); !s.Eq(tensor.Shape{2, 6}) {
			t.Error(s)
		}
	})
}

// Shape arithmetic as PyTorch writes x.view(x.size(0)*2, -1) folds away.
func TestShapeArithmeticFolds(t *testing.T) {
	m := model(17, list(input("x", "N", 4, 3)), list(ints("zero", 0), ints("two", 2), ints("minus", -1)), protos{
		node("Shape", list("x"), list("s")),
		node("Gather", list("s", "zero"), list("n")),
		node("Mul", list("n", "two"), list("n2")),
		node("Concat", list("n2", "minus"), list("to"), "axis", 0),
		node("Reshape", list("x", "to"), list("y")),
	}, "y", "s")
	net := build(t, m, 5, onnxload.Options{Dtype: tensor.Float64})
	if s := net.Outputs[0].Shape(); !s.Eq(tensor.Shape{10, 6}) {
		t.Error(s)
	}
	if len(net.Layers) != 1 || net.Layers[0].Op != "Reshape" {
		t.Error(net.Layers)
	}
	out := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: make([]float64, 60)}, net.Outputs[1])
	if !slices.Equal(out[0], []float64{5, 4, 3}) {
		t.Error(out)
	}
}

// One value twice, an input that is an output, an output that is an initializer.
func TestGraphsThatOnnxGoLoses(t *testing.T) {
	m := model(17, list(input("x", "N", 2)), list(floats("b", []int64{2}, 5, 7)), protos{node("Mul", list("x", "x"), list("y"))}, "y", "x", "b")
	out := eval(t, m, 1, 3, 4)
	if !slices.Equal(out[0], []float64{9, 16}) || !slices.Equal(out[1], []float64{3, 4}) || !slices.Equal(out[2], []float64{5, 7}) {
		t.Error(out)
	}
	// Two absent optional inputs are not one.
	m = model(17, list(input("x", "N", 2)), list(floats("hi", nil, 3.5)), protos{
		node("Clip", list("x", "", "hi"), list("a")), node("Clip", list("a", "", ""), list("y"))}, "y")
	if out := eval(t, m, 1, 3, 4); !slices.Equal(out[0], []float64{3, 3.5}) {
		t.Error(out)
	}
}

// Each call makes a graph of its own, also from several goroutines.
func TestConcurrentBuilds(t *testing.T) {
	b, want, _ := load(t, "mnistconv_training", true)
	m := must(onnxload.Parse(b))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := m.Build(want.Input.Shape[0]+i, onnxload.Options{Training: i%2 == 0}); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
}

// Before opset 13 Softmax took a tensor for a matrix. It is passed over where the columns of that matrix are the classes of one
// label each, and not where they are more.
func TestLogitsOfMatrixSoftmax(t *testing.T) {
	for _, c := range []struct {
		axis   int
		shape  tensor.Shape
		labels tensor.Shape
		want   string
	}{
		{1, tensor.Shape{2, 3, 4}, tensor.Shape{2, 4}, ""}, {1, tensor.Shape{2, 3, 4}, tensor.Shape{2, 3}, ""},
		{2, tensor.Shape{2, 3, 4}, tensor.Shape{2, 3}, "Softmax"}, {2, tensor.Shape{2, 3, 4}, tensor.Shape{2, 4}, ""},
		{1, tensor.Shape{2, 3, 1}, tensor.Shape{2, 1}, "Softmax"}, {1, tensor.Shape{2, 1, 3}, tensor.Shape{2, 1}, "Softmax"},
		{1, tensor.Shape{2, 3, 1, 1}, tensor.Shape{2, 1, 1}, "Softmax"}, {0, tensor.Shape{2, 3}, tensor.Shape{2}, ""}, {1, tensor.Shape{2, 3}, tensor.Shape{2}, "Softmax"},
	} {
		m := model(11, list(input("x")), nil, protos{node("Softmax", list("x"), list("y"), "axis", c.axis)}, "y")
		y := build(t, m, 2, onnxload.Options{Shapes: map[string][]int{"x": c.shape}}).Outputs[0]
		if got := ops.EndsIn(y, must(ops.ClassAxis(y.Shape(), c.labels))); got != c.want {
			t.Errorf("axis %d of %v, labels %v: it ends in %q, want %q", c.axis, c.shape, c.labels, got, c.want)
		}
	}
}

// A vector has no axis 1, which is the default before opset 13.
func TestSoftmaxOfVector(t *testing.T) {
	m := func(opset int64, attrs ...any) *onnxpb.ModelProto {
		return model(opset, list(input("x", "N")), nil, protos{node("Softmax", list("x"), list("y"), attrs...)}, "y")
	}
	if err := buildError(t, m(11), 3, onnxload.Options{}); !strings.Contains(err.Error(), "axis") {
		t.Error(err)
	}
	for _, m := range list(m(11, "axis", 0), m(13)) {
		if y := eval(t, m, 3, 1, 1, 1)[0]; !near(y[0], 1./3, 1e-15) {
			t.Error(y)
		}
	}
}

// Resize of opset 10 takes the element at or before the place if the axis grows, else the one at or behind it: ONNX 1.5's cases.
func TestResizeOfOpset10(t *testing.T) {
	for _, c := range []struct {
		x      []float64
		scales []float32
		want   []float64
	}{
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8}, []float32{1, 1, 0.6, 0.6}, []float64{1, 3}},
		{[]float64{1, 2, 3, 4}, []float32{1, 1, 2, 3}, []float64{1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 3, 3, 3, 4, 4, 4}},
	} {
		m := model(10, list(input("x", 1, 1, 2, len(c.x)/2)), list(floats("s", []int64{4}, c.scales...)), protos{node("Resize", list("x", "s"), list("y"))}, "y")
		if got := eval(t, m, 1, c.x...)[0]; !slices.Equal(got, c.want) {
			t.Errorf("scales %v: %v, want %v", c.scales, got, c.want)
		}
	}
}
