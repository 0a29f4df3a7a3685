package onnxload_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// function is a function of domain "local"; attributes are names without a default.
func function(name string, opset int64, in, out, attrs []string, nodes ...*onnxpb.NodeProto) *onnxpb.FunctionProto {
	return &onnxpb.FunctionProto{
		Name: proto.String(name), Domain: proto.String("local"), Input: in, Output: out, Attribute: attrs, Node: nodes,
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(opset)}, {Domain: proto.String("local"), Version: proto.Int64(1)}},
	}
}

// calling makes nodes of the model's functions.
func calling(n *onnxpb.NodeProto) *onnxpb.NodeProto { n.Domain = proto.String("local"); return n }

// ref makes an attribute of n that names one of the function.
func ref(n *onnxpb.NodeProto, attr, of string, t onnxpb.AttributeProto_AttributeType) *onnxpb.NodeProto {
	n.Attribute = append(n.Attribute, &onnxpb.AttributeProto{Name: proto.String(attr), RefAttrName: proto.String(of), Type: t.Enum()})
	return n
}

func withFunctions(m *onnxpb.ModelProto, fs ...*onnxpb.FunctionProto) *onnxpb.ModelProto {
	m.Functions = fs
	m.OpsetImport = append(m.OpsetImport, &onnxpb.OperatorSetIdProto{Domain: proto.String("local"), Version: proto.Int64(1)})
	return m
}

// layers are two linear layers with an activation, as functions within a function, and the same as plain nodes. The
// functions are written for opset 11, where Squeeze has its axes in an attribute, the graph for 13.
func layers() (called, plain *onnxpb.ModelProto) {
	inits := func() []*onnxpb.TensorProto {
		return list(floats("w1", []int64{3, 4}, 0.1, -0.2, 0.3, 0.4, -0.5, 0.6, 0.7, -0.8, 0.9, 1, -1.1, 1.2), floats("b1", []int64{4}), floats("w2", []int64{4, 2}))
	}
	in := list(input("x", "N", 3))
	linear := function("Linear", 11, list("x", "w", "b"), list("y"), list("slope", "axis"),
		node("MatMul", list("x", "w"), list("m")),
		node("Add", list("m", "b"), list("a")),
		ref(node("LeakyRelu", list("a"), list("l")), "alpha", "slope", onnxpb.AttributeProto_FLOAT),
		node("Unsqueeze", list("l"), list("u"), "axes", []int64{0}),
		node("Squeeze", list("u"), list("s"), "axes", []int64{0}),
		ref(node("Softmax", list("s"), list("unused")), "axis", "axis", onnxpb.AttributeProto_INT),
		node("Identity", list("s"), list("y")))
	outer := function("Outer", 13, list("x", "w", "b", "v"), list("y"), nil,
		calling(node("Linear", list("x", "w", "b"), list("h"), "slope", 0.3)),
		node("Constant", nil, list("zero"), "value", floats("", []int64{2}, 0.5, -0.5)),
		calling(node("Linear", list("h", "v", "zero"), list("y"), "slope", 0.1, "axis", 1)))
	called = withFunctions(model(13, in, inits(), protos{calling(node("Outer", list("x", "w1", "b1", "w2"), list("y")))}, "y"), outer, linear)
	plain = model(13, in, append(inits(), floats("zero", []int64{2}, 0.5, -0.5)), protos{
		node("MatMul", list("x", "w1"), list("m")),
		node("Add", list("m", "b1"), list("a")),
		node("LeakyRelu", list("a"), list("h"), "alpha", 0.3),
		node("MatMul", list("h", "w2"), list("n")),
		node("Add", list("n", "zero"), list("c")),
		node("LeakyRelu", list("c"), list("y"), "alpha", 0.1),
	}, "y")
	return called, plain
}

