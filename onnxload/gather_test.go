package onnxload_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/exec"
	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// integers is an input of the given integer type.
func integers(elem onnxpb.TensorProto_DataType, name string, dims ...any) *onnxpb.ValueInfoProto {
	v := input(name, dims...)
	v.GetType().GetTensorType().ElemType = proto.Int32(int32(elem))
	return v
}

// An embedding: the sum of the rows of a table that the input names, as scores.
func embedding(elem onnxpb.TensorProto_DataType) *onnxpb.ModelProto {
	return model(13, list(integers(elem, "ids", "N", 3)), list(floats("table", []int64{5, 4}, 1, -2, 3, 0.5), ints("axes", 1)), protos{
		node("Gather", list("table", "ids"), list("rows")),
		node("ReduceSum", list("rows", "axes"), list("y"), "keepdims", 0),
	}, "y")
}

func TestEmbedding(t *testing.T) {
	ids := []int64{0, 3, -2, 1, 1, 4, 3, 3, 3}
	labels := []int64{2, 0, 3}
	for _, elem := range []onnxpb.TensorProto_DataType{onnxpb.TensorProto_INT64, onnxpb.TensorProto_INT32} {
		net := build(t, embedding(elem), 3, onnxload.Options{Training: true, Dtype: tensor.Float64})
		loss, grads := gradients(t, net, ids, labels)
		table := net.Weights()
		wantLoss, want := 0.0, make([]float64, 20)
		for n, label := range labels {
			scores, sum := make([]float64, 4), 0.0
			for _, id := range ids[3*n : 3*n+3] {
				for k := range scores {
					scores[k] += float64(table[(id+5)%5*4+int64(k)])
				}
			}
			for _, s := range scores {
				sum += math.Exp(s)
			}
			wantLoss += (math.Log(sum) - scores[label]) / 3
			for k, s := range scores {
				d := math.Exp(s) / sum / 3
				if int64(k) == label {
					d -= 1.0 / 3
				}
				for _, id := range ids[3*n : 3*n+3] {
					want[(id+5)%5*4+int64(k)] += d
				}
			}
		}
		if !near(loss, wantLoss, 1e-12) {
			t.Errorf("loss %v, want %v", loss, wantLoss)
		}
		for i, g := range grads[0] {
			if !near(g, want[i], 1e-12) {
				t.Errorf("gradient of element %d of the table is %v, want %v", i, g, want[i])
			}
		}
		if p := net.Params[0]; p.Name != "table" || p.Op != "Gather" || !p.Decay {
			t.Errorf("parameter %+v", p)
		}
	}
}

// Embeddings start as standard normals.
func TestEmbeddingReinit(t *testing.T) {
	m := model(13, list(integers(onnxpb.TensorProto_INT64, "ids", "N")), list(floats("table", []int64{300, 100})),
		protos{node("Gather", list("table", "ids"), list("y"))}, "y")
	w, _ := build(t, m, 1, onnxload.Options{}).Reinit(1)
	sum, sq := 0.0, 0.0
	for _, v := range w {
		sum, sq = sum+float64(v), sq+float64(v)*float64(v)
	}
	// Standard deviations over 30000 draws: 0.0058 and 0.0082.
	if n := float64(len(w)); math.Abs(sum/n) > 0.03 || math.Abs(sq/n-1) > 0.04 {
		t.Errorf("mean %g, mean square %g", sum/n, sq/n)
	}
}

// Rows of integers, an axis that is not the first, constant indices of weights, and an index outside.
func TestGatherOfData(t *testing.T) {
	m := model(13, list(integers(onnxpb.TensorProto_INT64, "i", "N")), list(ints("next", 7, 8, 9)),
		protos{node("Gather", list("next", "i"), list("y"))}, "y")
	net := build(t, m, 2, onnxload.Options{Dtype: tensor.Float64})
	if got := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: []int64{2, -3}}, net.Outputs...)[0]; !slices.Equal(got, []float64{9, 7}) {
		t.Errorf("integers: %v", got)
	}
	m = model(13, list(input("x", "N", 3)), list(ints("i", 2, 0)), protos{node("Gather", list("x", "i"), list("y"), "axis", 1)}, "y")
	if got := eval(t, m, 2, 1, 2, 3, 4, 5, 6)[0]; !slices.Equal(got, []float64{3, 1, 6, 4}) {
		t.Errorf("columns: %v", got)
	}
	m = model(13, list(input("x", "N", 2)), list(floats("w", []int64{3, 2, 2}), ints("one", 1)), protos{
		node("Gather", list("w", "one"), list("w1")), node("MatMul", list("x", "w1"), list("y"))}, "y")
	net = build(t, m, 2, onnxload.Options{Training: true})
	if len(net.Params) != 1 || net.Params[0].Op != "MatMul" {
		t.Errorf("a weight behind a constant index: %+v", net.Params)
	}
	net = build(t, embedding(onnxpb.TensorProto_INT64), 1, onnxload.Options{})
	plan := must(exec.Compile(net.Outputs, exec.Options{}))
	vm := plan.New(parallel.New(1))
	table, _ := vm.Input(net.Params[0].Node)
	ids, _ := vm.Input(net.Inputs[0])
	if err := vm.BindF32(table, net.Weights()); err != nil {
		t.Fatal(err)
	}
	if err := vm.BindI64(ids, []int64{1, 5, 0}); err != nil {
		t.Fatal(err)
	}
	if err := vm.Run(context.Background(), exec.Draw{}); err == nil || !strings.Contains(err.Error(), "index 5, number 1 of 3, is outside of axis 0 of shape (5, 4)") {
		t.Errorf("an index outside: %v", err)
	}
	bad := model(13, list(input("x", "N", 3)), list(floats("w", []int64{5, 4})), protos{node("Gather", list("w", "x"), list("y"))}, "y")
	if err := buildError(t, bad, 1, onnxload.Options{}); !strings.Contains(err.Error(), "integers are needed") {
		t.Error(err)
	}
}

// What does not fit into the cache is an error, not a write at another place.
func TestTensorScatterOutside(t *testing.T) {
	for _, c := range []struct {
		mode string
		at   int64
		fits bool
	}{{"linear", 0, true}, {"linear", 2, true}, {"linear", 3, false}, {"linear", -1, false}, {"circular", 3, true}, {"circular", 1 << 62, true}, {"circular", -1, false}} {
		m := must(onnxload.Parse(marshal(model(24, nil, list(floats("x", []int64{1, 4, 1}), floats("u", []int64{1, 2, 1}), ints("at", c.at)),
			list(node("TensorScatter", list("x", "u", "at"), list("y"), "mode", c.mode)), "y"))))
		if _, err := m.Build(1, onnxload.Options{}); (err == nil) != c.fits {
			t.Errorf("%s at %d: %v", c.mode, c.at, err)
		}
	}
}
