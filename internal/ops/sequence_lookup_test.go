package ops

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// A lookupCase is a recurrent network whose input is gathered from a table of rows.
type lookupCase struct {
	recurrentCase
	rows   int
	layout string // of the index and how the rows become (T, N, I): see gatherTo
	hidden bool   // the operator does not see that they are gathered
	tied   bool   // the table and the gathered rows have other readers
}

// inputs returns the table, the index, and the operands of the network but X.
func (c lookupCase) inputs() []*tensor.Dense {
	shape := map[string][]int{"time": {c.t, c.n}, "batch": {c.n, c.t}, "flat": {c.t * c.n}, "unsqueezed": {c.n, 1, c.t}}[c.layout]
	index := labels(11, c.rows, shape...)
	for i, v := range index.Int64s() {
		if i%3 == 1 {
			index.Int64s()[i] = v - int64(c.rows)
		}
	}
	return append([]*tensor.Dense{randn(10, c.rows, c.i), index}, c.recurrentCase.inputs()[1:]...)
}

func (c lookupCase) gatherTo(table, index *gorgonia.Node) (x *gorgonia.Node, err error) {
	if x, err = Gather(table, index, 0); err != nil {
		return nil, err
	}
	switch c.layout {
	case "batch":
		return Transpose(x, []int{1, 0, 2})
	case "flat":
		return Reshape(x, []int{c.t, c.n, c.i})
	case "unsqueezed": // as exporters have it
		if x, err = Transpose(x, []int{2, 0, 1, 3}); err != nil {
			return nil, err
		}
		return Reshape(x, []int{c.t, c.n, c.i})
	}
	return x, nil
}

func (c lookupCase) build(g *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
	x, err := c.gatherTo(in[0], in[1])
	if err != nil {
		return nil, err
	}
	seen := x
	if c.hidden {
		if seen, err = Neg(x); err == nil {
			seen, err = Neg(seen)
		}
		if err != nil {
			return nil, err
		}
	}
	y, err := c.recurrentCase.build(g, append([]*gorgonia.Node{seen}, in[2:]...))
	if err != nil || !c.tied {
		return y, err
	}
	flat := []*gorgonia.Node{y}
	for _, n := range []*gorgonia.Node{in[0], x} {
		if n, err = Mul(n, n); err != nil {
			return nil, err
		}
		if n, err = Reshape(n, []int{len0(n.Shape())}); err != nil {
			return nil, err
		}
		flat = append(flat, n)
	}
	return Concat(0, flat...)
}

// looksUp tells whether an operator of the graph under n looks its input up.
func looksUp(n *gorgonia.Node) bool {
	if o, ok := n.Op().(*sequenceForward); ok && o.table > 0 {
		return true
	}
	for _, c := range childrenOf(n) {
		if looksUp(c) {
			return true
		}
	}
	return false
}

func lookupCases() []lookupCase {
	var cases []lookupCase
	layouts := []string{"batch", "time", "flat", "unsqueezed"}
	for i, c := range recurrentCases() {
		if c.t*c.n >= 4 {
			cases = append(cases, lookupCase{recurrentCase: c, rows: 2 + i%(c.t*c.n/2-1), layout: layouts[i%len(layouts)], tied: i%3 == 0})
		}
	}
	return cases
}

func TestLookupGradients(t *testing.T) {
	for _, c := range lookupCases() {
		t.Run(fmt.Sprint(c.recurrentCase, c.rows, c.layout, c.tied), func(t *testing.T) {
			checkGrad(t, c.build, c.inputs()...)
		})
	}
}

