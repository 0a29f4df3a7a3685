package onnxload_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// choosing is an If whose condition, whether the sum of x is above 0, the data determine. The then branch takes the logarithm of
// x v, an affine function of it and, in an If of its own, whether the same sum is above 100; the else branch is x u.
func choosing() *onnxpb.ModelProto {
	inner := graph("else_branch", graph("then_branch", node("If", list("high"), list("r")),
		nil, nil, protos{node("Neg", list("l"), list("neg"))}, "neg"),
		nil, list(floats("u", []int64{2, 2}, 1, 2, -1, 0.5)), protos{node("MatMul", list("l", "u"), list("p"))}, "p")
	return model(13, list(input("x", "N", 2)), list(floats("v", []int64{2, 2}, 1, 2, 3, -1), ints("axes", 0, 1), floats("val_0", nil, 0), floats("val_1", nil, 100)), protos{
		node("ReduceSum", list("x", "axes"), list("s"), "keepdims", 0),
		node("Greater", list("s", "val_0"), list("c")),
		node("Greater", list("s", "val_1"), list("high")),
		graph("else_branch", graph("then_branch", node("If", list("c"), list("y")),
			nil, nil, protos{node("MatMul", list("x", "v"), list("m")), node("Log", list("m"), list("l")), inner}, "r"),
			nil, list(floats("u", []int64{2, 2}, 0.5, -0.3, 0.8, 0.2)), protos{node("MatMul", list("x", "u"), list("r"))}, "r"),
	}, "y")
}

// Both branches are computed, and the gradients are those of the branch that is taken alone. The logarithms of the other are of 0 and of
// negative numbers, whose infinities and NaN get neither into the output nor into a gradient, which is 0 to the bit.
func TestIfOfData(t *testing.T) {
	v, u, w := floats("v", []int64{2, 2}, 1, 2, 3, -1), floats("u", []int64{2, 2}, 1, 2, -1, 0.5), floats("w", []int64{2, 2}, 0.5, -0.3, 0.8, 0.2)
	taken := func(x []float64) (*onnxpb.ModelProto, []string) {
		in := list(input("x", "N", 2))
		switch s := x[0] + x[1]; {
		case s > 100:
			return model(13, in, list(v), protos{node("MatMul", list("x", "v"), list("m")), node("Log", list("m"), list("l")), node("Neg", list("l"), list("y"))}, "y"), list("v")
		case s > 0:
			return model(13, in, list(v, u), protos{node("MatMul", list("x", "v"), list("m")), node("Log", list("m"), list("l")), node("MatMul", list("l", "u"), list("y"))}, "y"),
				list("v", "n_y.then_branch/n_r.else_branch/u")
		}
		return model(13, in, list(w), protos{node("MatMul", list("x", "w"), list("y"))}, "y"), list("n_y.else_branch/u")
	}
	for _, x := range [][]float64{{2, 0.5}, {200, 7}, {0, 0}, {-1, -3}, {3, -5}} {
		plain, names := taken(x)
		for _, training := range []bool{false, true} {
			net := build(t, choosing(), 1, onnxload.Options{Dtype: tensor.Float64, Training: training})
			alone := build(t, plain, 1, onnxload.Options{Dtype: tensor.Float64})
			got := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: x}, net.Outputs...)[0]
			want := run(t, alone, map[*gorgonia.Node]any{alone.Inputs[0]: x}, alone.Outputs...)[0]
			if !slices.Equal(got, want) {
				t.Errorf("%v: %v, the branch alone %v", x, got, want)
			}
			loss, grads := gradients(t, net, x, []int64{1})
			lossAlone, gradsAlone := gradients(t, alone, x, []int64{1})
			if loss != lossAlone || len(net.Params) != 3 {
				t.Errorf("%v: loss %v, alone %v; %d parameters", x, loss, lossAlone, len(net.Params))
			}
			for k, p := range net.Params {
				want := make([]float64, 4)
				if i := slices.Index(names, p.Name); i >= 0 {
					want = gradsAlone[i]
				}
				if !slices.Equal(grads[k], want) {
					t.Errorf("%v: gradient of %q %v, alone %v", x, p.Name, grads[k], want)
				}
			}
		}
	}
}

// Weights inside the branches are trained and written, each to its branch.
func TestIfOfDataRoundTrip(t *testing.T) {
	net := build(t, choosing(), 1, onnxload.Options{Dtype: tensor.Float64, Training: true})
	weights := trained(net.Weights())
	again := must(must(onnxload.Parse(must(net.Export(weights, nil, onnxload.ExportOptions{})))).Build(1, onnxload.Options{}))
	if !slices.Equal(again.Weights(), weights) {
		t.Errorf("%v in the file, %v trained", again.Weights(), weights)
	}
}