func TestFunctions(t *testing.T) {
	called, plain := layers()
	x, labels := []float32{1, -2, 0.5, -0.3, 0.7, 2}, []int64{0, 1}
	a, b := build(t, called, 2, onnxload.Options{Dtype: tensor.Float64, Training: true}), build(t, plain, 2, onnxload.Options{Dtype: tensor.Float64, Training: true})
	lossA, gradA := gradients(t, a, x, labels)
	lossB, gradB := gradients(t, b, x, labels)
	if lossA != lossB || len(gradA) != 4 {
		t.Fatalf("loss %v with functions, %v without; %d gradients", lossA, lossB, len(gradA))
	}
	for i := range gradA {
		if n := b.Params[i].Name; a.Params[i].Name != n && a.Params[i].Name != "Outer/"+n || !slices.Equal(gradA[i], gradB[i]) || a.Params[i].Decay != b.Params[i].Decay {
			t.Errorf("parameter %q: gradient %v, without functions %v", a.Params[i].Name, gradA[i], gradB[i])
		}
	}

	// The file keeps its functions: only the tensors differ.
	out := unmarshal(t, must(a.Export(trained(a.Weights()), a.Running(), onnxload.ExportOptions{})))
	for i, p := range a.Params {
		constant := func(m *onnxpb.ModelProto) **onnxpb.TensorProto { return &m.Functions[0].Node[1].Attribute[0].T }
		is, was := constant(out), constant(called)
		if i < 3 {
			is, was = &out.Graph.Initializer[i], &called.Graph.Initializer[i]
		}
		if got := must((*is).Floats()); !slices.Equal(got, trained(a.Weights())[p.From:p.To]) {
			t.Errorf("%q is %v in the file", p.Name, got)
		}
		*is = *was
	}
	if !proto.Equal(out, called) {
		t.Error("the written file differs in more than the weights")
	}
}

