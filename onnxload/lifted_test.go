package onnxload_test

import (
	"cmp"
	"math"
	"slices"
	"strings"
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

// The optimizer of torch.onnx.export (dynamo=True) computes what no input goes into. A weight that it has computed of others is trained in their place, which is
// said; of one that it has transposed, taken a part of, or put together from gates, nothing is.
func TestComputedWeights(t *testing.T) {
	weights := list("exp", "val_7", "val_8", "t_1", "t_2", "unsqueeze", "rotated", "output")
	inits := []*onnxpb.TensorProto{}
	nodes := protos{}
	at := "x"
	for _, w := range weights[:len(weights)-1] {
		inits = append(inits, floats(w, []int64{1, 3}))
		nodes = append(nodes, node("Mul", list(at, w), list("x_"+w)))
		at = "x_" + w
	}
	m := model(17, list(input("x", "N", 3)), append(inits, floats("output", []int64{3})), nodes, at, "output")
	for name, from := range map[string]string{
		"exp": "['scale']", "val_7": "['w', 'x', 'val_1', 'zeros']", "val_8": "['linalg_vector_norm', 'mul_2', 'v', 'w', 'val_1']", "t_1": "['w']", "t_2": "['div_1', 'w']",
		"unsqueeze": "['index', 'table', 'rotation']", "rotated": "['rotation', 'sin_1']", "output": "['scale', 'exp_2']",
	} {
		v := input(name)
		v.MetadataProps = []*onnxpb.StringStringEntryProto{{Key: proto.String("pkg.onnxscript.optimizer.folded_from"), Value: proto.String(from)}}
		m.Graph.ValueInfo = append(m.Graph.ValueInfo, v)
	}
	slices.SortFunc(m.Graph.ValueInfo, func(a, b *onnxpb.ValueInfoProto) int { return cmp.Compare(a.GetName(), b.GetName()) })
	said := func() string {
		w := must(onnxload.Parse(marshal(m))).Warnings()
		if i := slices.IndexFunc(w, func(s string) bool { return strings.Contains(s, "computed") }); i >= 0 {
			return w[i]
		}
		return ""
	}
	if s := said(); s != "" {
		t.Errorf("without a signature: %s", s)
	}
	m.Graph.MetadataProps = []*onnxpb.StringStringEntryProto{{Key: proto.String("pkg.torch.export.ExportedProgram.graph_signature"), Value: proto.String(
		"p_scale: PARAMETER target='scale'\np_w: PARAMETER target='w'\np_v: PARAMETER target='v'\np_table: PARAMETER target='table'\nb_rotation: BUFFER target='rotation' persistent=True\nx: USER_INPUT\n")}}
	if s, want := said(), `Weights were computed of parameters by the exporter: "exp" of scale; "t_2" of w; "unsqueeze" of table; "val_8" of v and w. `; !strings.HasPrefix(s, want) || !strings.Contains(s, "optimize=False") {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// TorchScript's exporter does not say which tensors are buffers. Those that are not called as parameters of layers are listed; the two vectors of
// torch.nn.utils.spectral_norm, beside a weight called weight_orig, are known to be none.
func TestPerhapsBuffers(t *testing.T) {
	inits := []*onnxpb.TensorProto{}
	nodes := protos{}
	at := "x"
	for _, w := range list("pe", "fc.weight", "self_attn.in_proj_bias", "rnn.weight_ih_l0", "onnx::Mul_12", "57", "net.cls_token", "a.weight_orig", "a.weight_u", "a.weight_v", "b.weight_v", "val_bias_table") {
		inits = append(inits, floats(w, []int64{1, 3}))
		nodes = append(nodes, node("Mul", list(at, w), list("x_"+w)))
		at = "x_" + w
	}
	m := model(17, list(input("x", "N", 3)), append(inits, floats("unread", []int64{3})), nodes, at)
	const want = `Tensors that may be buffers are trained: "pe"; "net.cls_token". `
	said := func() bool {
		return slices.ContainsFunc(must(onnxload.Parse(marshal(m))).Warnings(), func(s string) bool { return strings.HasPrefix(s, want) && strings.Contains(s, "--freeze") })
	}
	if said() {
		t.Error("it is said of a file of another exporter")
	}
	m.ProducerName = proto.String("pytorch")
	if !said() {
		t.Errorf("no %q in %q", want, must(onnxload.Parse(marshal(m))).Warnings())
	}
	for _, p := range build(t, m, 1, onnxload.Options{}).Params {
		if p.Name == "a.weight_u" || p.Name == "a.weight_v" {
			t.Errorf("%s is trained", p.Name)
		}
	}
}
