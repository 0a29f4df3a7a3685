package ops

import (
	"fmt"
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// ramp returns 0.25, 1.25, 2.25, ...: every element tells where it came from.
func ramp(shape ...int) *tensor.Dense {
	return fill(func(i int) float64 { return float64(i) + 0.25 }, shape...)
}

// coordinates returns the index along every axis of flat index i.
func coordinates(shape []int, i int) []int {
	at := make([]int, len(shape))
	for k := len(shape) - 1; k >= 0; k-- {
		at[k] = i % shape[k]
		i /= shape[k]
	}
	return at
}

func flat(shape, at []int) int {
	i := 0
	for k, n := range shape {
		i = i*n + at[k]
	}
	return i
}

// checkCopy checks values and derivative of an operator that puts element source(at) of the only operand at
// coordinates at, or value if source returns nil; the shape must be out.
func checkCopy(t *testing.T, build builder, shape, out []int, value float64, source func(at []int) []int) {
	t.Helper()
	x := ramp(shape...)
	if n := len0(shape); n > 0 && n < 200 {
		checkGrad(t, build, x)
	}
	y, err := forward(t, tensor.Float32, build, x)
	if err != nil {
		t.Fatal(err)
	}
	if !sameShape(y.Shape, out) {
		t.Fatalf("shape %v, want %v", y.Shape, out)
	}
	for i := range len0(out) {
		want := value
		if from := source(coordinates(out, i)); from != nil {
			want = float64(flat(shape, from)) + 0.25
		}
		if float64(y.F32[i]) != want {
			t.Fatalf("element %v: %v, want %v", coordinates(out, i), y.F32[i], want)
		}
	}
	// The derivative at any size: every element of dx is the sum of the weights of its copies.
	in := []*Buf{{Shape: shape, F64: x.Float64s()}}
	tr := newTrial(t, build, tensor.Float64, in, []int{0})
	want := make([]float64, len0(shape))
	for i := range len0(out) {
		if from := source(coordinates(out, i)); from != nil {
			want[flat(shape, from)] += weight(i)
		}
	}
	for i, v := range tr.grads(t, in)[0].F64 {
		if math.Abs(v-want[i]) > 1e-10*(1+math.Abs(want[i])) {
			t.Fatalf("derivative of element %v: %v, want %v", coordinates(shape, i), v, want[i])
		}
	}
}

func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{{}}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for i := range n {
			q := append(append(append([]int{}, p[:i]...), n-1), p[i:]...)
			all = append(all, q)
		}
	}
	return all
}

func TestTranspose(t *testing.T) {
	check := func(shape, perm []int) {
		t.Run(fmt.Sprintf("%v/%v", shape, perm), func(t *testing.T) {
			out := make([]int, len(perm))
			for i, p := range perm {
				out[i] = shape[p]
			}
			build := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Transpose(x, perm) })
			checkCopy(t, build, shape, out, 0, func(at []int) []int {
				from := make([]int, len(at))
				for i, p := range perm {
					from[p] = at[i]
				}
				return from
			})
		})
	}
	for _, shape := range [][]int{{5}, {3, 4}, {2, 3, 4}, {1, 4, 3}, {2, 3, 1, 4}} {
		for _, p := range permutations(len(shape)) {
			check(shape, p)
		}
	}
	check([]int{211, 190}, []int{1, 0})
	check([]int{3, 101, 67}, []int{0, 2, 1})
	check([]int{7, 13, 5, 6, 4}, []int{3, 1, 4, 0, 2})
	check([]int{2000, 3, 3}, []int{0, 2, 1})
	check([]int{40000, 2}, []int{1, 0})
	check([]int{2, 40000}, []int{1, 0})
}

