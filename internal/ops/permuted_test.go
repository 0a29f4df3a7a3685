package ops

import (
	"fmt"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// permutedNet is the end of a network over sequences: rows are brought into another order, multiplied by w, and get a
// bias; ends as the loss if there are targets.
func permutedNet(perm []int, hidden bool) builder {
	return func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		y, err := Transpose(in[0], perm)
		if err == nil && hidden {
			if y, err = Neg(y); err == nil {
				y, err = Neg(y)
			}
		}
		if err != nil {
			return nil, err
		}
		if y, err = MatMul(y, in[1]); err != nil {
			return nil, err
		}
		if y, err = Add(y, in[2]); err != nil || len(in) == 3 {
			return y, err
		}
		return SmoothCrossEntropy(y, in[3], nil, 0.1)
	}
}

// The order of rows changes nothing but the sums over them.
func TestPermutedRows(t *testing.T) {
	for _, c := range []struct {
		shape, perm []int
		columns     int
		moved       bool // the transposition is behind
	}{
		{[]int{4, 3, 5}, []int{1, 0, 2}, 5, true},
		{[]int{4, 3, 5}, []int{1, 0, 2}, 2, true},
		{[]int{4, 3, 5}, []int{1, 0, 2}, 6, false}, // longer rows
		{[]int{4, 3, 5}, []int{2, 0, 1}, 3, false}, // rows of other elements
		{[]int{2, 3, 4, 5}, []int{2, 0, 1, 3}, 4, true},
	} {
		t.Run(fmt.Sprint(c.shape, c.perm, c.columns), func(t *testing.T) {
			rows := make([]int, len(c.perm))
			for i, p := range c.perm {
				rows[i] = c.shape[p]
			}
			last := len(rows) - 1
			in := []*tensor.Dense{randn(1, c.shape...), randn(2, rows[last], c.columns), randn(3, c.columns)}
			checkGrad(t, permutedNet(c.perm, false), in...)
			got, err := forward(t, tensor.Float32, permutedNet(c.perm, false), in...)
			if err != nil {
				t.Fatal(err)
			}
			want, err := forward(t, tensor.Float32, permutedNet(c.perm, true), in...)
			if err != nil {
				t.Fatal(err)
			}
			if !sameShape(got.Shape, want.Shape) || !sameBits(got, want) {
				t.Error("other values than of moved rows")
			}

			// With the loss, no row is moved.
			in = append(in, labels(4, c.columns, rows[:last]...))
			checkGrad(t, permutedNet(c.perm, false), in...)
			var losses [2]*Buf
			for i, hidden := range []bool{false, true} {
				if losses[i], err = forward(t, tensor.Float64, permutedNet(c.perm, hidden), in...); err != nil {
					t.Fatal(err)
				}
			}
			if d := losses[0].F64[0] - losses[1].F64[0]; d > 1e-14 || d < -1e-14 {
				t.Errorf("loss %v, of moved rows %v", losses[0].F64, losses[1].F64)
			}
			var point []*Buf
			for _, v := range in {
				b, err := FromValue(v)
				if err != nil {
					t.Fatal(err)
				}
				point = append(point, b)
			}
			tr := newTrial(t, permutedNet(c.perm, false), tensor.Float64, point, nil)
			if moves := movesFloats(tr.out); moves == c.moved {
				t.Errorf("rows are moved: %v", moves)
			}
			in[3].Int64s()[1] = int64(c.columns)
			_, err = forward(t, tensor.Float64, permutedNet(c.perm, false), in...)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("position 1 has the label %d", c.columns)) {
				t.Errorf("label %d at position 1: %v", c.columns, err)
			}
		})
	}
}

// movesFloats tells whether a Transpose of floats is among what n depends on.
func movesFloats(n *gorgonia.Node) bool {
	if o, ok := n.Op().(*region); ok && o.perm != nil && isFloat(o.dt) {
		return true
	}
	for _, c := range childrenOf(n) {
		if movesFloats(c) {
			return true
		}
	}
	return false
}