func TestFunctionErrors(t *testing.T) {
	in := list(input("x", "N", 3))
	call := func(f string, args ...string) protos { return protos{calling(node(f, args, list("y")))} }
	self := function("F", 13, list("x"), list("y"), nil, calling(node("F", list("x"), list("y"))))
	var twice []*onnxpb.FunctionProto
	for k := range 40 { // 2^40 nodes
		f := string(rune('A' + k))
		next := calling(node(string(rune('A'+k+1)), list("x"), list("h")))
		again := calling(node(string(rune('A'+k+1)), list("h"), list("y")))
		twice = append(twice, function(f, 13, list("x"), list("y"), nil, next, again))
	}
	twice = append(twice, function(string(rune('A'+40)), 13, list("x"), list("y"), nil, node("Relu", list("x"), list("y"))))
	for name, c := range map[string]struct {
		fs    []*onnxpb.FunctionProto
		nodes protos
		want  string
	}{
		"itself":      {list(self), call("F", "x"), `function "F" calls itself`},
		"each other":  {list(function("F", 13, list("x"), list("y"), nil, calling(node("G", list("x"), list("y")))), function("G", 13, list("x"), list("y"), nil, calling(node("F", list("x"), list("y"))))), call("F", "x"), "calls itself"},
		"arguments":   {list(function("F", 13, list("x"), list("y"), nil, node("Relu", list("x"), list("y")))), call("F", "x", "x"), "2 inputs and 1 outputs of a call"},
		"no output":   {list(function("F", 13, list("x"), list("y"), nil, node("Relu", list("x"), list("z")))), call("F", "x"), `output "y" of function "F"`},
		"no input":    {list(function("F", 13, list("x"), list("y"), nil, node("Relu", list("z"), list("y")))), call("F", "x"), `reads "z"`},
		"outside":     {list(function("F", 13, nil, list("y"), nil, node("Relu", list("x"), list("y")))), call("F"), `reads "x"`},
		"twice":       {list(function("F", 13, list("x"), list("y"), nil, node("Relu", list("x"), list("y")), node("Relu", list("x"), list("y")))), call("F", "x"), "computed twice"},
		"unsupported": {list(function("F", 13, list("x"), list("y"), nil, node("Frobnicate", list("x"), list("y")))), call("F", "x"), `inside function "F": node "n_y" (Frobnicate)`},
		"left out":    {list(function("F", 13, list("x", "z"), list("y"), nil, node("Relu", list("z"), list("y")))), call("F", "x"), "input 0 is absent"},
		"type":        {list(function("F", 13, list("x"), list("y"), list("a"), ref(node("LeakyRelu", list("x"), list("y")), "alpha", "a", onnxpb.AttributeProto_FLOAT))), protos{calling(node("F", list("x"), list("y"), "a", 3))}, "attribute"},
		"opset":       {list(function("F", 99, list("x"), list("y"), nil, node("Relu", list("x"), list("y")))), call("F", "x"), "version 99"},
		"too many":    {twice, call("A", "x"), "more than 16384 nodes"},
	} {
		err := buildError(t, withFunctions(model(13, in, nil, c.nodes, "y"), c.fs...), 2, onnxload.Options{})
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// graph is a subgraph as an attribute.
func graph(attr string, n *onnxpb.NodeProto, in []*onnxpb.ValueInfoProto, inits []*onnxpb.TensorProto, nodes protos, outputs ...string) *onnxpb.NodeProto {
	m := model(13, in, inits, nodes, outputs...)
	n.Attribute = append(n.Attribute, &onnxpb.AttributeProto{Name: proto.String(attr), Type: onnxpb.AttributeProto_GRAPH.Enum(), G: m.Graph})
	return n
}

// TestIf: shapes decide; the branch reads a value of the graph that is computed after the If in the file.
func TestIf(t *testing.T) {
	for _, batch := range []int{1, 2} {
		m := model(13, list(input("x", "N", 2)), list(ints("one", 1), ints("zero", 0), floats("w", []int64{2, 2})), protos{
			node("Shape", list("x"), list("s")),
			node("Gather", list("s", "zero"), list("n")),
			node("Equal", list("n", "one"), list("c")),
			graph("else_branch", graph("then_branch", node("If", list("c"), list("y")),
				nil, nil, protos{node("MatMul", list("late", "w"), list("r"))}, "r"),
				nil, list(floats("two", []int64{1}, 2)), protos{node("Mul", list("x", "two"), list("r"))}, "r"),
			node("Neg", list("x"), list("late")),
		}, "y")
		x := slices.Repeat([]float64{3, 5}, batch)
		want := [][]float64{{-(3 + 5*2), -(3*1.5 + 5*2.5)}, {6, 10, 6, 10}}[batch-1]
		if got := eval(t, m, batch, x...)[0]; !slices.Equal(got, want) {
			t.Errorf("batch %d: %v, want %v", batch, got, want)
		}
		want1 := []string{"w", "n_y.else_branch/two"}[batch-1]
		if p := build(t, m, batch, onnxload.Options{}).Params; len(p) != 1 || p[0].Name != want1 {
			t.Errorf("batch %d: parameters %v", batch, p)
		}
	}
	m := model(13, list(input("x", 1)), nil, protos{
		graph("then_branch", graph("else_branch", node("If", list("x"), list("y")), nil, nil, protos{node("Neg", list("x"), list("r"))}, "r"), nil, nil, protos{node("Abs", list("x"), list("r"))}, "r"),
	}, "y")
	if err := buildError(t, m, 1, onnxload.Options{}); !strings.Contains(err.Error(), "of type FLOAT") {
		t.Error(err)
	}
}

// innerNet has a matrix everywhere inside: in a function, which two nodes call, and from the first of them as its attribute, in a
// branch that has a branch, and in a loop. plain has them in the graph.
func innerNet() (called, plain *onnxpb.ModelProto) {
	matrix := func(name string, at float32) *onnxpb.TensorProto {
		return floats(name, []int64{2, 2}, 0.5+at, -0.3, 0.2, 0.7-at)
	}
	constant := func(name string, at float32) *onnxpb.NodeProto {
		return node("Constant", nil, list(name), "value", matrix("", at))
	}
	f := function("F", 13, list("a"), list("b"), list("m"), constant("f", 0.1),
		node("MatMul", list("a", "f"), list("g")),
		ref(node("Constant", nil, list("k")), "value", "m", onnxpb.AttributeProto_TENSOR),
		node("MatMul", list("g", "k"), list("h")), node("Tanh", list("h"), list("b")))
	g := function("G", 13, list("a"), list("b"), nil, calling(node("F", list("a"), list("b"), "m", matrix("", 0.2))))
	branch := func(attr string, n *onnxpb.NodeProto, inits []*onnxpb.TensorProto, nodes protos) *onnxpb.NodeProto {
		return graph(attr, n, nil, inits, nodes, "r")
	}
	nothing := protos{node("Identity", list("h2"), list("r"))}
	deep := branch("else_branch", branch("then_branch", node("If", list("yes"), list("d")), list(matrix("w", 0.3)),
		protos{node("MatMul", list("h2", "w"), list("r"))}), nil, nothing)
	outer := branch("else_branch", branch("then_branch", node("If", list("yes"), list("h3")), list(matrix("w", 0.4)),
		protos{deep, node("MatMul", list("d", "w"), list("r"))}), nil, nothing)
	loop := graph("body", node("Loop", list("rounds", "", "h3"), list("y")), list(input("i"), input("c"), input("h_in", "N", 2)), list(matrix("w", 0.5)), protos{
		node("MatMul", list("h_in", "w"), list("m")), node("Tanh", list("m"), list("h_out")), node("Identity", list("c"), list("c_out"))}, "c_out", "h_out")
	yes := &onnxpb.TensorProto{Name: proto.String("yes"), DataType: proto.Int32(int32(onnxpb.TensorProto_BOOL)), Int32Data: []int32{1}}
	rounds := &onnxpb.TensorProto{Name: proto.String("rounds"), DataType: proto.Int32(7), Int64Data: list(int64(3))}
	in := list(input("x", "N", 2))
	called = withFunctions(model(13, in, list(yes, rounds), protos{
		calling(node("F", list("x"), list("h1"), "m", matrix("", 0))), calling(node("G", list("h1"), list("h2"))), outer, loop}, "y"), f, g)
	product := func(x, w, y string) *onnxpb.NodeProto { return node("MatMul", list(x, w), list(y)) }
	tanh := func(x, y string) *onnxpb.NodeProto { return node("Tanh", list(x), list(y)) }
	// In the order in which the nodes are met.
	plain = model(13, in, list(matrix("F/f", 0.1), matrix("F/k", 0), matrix("F/k.2", 0.2), matrix("n_h3.then_branch/w", 0.4), matrix("n_h3.then_branch/n_d.then_branch/w", 0.3), matrix("n_y.body/w", 0.5)), protos{
		product("x", "F/f", "a"), product("a", "F/k", "b"), tanh("b", "c"), product("c", "F/f", "d"), product("d", "F/k.2", "e"), tanh("e", "h2"),
		product("h2", "n_h3.then_branch/n_d.then_branch/w", "f"), product("f", "n_h3.then_branch/w", "h3"),
		product("h3", "n_y.body/w", "g1"), tanh("g1", "l1"), product("l1", "n_y.body/w", "g2"), tanh("g2", "l2"), product("l2", "n_y.body/w", "g3"), tanh("g3", "y"),
	}, "y")
	return called, plain
}

// TestInnerWeights: what stands inside functions, branches and loops is trained as if it were the graph's, each tensor as one, and
// written back to where it was.
func TestInnerWeights(t *testing.T) {
	called, plain := innerNet()
	x, labels := []float32{1, -2, 0.5, -0.3}, []int64{0, 1}
	o := onnxload.Options{Dtype: tensor.Float64, Training: true}
	a, b := build(t, called, 2, o), build(t, plain, 2, o)
	lossA, gradA := gradients(t, a, x, labels)
	lossB, gradB := gradients(t, b, x, labels)
	if lossA != lossB || len(gradA) != len(gradB) {
		t.Fatalf("loss %v, in the graph %v; %d and %d parameters", lossA, lossB, len(gradA), len(gradB))
	}
	for i, p := range a.Params {
		q := b.Params[i]
		if p.Name != q.Name || p.Decay != q.Decay || p.Op != q.Op {
			t.Errorf("%q of %s, want %q of %s", p.Name, p.Op, q.Name, q.Op)
		}
		for k, g := range gradA[i] {
			if !near(g, gradB[i][k], 1e-14) || g == 0 {
				t.Errorf("gradient of %q %v, in the graph %v", p.Name, gradA[i], gradB[i])
				break
			}
		}
		if want := p.Name == "F/f"; p.Tied != want {
			t.Errorf("%q is tied: %v", p.Name, p.Tied)
		}
	}

	w := trained(a.Weights())
	file := must(a.Export(w, nil, onnxload.ExportOptions{}))
	again := must(must(onnxload.Parse(file)).Build(2, onnxload.Options{}))
	if !slices.Equal(again.Weights(), w) {
		t.Errorf("read back %v, written %v", again.Weights(), w)
	}
	// But for these numbers the file is what it was.
	back := must(again.Export(a.Weights(), nil, onnxload.ExportOptions{}))
	if !proto.Equal(unmarshal(t, back), called) {
		t.Error("the file with the old weights is another")
	}
}

// TestInnerSelection: tensors inside bodies go by their place for --freeze, and belong to the outputs that they are used for.
func TestInnerSelection(t *testing.T) {
	m, _ := innerNet()
	frozen := func(o onnxload.Options) (names []string) {
		for _, p := range build(t, m, 2, o).Frozen {
			names = append(names, p.Name)
		}
		return names
	}
	if got := frozen(onnxload.Options{Freeze: list("n_h3")}); !slices.Equal(got, list("n_h3.then_branch/w", "n_h3.then_branch/n_d.then_branch/w")) {
		t.Errorf("--freeze n_h3 holds %q", got)
	}
	m.Graph.Output = append(m.Graph.Output, input("h1"))
	if got := frozen(onnxload.Options{Output: "h1"}); !slices.Equal(got, list("F/k.2", "n_h3.then_branch/w", "n_h3.then_branch/n_d.then_branch/w", "n_y.body/w")) {
		t.Errorf("for output h1 %q are held", got)
	}
}

// TestLoop trains through h <- tanh(h*w), three times, which gives out every state, and compares with the nodes one by one.
func TestLoop(t *testing.T) {
	w := floats("w", []int64{2, 2}, 0.5, -0.3, 0.8, 0.2)
	body := graph("body", node("Loop", list("rounds", "", "x"), list("h", "all")),
		list(input("i"), input("c"), input("h_in", "N", 2)), nil, protos{
			node("MatMul", list("h_in", "w"), list("m")),
			node("Tanh", list("m"), list("h_out")),
			node("Identity", list("c"), list("c_out")),
			node("Neg", list("h_out"), list("minus")),
		}, "c_out", "h_out", "minus")
	looped := model(13, list(input("x", "N", 2)), list(w, &onnxpb.TensorProto{Name: proto.String("rounds"), DataType: proto.Int32(7), Int64Data: list(int64(3))}),
		protos{body, node("ReduceSum", list("all", "axis"), list("sum"), "keepdims", 0), node("Add", list("h", "sum"), list("y"))}, "y")
	looped.Graph.Initializer = append(looped.Graph.Initializer, ints("axis", 0))
	plain := model(13, list(input("x", "N", 2)), list(w), protos{
		node("MatMul", list("x", "w"), list("m1")), node("Tanh", list("m1"), list("h1")),
		node("MatMul", list("h1", "w"), list("m2")), node("Tanh", list("m2"), list("h2")),
		node("MatMul", list("h2", "w"), list("m3")), node("Tanh", list("m3"), list("h3")),
		node("Sum", list("h1", "h2", "h3"), list("all")), node("Sub", list("h3", "all"), list("y")),
	}, "y")
	x, labels := []float32{1, -2, 0.5, -0.3}, []int64{0, 1}
	lossA, gradA := gradients(t, build(t, looped, 2, onnxload.Options{Dtype: tensor.Float64}), x, labels)
	lossB, gradB := gradients(t, build(t, plain, 2, onnxload.Options{Dtype: tensor.Float64}), x, labels)
	if !near(lossA, lossB, 1e-14) || len(gradA) != 1 {
		t.Fatal(lossA, lossB, len(gradA))
	}
	for k, g := range gradA[0] {
		if !near(g, gradB[0][k], 1e-13) {
			t.Errorf("gradient %v in the loop, %v outside", gradA[0], gradB[0])
			break
		}
	}
}

// TestLoopEnds: a loop without a number of rounds runs until its condition, here that of a counter, is false.
func TestLoopEnds(t *testing.T) {
	endless := func(limit int64) *onnxpb.ModelProto {
		return model(13, list(input("x", 1, 2)), list(ints("limit", limit), ints("k0", 0), ints("one", 1)), protos{
			graph("body", node("Loop", list("", "", "k0", "x"), list("k", "y")), list(input("i"), input("c"), input("k_in"), input("v")), nil, protos{
				node("Add", list("k_in", "one"), list("k_out")),
				node("Less", list("k_out", "limit"), list("c_out")),
				node("Add", list("v", "v"), list("v_out")),
			}, "c_out", "k_out", "v_out"),
		}, "y", "k")
	}
	if got := eval(t, endless(5), 1, 1, 3); !slices.Equal(got[0], []float64{32, 96}) || got[1][0] != 5 {
		t.Error(got)
	}
	if err := buildError(t, endless(1<<40), 1, onnxload.Options{}); !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
}

// TestScan sums along an axis, backwards, and gives out the partial sums.
func TestScan(t *testing.T) {
	m := model(13, list(input("x", "N", 3)), list(floats("w", []int64{3}, 1, 10, 100)), protos{
		node("ReduceSum", list("x", "axis"), list("zero1"), "keepdims", 0),
		node("Sub", list("zero1", "zero1"), list("zero")),
		graph("body", node("Scan", list("zero", "x", "w"), list("sum", "parts"), "num_scan_inputs", 2, "scan_input_axes", []int64{1, 0},
			"scan_input_directions", []int64{1, 0}, "scan_output_axes", []int64{-1}, "scan_output_directions", []int64{1}),
			list(input("s", "N"), input("column", "N"), input("factor")), nil, protos{
				node("Mul", list("column", "factor"), list("p")),
				node("Add", list("s", "p"), list("s_out")),
				node("Identity", list("s_out"), list("part")),
			}, "s_out", "part"),
	}, "sum", "parts")
	m.Graph.Initializer = append(m.Graph.Initializer, ints("axis", 1))
	got := eval(t, m, 2, 1, 2, 3, 4, 5, 6)
	// Columns from the last, with factors from the first: 3*1, 2*10, 1*100.
	if !slices.Equal(got[0], []float64{123, 456}) || !slices.Equal(got[1], []float64{123, 23, 3, 456, 56, 6}) {
		t.Error(got)
	}
}

// Scan of opset 8 sums each sample's elements by itself, the second input from the last; the result is that of CumSum.
func TestScanOfBatch(t *testing.T) {
	body := func(directions []int64) *onnxpb.NodeProto {
		return graph("body", node("Scan", list("lengths", "zero", "x", "x"), list("sum", "parts"), "num_scan_inputs", 2, "directions", directions),
			list(input("s", 2), input("e", 2), input("f", 2)), nil, protos{
				node("Add", list("s", "e"), list("s_out")),
				node("Mul", list("s_out", "f"), list("part")),
			}, "s_out", "part")
	}
	m := func(lengths ...int64) *onnxpb.ModelProto {
		return model(8, list(input("zero", "N", 2), input("x", "N", 3, 2)), list(ints("lengths", lengths...)), protos{body([]int64{0, 1})}, "sum", "parts")
	}
	net := build(t, m(3, 3), 2, onnxload.Options{Dtype: tensor.Float64})
	out := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: []float64{0, 100, 0, 0}, net.Inputs[1]: []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}}, net.Outputs...)
	for k, want := range [][]float64{{9, 112, 27, 30}, {1 * 5, 102 * 6, 4 * 3, 106 * 4, 9 * 1, 112 * 2, 7 * 11, 8 * 12, 16 * 9, 18 * 10, 27 * 7, 30 * 8}} {
		if !slices.Equal(out[k], want) {
			t.Errorf("output %d: %v, want %v", k, out[k], want)
		}
	}
	if err := buildError(t, m(3, 2), 2, onnxload.Options{}); !strings.Contains(err.Error(), "different lengths") {
		t.Error(err)
	}
	if err := buildError(t, m(3), 2, onnxload.Options{}); !strings.Contains(err.Error(), "lengths of 1 sequences for a batch of 2") {
		t.Error(err)
	}
}

