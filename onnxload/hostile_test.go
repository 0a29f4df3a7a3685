package onnxload_test

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// TestBombs: files of a few bytes that ask for more memory than they may have. Each is refused with the node's name before the
// memory is allocated.
func TestBombs(t *testing.T) {
	const limit = 64 << 20
	x := list(input("x", "N", 4))
	big := ints("big", 3000, 3000) // 72 MB as numbers
	last := node("Add", list("x", "small"), list("y"))
	// bomb makes a constant of the operator, and a graph that would use its first number.
	bomb := func(inits []*onnxpb.TensorProto, nodes ...*onnxpb.NodeProto) *onnxpb.ModelProto {
		k := len(nodes) - 1
		for _, d := range [][]int64{{1, 1}, {5000}, {5000, 1}, {1, 5000}} {
			inits = append(inits, ints(fmt.Sprint("of", d), d...))
		}
		nodes[k].Name = proto.String("bomb")
		inits = append(inits, ints("zero", 0), ints("one", 1))
		nodes = append(nodes, node("ReduceMax", list("huge"), list("small"), "keepdims", 0), last)
		return model(13, x, inits, nodes, "y")
	}
	// constant makes floats that are no weights.
	constant := func(name string, dims ...int64) *onnxpb.NodeProto {
		return node("ConstantOfShape", list(fmt.Sprint("of", dims)), list(name))
	}
	for name, c := range map[string]struct {
		m    *onnxpb.ModelProto
		want string // in the error
	}{
		"ConstantOfShape": {bomb(list(big), node("ConstantOfShape", list("big"), list("huge"))), ""},
		"Expand":          {bomb(list(big), constant("c", 1, 1), node("Expand", list("c", "big"), list("huge"))), ""},
		"Expand twice": {bomb(list(ints("some", 1000, 1000), ints("more", 9, 1000, 1000)), constant("c", 1, 1), node("Expand", list("c", "some"), list("d")),
			node("Expand", list("d", "more"), list("huge"))), ""},
		"Tile":             {bomb(list(big), constant("c", 1, 1), node("Tile", list("c", "big"), list("huge"))), ""},
		"Range":            {bomb(list(scalar("from", 0), scalar("to", 9000000), scalar("step", 1)), node("Range", list("from", "to", "step"), list("huge"))), ""},
		"Pad":              {bomb(list(ints("pads", 3000, 0, 0, 3000)), constant("c", 1, 1), node("Pad", list("c", "pads"), list("huge"))), ""},
		"Resize":           {bomb(list(ints("sizes", 6000, 6000)), constant("c", 1, 1), node("Resize", list("c", "", "", "sizes"), list("huge"))), ""},
		"OneHot":           {bomb(list(scalar("depth", 9000000), floats("values", []int64{2}, 0, 1)), node("OneHot", list("one", "depth", "values"), list("huge"))), ""},
		"Concat":           {bomb(list(ints("some", 1000, 1000)), constant("c", 1, 1), node("Expand", list("c", "some"), list("d")), node("Concat", list("d", "d", "d", "d", "d", "d", "d", "d"), list("huge"), "axis", 0)), ""},
		"an outer product": {bomb(nil, constant("c", 5000, 1), constant("d", 1, 5000), node("MatMul", list("c", "d"), list("huge"))), ""},
		"a step of Einsum": {bomb(nil, constant("c", 5000), constant("d", 5000), node("Einsum", slices.Repeat(list("c", "d"), 9), list("huge"), "equation", strings.Repeat("a,b,", 8)+"a,b->")), ""},
		"an Einsum that overflows": {model(13, list(input("x", "N", 1<<16)), nil, protos{node("Einsum", list("x", "x", "x", "x"), list("y"), "equation", "ab,cd,ef,gh->abcdefgh")}, "y"),
			`node "n_y" (Einsum`},
		"data":                    {model(13, x, nil, protos{node("Tile", list("x", "n"), list("y"))}, "y"), ""},
		"a large input":           {model(13, list(input("x", "N", 1<<40)), nil, protos{node("Relu", list("x"), list("y"))}, "y"), `input "x"`},
		"an input that overflows": {model(13, list(input("x", "N", 1<<40, 1<<40, 1<<40)), nil, protos{node("Relu", list("x"), list("y"))}, "y"), `input "x"`},
		"a step of a large matrix": {model(13, list(input("x", "N", 5000)), nil, protos{node("Unsqueeze", list("x", "axes"), list("u")), node("Unsqueeze", list("x", "one"), list("w")),
			node("Mul", list("w", "u"), list("v")), node("ReduceSum", list("v"), list("y"))}, "y"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			switch name {
			case "data":
				c.m.Graph.Initializer = list(ints("n", 1, 900000))
				c.want = `node "n_y" (Tile, opset 13): a tensor of shape`
			case "a step of a large matrix":
				c.m.Graph.Initializer = list(ints("axes", 2), ints("one", 1))
				c.want = `node "n_v" (Mul, opset 13): a tensor of shape`
			}
			if c.want == "" {
				c.want = `node "bomb" (`
			}
			b := marshal(c.m)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := processorTime()
			m, err := onnxload.Parse(b)
			if err == nil {
				_, err = m.Build(64, onnxload.Options{MaxMemory: limit})
			}
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v\nwant one line with %s", err, c.want)
			}
			var e *onnxload.MemoryError
			if errors.As(err, &e) && (e.Need <= e.Limit || e.Limit != limit || !strings.Contains(err.Error(), "--max-memory")) {
				t.Errorf("%+v", e)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > limit+16<<20 {
				t.Errorf("%d MB were allocated", n>>20)
			}
			if d := processorTime() - start; d > 5*time.Second {
				t.Errorf("it took %v of a processor", d)
			}
		})
	}
}