func TestSlice(t *testing.T) {
	for _, c := range []struct{ shape, starts, steps, sizes []int }{
		{[]int{7}, []int{2}, nil, []int{3}},
		{[]int{7}, []int{6}, []int{-1}, []int{7}},
		{[]int{7}, []int{5}, []int{-2}, []int{3}},
		{[]int{7}, []int{1}, []int{3}, []int{2}},
		{[]int{4, 5}, []int{1, 0}, nil, []int{2, 5}}, // a view
		{[]int{4, 5}, []int{0, 1}, nil, []int{4, 3}},
		{[]int{4, 5}, []int{3, 4}, []int{-1, -2}, []int{4, 3}},
		{[]int{2, 3, 4}, []int{1, 2, 0}, []int{1, -1, 2}, []int{1, 3, 2}},
		{[]int{2, 3, 4}, []int{1, 1, 1}, nil, []int{1, 1, 1}},
		{[]int{300, 200}, []int{299, 1}, []int{-2, 3}, []int{150, 66}},
		{[]int{}, []int{}, nil, []int{}},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			build := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Slice(x, c.starts, c.steps, c.sizes) })
			if len(c.shape) == 0 {
				checkGrad(t, build, ramp())
				return
			}
			checkCopy(t, build, c.shape, c.sizes, 0, func(at []int) []int {
				from := make([]int, len(at))
				for k, i := range at {
					step := 1
					if c.steps != nil {
						step = c.steps[k]
					}
					from[k] = c.starts[k] + i*step
				}
				return from
			})
		})
	}
}

func TestExpand(t *testing.T) {
	for _, c := range []struct{ shape, out []int }{
		{[]int{3}, []int{2, 3}}, {[]int{3, 1}, []int{3, 4}}, {[]int{1}, []int{5}}, {[]int{2, 1, 3}, []int{2, 4, 3}},
		{[]int{1, 3, 1}, []int{2, 3, 2}}, {[]int{2, 3}, []int{1, 2, 3}}, {[]int{2, 1}, []int{3, 2, 40000}},
	} {
		build := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Expand(x, c.out) })
		checkCopy(t, build, c.shape, c.out, 0, func(at []int) []int {
			return coordinates(c.shape, index(c.shape, c.out, flat(c.out, at)))
		})
	}
	checkGrad(t, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Expand(x, []int{2, 3}) }), ramp())
}

func TestPad(t *testing.T) {
	for _, c := range []struct{ shape, pads []int }{
		{[]int{4}, []int{2, 3}}, {[]int{4}, []int{0, 0}}, {[]int{3, 4}, []int{1, 2, 0, 3}}, {[]int{2, 3, 4, 3}, []int{0, 0, 1, 2, 0, 0, 2, 1}},
		{[]int{4}, []int{-1, 2}}, {[]int{3, 4}, []int{-1, 2, 1, -3}}, {[]int{5}, []int{-2, 2}}, {[]int{3}, []int{-4, 4}},
		{[]int{3, 130, 127}, []int{0, 3, 3, 0, 3, 3}},
	} {
		for _, mode := range []string{"constant", "reflect", "edge", "wrap"} {
			t.Run(fmt.Sprintf("%v/%v/%s", c.shape, c.pads, mode), func(t *testing.T) {
				rank := len(c.shape)
				out := make([]int, rank)
				for k, n := range c.shape {
					out[k] = n + c.pads[k] + c.pads[rank+k]
				}
				build := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Pad(x, c.pads, -7.5, mode) })
				negative := false
				for _, p := range c.pads {
					negative = negative || p < 0
				}
				if negative && mode != "constant" {
					if _, err := forward(t, tensor.Float32, build, ramp(c.shape...)); err == nil {
						t.Errorf("negative pads are accepted")
					}
					return
				}
				checkCopy(t, build, c.shape, out, -7.5, func(at []int) []int {
					from := make([]int, rank)
					for k, i := range at {
						i -= c.pads[k]
						n := c.shape[k]
						for mode == "reflect" && (i < 0 || i >= n) {
							if i < 0 {
								i = -i
							} else {
								i = 2*n - 2 - i
							}
						}
						if mode == "edge" {
							i = min(max(i, 0), n-1)
						}
						for mode == "wrap" && i < 0 {
							i += n
						}
						if mode == "wrap" && i >= n {
							i -= n * (i / n)
						}
						if i < 0 || i >= n {
							return nil
						}
						from[k] = i
					}
					return from
				})
			})
		}
	}
}

