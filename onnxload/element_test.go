package onnxload_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// operandOf is an input of an operator under test: []float64 or []int64, of an ONNX type.
type operandOf struct {
	elem  onnxpb.TensorProto_DataType
	shape []int
	data  any
}

func vector(elem onnxpb.TensorProto_DataType, x ...int64) operandOf {
	return operandOf{elem, []int{len(x)}, x}
}

func reals(elem onnxpb.TensorProto_DataType, x ...float64) operandOf {
	return operandOf{elem, []int{len(x)}, x}
}

// single computes an operator twice: with its inputs as data, of which the last known are constants, and with all of
// them as constants. Both must give the same numbers, which are returned with the type of the first output.
func single(t *testing.T, op string, opset int64, known int, in []operandOf, attrs ...any) (out []float64, typeName string) {
	t.Helper()
	for pass, free := range []int{len(in) - known, 0} {
		var infos []*onnxpb.ValueInfoProto
		var names []string
		o := onnxload.Options{Dtype: tensor.Float64, Known: map[string]*tensor.Dense{}, Shapes: map[string][]int{}}
		for i, v := range in {
			name := fmt.Sprintf("in%d", i)
			names = append(names, name)
			var dims []any
			for _, d := range v.shape {
				dims = append(dims, d)
			}
			info := input(name, dims...)
			info.Type.GetTensorType().ElemType = proto.Int32(int32(v.elem))
			infos = append(infos, info)
			if i < free {
				o.Shapes[name] = v.shape
				continue
			}
			switch x := v.data.(type) {
			case []int64:
				o.Known[name] = dense(x, v.shape)
			case []float64:
				o.Known[name] = dense(x, v.shape)
			}
		}
		m := model(opset, infos, nil, protos{node(op, names, list("y"), attrs...)}, "y")
		net := build(t, m, 1, o)
		values := map[*gorgonia.Node]any{}
		for i, n := range net.Inputs {
			values[n] = in[i].data
		}
		got := run(t, net, values, net.Outputs...)[0]
		if pass == 1 && (net.OutputTypes[0] != typeName || !slices.EqualFunc(got, out, func(a, b float64) bool { return a == b || a != a && b != b })) {
			t.Errorf("%s: as data %v (%s), as constants %v (%s)", op, out, typeName, got, net.OutputTypes[0])
		}
		out, typeName = got, net.OutputTypes[0]
	}
	return out, typeName
}