// TestLookupEqualsProduct compares with the network that multiplies every step by W, in double precision: outputs and
// gradients of both agree within rounding.
func TestLookupEqualsProduct(t *testing.T) {
	all := [3]bool{true, true}
	cases := lookupCases()
	for _, op := range []string{"LSTM", "GRU", "RNN"} { // blocks of sequences; blocks of hidden units; long rows
		cases = append(cases,
			lookupCase{recurrentCase: recurrentCase{op: op, t: 3, n: 70, i: 9, h: 70, bias: true, want: all}, rows: 87, layout: "batch"},
			lookupCase{recurrentCase: recurrentCase{op: op, t: 12, n: 70, i: 9, h: 20, bias: true, direction: "bidirectional", want: all, linear: true}, rows: 20, layout: "batch"},
			lookupCase{recurrentCase: recurrentCase{op: op, t: 3, n: 6, i: 5, h: 150, direction: "bidirectional", initial: true, lens: []int64{3, 1, 0, 2, 3, 2}, want: all}, rows: 9, layout: "time", tied: true},
			lookupCase{recurrentCase: recurrentCase{op: op, t: 4, n: 8, i: 300, h: 7, direction: "reverse", bias: true, want: all, linear: true}, rows: 16, layout: "unsqueezed"})
	}
	for _, c := range cases {
		t.Run(fmt.Sprint(c.recurrentCase, c.rows, c.layout, c.tied), func(t *testing.T) {
			var point []*Buf
			var wrt []int
			for i, in := range c.inputs() {
				b, err := FromValue(in)
				if err != nil {
					t.Fatal(err)
				}
				if point = append(point, b); b.F64 != nil {
					wrt = append(wrt, i)
				}
			}
			round32(point)
			plain := c
			plain.hidden = true
			got, want := newTrial(t, c.build, tensor.Float32, point, wrt), newTrial(t, plain.build, tensor.Float64, point, wrt)
			if !looksUp(got.out) || looksUp(want.out) {
				t.Fatalf("the input is looked up: %v, and hidden: %v", looksUp(got.out), looksUp(want.out))
			}
			y, grads := got.eval(t, point, got.out)[0], got.grads(t, point)
			near32(t, "output", y, want.eval(t, point, want.out)[0])
			for k, g := range want.grads(t, point) {
				near32(t, fmt.Sprintf("gradient of input %d", wrt[k]), grads[k], g)
			}
		})
	}
}

// TestLookupWhere lists what is looked up and what is not.
func TestLookupWhere(t *testing.T) {
	c := recurrentCase{op: "LSTM", t: 4, n: 2, i: 3, h: 2, want: [3]bool{true}}
	for _, w := range []struct {
		what string
		rows int
		x    func(table, index *gorgonia.Node) (*gorgonia.Node, error)
		want bool
	}{
		{"each row twice in the mean", 4, func(e, i *gorgonia.Node) (*gorgonia.Node, error) { return Gather(e, i, 0) }, true},
		{"a larger table", 5, func(e, i *gorgonia.Node) (*gorgonia.Node, error) { return Gather(e, i, 0) }, false},
		{"columns of a table", 4, func(e, i *gorgonia.Node) (*gorgonia.Node, error) {
			e, err := Transpose(e, nil)
			if err != nil {
				return nil, err
			}
			x, err := Gather(e, i, 1) // (3, 4, 2)
			if err != nil {
				return nil, err
			}
			return Transpose(x, []int{1, 2, 0})
		}, false},
		{"rows cut anew", 4, func(e, i *gorgonia.Node) (*gorgonia.Node, error) {
			x, err := Gather(e, i, 0)
			if err != nil {
				return nil, err
			}
			if x, err = Reshape(x, []int{3, 4, 2}); err != nil {
				return nil, err
			}
			return Reshape(x, []int{4, 2, 3})
		}, false},
		{"a part of the rows", 4, func(e, i *gorgonia.Node) (*gorgonia.Node, error) {
			twice, err := Concat(0, i, i)
			if err != nil {
				return nil, err
			}
			x, err := Gather(e, twice, 0)
			if err != nil {
				return nil, err
			}
			return Slice(x, []int{2, 0, 0}, nil, []int{4, 2, 3})
		}, false},
		{"rows with dropout", 4, func(e, i *gorgonia.Node) (*gorgonia.Node, error) {
			x, err := Gather(e, i, 0)
			if err != nil {
				return nil, err
			}
			return Dropout(x, 0.5, 1)
		}, false},
	} {
		build := func(g *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
			x, err := w.x(in[0], in[1])
			if err != nil {
				return nil, err
			}
			return c.build(g, append([]*gorgonia.Node{x}, in[2:]...))
		}
		in := append([]*tensor.Dense{randn(1, w.rows, 3), labels(1, w.rows, 4, 2)}, c.inputs()[1:]...)
		var point []*Buf
		for _, v := range in {
			b, err := FromValue(v)
			if err != nil {
				t.Fatal(err)
			}
			point = append(point, b)
		}
		if tr := newTrial(t, build, tensor.Float64, point, nil); looksUp(tr.out) != w.want {
			t.Errorf("%s: looked up: %v", w.what, !w.want)
		}
	}
}

func TestLookupOutside(t *testing.T) {
	c := lookupCase{recurrentCase: recurrentCase{op: "LSTM", t: 3, n: 2, i: 2, h: 2, want: [3]bool{true}}, rows: 3, layout: "batch"}
	for _, v := range []int64{3, -4, math.MinInt64, math.MaxInt64} {
		in := c.inputs()
		in[1].Int64s()[4] = v
		want := fmt.Sprintf("index %d, that of step 1 of sequence 1 of its input, is outside of the table of shape [3 2]", v)
		if _, err := forward(t, tensor.Float32, c.build, in...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("index %d: %v", v, err)
		}
	}
}