func TestConcat(t *testing.T) {
	for _, c := range []struct {
		axis   int
		shapes [][]int
	}{
		{0, [][]int{{3}}}, {0, [][]int{{3}, {2}, {4}}}, {1, [][]int{{2, 3}, {2, 1}}}, {-1, [][]int{{2, 3}, {2, 1}}}, {0, [][]int{{2, 3}, {1, 3}}},
		{1, [][]int{{2, 1, 3}, {2, 4, 3}, {2, 2, 3}}}, {2, [][]int{{2, 2, 3}, {2, 2, 2}, {2, 2, 1}}}, {1, [][]int{{100, 190}, {100, 333}}},
	} {
		t.Run(fmt.Sprint(c.axis, c.shapes), func(t *testing.T) {
			build := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) { return Concat(c.axis, in...) }
			var xs []*tensor.Dense
			small := true
			for i, s := range c.shapes {
				xs = append(xs, randn(uint64(i), s...))
				small = small && len0(s) > 0 && len0(s) < 1000
			}
			if small {
				checkGrad(t, build, xs...)
			}
			axis := c.axis
			if axis < 0 {
				axis += len(c.shapes[0])
			}
			out := append([]int{}, c.shapes[0]...)
			for _, s := range c.shapes[1:] {
				out[axis] += s[axis]
			}
			checkValues(t, build, func(i int) float64 {
				at := coordinates(out, i)
				for k, s := range c.shapes {
					if at[axis] < s[axis] {
						return xs[k].Float64s()[flat(s, at)]
					}
					at[axis] -= s[axis]
				}
				return math.NaN()
			}, xs...)
		})
	}
	// One node twice.
	checkGrad(t, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Concat(0, x, x) }), randn(1, 2, 3))
}

func TestTake(t *testing.T) {
	for _, c := range []struct {
		shape []int
		axis  int
		index []int
	}{
		{[]int{5}, 0, []int{4, 0, 0, 2}}, {[]int{3, 4}, 0, []int{2, 2}}, {[]int{3, 4}, -1, []int{3, 1}}, {[]int{2, 3, 2}, 1, []int{0, 2, 1, 0}},
		{[]int{90, 300}, 1, []int{7, 299, 7, 0, 30}},
	} {
		axis := c.axis
		if axis < 0 {
			axis += len(c.shape)
		}
		out := append([]int{}, c.shape...)
		out[axis] = len(c.index)
		build := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Take(x, c.axis, c.index) })
		checkCopy(t, build, c.shape, out, 0, func(at []int) []int {
			at[axis] = c.index[at[axis]]
			return at
		})
	}
}

func TestReshape(t *testing.T) {
	for _, c := range []struct{ from, to []int }{{[]int{6}, []int{2, 3}}, {[]int{2, 3}, []int{3, 2}}, {[]int{1, 1}, []int{}}, {[]int{}, []int{1}}, {[]int{2, 1, 3}, []int{6}}} {
		checkGrad(t, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Reshape(x, c.to) }), randn(1, c.from...))
	}
	// A range, as BatchNorm takes of packed results.
	checkGrad(t, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return viewOf(x, 2, tensor.Shape{3}) }), randn(1, 2, 3))
}

// TestViews lists what costs nothing to run.
func TestViews(t *testing.T) {
	for name, f := range map[string]func(x *gorgonia.Node) (*gorgonia.Node, error){
		"Reshape":                 func(x *gorgonia.Node) (*gorgonia.Node, error) { return Reshape(x, []int{3, 8}) },
		"Slice of the first axis": func(x *gorgonia.Node) (*gorgonia.Node, error) { return Slice(x, []int{1, 0, 0}, nil, []int{1, 3, 4}) },
		"Transpose around 1s": func(x *gorgonia.Node) (*gorgonia.Node, error) {
			y, err := Reshape(x, []int{1, 6, 4})
			if err != nil {
				return nil, err
			}
			return Transpose(y, []int{1, 0, 2})
		},
	} {
		y, err := f(newInput(gorgonia.NewGraph(), tensor.Float32, "x", []int{2, 3, 4}))
		if err != nil {
			t.Fatal(name, err)
		}
		if _, ok := y.Op().(Viewer); !ok {
			t.Errorf("%s is not a view", name)
		}
	}
}

