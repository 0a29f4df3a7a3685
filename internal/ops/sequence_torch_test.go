package ops

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// TestRecurrentTorch compares with what testdata/record_sequence.py recorded of PyTorch's modules, in float64.
func TestRecurrentTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/sequence.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Cases []struct {
			Op, Direction string
			Lens          []int64
			Relu          bool
			Inputs, Grads []*recorded
			Outputs       *recorded
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 10 {
		t.Errorf("%d cases are recorded", len(file.Cases))
	}
	for i, c := range file.Cases {
		t.Run(fmt.Sprint(i, c.Op, c.Direction, c.Lens), func(t *testing.T) {
			net := recurrentCase{op: c.Op, direction: c.Direction, bias: true, initial: true, lens: c.Lens,
				want: [3]bool{true, true, c.Op == "LSTM"}, linear: true}
			if c.Relu {
				net.acts = clipped(0, slices.Repeat([]kernels.ActivationKind{kernels.ActRelu}, net.directions())...)
			}
			var point []*Buf
			var wrt []int
			for k, r := range c.Inputs {
				point = append(point, r.buf())
				wrt = append(wrt, k)
			}
			if c.Lens != nil {
				point = append(point, &Buf{Shape: []int{len(c.Lens)}, I64: c.Lens})
			}
			build := func(g *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
				y, err := net.build(g, in)
				if err != nil {
					return nil, err
				}
				return apply(&reweigh{base{name: "reweigh", out: y.Shape()}}, y)
			}
			tr := newTrial(t, build, tensor.Float64, point, wrt)
			compare(t, "outputs", tr.eval(t, point, operand(tr.out))[0], c.Outputs)
			for k, g := range tr.grads(t, point) {
				compare(t, fmt.Sprint("gradient of input ", k), g, c.Grads[k])
			}
		})
	}
}