// TestWeightsBeyondTheLimit: that the flat vector has no room is found out before anybody asks for it.
func TestWeightsBeyondTheLimit(t *testing.T) {
	half := func(name string, rows, columns int64) *onnxpb.TensorProto {
		return &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(10), Dims: []int64{rows, columns}, RawData: make([]byte, 2*rows*columns)}
	}
	m := must(onnxload.Parse(marshal(model(13, list(input("x", "N", 400)), list(half("v", 400, 1000), half("w", 1000, 600)), protos{
		node("MatMul", list("x", "v"), list("h")), node("MatMul", list("h", "w"), list("y"))}, "y"))))
	if _, err := m.Build(1, onnxload.Options{MaxMemory: 5 << 20}); err == nil || !strings.Contains(err.Error(), `weight "w" of shape [1000 600]`) {
		t.Error(err)
	}
	net := must(m.Build(1, onnxload.Options{MaxMemory: 7 << 20}))
	if n := net.Memory(); n < 2000000 || n > 2100000 {
		t.Error("the model is said to take", n)
	}
}

// TestDecodedSize: what a file becomes in memory is bounded by its own size.
func TestDecodedSize(t *testing.T) {
	// Two bytes a node, and a byte a number.
	nodes := append([]byte{8, 7, 0x3a}, protoLength(4<<20)...)
	for range 2 << 20 {
		nodes = append(nodes, 0x0a, 0)
	}
	packed := relu()
	packed.Graph.Initializer[0] = &onnxpb.TensorProto{Name: proto.String("zeros"), DataType: proto.Int32(7), Dims: []int64{40 << 20}, Int64Data: make([]int64, 40<<20)}
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"nodes":  {nodes, "would become"},
		"packed": {marshal(packed), `initializer "zeros"`},
	} {
		packed = nil
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := onnxload.Parse(c.b)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d MB were allocated", name, n>>20)
		}
	}
	// Large tensors are not copied.
	w := &onnxpb.TensorProto{Name: proto.String("w"), DataType: proto.Int32(1), Dims: []int64{4 << 20}, RawData: make([]byte, 16<<20)}
	b := marshal(model(13, list(input("x", 4<<20)), list(w), protos{node("Mul", list("x", "w"), list("y"))}, "y"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m := must(onnxload.Parse(b))
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("reading %d MB allocates %d kB", len(b)>>20, n>>10)
	}
	net := must(m.Build(1, onnxload.Options{}))
	x := net.Weights()
	x[7] = 1
	again := must(must(onnxload.Parse(must(net.Export(x, nil, onnxload.ExportOptions{})))).Build(1, onnxload.Options{}))
	if y := again.Weights(); y[7] != 1 || y[8] != 0 || net.Weights()[7] != 0 {
		t.Error("the exported file has other weights")
	}
}