// TestIntegers moves labels about.
func TestIntegers(t *testing.T) {
	x := labels(1, 100, 4, 3)
	build := of1(func(x *gorgonia.Node) (*gorgonia.Node, error) {
		y, err := Transpose(x, nil)
		if err != nil {
			return nil, err
		}
		if y, err = Concat(1, y, y); err != nil {
			return nil, err
		}
		if y, err = Take(y, 0, []int{2, 0}); err != nil {
			return nil, err
		}
		return Pad(y, []int{0, 1, 0, 0}, 5, "constant")
	})
	b, err := forward(t, tensor.Float32, build, x)
	if err != nil {
		t.Fatal(err)
	}
	v := x.Data().([]int64)
	for i, got := range b.I64 {
		row, column := []int{2, 0}[i/9], i%9
		want := int64(5)
		if column > 0 {
			want = v[(column-1)%4*3+row]
		}
		if got != want {
			t.Fatalf("element %d: %d, want %d", i, got, want)
		}
	}
}

func TestShapeErrors(t *testing.T) {
	g := gorgonia.NewGraph()
	x := newInput(g, tensor.Float32, "x", []int{2, 3})
	y := newInput(g, tensor.Float32, "y", []int{3, 3})
	for name, f := range map[string]func() (*gorgonia.Node, error){
		"Reshape to another size": func() (*gorgonia.Node, error) { return Reshape(x, []int{4}) },
		"a negative size":         func() (*gorgonia.Node, error) { return Reshape(x, []int{-2, -3}) },
		"a shape that overflows":  func() (*gorgonia.Node, error) { return Expand(x, []int{1 << 40, 1 << 40, 2, 3}) },
		"a short perm":            func() (*gorgonia.Node, error) { return Transpose(x, []int{0}) },
		"a repeated perm":         func() (*gorgonia.Node, error) { return Transpose(x, []int{0, 0}) },
		"Slice beyond the end":    func() (*gorgonia.Node, error) { return Slice(x, []int{0, 1}, nil, []int{2, 3}) },
		"Slice before the start":  func() (*gorgonia.Node, error) { return Slice(x, []int{0, 1}, []int{1, -1}, []int{2, 3}) },
		"Slice by 0":              func() (*gorgonia.Node, error) { return Slice(x, []int{0, 0}, []int{1, 0}, []int{2, 3}) },
		"Slice of fewer axes":     func() (*gorgonia.Node, error) { return Slice(x, []int{0}, nil, []int{2}) },
		"Expand to fewer":         func() (*gorgonia.Node, error) { return Expand(x, []int{2, 1}) },
		"Expand to others":        func() (*gorgonia.Node, error) { return Expand(x, []int{2, 4}) },
		"Concat of others":        func() (*gorgonia.Node, error) { return Concat(1, x, y) },
		"Concat beyond":           func() (*gorgonia.Node, error) { return Concat(2, x, x) },
		"Concat of nothing":       func() (*gorgonia.Node, error) { return Concat(0) },
		"Take beyond":             func() (*gorgonia.Node, error) { return Take(x, 0, []int{2}) },
		"Pad of fewer axes":       func() (*gorgonia.Node, error) { return Pad(x, []int{1, 1}, 0, "constant") },
		"Pad in another mode":     func() (*gorgonia.Node, error) { return Pad(x, []int{1, 1, 1, 1}, 0, "mirror") },
		"a mirror too far":        func() (*gorgonia.Node, error) { return Pad(x, []int{2, 0, 0, 0}, 0, "reflect") },
		"a crop too far":          func() (*gorgonia.Node, error) { return Pad(x, []int{-2, 0, -1, 0}, 0, "constant") },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// TestEmpty runs operators on tensors without elements, which gorgonia's tensors cannot hold: only the kernels
// and the machine see them.
func TestEmpty(t *testing.T) {
	g := gorgonia.NewGraph()
	full := newInput(g, tensor.Float32, "full", []int{2, 3, 2})
	x := newInput(g, tensor.Float32, "x", []int{0, 3, 2})
	v := newInput(g, tensor.Float32, "v", []int{3})
	l := newInput(g, tensor.Int64, "l", []int{0, 2})
	for name, f := range map[string]func() (*gorgonia.Node, error){
		"Relu":           func() (*gorgonia.Node, error) { return Relu(x) },
		"Add":            func() (*gorgonia.Node, error) { return Add(x, x) },
		"Mul":            func() (*gorgonia.Node, error) { return Mul(x, newInput(g, tensor.Float32, "s", nil)) },
		"Transpose":      func() (*gorgonia.Node, error) { return Transpose(x, nil) },
		"Pad":            func() (*gorgonia.Node, error) { return Pad(x, []int{1, 0, 0, 0, 0, 0}, 3, "constant") },
		"Concat":         func() (*gorgonia.Node, error) { return Concat(0, x, x) },
		"Softmax":        func() (*gorgonia.Node, error) { return Softmax(x, 1) },
		"Softmax of 0":   func() (*gorgonia.Node, error) { return Softmax(x, 0) },
		"LogSoftmax":     func() (*gorgonia.Node, error) { return LogSoftmax(x, 2) },
		"ReduceSum":      func() (*gorgonia.Node, error) { return ReduceSum(x, []int{0}, false) },
		"ReduceMean":     func() (*gorgonia.Node, error) { return ReduceMean(x, nil, false) },
		"ReduceSum of 1": func() (*gorgonia.Node, error) { return ReduceSum(x, []int{1}, false) },
		"BatchNorm":      func() (*gorgonia.Node, error) { return BatchNorm(x, v, v, v, v, 1) },
		"BatchNormTrain": func() (*gorgonia.Node, error) { y, _, err := BatchNormTrain(x, v, v, 1); return y, err },
		"NormRelu": func() (*gorgonia.Node, error) {
			z, _, err := BatchNormTrain(x, v, v, 1)
			if err == nil {
				z, _, err = NormRelu(z)
			}
			return z, err
		},
		"Dropout":        func() (*gorgonia.Node, error) { return Dropout(x, 0.5, 0) },
		"Expand":         func() (*gorgonia.Node, error) { return Expand(v, []int{0, 3}) },
		"Take":           func() (*gorgonia.Node, error) { return Take(x, 1, []int{0}) },
		"CrossEntropy":   func() (*gorgonia.Node, error) { return CrossEntropy(x, l) },
		"MSE":            func() (*gorgonia.Node, error) { return MSE(x, x, nil) },
		"Slice":          func() (*gorgonia.Node, error) { return Slice(full, []int{0, 3, 0}, nil, []int{2, 0, 2}) },
		"Pad to 0":       func() (*gorgonia.Node, error) { return Pad(full, []int{-1, 0, 0, -1, 0, 0}, 1, "") },
		"Gather":         func() (*gorgonia.Node, error) { return Gather(x, newInput(g, tensor.Int64, "i", []int{2}), 1) },
		"Gather of 0":    func() (*gorgonia.Node, error) { return Gather(full, l, 1) },
		"Take of 0":      func() (*gorgonia.Node, error) { return Take(full, 1, nil) },
		"Concat to full": func() (*gorgonia.Node, error) { return Concat(0, full, x) },
	} {
		y, err := f()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		loss, err := apply(&weigh{base: base{name: "weigh"}}, y)
		if err != nil {
			t.Fatal(err)
		}
		var wrt gorgonia.Nodes
		for it := g.From(y.ID()); it.Next(); {
			if n := it.Node().(*gorgonia.Node); isFloat(n.Dtype()) && n.Op() == nil {
				wrt = append(wrt, n)
			}
		}
		grads, err := gorgonia.Grad(loss, wrt[:1]...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		runEmpty(t, name, append(grads, y)...)
	}
}

// runEmpty runs nodes and what they depend on, every input being zero.
func runEmpty(t *testing.T, name string, nodes ...*gorgonia.Node) {
	t.Helper()
	done := map[*gorgonia.Node]*Buf{}
	var run func(n *gorgonia.Node) *Buf
	run = func(n *gorgonia.Node) *Buf {
		if b := done[n]; b != nil {
			return b
		}
		b := NewBuf(n.Dtype(), n.Shape())
		done[n] = b
		op, ok := n.Op().(Op)
		if !ok {
			return b
		}
		var in []*Buf
		for it := n.Graph().From(n.ID()); it.Next(); {
			in = append(in, run(it.Node().(*gorgonia.Node)))
		}
		if _, ok := op.(Viewer); ok {
			return b
		}
		if err := runBackwards(op, b, in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return b
	}
	for _, n := range nodes {
		run(n)
	}
}