// A loop that goes on as long as the data say so is refused in one line that names the node and the condition.
func TestLoopOfData(t *testing.T) {
	m := model(13, list(input("x", 1, 2)), list(floats("limit", []int64{1}, 9)), protos{
		graph("body", node("Loop", list("", "", "x"), list("y")), list(input("i"), input("c"), input("v")), nil, protos{
			node("Add", list("v", "v"), list("v_out")),
			node("ReduceMax", list("v_out"), list("top")),
			node("Less", list("top", "limit"), list("goes_on")),
		}, "goes_on", "v_out"),
	}, "y")
	for _, training := range []bool{false, true} {
		err := buildError(t, m, 1, onnxload.Options{Training: training})
		for _, want := range []string{"n_y", "goes_on", "depends on the data"} {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v lacks %q", err, want)
			}
		}
	}
}

func TestFunctionInTrainingMode(t *testing.T) {
	f := function("F", 14, list("x", "s", "b", "m", "v"), list("y"), nil, node("BatchNormalization", list("x", "s", "b", "m", "v"), list("y"), "training_mode", 1))
	m := withFunctions(model(14, list(input("x", "N", 2)), list(floats("s", []int64{2}), floats("b", []int64{2}), floats("m", []int64{2}), floats("v", []int64{2})),
		protos{calling(node("F", list("x", "s", "b", "m", "v"), list("y")))}, "y"), f)
	net := build(t, m, 4, onnxload.Options{Training: true})
	if len(net.Buffers) != 2 || len(net.Params) != 2 {
		t.Fatal(net.Buffers, net.Params)
	}
	if _, err := net.Export(trained(net.Weights()), net.Running(), onnxload.ExportOptions{}); err == nil || !strings.Contains(err.Error(), "--export same") {
		t.Error(err)
	}
	out := unmarshal(t, must(net.Export(net.Weights(), trained(net.Running()), onnxload.ExportOptions{Same: true})))
	if got := must(out.Graph.Initializer[2].Floats()); !slices.Equal(got, trained(list[float32](1, 1.5))) {
		t.Error("running mean in the file:", got)
	}
}
