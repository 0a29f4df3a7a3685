package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// Ended returns x, what the loop of that name has computed in a number of rounds, and makes the run an error if running, an int64
// number, is not 0: then the loop goes on for these data.
func Ended(running, x *gorgonia.Node, loop string, rounds int) (*gorgonia.Node, error) {
	if err := needInts("Loop", running); err != nil {
		return nil, err
	}
	if len0(running.Shape()) != 1 {
		return nil, fmt.Errorf("ops: Loop: a condition of shape %v; one number is needed", running.Shape())
	}
	switch x.Dtype() {
	case tensor.Float32:
		return newZip("Loop", x.Dtype(), endedRow(loop, rounds, func(b *Buf) []float32 { return b.F32 }), endedGrad, running, x)
	case tensor.Float64:
		return newZip("Loop", x.Dtype(), endedRow(loop, rounds, func(b *Buf) []float64 { return b.F64 }), endedGrad, running, x)
	}
	return newZip("Loop", x.Dtype(), endedRow(loop, rounds, func(b *Buf) []int64 { return b.I64 }), nil, running, x)
}

func endedRow[T kernels.Elem](loop string, rounds int, of func(*Buf) []T) func(at, n int, x, step [3]int, out *Buf, in []*Buf) error {
	return func(at, n int, x, step [3]int, out *Buf, in []*Buf) error {
		if in[0].I64[x[0]] != 0 {
			return fmt.Errorf("with these data loop %q has not ended after %d rounds; raise --loop-rounds (Options.LoopRounds)", loop, rounds)
		}
		y, a := of(out)[at:at+n], of(in[1])
		for m := range y {
			y[m] = a[x[1]+m*step[1]]
		}
		return nil
	}
}

func endedGrad(_ gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	return gorgonia.Nodes{nil, dy}, nil
}