func TestIfOfDataErrors(t *testing.T) {
	in := list(input("x", 2, 2))
	compare := node("Greater", list("sum", "zero"), list("c"))
	sum := node("ReduceSum", list("x"), list("sum"), "keepdims", 0)
	inits := func() []*onnxpb.TensorProto {
		l := list(floats("zero", nil, 0))
		for _, n := range []string{"s", "b", "m", "v"} {
			l = append(l, floats(n, []int64{2}))
		}
		return l
	}
	If := func(cond string, then, els *onnxpb.NodeProto) *onnxpb.NodeProto {
		n := node("If", list(cond), list("y"))
		for k, b := range list(then, els) {
			var body protos
			var out []string
			if b != nil {
				body, out = protos{b}, list("r")
			}
			graph([]string{"then_branch", "else_branch"}[k], n, nil, nil, body, out...)
		}
		return n
	}
	neg := func() *onnxpb.NodeProto { return node("Neg", list("x"), list("r")) }
	for name, c := range map[string]struct {
		n    *onnxpb.NodeProto
		want string
	}{
		"shapes":    {If("c", neg(), node("Flatten", list("x"), list("r"), "axis", 0)), "one type and shape are needed"},
		"types":     {If("c", neg(), node("Cast", list("x"), list("r"), "to", 7)), "INT64"},
		"no output": {If("c", nil, neg()), "branches have 0 and 1 outputs"},
		"neither":   {If("c", nil, nil), "its body has 0 outputs"},
		"condition": {If("x", neg(), neg()), "one BOOL is needed"},
		"unknown":   {If("c", node("Frobnicate", list("x"), list("r")), neg()), `inside then_branch: node "n_r" (Frobnicate)`},
		"captured":  {If("c", node("Neg", list("later"), list("r")), neg()), `"later"`},
		"sequence":  {If("c", node("SequenceConstruct", list("x"), list("r")), neg()), "a sequence"},
		"statistics": {If("c", node("BatchNormalization", list("x", "s", "b", "m", "v"), list("r")), neg()),
			"would measure statistics"},
	} {
		_, err := onnxload.Parse(marshal(model(13, in, inits(), protos{sum, compare, c.n}, "y")))
		if err == nil {
			err = buildError(t, model(13, in, inits(), protos{sum, compare, c.n}, "y"), 2, onnxload.Options{Training: true})
		}
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "n_y") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	// With the statistics of the file, the same BatchNormalization is an affine function.
	norm := If("c", node("BatchNormalization", list("x", "s", "b", "m", "v"), list("r")), neg())
	got := eval(t, model(13, in, inits(), protos{sum, compare, norm}, "y"), 2, 1, 2, 3, 4)[0]
	if len(got) != 4 || math.IsNaN(got[0]) || slices.Equal(got, []float64{-1, -2, -3, -4}) {
		t.Error(got)
	}
}

// doubling is h <- h w for as long as the sum of h is below limit, but six times at the most. Its scan output is the state.
func doubling(limit float32, outputs ...string) *onnxpb.ModelProto {
	rounds := &onnxpb.TensorProto{Name: proto.String("rounds"), DataType: proto.Int32(7), Int64Data: list(int64(6))}
	return model(13, list(input("x", "N", 2)), list(rounds, floats("w", []int64{2, 2}, 1.2, 0.3, 0.4, 1.5), floats("val_0", nil, limit), ints("axes", 0, 1)), protos{
		node("ReduceSum", list("x", "axes"), list("s"), "keepdims", 0), node("Less", list("s", "val_0"), list("c")),
		graph("body", node("Loop", list("rounds", "c", "x"), list("y", "all")), list(input("i"), input("c_in"), input("h", "N", 2)), nil, protos{
			node("MatMul", list("h", "w"), list("m")),
			node("ReduceSum", list("m", "axes"), list("t"), "keepdims", 0), node("Less", list("t", "val_0"), list("c_out")),
			node("Identity", list("m"), list("copy")),
		}, "c_out", "m", "copy"),
	}, outputs...)
}