func protoLength(n int) (b []byte) {
	for ; n > 127; n >>= 7 {
		b = append(b, byte(n)|128)
	}
	return append(b, byte(n))
}

// TestHostileGraphs: each is an error that names the node.
func TestHostileGraphs(t *testing.T) {
	x := list(input("x", "N", 4))
	vi := func(name string) []*onnxpb.ValueInfoProto { return list(input(name, 4)) }
	nested := func(depth int, leaf *onnxpb.NodeProto) *onnxpb.NodeProto {
		n := leaf
		for i := range depth {
			out := n.Output[0]
			n = graph("then_branch", graph("else_branch", node("If", list("c"), list("o"+strings.Repeat("o", i%7))), nil, nil, protos{node("Relu", list("x"), list("z"))}, "z"), nil, nil, protos{n}, out)
		}
		n.Name = proto.String("outermost")
		n.Output = list("y")
		return n
	}
	loop := func(trips int64) *onnxpb.ModelProto {
		body := protos{node("Identity", list("c"), list("c2")), node("Relu", list("v"), list("v2"))}
		n := graph("body", node("Loop", list("trips", "", "x"), list("y")), append(append(vi("i"), vi("c")...), vi("v")...), nil, body, "c2", "v2")
		n.Name = proto.String("loop")
		return model(13, x, list(scalar("trips", trips)), protos{n}, "y")
	}
	// Each slice is a few of Gorgonia's nodes besides the one of the body.
	scans := func(slices int) *onnxpb.ModelProto {
		n := graph("body", node("Scan", list("v", "s"), list("y"), "num_scan_inputs", 1), append(vi("h"), vi("e")...), nil, protos{node("Add", list("h", "e"), list("h2"))}, "h2")
		n.Name = proto.String("scan")
		return model(13, list(input("v", 1), input("s", slices, 1)), nil, protos{n}, "y")
	}
	for name, c := range map[string]struct {
		m    *onnxpb.ModelProto
		want string
	}{
		"a node that reads itself": {model(13, x, nil, protos{node("Add", list("x", "y"), list("y"))}, "y"), `"n_y" read each other in a circle`},
		"a circle through a subgraph": {model(13, x, list(scalar("c", 1)), protos{
			graph("then_branch", graph("else_branch", node("If", list("c"), list("a")), nil, nil, protos{node("Relu", list("x"), list("z"))}, "z"), nil, nil, protos{node("Relu", list("y"), list("z"))}, "z"),
			node("Relu", list("a"), list("y"))}, "y"), `"n_a"`},
		"a value twice in a subgraph": {model(13, x, list(scalar("c", 1)), protos{
			graph("then_branch", graph("else_branch", node("If", list("c"), list("y")), nil, nil, protos{node("Relu", list("x"), list("z"))}, "z"), nil, nil,
				protos{node("Relu", list("x"), list("z")), node("Neg", list("x"), list("z"))}, "z")}, "y"), `node "n_z" (Neg): "z" is computed twice`},
		"a subgraph in the wrong order": {model(13, x, list(scalar("c", 1)), protos{
			graph("then_branch", graph("else_branch", node("If", list("c"), list("y")), nil, nil, protos{node("Relu", list("x"), list("z"))}, "z"), nil, nil,
				protos{node("Relu", list("w"), list("z")), node("Neg", list("x"), list("w"))}, "z")}, "y"), `reads "w"`},
		"a node of a body without an output": {model(13, x, list(scalar("c", 1), floats("w", []int64{4, 4})), protos{
			graph("then_branch", graph("else_branch", node("If", list("c"), list("y")), nil, nil, protos{node("Relu", list("x"), list("z"))}, "z"), nil, nil,
				protos{node("Relu", list("x"), list("z")), {OpType: proto.String("MatMul"), Name: proto.String("loose"), Input: list("x", "w")}}, "z")}, "y"), `node "loose" (MatMul): it has no output`},
		"an operator of several lines":             {model(13, x, nil, protos{node("Re\nlu", list("z"), list("y"))}, "y"), `node "n_y" (Re\nlu, opset 13) reads "z"`},
		"an operator that ONNX does not have":      {model(13, x, nil, protos{node("Erfc", list("x"), list("y"))}, "y"), `node "n_y" (Erfc, opset 13): ONNX has no such operator`},
		"an unsupported operator of several lines": {model(13, x, nil, protos{node("Re\nlu", list("x"), list("y"))}, "y"), `node "n_y" (Re\nlu, opset 13): this operator`},
		"a body of many nodes, many times": {model(13, x, list(scalar("trips", 1<<14)), protos{graph("body", node("Loop", list("trips", "", "x"), list("y")), append(append(vi("i"), vi("c")...), vi("v")...), nil,
			protos{node("Identity", list("c"), list("c2")), node("Add", list("v", "x"), list("a")), node("Add", list("a", "x"), list("b")), node("Add", list("b", "x"), list("v2"))}, "c2", "v2")}, "y"), `node "n_y" (Loop`},
		"deep nesting": {model(13, x, list(scalar("c", 1)), protos{nested(2000, node("Relu", list("x"), list("l")))}, "y"), `node "outermost" (If, opset 13): its subgraphs are inside each other more than 64 deep`},
		"recursion": {withFunctions(model(13, x, nil, protos{calling(node("F", list("x"), list("y")))}, "y"),
			function("F", 13, list("a"), list("b"), nil, calling(node("G", list("a"), list("b")))), function("G", 13, list("a"), list("b"), nil, calling(node("F", list("a"), list("b"))))), `node "n_y" (local.F`},
		"calls that multiply": {withFunctions(model(13, x, nil, protos{calling(node("F0", list("x"), list("y")))}, "y"), func() (fs []*onnxpb.FunctionProto) {
			for i := range 40 {
				f, g := "F"+string(rune('0'+i)), "F"+string(rune('1'+i))
				if i == 39 {
					fs = append(fs, function(f, 13, list("a"), list("b"), nil, node("Relu", list("a"), list("b"))))
					break
				}
				fs = append(fs, function(f, 13, list("a"), list("b"), nil, calling(node(g, list("a"), list("m"))), calling(node(g, list("m"), list("b")))))
			}
			return fs
		}()...), `node "n_y" (local.F0`},
		"two functions of one name": {withFunctions(model(13, x, nil, protos{calling(node("F", list("x"), list("y")))}, "y"),
			function("F", 13, list("a"), list("b"), nil, node("Relu", list("a"), list("b"))), function("F", 13, list("a"), list("b"), nil, node("Neg", list("a"), list("b")))), `two functions are named "F"`},
		"a chain of 50,000 nodes": {model(13, x, nil, chain(50_000), "y"), `node "n_h20000`},
		"a loop of 2^62 rounds":   {loop(1 << 62), `node "loop" (Loop`},
		"a loop of 10^9 rounds":   {loop(1e9), `node "loop" (Loop`},
		"a scan of 10^5 slices":   {scans(100_000), `node "scan" (Scan, opset 13): up to here the network makes more than`},
		"a negative dimension":    {model(13, x, list(ints("s", -2, 4)), protos{node("Reshape", list("x", "s"), list("y"))}, "y"), `node "n_y" (Reshape`},
		"a shape that overflows":  {model(13, x, list(ints("s", math.MaxInt64, math.MaxInt64, math.MaxInt64)), protos{node("Reshape", list("x", "s"), list("y"))}, "y"), `node "n_y" (Reshape`},
		"a size that overflows":   {model(13, x, list(ints("s", math.MaxInt64, math.MaxInt64)), protos{node("Expand", list("x", "s"), list("y"))}, "y"), `node "n_y" (Expand`},
		"pads that overflow":      {model(13, x, list(ints("p", math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64)), protos{node("Pad", list("x", "p"), list("y"))}, "y"), `node "n_y" (Pad`},
		"repeats that overflow":   {model(13, x, list(ints("r", math.MaxInt64, math.MaxInt64)), protos{node("Tile", list("x", "r"), list("y"))}, "y"), `node "n_y" (Tile`},
		"an axis out of range":    {model(13, x, nil, protos{node("Softmax", list("x"), list("y"), "axis", math.MinInt64)}, "y"), `node "n_y" (Softmax`},
		"a window that overflows": {model(13, list(input("x", 1, 1, 4, 4)), nil, protos{node("MaxPool", list("x"), list("y"), "kernel_shape", []int64{math.MaxInt64, 1})}, "y"), `node "n_y" (MaxPool`},
		"strides of nothing":      {model(13, list(input("x", 1, 1, 4, 4)), nil, protos{node("MaxPool", list("x"), list("y"), "kernel_shape", []int64{1, 1}, "strides", []int64{0, 0})}, "y"), `node "n_y" (MaxPool`},
		"groups of nothing":       {model(13, list(input("x", 1, 1, 4, 4)), list(floats("w", []int64{1, 1, 1, 1})), protos{node("Conv", list("x", "w"), list("y"), "group", 0)}, "y"), `node "n_y" (Conv`},
		"a range that overflows":  {model(13, x, list(scalar("a", math.MinInt64), scalar("b", math.MaxInt64), scalar("d", 1)), protos{node("Range", list("a", "b", "d"), list("r")), node("Add", list("x", "r"), list("y"))}, "y"), `node "n_r" (Range`},
		"an If whose branches differ in outputs": {model(13, x, list(scalar("c", 0)), protos{graph("then_branch", graph("else_branch", node("If", list("c"), list("y")), nil, nil, nil), nil, nil,
			protos{node("Relu", list("x"), list("z"))}, "z")}, "y"), `node "n_y" (If`},
		"branches of different shapes where the data decide": {model(13, x, nil, protos{node("ReduceSum", list("x"), list("s"), "keepdims", 0), node("Cast", list("s"), list("c"), "to", 9),
			graph("then_branch", graph("else_branch", node("If", list("c"), list("y")), nil, nil, protos{node("Relu", list("x"), list("z"))}, "z"), nil, nil, protos{node("Neg", list("s"), list("z"))}, "z")}, "y"), `node "n_y" (If`},
	} {
		t.Run(name, func(t *testing.T) {
			start := processorTime()
			m, err := onnxload.Parse(marshal(c.m))
			if err == nil {
				_, err = m.Build(2, onnxload.Options{MaxMemory: 1 << 30})
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "cannot be built") {
				t.Errorf("%v\nwant one line with %s", err, c.want)
			}
			if d := processorTime() - start; d > 2*time.Second {
				t.Errorf("it took %v of a processor", d)
			}
		})
	}
	// Either branch of an If is taken as its condition says.
	for cond, want := range []float64{3, -3} { // else: Neg is not taken
		m := model(13, x, list(&onnxpb.TensorProto{Name: proto.String("c"), DataType: proto.Int32(9), Int32Data: []int32{int32(cond)}}), protos{
			graph("then_branch", graph("else_branch", node("If", list("c"), list("y")), nil, nil, protos{node("Relu", list("x"), list("z"))}, "z"), nil, nil, protos{node("Neg", list("x"), list("z"))}, "z")}, "y")
		if got := eval(t, m, 1, 3, 3, 3, 3)[0][0]; got != want {
			t.Errorf("condition %d: %v", cond, got)
		}
	}
}

// chain is so many nodes one behind the other, from x to y.
func chain(n int) (nodes protos) {
	at := "x"
	for i := range n - 1 {
		next := fmt.Sprint("h", i)
		nodes = append(nodes, node("Tanh", list(at), list(next)))
		at = next
	}
	return append(nodes, node("Tanh", list(at), list("y")))
}
