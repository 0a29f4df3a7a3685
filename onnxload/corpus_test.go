package onnxload_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// seeds are small models of every kind: layers, shape arithmetic, functions, control flow, sequences, recurrent networks,
// quantised and half-precision numbers. corpus adds all operators.
func seeds() [][]byte {
	image := list(input("x", "N", 2, 6, 6))
	rows := list(input("x", "N", 4))
	ms := []*onnxpb.ModelProto{
		relu(), batchNorms(17, "training_mode", 1), batchNorms(9), batchNorms(6),
		model(11, image, list(floats("w", []int64{4, 1, 3, 3}), floats("b", []int64{4}), ints("p", 0, 0, 1, -1, 0, 0, 1, 2)), protos{
			node("Pad", list("x", "p"), list("a")),
			node("Conv", list("a", "w", "b"), list("c"), "group", 2, "auto_pad", "SAME_UPPER", "strides", []int64{2, 2}),
			node("LeakyRelu", list("c"), list("d"), "alpha", 0.1),
			node("MaxPool", list("d"), list("e"), "kernel_shape", []int64{2, 2}, "pads", []int64{1, 0, 0, 1}, "ceil_mode", 1),
			node("AveragePool", list("e"), list("f"), "kernel_shape", []int64{2, 2}, "count_include_pad", 1),
			node("GlobalAveragePool", list("f"), list("g")),
			node("Flatten", list("g"), list("h")),
			node("Softmax", list("h"), list("y")),
		}, "y"),
		model(13, rows, list(floats("w", []int64{3, 4}), floats("b", []int64{3}), ints("axes", 1), ints("i", 0), ints("to", 2, -1), ints("ends", 9)), protos{
			node("Identity", list("w"), list("w2")),
			node("Transpose", list("w2"), list("w3"), "perm", []int64{1, 0}),
			node("MatMul", list("x", "w3"), list("a")),
			node("Add", list("a", "b"), list("c")),
			node("Gemm", list("x", "w", "b"), list("d"), "transB", 1),
			node("Concat", list("c", "d"), list("e"), "axis", -1),
			node("Unsqueeze", list("e", "axes"), list("f")),
			node("Slice", list("f", "i", "ends", "axes"), list("g")),
			node("Squeeze", list("g", "axes"), list("h")),
			node("Shape", list("h"), list("s")),
			node("Gather", list("s", "i"), list("n")),
			node("Concat", list("n", "to"), list("r"), "axis", 0),
			node("ReduceProd", list("r"), list("q")),
			node("ConstantOfShape", list("s"), list("z")),
			node("Cast", list("z"), list("zi"), "to", 7),
			node("Expand", list("h", "s"), list("j")),
			node("ReduceSum", list("j", "axes"), list("y")),
		}, "y", "zi"),
	}
	ms = append(ms, structured()...)
	var out [][]byte
	for _, m := range ms {
		out = append(out, must(proto.MarshalOptions{Deterministic: true}.Marshal(m)))
	}
	return out
}

