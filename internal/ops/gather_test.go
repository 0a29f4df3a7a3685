package ops

import (
	"fmt"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

func int64s(shape []int, v ...int64) *tensor.Dense {
	if len(shape) == 0 {
		return tensor.New(tensor.FromScalar(v[0]))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(v))
}

func gatherOf(axis int) builder {
	return func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return Gather(in[0], in[1], axis)
	}
}

func TestGather(t *testing.T) {
	for _, c := range []struct {
		shape []int
		axis  int
		index *tensor.Dense
	}{
		{[]int{5}, 0, int64s([]int{4}, 4, 0, -5, 2)},
		{[]int{5}, 0, int64s(nil, -1)},
		{[]int{4, 3}, 0, int64s([]int{2, 3}, 3, 3, 0, 1, -2, 3)},
		{[]int{3, 4}, -1, int64s([]int{1, 2}, 3, -4)},
		{[]int{2, 3, 2}, 1, int64s([]int{2, 2}, 0, 2, 1, 0)},
		{[]int{87, 70}, 0, labels(1, 87, 6, 11)},  // an embedding: blocks of columns
		{[]int{2, 900, 3}, 1, labels(2, 900, 40)}, // a sparse one: blocks of rows
		{[]int{3, 900}, 1, labels(3, 900, 5)},     // columns of width 1
		{[]int{300, 300}, 0, labels(4, 300, 150)}, // several parts forward
	} {
		t.Run(fmt.Sprint(c.shape, c.axis, c.index.Shape()), func(t *testing.T) {
			index := mustBuf(t, c.index).I64
			axis := (c.axis + len(c.shape)) % len(c.shape)
			rank := len(c.index.Shape())
			out := append(append(append([]int{}, c.shape[:axis]...), c.index.Shape()...), c.shape[axis+1:]...)
			source := func(at []int) []int {
				i := int(index[flat(c.index.Shape(), at[axis:axis+rank])])
				if i < 0 {
					i += c.shape[axis]
				}
				return append(append(append([]int{}, at[:axis]...), i), at[axis+rank:]...)
			}
			x := ramp(c.shape...)
			if len0(c.shape) < 100 {
				checkGrad(t, gatherOf(c.axis), x, c.index)
			}
			y, err := forward(t, tensor.Float32, gatherOf(c.axis), x, c.index)
			if err != nil {
				t.Fatal(err)
			}
			if !sameShape(y.Shape, out) {
				t.Fatalf("shape %v, want %v", y.Shape, out)
			}
			in := []*Buf{mustBuf(t, x), mustBuf(t, c.index)}
			trial := newTrial(t, gatherOf(c.axis), tensor.Float64, in, []int{0})
			got := trial.grads(t, in)[0].F64
			want := make([]float64, len(got)) // added up in the order of the output, as ScatterAdd does
			for i := range len0(out) {
				from := flat(c.shape, source(coordinates(out, i)))
				if v := float64(from) + 0.25; float64(y.F32[i]) != v {
					t.Fatalf("element %v: %v, want %v", coordinates(out, i), y.F32[i], v)
				}
				want[from] += weight(i)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("gradient of element %v: %v, want %v", coordinates(c.shape, i), got[i], want[i])
				}
			}
		})
	}
}

func mustBuf(t *testing.T, v gorgonia.Value) *Buf {
	t.Helper()
	b, err := FromValue(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Integers are gathered too.
func TestGatherIntegers(t *testing.T) {
	y, err := forward(t, tensor.Float32, gatherOf(0), int64s([]int{3, 2}, 1, 2, 3, 4, 5, 6), int64s([]int{2}, 2, -3))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(y.I64); got != "[5 6 1 2]" {
		t.Fatal(got)
	}
}

func TestGatherErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	x, i := newInput(g, tensor.Float32, "x", []int{2, 3}), newInput(g, tensor.Int64, "i", []int{2})
	for name, f := range map[string]func() (*gorgonia.Node, error){
		"an axis beyond":   func() (*gorgonia.Node, error) { return Gather(x, i, 2) },
		"an axis before":   func() (*gorgonia.Node, error) { return Gather(x, i, -3) },
		"a float index":    func() (*gorgonia.Node, error) { return Gather(x, x, 0) },
		"a scalar's index": func() (*gorgonia.Node, error) { return Gather(newInput(g, tensor.Float32, "s", nil), i, 0) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for _, v := range []int64{5, -6, 1 << 62, -1 << 63} {
		_, err := forward(t, tensor.Float32, gatherOf(0), randn(1, 5, 2), int64s([]int{3}, 0, 4, v))
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("index %d, number 2 of 3, is outside of axis 0", v)) {
			t.Errorf("index %d: %v", v, err)
		}
		// The derivative may run without the forward pass before it.
		in := []*Buf{mustBuf(t, randn(1, 5, 2)), mustBuf(t, int64s([]int{3}, 0, 4, v))}
		tr := newTrial(t, gatherOf(0), tensor.Float64, in, []int{0})
		if _, err := interpret(tr.g, tr.in, in, tr.deriv, false); err == nil {
			t.Errorf("the derivative by index %d is computed", v)
		}
	}
}
