package onnxload_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/fixture"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

func names(ps []onnxload.Param) string {
	var s []string
	for _, p := range ps {
		s = append(s, p.Name)
	}
	return strings.Join(s, " ")
}

func TestFreezePatterns(t *testing.T) {
	m := model(17, list(input("x", "N", 2)), list(floats("conv1.weight", []int64{2, 2}), floats("conv1.bias", []int64{2}), floats("conv10.weight", []int64{2, 2}),
		floats("head/w", []int64{2, 2}), floats("onnx::MatMul_7", []int64{2, 2})), protos{
		node("Gemm", list("x", "conv1.weight", "conv1.bias"), list("a")), node("MatMul", list("a", "conv10.weight"), list("b")),
		node("MatMul", list("b", "head/w"), list("c")), node("Transpose", list("onnx::MatMul_7"), list("t")), node("MatMul", list("c", "t"), list("y"))}, "y")
	m.Graph.Node[4].Name = proto.String("/layer4/MatMul")
	for _, c := range []struct {
		freeze, trainable string
		want              string // frozen, or the error
	}{
		{"conv1", "", "conv1.weight conv1.bias"},
		{"conv1*", "", "conv1.weight conv1.bias conv10.weight"},
		{"conv1.weight", "", "conv1.weight"},
		{"*.weight", "", "conv1.weight conv10.weight"},
		{"head", "", "head/w"},
		{"head/", "", "head/w"},
		{"*w", "", "head/w"},
		{"h?ad?w", "", "head/w"},
		{"[ch]*", "", "conv1.weight conv1.bias conv10.weight head/w"},
		{"/layer4", "", "onnx::MatMul_7"},
		{"*MatMul*", "", "onnx::MatMul_7"},
		{"n_b", "", "conv10.weight"},
		{"", "head", "conv1.weight conv1.bias conv10.weight onnx::MatMul_7"},
		{"*", "head conv10", "conv1.weight conv1.bias onnx::MatMul_7"},
		{"conv1*", "*.bias", "conv1.weight conv10.weight"},
		{"conv1 head", "", "conv1.weight conv1.bias head/w"},
		{"con1", "", `no parameter has a name that "con1" matches; close are "conv1.`},
		{"*", "haed*", `no parameter has a name that "haed*" matches; close are "head/w"`},
		{"conv1*", "fc", `"fc" matches`},
		{"[", "", `"[" for names of parameters is malformed`},
	} {
		net, err := must(onnxload.Parse(marshal(m))).Build(1, onnxload.Options{Training: true, Freeze: strings.Fields(c.freeze), Trainable: strings.Fields(c.trainable)})
		if err != nil {
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q %q: %v, want %q", c.freeze, c.trainable, err, c.want)
			}
			continue
		}
		if got := names(net.Frozen); got != c.want {
			t.Errorf("%q %q: %s are frozen, want %s", c.freeze, c.trainable, got, c.want)
		}
		if len(net.Params)+len(net.Frozen) != 5 || net.NumWeights()+net.NumFrozen() != 18 {
			t.Errorf("%q %q: trained %s, frozen %s", c.freeze, c.trainable, names(net.Params), names(net.Frozen))
		}
	}
}