// structured are the seeds that are more than a list of operators.
func structured() []*onnxpb.ModelProto {
	rows := list(input("x", "N", 4))
	typed := func(name string, elem onnxpb.TensorProto_DataType, dims []int64, raw ...byte) *onnxpb.TensorProto {
		return &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(int32(elem)), Dims: dims, RawData: raw}
	}
	functions, _ := layers()
	branch := model(13, rows, list(ints("one", 1), ints("zero", 0), floats("w", []int64{4, 4})), protos{
		node("Shape", list("x"), list("s")),
		node("Gather", list("s", "zero"), list("n")),
		node("Equal", list("n", "one"), list("c")),
		graph("else_branch", graph("then_branch", node("If", list("c"), list("y")),
			nil, nil, protos{node("MatMul", list("x", "w"), list("r"))}, "r"),
			nil, list(floats("two", []int64{1}, 2)), protos{node("Mul", list("x", "two"), list("r"))}, "r"),
	}, "y")
	loop := model(13, rows, list(scalar("rounds", 3), floats("w", []int64{4, 4}), ints("axis", 0)), protos{
		graph("body", node("Loop", list("rounds", "", "x"), list("h", "all")), list(input("i"), input("c"), input("h_in", "N", 4)), nil, protos{
			node("MatMul", list("h_in", "w"), list("m")), node("Tanh", list("m"), list("h_out")), node("Identity", list("c"), list("c_out")),
		}, "c_out", "h_out", "h_out"),
		node("ReduceSum", list("all", "axis"), list("sum"), "keepdims", 0), node("Add", list("h", "sum"), list("y")),
	}, "y")
	scan := model(13, list(input("x", 3, "N", 4)), list(floats("h0", []int64{4}), floats("w", []int64{4, 4})), protos{
		graph("body", node("Scan", list("h0", "x"), list("h", "y"), "num_scan_inputs", 1), list(input("h_in"), input("e")), nil, protos{
			node("MatMul", list("e", "w"), list("m")), node("Add", list("m", "h_in"), list("a")), node("ReduceMean", list("a"), list("h_out"), "axes", []int64{0}, "keepdims", 0),
		}, "h_out", "a"),
	}, "y")
	sequence := model(13, rows, list(ints("pieces", 2, 2), scalar("at", 1), floats("w", []int64{2})), protos{
		node("SplitToSequence", list("x", "pieces"), list("s"), "axis", 1), node("SequenceAt", list("s", "at"), list("e")),
		node("Mul", list("e", "w"), list("f")), node("SequenceInsert", list("s", "f"), list("t")), node("ConcatFromSequence", list("t"), list("y"), "axis", 1),
	}, "y")
	recurrent := func(op string, gates int64) *onnxpb.ModelProto {
		return model(14, list(input("x", 3, "N", 4)), list(floats("w", []int64{2, gates * 3, 4}), floats("r", []int64{2, gates * 3, 3}), floats("b", []int64{2, gates * 6})), protos{
			node(op, list("x", "w", "r", "b"), list("y", "h"), "hidden_size", 3, "direction", "bidirectional"),
		}, "y", "h")
	}
	half := model(13, list(input("x", "N", 2)), list(typed("w", onnxpb.TensorProto_FLOAT16, []int64{2, 2}, 0, 60, 0, 64, 0, 188, 0, 56),
		typed("v", onnxpb.TensorProto_BFLOAT16, []int64{2}, 128, 63, 0, 64), typed("d", onnxpb.TensorProto_DOUBLE, []int64{1}, 0, 0, 0, 0, 0, 0, 248, 63)), protos{
		node("Cast", list("w"), list("wf"), "to", 1), node("Cast", list("v"), list("vf"), "to", 1), node("Cast", list("d"), list("df"), "to", 1),
		node("MatMul", list("x", "wf"), list("a")), node("Add", list("a", "vf"), list("b")), node("Mul", list("b", "df"), list("y")),
	}, "y")
	quantised := model(13, list(input("x", "N", 2)), list(typed("w", onnxpb.TensorProto_INT8, []int64{2, 3}, 1, 255, 2, 254, 3, 127), floats("s", []int64{3}, 0.1, 0.2, 0.3),
		typed("z", onnxpb.TensorProto_INT8, []int64{3}, 0, 1, 255), floats("xs", []int64{}, 0.05), typed("xz", onnxpb.TensorProto_UINT8, nil, 128)), protos{
		node("QuantizeLinear", list("x", "xs", "xz"), list("q")), node("DequantizeLinear", list("q", "xs", "xz"), list("d")),
		node("DequantizeLinear", list("w", "s", "z"), list("wd"), "axis", 1), node("MatMul", list("d", "wd"), list("y")),
	}, "y")
	pieces := model(13, list(input("x", 3, "N", 4)), list(floats("w", []int64{1, 12, 4}), floats("i", []int64{1, 3, 4}), floats("r", []int64{1, 12, 3}), ints("from", 0), ints("to", 9), ints("axis", 1)), protos{
		node("Slice", list("w", "from", "to", "axis"), list("a")), node("Concat", list("a", "i"), list("iofc"), "axis", 1),
		node("LSTM", list("x", "iofc", "r"), list("y"), "hidden_size", 3),
	}, "y")
	attention := model(17, list(input("x", "N", 3, 4)), list(floats("w", []int64{4, 4}), floats("g", []int64{4}), floats("b", []int64{4}), ints("heads", 0, 0, 2, 2)), protos{
		node("MatMul", list("x", "w"), list("q")), node("Reshape", list("q", "heads"), list("h")), node("Transpose", list("h"), list("t"), "perm", []int64{0, 2, 1, 3}),
		node("Einsum", list("t", "t"), list("s"), "equation", "bhqd,bhkd->bhqk"), node("Softmax", list("s"), list("p"), "axis", -1), node("MatMul", list("p", "t"), list("o")),
		node("Transpose", list("o"), list("u"), "perm", []int64{0, 2, 1, 3}), node("Reshape", list("u", "join"), list("v")), node("LayerNormalization", list("v", "g", "b"), list("y")),
	}, "y")
	attention.Graph.Initializer = append(attention.Graph.Initializer, ints("join", 0, 0, 4))
	linear := mlModel("LinearClassifier", list("label", "p"), "coefficients", list[float32](-1, 2, 1, -2), "intercepts", list[float32](-1, 1),
		"classlabels_ints", list[int64](3, 7), "post_transform", "LOGISTIC")
	linear.Graph.Node[0].Input[0] = "filled"
	linear.Graph.Node = append(protos{
		ml(node("Scaler", list("x"), list("scaled"), "offset", list[float32](1, 2), "scale", list[float32](3))),
		ml(node("Imputer", list("scaled"), list("filled"), "imputed_value_floats", list[float32](0, 1))),
	}, append(linear.Graph.Node, ml(node("Normalizer", list("p"), list("q"), "norm", "L1")), ml(node("ZipMap", list("q"), list("map"), "classlabels_int64s", list[int64](3, 7))))...)
	linear.Graph.Output[1].Name = proto.String("map")
	regressor := mlModel("LinearRegressor", list("y"), "coefficients", list[float32](1, 2, 3, 4), "intercepts", list[float32](1, 2), "targets", 2)
	return []*onnxpb.ModelProto{linear, regressor, functions, branch, loop, scan, sequence, recurrent("LSTM", 4), recurrent("GRU", 3), recurrent("RNN", 1), half, quantised, pieces, attention}
}

// corpus are the seeds, the nodes that PyTorch's numbers are recorded for, and the cases of the ONNX project (all operators) where Debian's package libonnx-testdata is installed or
// ONNX_ENTROPY_ONNX_CASES names their folder.
func corpus(t testing.TB) [][]byte {
	all := seeds()
	nodes := recordedNodes(t)
	for _, family := range slices.Sorted(maps.Keys(nodes)) {
		for _, c := range nodes[family] {
			all = append(all, must(proto.MarshalOptions{Deterministic: true}.Marshal(c.model())))
		}
	}
	dir := os.Getenv("ONNX_ENTROPY_ONNX_CASES")
	if dir == "" {
		dir = "/usr/share/libonnx-testdata/data/node"
	}
	cases, err := filepath.Glob(filepath.Join(dir, "*", "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if b := must(os.ReadFile(c)); len(b) < 1<<15 {
			all = append(all, b)
		}
	}
	return all
}
