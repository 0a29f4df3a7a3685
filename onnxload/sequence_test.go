package onnxload_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

func TestSequences(t *testing.T) {
	inits := func() []*onnxpb.TensorProto {
		return list(ints("one", 1), ints("last", -1), ints("zero", 0), ints("sizes", 1, 2), floats("w", []int64{3, 2}))
	}
	for name, c := range map[string]struct {
		nodes protos
		want  []float64
	}{
		"split, at": {protos{node("SplitToSequence", list("x"), list("s"), "axis", 1), node("SequenceAt", list("s", "last"), list("y"))}, []float64{3, 6}},
		"split without the axis": {protos{node("SplitToSequence", list("x"), list("s"), "axis", 1, "keepdims", 0), node("SequenceAt", list("s", "one"), list("y"))},
			[]float64{2, 5}},
		"split by sizes, erase, join": {protos{node("SplitToSequence", list("x", "sizes"), list("s"), "axis", 1), node("SequenceErase", list("s", "zero"), list("r")),
			node("SequenceInsert", list("r", "x"), list("q")), node("ConcatFromSequence", list("q"), list("y"), "axis", 1)}, []float64{2, 3, 1, 2, 3, 5, 6, 4, 5, 6}},
		"construct, length": {protos{node("SequenceConstruct", list("x", "x", "w"), list("s")), node("SequenceLength", list("s"), list("n")),
			node("Cast", list("n"), list("f"), "to", 1), node("Mul", list("x", "f"), list("y"))}, []float64{3, 6, 9, 12, 15, 18}},
		"empty, insert at": {protos{node("SequenceEmpty", nil, list("e")), node("SequenceInsert", list("e", "x"), list("s")), node("Neg", list("x"), list("m")),
			node("SequenceInsert", list("s", "m", "zero"), list("q")), node("ConcatFromSequence", list("q"), list("y"), "axis", 0, "new_axis", 1)},
			[]float64{-1, -2, -3, -4, -5, -6, 1, 2, 3, 4, 5, 6}},
		"constants": {protos{node("SplitToSequence", list("sizes"), list("s")), node("SequenceAt", list("s", "one"), list("p")), node("Cast", list("p"), list("f"), "to", 1),
			node("Mul", list("x", "f"), list("y"))}, []float64{2, 4, 6, 8, 10, 12}},
		"weights": {protos{node("SplitToSequence", list("w", "sizes"), list("s")), node("SequenceAt", list("s", "one"), list("p")), node("MatMul", list("x", "w"), list("v")),
			node("Mul", list("v", "p"), list("y"))}, []float64{14 * 2, 17 * 2.5, 32 * 3, 39.5 * 3.5}},
		"map": {protos{node("SplitToSequence", list("x"), list("s")), graph("body", node("SequenceMap", list("s", "x"), list("m")), list(input("a"), input("b")), nil,
			protos{node("Mul", list("a", "b"), list("r"))}, "r"), node("SequenceAt", list("m", "one"), list("y"))}, []float64{4, 10, 18, 16, 25, 36}},
		"optional": {protos{node("Optional", list("x"), list("o")), node("OptionalHasElement", list("o"), list("h")), node("OptionalHasElement", nil, list("n")),
			node("Cast", list("h"), list("f"), "to", 1), node("Cast", list("n"), list("g"), "to", 1), node("OptionalGetElement", list("o"), list("v")),
			node("Add", list("v", "f"), list("u")), node("Add", list("u", "g"), list("y"))}, []float64{2, 3, 4, 5, 6, 7}},
	} {
		m := model(18, list(input("x", "N", 3)), inits(), c.nodes, "y")
		if got := eval(t, m, 2, 1, 2, 3, 4, 5, 6)[0]; !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	for name, c := range map[string]struct {
		nodes protos
		want  string
	}{
		"place":     {protos{node("SequenceConstruct", list("x"), list("s")), node("SequenceAt", list("s", "one"), list("y"))}, "place 1 of a sequence of 1"},
		"tensor":    {protos{node("SequenceAt", list("x", "one"), list("y"))}, "no sequence"},
		"sequence":  {protos{node("SequenceConstruct", list("x"), list("s")), node("Relu", list("s"), list("y"))}, "sequence"},
		"output":    {protos{node("SequenceConstruct", list("x"), list("y"))}, "sequence"},
		"shape":     {protos{node("SequenceConstruct", list("x"), list("s")), node("Shape", list("s"), list("y"))}, "sequence"},
		"sizes":     {protos{node("SplitToSequence", list("x", "sizes"), list("s")), node("SequenceAt", list("s", "one"), list("y"))}, "pieces of [1 2]"},
		"erase":     {protos{node("SequenceEmpty", nil, list("e")), node("SequenceErase", list("e"), list("s")), node("SequenceAt", list("s", "one"), list("y"))}, "empty"},
		"none":      {protos{node("Optional", nil, list("o")), node("OptionalGetElement", list("o"), list("y"))}, "no element"},
		"none used": {protos{node("Optional", nil, list("o")), node("Add", list("x", "o"), list("y"))}, "no value"},
	} {
		err := buildError(t, model(18, list(input("x", "N", 3)), inits(), c.nodes, "y"), 2, onnxload.Options{})
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
