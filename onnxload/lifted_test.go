package onnxload_test

import (
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// torch.onnx.export (dynamo=True) says in metadata which initializers are parameters. A buffer, a constant of the program
// and what was computed of them alone are not trained, whatever place they are in; a parameter that was transposed is.
func TestWhatTheExporterLifted(t *testing.T) {
	const kind, folded = "pkg.torch.export.graph_signature.InputSpec.kind", "pkg.onnxscript.optimizer.folded_from"
	says := func(name, key, value string) *onnxpb.ValueInfoProto {
		v := input(name)
		v.MetadataProps = []*onnxpb.StringStringEntryProto{{Key: proto.String(key), Value: proto.String(value)}}
		return v
	}
	inf := float32(math.Inf(-1))
	m := model(17, list(input("x", "N", 3)), list(
		floats("w", []int64{3, 4}), floats("rotation", []int64{4, 4}), floats("val_1", []int64{4, 4}), floats("val_2", []int64{4}),
		floats("val_3", []int64{1}, 0.5), floats("mask", []int64{1, 4}, 0, inf, 0, inf), floats("lowest", []int64{1, 4}, 0, 0, -math.MaxFloat32, 0),
		floats("gain", []int64{1}, 2), floats("p_cast", nil, 0.9),
	), protos{
		node("MatMul", list("x", "w"), list("a")),
		node("MatMul", list("a", "rotation"), list("b")),
		node("MatMul", list("b", "val_1"), list("c")),
		node("Add", list("c", "val_2"), list("d")),
		node("Mul", list("d", "val_3"), list("e")),
		node("Add", list("e", "mask"), list("f")),
		node("Add", list("f", "lowest"), list("g")),
		node("Mul", list("g", "gain"), list("h")),
		node("Div", list("h", "p_cast"), list("y")),
	}, "y")
	trained := func() (names []string) {
		for _, p := range build(t, m, 1, onnxload.Options{}).Params {
			names = append(names, p.Name)
		}
		return names
	}
	if got, want := trained(), list("w", "rotation", "val_1", "val_2", "gain", "p_cast"); !slices.Equal(got, want) {
		t.Errorf("without metadata %q are trained, not %q", got, want)
	}

	m.MetadataProps = []*onnxpb.StringStringEntryProto{{Key: proto.String("pkg.torch.export.ExportedProgram.graph_signature"), Value: proto.String(
		"\n# inputs\np_w: PARAMETER target='w'\np_v: PARAMETER target='head.v'\np_gain: PARAMETER target='gain'\nb_rotation: BUFFER target='rotation' persistent=True\nx: USER_INPUT\n")}}
	m.Graph.ValueInfo = []*onnxpb.ValueInfoProto{
		says("w", kind, "PARAMETER"), says("rotation", kind, "BUFFER"),
		says("val_1", folded, "['head.v', 'val_0']"), says("val_2", folded, "['rotation', 'val_0']"), says("a", kind, "BUFFER"),
	}
	if got, want := trained(), list("w", "val_1", "gain"); !slices.Equal(got, want) {
		t.Errorf("with metadata %q are trained, not %q", got, want)
	}
	// Newer versions say it of the graph.
	m.Graph.MetadataProps, m.MetadataProps = m.MetadataProps, nil
	m.Graph.ValueInfo = append(m.Graph.ValueInfo, says("p_cast", folded, "['p']"))
	if got, want := trained(), list("w", "val_1", "gain"); !slices.Equal(got, want) {
		t.Errorf("with metadata of the graph %q are trained, not %q", got, want)
	}
}

// The zeros that a state starts with are no weights, though a cell multiplies them with its own. PyTorch's exporters write torch.zeros as a
// Constant where the batch is fixed, or (dynamo=True, optimize=False) its number as one that Expand gives a shape.
func TestZerosOfAState(t *testing.T) {
	for _, zeros := range []protos{
		{node("Constant", nil, list("state"), "value", floats("", []int64{2, 4}, make([]float32, 8)...))},
		{node("Constant", nil, list("zero"), "value", floats("", nil, 0)), node("Expand", list("zero", "shape"), list("state"))},
	} {
		for _, product := range []string{"MatMul", "Gemm"} {
			m := model(17, list(input("x", "N", 3)), list(floats("w", []int64{3, 4}), floats("v", []int64{4, 4}), ints("shape", 2, 4)), append(slices.Clone(zeros),
				node(product, list("state", "v"), list("a")),
				node("MatMul", list("x", "w"), list("b")),
				node("Add", list("a", "b"), list("y")),
			), "y")
			if ps := build(t, m, 2, onnxload.Options{}).Params; len(ps) != 2 || ps[0].Name != "w" || ps[1].Name != "v" {
				t.Errorf("%s of the state of %s: %v are trained", product, zeros[len(zeros)-1].GetOpType(), ps)
			}
		}
	}
}
