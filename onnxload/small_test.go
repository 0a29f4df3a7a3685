package onnxload_test

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// Small models for tests, written as Go values.

// model returns a model with one output for each name in outputs.
func model(opset int64, inputs []*onnxpb.ValueInfoProto, inits []*onnxpb.TensorProto, nodes []*onnxpb.NodeProto, outputs ...string) *onnxpb.ModelProto {
	g := &onnxpb.GraphProto{Name: proto.String("g"), Input: inputs, Initializer: inits, Node: nodes}
	for _, o := range outputs {
		g.Output = append(g.Output, input(o))
	}
	return &onnxpb.ModelProto{
		IrVersion: proto.Int64(8), Graph: g, ProducerName: proto.String("test"),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(opset)}},
	}
}

// input is a float tensor; dimensions are ints or names.
func input(name string, dims ...any) *onnxpb.ValueInfoProto {
	t := &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(onnxpb.TensorProto_FLOAT))}
	if len(dims) > 0 {
		t.Shape = &onnxpb.TensorShapeProto{}
	}
	for _, d := range dims {
		x := &onnxpb.TensorShapeProto_Dimension{}
		switch d := d.(type) {
		case int:
			x.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: int64(d)}
		case string:
			x.Value = &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: d}
		}
		t.Shape.Dim = append(t.Shape.Dim, x)
	}
	return &onnxpb.ValueInfoProto{Name: proto.String(name), Type: &onnxpb.TypeProto{Value: &onnxpb.TypeProto_TensorType{TensorType: t}}}
}

// node is an operator; attributes follow as name, value. Its name is that of its first output with "n_" before it.
func node(op string, in, out []string, attrs ...any) *onnxpb.NodeProto {
	n := &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String("n_" + out[0]), Input: in, Output: out}
	for i := 0; i < len(attrs); i += 2 {
		a := &onnxpb.AttributeProto{Name: proto.String(attrs[i].(string))}
		switch v := attrs[i+1].(type) {
		case int:
			a.Type, a.I = onnxpb.AttributeProto_INT.Enum(), proto.Int64(int64(v))
		case float64:
			a.Type, a.F = onnxpb.AttributeProto_FLOAT.Enum(), proto.Float32(float32(v))
		case string:
			a.Type, a.S = onnxpb.AttributeProto_STRING.Enum(), []byte(v)
		case []int64:
			a.Type, a.Ints = onnxpb.AttributeProto_INTS.Enum(), v
		case []float32:
			a.Type, a.Floats = onnxpb.AttributeProto_FLOATS.Enum(), v
		case []string:
			a.Type = onnxpb.AttributeProto_STRINGS.Enum()
			for _, x := range v {
				a.Strings = append(a.Strings, []byte(x))
			}
		case float32:
			a.Type, a.F = onnxpb.AttributeProto_FLOAT.Enum(), proto.Float32(v)
		case *onnxpb.TensorProto:
			a.Type, a.T = onnxpb.AttributeProto_TENSOR.Enum(), v
		default:
			panic(fmt.Sprintf("attribute %v of type %T", attrs[i], v))
		}
		n.Attribute = append(n.Attribute, a)
	}
	return n
}

// floats is an initializer with numbers; without enough of them they are 1, 1.5, 2 ...
func floats(name string, dims []int64, x ...float32) *onnxpb.TensorProto {
	n := 1
	for _, d := range dims {
		n *= int(d)
	}
	for k := 0; len(x) < n; k++ {
		x = append(x, 1+float32(k)/2)
	}
	return &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(int32(onnxpb.TensorProto_FLOAT)), Dims: dims, FloatData: x}
}

func ints(name string, x ...int64) *onnxpb.TensorProto {
	return &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(int32(onnxpb.TensorProto_INT64)), Dims: []int64{int64(len(x))}, Int64Data: x}
}

// scalar is one number without dimensions.
func scalar(name string, x int64) *onnxpb.TensorProto {
	t := ints(name, x)
	t.Dims = nil
	return t
}

func list[T any](x ...T) []T { return x }

func marshal(m proto.Message) []byte { return must(proto.Marshal(m)) }