// A loop that the data end gives what as many rounds give, and their gradients.
func TestBoundedLoopOfData(t *testing.T) {
	for _, x := range [][]float64{{0.2, 0.1}, {1, 1}, {3, 4}, {-1, -1}} {
		rounds := 0
		h := slices.Clone(x)
		for ; rounds < 6 && h[0]+h[1] < 5; rounds++ {
			h = []float64{1.2*h[0] + 0.4*h[1], 0.3*h[0] + 1.5*h[1]}
		}
		var nodes protos
		last := "x"
		for k := range rounds {
			next := "h" + string(rune('1'+k))
			nodes, last = append(nodes, node("MatMul", list(last, "w"), list(next))), next
		}
		nodes = append(nodes, node("Identity", list(last), list("y")))
		o := onnxload.Options{Dtype: tensor.Float64, Training: true}
		loop, plain := build(t, doubling(5, "y"), 1, o), build(t, model(13, list(input("x", "N", 2)), list(floats("w", []int64{2, 2}, 1.2, 0.3, 0.4, 1.5)), nodes, "y"), 1, o)
		lossA, gradA := gradients(t, loop, x, []int64{1})
		if rounds == 0 {
			if len(gradA) != 1 || !slices.Equal(gradA[0], make([]float64, 4)) {
				t.Errorf("%v: gradient %v of a loop that does not run", x, gradA)
			}
			continue
		}
		lossB, gradB := gradients(t, plain, x, []int64{1})
		if lossA != lossB || !slices.EqualFunc(gradA[0], gradB[0], func(a, b float64) bool { return near(a, b, 1e-14) }) {
			t.Errorf("%v, %d rounds: loss %v and gradient %v, as plain nodes %v and %v", x, rounds, lossA, gradA, lossB, gradB)
		}
	}
}

func TestBoundedLoopOfDataErrors(t *testing.T) {
	if err := buildError(t, doubling(5, "y", "all"), 1, onnxload.Options{}); !strings.Contains(err.Error(), "decide how many rounds") {
		t.Error(err)
	}
	for _, many := range []int64{1 << 14, math.MaxInt64} {
		m := doubling(5, "y")
		m.Graph.Initializer[0].Int64Data[0] = many
		if err := buildError(t, m, 1, onnxload.Options{}); !strings.Contains(err.Error(), "does not bound the rounds") {
			t.Error(err)
		}
	}
	if err := buildError(t, unbounded(), 1, onnxload.Options{}); !strings.Contains(err.Error(), "--loop-rounds") {
		t.Error(err)
	}
	if err := buildError(t, unbounded(), 1, onnxload.Options{LoopRounds: 1 << 14}); !strings.Contains(err.Error(), "does not bound the rounds") {
		t.Error(err)
	}
}

// unbounded is doubling without a number of rounds, which also counts the rounds.
func unbounded() *onnxpb.ModelProto {
	m := doubling(5, "y", "count")
	loop := m.Graph.Node[2]
	loop.Input[0] = ""
	loop.Input, loop.Output = append(loop.Input, "zero"), list("y", "count")
	m.Graph.Initializer = append(m.Graph.Initializer, ints("zero", 0), ints("one", 1))
	body := loop.Attribute[0].G
	body.Input = append(body.Input, input("n", 1))
	body.Node = append(body.Node, node("Add", list("n", "one"), list("n_out")))
	body.Output = append(body.Output[:2], input("n_out", 1))
	return m
}

// A loop that nothing but the data ends takes as many rounds as they say, up to those that are asked for; to go on behind them is an error.
func TestLoopRounds(t *testing.T) {
	w := wide([]float32{1.2, 0.3, 0.4, 1.5})
	for _, x := range [][]float64{{3, 4}, {1, 1}, {0.2, 0.1}} {
		rounds := 0
		h := slices.Clone(x)
		for ; h[0]+h[1] < 5; rounds++ {
			h = []float64{w[0]*h[0] + w[2]*h[1], w[1]*h[0] + w[3]*h[1]}
		}
		for _, most := range []int{rounds + 3, rounds + 1, rounds} {
			if most == 0 {
				continue
			}
			net := build(t, unbounded(), 1, onnxload.Options{Dtype: tensor.Float64, LoopRounds: most})
			got := run(t, net, map[*gorgonia.Node]any{net.Inputs[0]: x}, net.Outputs...)
			if !near(got[0][0], h[0], 1e-14) || !near(got[0][1], h[1], 1e-14) || got[1][0] != float64(rounds) {
				t.Errorf("%v, at most %d rounds: %v, want %v after %d", x, most, got, h, rounds)
			}
			bounded := build(t, doubling(5, "y"), 1, onnxload.Options{Dtype: tensor.Float64, Training: true})
			net = build(t, unbounded(), 1, onnxload.Options{Dtype: tensor.Float64, Training: true, LoopRounds: most, Output: "y"})
			lossA, gradA := gradients(t, net, x, []int64{1})
			if rounds > 6 {
				continue
			}
			if lossB, gradB := gradients(t, bounded, x, []int64{1}); lossA != lossB || !slices.Equal(gradA[0], gradB[0]) {
				t.Errorf("%v, at most %d rounds: loss %v and gradient %v, with a bound in the file %v and %v", x, most, lossA, gradA, lossB, gradB)
			}
		}
		if rounds > 1 {
			net := build(t, unbounded(), 1, onnxload.Options{Dtype: tensor.Float64, LoopRounds: rounds - 1})
			if _, err := tryRun(t, net, map[*gorgonia.Node]any{net.Inputs[0]: x}, net.Outputs...); err == nil || !strings.Contains(err.Error(), "has not ended after") {
				t.Error(err)
			}
		}
	}
}