// Loss and gradients of what is trained are those of the network without frozen parameters, and export leaves the
// frozen ones as they are.
func TestFreezeChangesNothingElse(t *testing.T) {
	for _, name := range small(t) {
		b, want, err := fixture.Load("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		m := must(onnxload.Parse(b))
		zero := 0.0
		o := onnxload.Options{Training: true, Dropout: &zero, Dtype: tensor.Float64}
		all := must(m.Build(want.Input.Shape[0], o))
		// All but the last two parameters of the file.
		for _, p := range all.Params[:len(all.Params)-2] {
			o.Freeze = append(o.Freeze, p.Name)
		}
		some := must(m.Build(want.Input.Shape[0], o))
		loss, grads := gradients(t, all, want.X, want.Labels)
		got, few := gradients(t, some, want.X, want.Labels)
		if len(few) != 2 || !near(got, loss, 1e-12) {
			t.Fatalf("%s: %d gradients, loss %v and %v", name, len(few), got, loss)
		}
		for i, p := range some.Params {
			k := slices.IndexFunc(all.Params, func(q onnxload.Param) bool { return q.Name == p.Name })
			if !near(norm(few[i]), norm(grads[k]), 1e-12) || !near(total(few[i]), total(grads[k]), 1e-12) || p.Decay != all.Params[k].Decay {
				t.Errorf("%s: the gradient of %q has changed", name, p.Name)
			}
		}
		out := must(some.Export(trained(some.Weights()), some.Running(), onnxload.ExportOptions{Same: true}))
		before, after := unmarshal(t, b), unmarshal(t, out)
		changed := 0
		for i, x := range before.Graph.Initializer {
			if !proto.Equal(x, after.Graph.Initializer[i]) {
				changed++
			}
		}
		if changed > 2 || bytes.Equal(b, out) {
			t.Errorf("%s: %d initializers have changed", name, changed)
		}
	}
}

// A frozen scale that shares its initializer with running statistics keeps it; the statistics get one of their own.
func TestFrozenAndRunningShareATensor(t *testing.T) {
	m := model(17, list(input("x", "N", 2, 3)), list(floats("one", []int64{2}, 1, 1), floats("bias", []int64{2}), floats("mean", []int64{2})), protos{
		node("BatchNormalization", list("x", "one", "bias", "mean", "one"), list("y"))}, "y")
	net := build(t, m, 2, onnxload.Options{Training: true, Freeze: list("one")})
	out := unmarshal(t, must(net.Export(net.Weights(), trained(net.Running()), onnxload.ExportOptions{})))
	for _, x := range out.Graph.Initializer {
		if v := must(x.Floats()); x.GetName() == "one" && !slices.Equal(v, []float32{1, 1}) {
			t.Errorf("the frozen scale has become %v", v)
		}
	}
	if n := len(out.Graph.Initializer); n != 4 || out.Graph.Node[0].Input[4] == "one" {
		t.Errorf("%d initializers, inputs %v", n, out.Graph.Node[0].Input)
	}
}

// A frozen tensor that reaches its place through folded nodes is frozen too.
func TestFrozenThroughFoldedNodes(t *testing.T) {
	m := model(17, list(input("x", "N", 2)), list(floats("w", []int64{3, 2}), floats("v", []int64{3, 1})), protos{
		node("Transpose", list("w"), list("wt")), node("MatMul", list("x", "wt"), list("h")), node("MatMul", list("h", "v"), list("y"))}, "y")
	net := build(t, m, 1, onnxload.Options{Training: true, Freeze: list("w"), Dtype: tensor.Float64})
	if names(net.Params) != "v" || names(net.Frozen) != "w" {
		t.Fatalf("trained %s, frozen %s", names(net.Params), names(net.Frozen))
	}
	// w is (1 1.5; 2 2.5; 3 3.5), v is (1 1.5 2): (1 1) w^T = (2.5 4.5 6.5), times v = 22.25
	if got := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: []float64{1, 1}}, net.Outputs[0])[0][0]; got != 22.25 {
		t.Errorf("the output is %v", got)
	}
}

// Of a network of two outputs only what the named one is computed from is trained.
func TestOutputOption(t *testing.T) {
	m := must(onnxload.Parse(marshal(model(17, list(input("x", "N", 2)), list(floats("shared", []int64{2, 2}), floats("a", []int64{2, 2}), floats("b", []int64{2, 2}), floats("dead", []int64{2, 2})), protos{
		node("MatMul", list("x", "shared"), list("h")), node("MatMul", list("h", "a"), list("y")), node("MatMul", list("h", "b"), list("z")),
		node("MatMul", list("h", "dead"), list("nowhere"))}, "y", "z"))))
	for output, want := range map[string]string{"": "[shared a b dead] [] 0", "y": "[shared a] [b dead] 0", "z": "[shared b] [a dead] 1"} {
		net := must(m.Build(3, onnxload.Options{Training: true, Output: output}))
		var trained, frozen []string
		for _, p := range net.Params {
			trained = append(trained, p.Name)
		}
		for _, p := range net.Frozen {
			frozen = append(frozen, p.Name)
			if !p.Elsewhere {
				t.Errorf("%s is frozen for another reason", p.Name)
			}
		}
		if got := fmt.Sprint(trained, frozen, net.Output()); got != want {
			t.Errorf("output %q: %s, want %s", output, got, want)
		}
	}
	if _, err := m.Build(3, onnxload.Options{Output: "w"}); err == nil || !strings.Contains(err.Error(), `there is no output "w"; the outputs are "y", "z"`) {
		t.Error(err)
	}
}
