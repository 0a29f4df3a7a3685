package onnxload_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/models"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// What is said about the files that PyTorch exports in its three modes, from fresh and from trained networks.
func TestWarnings(t *testing.T) {
	for name, want := range map[string][]string{
		"mnistconv_training":        {},
		"mnistconv_training_opset9": {},
		"mnistconv_preserve":        {"Dropout"},
		"mnistconv_eval_trained":    {"Dropout"},
		"mnistconv_dynamo":          {"BatchNormalization", "Dropout"},
		"mnistfc_training":          {},
		"allcnn_eval":               {"BatchNormalization", "Dropout"},
		"allcnn_training":           {},
	} {
		b, _, net := load(t, name, true)
		m := must(onnxload.Parse(b))
		got := m.Warnings()
		t.Log(name, strings.Join(got, "\n\t"))
		found := func(w string) bool {
			return slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, w) && strings.Contains(s, "export it with") })
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d warnings, want %v", name, len(got), want)
		}
		for _, w := range want {
			if !found(w) {
				t.Errorf("%s: nothing about %s", name, w)
			}
		}
		if !m.DynamicBatch() {
			t.Errorf("%s: the batch is taken for fixed", name)
		}
		total := 0
		for _, l := range net.Layers {
			total += l.Params
			if l.Params > 0 != l.Trainable {
				t.Errorf("%s: layer %+v", name, l)
			}
		}
		if total != net.NumWeights() {
			t.Errorf("%s: layers have %d weights together, the net %d", name, total, net.NumWeights())
		}
	}
	// What tf2onnx writes of Dense, of Dense with a bias of 0, and of SeparableConv1D with BatchNormalization.
	keras := model(17, list(input("x", "N", 2)), list(floats("w", []int64{2, 2}), floats("v", []int64{2, 2}), floats("b", []int64{2}), ints("axes", 2),
		floats("d", []int64{2, 1, 1}), floats("p", []int64{2, 2, 1}), floats("e0", []int64{2}), floats("s", []int64{2, 1}), floats("t", []int64{2, 1}, 3, 4)), protos{
		node("MatMul", list("x", "w"), list("m")), node("Add", list("m", "b"), list("a")), node("MatMul", list("a", "v"), list("z")),
		node("Unsqueeze", list("z", "axes"), list("u")), node("Conv", list("u", "d"), list("c"), "group", 2), node("Conv", list("c", "p", "e0"), list("e")),
		node("Mul", list("e", "s"), list("f")), node("Add", list("f", "t"), list("y"))}, "y")
	keras.ProducerName = proto.String("tf2onnx")
	if w := must(onnxload.Parse(marshal(keras))).Warnings(); len(w) != 3 || !strings.Contains(w[2], `Layers without a bias: 1, the first "n_z".`) ||
		slices.ContainsFunc(w, func(s string) bool { return strings.Contains(s, "torch") }) {
		t.Error(w)
	}
	keras.ProducerName = proto.String("skl2onnx")
	if w := must(onnxload.Parse(marshal(keras))).Warnings(); len(w) != 0 {
		t.Error(w)
	}
	shares := model(17, list(input("x", "N", 2)), list(ints("axes", 1)), protos{
		node("Sigmoid", list("x"), list("p")), node("ReduceSum", list("p", "axes"), list("s")), node("Div", list("p", "s"), list("y"))}, "y")
	shares.ProducerName = proto.String("skl2onnx")
	if w := must(onnxload.Parse(marshal(shares))).Warnings(); len(w) != 1 || !strings.Contains(w[0], "'raw_scores': True") {
		t.Error(w)
	}
	tied := model(17, list(input("x", "N", 2)), list(floats("w", []int64{2, 2})), protos{
		node("MatMul", list("x", "w"), list("a")), node("Identity", list("w"), list("v")), node("Gemm", list("a", "v"), list("y"))}, "y")
	if w := must(onnxload.Parse(marshal(tied))).Warnings(); !slices.ContainsFunc(w, func(s string) bool {
		return strings.Contains(s, `tied: "w" is read 2 times (by "n_a" and "n_y")`)
	}) {
		t.Error(w)
	}
	fixed := relu()
	fixed.Graph.Input[0] = input("x", 1, 4)
	if w := must(onnxload.Parse(marshal(fixed))).Warnings(); !slices.ContainsFunc(w, func(s string) bool { return strings.Contains(s, `dynamic_axes={"x": {0: "batch"}}`) }) {
		t.Error(w)
	}
}