// Integers behave as their type does in ONNX: they wrap around, divide towards zero, and have their own order.
func TestIntegerTypes(t *testing.T) {
	const (
		i8, u8, i32  = onnxpb.TensorProto_INT8, onnxpb.TensorProto_UINT8, onnxpb.TensorProto_INT32
		i64, u64, b  = onnxpb.TensorProto_INT64, onnxpb.TensorProto_UINT64, onnxpb.TensorProto_BOOL
		u32, f32, bf = onnxpb.TensorProto_UINT32, onnxpb.TensorProto_FLOAT, onnxpb.TensorProto_BFLOAT16
		f16          = onnxpb.TensorProto_FLOAT16
	)
	big := int64(-1) // 2^64-1 as UINT64
	for _, c := range []struct {
		op       string
		in       []operandOf
		attrs    []any
		want     []float64
		wantType onnxpb.TensorProto_DataType
		known    int
	}{
		{"Add", []operandOf{vector(i8, 100, -100), vector(i8, 100, -100)}, nil, []float64{-56, 56}, i8, 0},
		{"Add", []operandOf{vector(u8, 200, 1), vector(u8, 100, 1)}, nil, []float64{44, 2}, u8, 0},
		{"Sub", []operandOf{vector(u32, 1), vector(u32, 2)}, nil, []float64{math.MaxUint32}, u32, 0},
		{"Mul", []operandOf{vector(i32, 1<<20), vector(i32, 1<<12)}, nil, []float64{0}, i32, 0},
		{"Div", []operandOf{vector(i64, -7, 7), vector(i64, 2, -2)}, nil, []float64{-3, -3}, i64, 0},
		{"Div", []operandOf{vector(u64, big), vector(u64, 1<<62)}, nil, []float64{3}, u64, 0},
		{"Mod", []operandOf{vector(i64, -7, 7), vector(i64, 3, -3)}, nil, []float64{2, -2}, i64, 0},
		{"Mod", []operandOf{vector(i64, -7, 7), vector(i64, 3, -3)}, []any{"fmod", 1}, []float64{-1, 1}, i64, 0},
		{"Mod", []operandOf{reals(f32, -7, 7), reals(f32, 3, -3)}, nil, []float64{2, -2}, f32, 0},
		{"Pow", []operandOf{vector(i64, 3, -2, 5), vector(i64, 4, 3, -1)}, nil, []float64{81, -8, 0}, i64, 0},
		{"Pow", []operandOf{vector(i32, 3, 4), reals(f32, 2, 0.5)}, nil, []float64{9, 2}, i32, 0},
		{"Pow", []operandOf{reals(f32, 3, 4), vector(i32, 2, -1)}, nil, []float64{9, 0.25}, f32, 0},
		{"Less", []operandOf{vector(u64, big, 1), vector(u64, 1, big)}, nil, []float64{0, 1}, b, 0},
		{"Max", []operandOf{vector(u64, big), vector(u64, 1)}, nil, []float64{-1}, u64, 0},
		{"Min", []operandOf{vector(i8, -3), vector(i8, 5), vector(i8, -7)}, nil, []float64{-7}, i8, 0},
		{"Abs", []operandOf{vector(i8, -128, -3)}, nil, []float64{-128, 3}, i8, 0},
		{"Neg", []operandOf{vector(i32, math.MinInt32, 5)}, nil, []float64{math.MinInt32, -5}, i32, 0},
		{"Sign", []operandOf{vector(u64, big, 0)}, nil, []float64{1, 0}, u64, 0},
		{"Not", []operandOf{vector(b, 0, 1)}, nil, []float64{1, 0}, b, 0},
		{"BitwiseNot", []operandOf{vector(u8, 0, 0xf0)}, nil, []float64{255, 15}, u8, 0},
		{"Xor", []operandOf{vector(b, 0, 1), vector(b, 1, 1)}, nil, []float64{1, 0}, b, 0},
		{"BitShift", []operandOf{vector(u8, 0x81), vector(u8, 1)}, []any{"direction", "LEFT"}, []float64{2}, u8, 0},
		{"BitShift", []operandOf{vector(i8, -8, -8), vector(i8, 1, 100)}, []any{"direction", "RIGHT"}, []float64{-4, -1}, i8, 0},
		{"BitShift", []operandOf{vector(u64, big), vector(u64, 63)}, []any{"direction", "RIGHT"}, []float64{1}, u64, 0},
		{"Clip", []operandOf{vector(i8, -50, 3, 50), {i8, []int{}, []int64{-5}}, {i8, []int{}, []int64{5}}}, nil, []float64{-5, 3, 5}, i8, 0},
		{"Where", []operandOf{vector(b, 1, 0), vector(i32, 1, 2), vector(i32, 3, 4)}, nil, []float64{1, 4}, i32, 0},
		{"Cast", []operandOf{reals(f32, -2.9, 300.5)}, []any{"to", int(u8)}, []float64{254, 44}, u8, 0},
		{"Cast", []operandOf{reals(f32, 0, -0.5)}, []any{"to", int(b)}, []float64{0, 1}, b, 0},
		{"Cast", []operandOf{vector(i32, 200, -129)}, []any{"to", int(i8)}, []float64{-56, 127}, i8, 0},
		{"Cast", []operandOf{vector(u64, big)}, []any{"to", int(onnxpb.TensorProto_DOUBLE)}, []float64{math.MaxUint64}, onnxpb.TensorProto_DOUBLE, 0},
		{"Cast", []operandOf{reals(f32, 1+1.0/256, 1e6)}, []any{"to", int(bf)}, []float64{1, 999424}, bf, 0},
		{"Cast", []operandOf{reals(f32, 1+1.0/4096, 1e6)}, []any{"to", int(f16)}, []float64{1, math.Inf(1)}, f16, 0},
		{"ReduceSum", []operandOf{vector(i8, 100, 100)}, []any{"keepdims", 0}, []float64{-56}, i8, 0},
		{"ReduceMax", []operandOf{vector(u64, 5, big, 7)}, []any{"keepdims", 0}, []float64{-1}, u64, 0},
		{"ReduceMean", []operandOf{vector(i32, 1, 2, 2)}, []any{"keepdims", 0}, []float64{1}, i32, 0},
		{"CumSum", []operandOf{vector(i32, 1, 2, 3), {i32, []int{}, []int64{0}}}, nil, []float64{1, 3, 6}, i32, 1},
		{"ArgMax", []operandOf{vector(u64, 5, big, 7)}, nil, []float64{1}, i64, 0},
		{"TopK", []operandOf{vector(u64, 5, big, 7), vector(i64, 2)}, nil, []float64{-1, 7}, u64, 1},
		{"IsNaN", []operandOf{reals(f32, 1, math.NaN())}, nil, []float64{0, 1}, b, 0},
	} {
		got, typeName := single(t, c.op, 18, c.known, c.in, c.attrs...)
		if !slices.Equal(got, c.want) || typeName != c.wantType.String() {
			t.Errorf("%s of %v: %v of type %s, want %v of type %v", c.op, c.in, got, typeName, c.want, c.wantType)
		}
	}
}

// A division by zero among integers is an error when the network runs, and when constants are computed.
func TestIntegerDivisionByZero(t *testing.T) {
	x := input("x", 1)
	x.Type.GetTensorType().ElemType = proto.Int32(int32(onnxpb.TensorProto_INT32))
	m := model(14, list(x), nil, protos{node("Div", list("x", "x"), list("y"))}, "y")
	err := buildError(t, m, 1, onnxload.Options{Known: map[string]*tensor.Dense{"x": dense([]int64{0}, []int{1})}})
	if err == nil {
		t.Error("accepted")
	}
}

// Values that a weight goes into stay trainable through what only moves them, and are numbers where numbers are asked.
func TestWeightsThroughFoldedNodes(t *testing.T) {
	m := model(13, list(input("x", "N", 3)), list(floats("w", []int64{4, 3}), ints("at", 2, 0)), protos{
		node("Gather", list("w", "at"), list("rows"), "axis", 0),
		node("Transpose", list("rows"), list("t")),
		node("MatMul", list("x", "t"), list("y")),
	}, "y")
	net := build(t, m, 2, onnxload.Options{Training: true, Dtype: tensor.Float64})
	if len(net.Params) != 1 || net.Params[0].Name != "w" {
		t.Fatalf("parameters %v", net.Params)
	}
	got := eval(t, m, 1, 1, 0, 0)[0]
	// w is 1, 1.5, 2, ...: rows 2 and 0 begin with 4 and 1.
	if !slices.Equal(got, []float64{4, 1}) {
		t.Errorf("outputs %v", got)
	}
}