// Weights that only reach one input of one node are not tied, however many nodes reorder them on the way.
func TestArrangedIsNotTied(t *testing.T) {
	warned := func(m *onnxload.Model) string {
		for _, w := range m.Warnings() {
			if strings.Contains(w, "tied") {
				return w
			}
		}
		return ""
	}
	charlstm := must(onnxload.Parse(must(models.Open("charlstm"))))
	if w := warned(charlstm); w != "" {
		t.Errorf("charlstm: %s", w)
	}
	for _, p := range must(charlstm.Build(2, onnxload.Options{Training: true})).Params {
		if p.Tied {
			t.Errorf("charlstm: %s is tied", p.Name)
		}
	}
	if r := charlstm.Readers()["lstm.weight_ih_l1"]; len(r) == 0 || r[0] != "/lstm/LSTM_1" {
		t.Errorf("lstm.weight_ih_l1 is read by %q", r)
	}
	number := model(17, list(input("x", "N", 2)), list(floats("val_1", []int64{1}, 2)), protos{node("Mul", list("x", "val_1"), list("a")), node("Mul", list("a", "val_1"), list("y"))}, "y")
	if w := warned(must(onnxload.Parse(marshal(number)))); w != "" {
		t.Errorf("a number that is not trained: %s", w)
	}
	halves := protos{
		node("Slice", list("w", "0", "1", "0"), list("a")), node("Slice", list("w", "1", "2", "0"), list("b")),
		node("Concat", list("b", "a"), list("v"), "axis", 0), node("MatMul", list("x", "v"), list("p")),
	}
	for name, c := range map[string]struct {
		more protos
		tied bool
	}{
		"one layer":          {protos{node("Relu", list("p"), list("y"))}, false},
		"arranged and plain": {protos{node("MatMul", list("p", "w"), list("y"))}, true},
		"one half again":     {protos{node("Add", list("p", "a"), list("y"))}, true},
		"twice in one node":  {protos{node("Gemm", list("p", "v", "v"), list("y"))}, true},
	} {
		tensors := list(floats("w", []int64{2, 2}, 1, 2, 3, 4), ints("0", 0), ints("1", 1), ints("2", 2))
		m := must(onnxload.Parse(marshal(model(17, list(input("x", "N", 2)), tensors, slices.Concat(halves, c.more), "y"))))
		if w := warned(m); c.tied != strings.Contains(w, `"w" is read`) {
			t.Errorf("%s: %q", name, w)
		}
		if p := must(m.Build(2, onnxload.Options{Training: true})).Params; len(p) != 1 || p[0].Tied != c.tied {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestDescription(t *testing.T) {
	b, _, net := load(t, "mnistconv_training_opset9", true)
	m := must(onnxload.Parse(b))
	got := fmt.Sprint(m.Opset, m.IRVersion > 3, strings.HasPrefix(m.Producer, "pytorch 2"), m.Inputs, m.Outputs, m.HasBatchNorm(), m.DropoutNodes(), m.TrainingMode())
	if want := "9 true true [{input FLOAT [batch 1 28 28]}] [{output FLOAT [batch 10]}] true 3 true"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	l := net.Layers[0]
	if got, want := fmt.Sprint(l), "{"+l.Name+" Conv 9 [8 20 24 24] 520 true}"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// PyTorch's exporter folds the Transpose of a matrix that a table and a linear layer share, so that there are two.
func TestTransposedIsReported(t *testing.T) {
	raw := func(name string, rows, columns int, at func(i, j int) float32) *onnxpb.TensorProto {
		w := &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(int32(onnxpb.TensorProto_FLOAT)), Dims: []int64{int64(rows), int64(columns)}}
		for i := range rows {
			for j := range columns {
				w.RawData = binary.LittleEndian.AppendUint32(w.RawData, math.Float32bits(at(i, j)))
			}
		}
		return w
	}
	table := func(i, j int) float32 { return 1 + float32(5*i+j*j)/8 }
	for name, c := range map[string]struct {
		at       func(i, j int) float32
		producer string
		want     []string // of the warning, none if empty
	}{
		"folded":            {func(i, j int) float32 { return table(j, i) }, "pytorch", []string{`"e" and "o"`, "do_constant_folding=False", "optimize=False"}},
		"by another":        {func(i, j int) float32 { return table(j, i) }, "tf2onnx", []string{`"e" and "o"`}},
		"the same diagonal": {func(i, j int) float32 { return table(j, i) + float32((i-j)*(i-j)) }, "pytorch", nil},
	} {
		p := model(17, list(integers(onnxpb.TensorProto_INT64, "x", "N")), list(raw("e", 7, 4, table), raw("o", 4, 7, c.at)), protos{
			node("Gather", list("e", "x"), list("a")), node("MatMul", list("a", "o"), list("y"))}, "y")
		p.ProducerName = proto.String(c.producer)
		var got string
		for _, w := range must(onnxload.Parse(marshal(p))).Warnings() {
			if strings.Contains(w, "transposed") {
				got = w
			}
		}
		if (got != "") != (len(c.want) > 0) || c.producer != "pytorch" && strings.Contains(got, "dynamo") {
			t.Errorf("%s: %q", name, got)
		}
		for _, s := range c.want {
			if !strings.Contains(got, s) {
				t.Errorf("%s: %q says nothing of %s", name, got, s)
			}
		}
	}
}

// GroupNorm as PyTorch exports it: the ones and zeros of its InstanceNormalization are no weights, and neither are the layers that read
// them or other Constants trainable. Where the file has no initializers, Constants are the weights.
func TestNeutralConstants(t *testing.T) {
	group := func(scale, shift float32, inits []*onnxpb.TensorProto) *onnxload.Net {
		nodes := protos{
			node("Constant", nil, list("one"), "value", floats("", []int64{2}, scale, scale)),
			node("Constant", nil, list("zero"), "value", floats("", []int64{2}, shift, shift)),
			node("Constant", nil, list("half"), "value", floats("", []int64{}, 0.5)),
			node("InstanceNormalization", list("x", "one", "zero"), list("n")), node("Mul", list("n", "half"), list("h")),
		}
		last := node("Relu", list("h"), list("y"))
		if len(inits) > 0 {
			nodes = append(nodes, node("Mul", list("h", "w"), list("m")))
			last = node("Add", list("m", "b"), list("y"))
		}
		m := must(onnxload.Parse(marshal(model(17, list(input("x", "N", 2, 3)), inits, append(nodes, last), "y"))))
		return must(m.Build(2, onnxload.Options{Training: true}))
	}
	names := func(n *onnxload.Net) string {
		var s []string
		for _, p := range n.Params {
			s = append(s, p.Name)
		}
		for _, l := range n.Layers {
			if l.Trainable {
				s = append(s, l.Name)
			}
		}
		return strings.Join(s, " ")
	}
	weights := func() []*onnxpb.TensorProto {
		return list(floats("w", []int64{2, 1}, 1, 1), floats("b", []int64{2, 1}, 0, 0))
	}
	for _, c := range []struct {
		got  *onnxload.Net
		want string
	}{
		{group(1, 0, weights()), "w b n_m n_y"},
		{group(2, 0, weights()), "w b one n_n n_m n_y"},
		{group(1, 3, weights()), "w b zero n_n n_m n_y"},
		{group(1, 0, nil), "one zero n_n"},
	} {
		if got := names(c.got); got != c.want {
			t.Errorf("trained: %s, want %s", got, c.want)
		}
	}
}
