package exec

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
)

// compare runs n fused and unfused, on several threads, and compares all bits.
func (n *network) compare(t *testing.T) {
	t.Helper()
	vm, want := n.machineOf(t, 1, Options{Unfused: true})
	if err := vm.Run(context.Background(), Draw{Seed: 3, Eval: 2}); err != nil {
		t.Fatal(err)
	}
	for _, threads := range []int{1, 2, 8} {
		fused, got := n.machineOf(t, threads, Options{})
		for range 2 {
			if err := fused.Run(context.Background(), Draw{Seed: 3, Eval: 2}); err != nil {
				t.Fatal(err)
			}
			if a, b := fused.Buf(n.loss).F32[0], vm.Buf(n.loss).F32[0]; a != b {
				t.Fatalf("%d threads: loss %v, unfused %v", threads, a, b)
			}
			for i := range got {
				if d := differ(got[i], want[i]); d != "" {
					t.Fatalf("%d threads: gradient of %s: %s (unfused)", threads, n.weights[i].Name(), d)
				}
			}
		}
	}
}

// TestCheckSeesEveryResult runs with a check, which sees the results of chains before others overwrite them.
func TestCheckSeesEveryResult(t *testing.T) {
	n := residual(t, 0.3)
	vm, _ := n.machine(t, 2)
	sums := func(threads int, o Options) map[int64]float64 {
		vm, _ := n.machineOf(t, threads, o)
		sum := map[int64]float64{}
		vm.Check = func(node *gorgonia.Node, out *ops.Buf) error {
			for _, v := range out.F32 {
				sum[node.ID()] += float64(v)
			}
			return nil
		}
		if err := vm.Run(context.Background(), Draw{}); err != nil {
			t.Fatal(err)
		}
		return sum
	}
	got, want := sums(2, Options{}), sums(1, Options{Unfused: true})
	if len(got) != vm.Plan().Len() || !maps.Equal(got, want) {
		t.Errorf("%d results of %d instructions, with the sums %v; unfused %v", len(got), vm.Plan().Len(), got, want)
	}
}

// groups lists the names of the plan's groups of several operators.
func (n *network) groups(t *testing.T) []string {
	vm, _ := n.machine(t, 1)
	var names []string
	for _, c := range vm.Plan().Costs() {
		if len(c.Nodes) > 1 {
			names = append(names, c.Op)
		}
	}
	return names
}

func TestFusedChainsGiveTheSameBits(t *testing.T) {
	n := residual(t, 0.3)
	n.compare(t)
	got := n.groups(t)
	for _, want := range []string{"BatchNormTrain+Relu", "Relu+Dropout+Add+Mul", "Add+ReluGrad"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not among the groups %q", want, got)
		}
	}
}

// TestFusedRandomGraphs builds elementwise operators, reductions, views and broadcasts in any order, so that
// chains, in-place results and memory that dies inside of a group meet in many ways.
func TestFusedRandomGraphs(t *testing.T) {
	several := 0
	for seed := range uint64(150) {
		n := randomNetwork(t, seed)
		if n == nil {
			continue
		}
		n.compare(t)
		several += len(n.groups(t))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if several < 250 {
		t.Errorf("only %d groups", several)
	}
}

// randomNetwork returns nil if no weight has come to matter.
func randomNetwork(t *testing.T, seed uint64) *network {
	m := must(t)
	r := rand.New(rand.NewPCG(seed, 1))
	n := &network{g: gorgonia.NewGraph(), values: map[*gorgonia.Node]*tensor.Dense{}, rand: r}
	shape := [][]int{{3, 5, 7, 11}, {2, 3, 64, 64}, {40, 300}, {2, 2, 16, 17}}[r.IntN(4)]
	c := shape[1]
	weight := func(shape ...int) *gorgonia.Node {
		w := n.input(t, fmt.Sprint("w", len(n.weights)), shape...)
		n.weights = append(n.weights, w)
		return w
	}
	channel := make([]int, len(shape)-1)
	for i := range channel {
		channel[i] = 1
	}
	channel[0] = c
	pool := []*gorgonia.Node{weight(shape...), n.input(t, "x", shape...)}
	pick := func() *gorgonia.Node { return pool[max(0, len(pool)-1-r.IntN(4))] }
	for range 4 + r.IntN(10) {
		var y *gorgonia.Node
		var err error
		switch x := pick(); r.IntN(12) {
		case 0, 1:
			y = m(ops.Relu(x))
		case 2:
			y = m(ops.Tanh(x))
		case 3:
			y = m(ops.Dropout(x, 0.4, uint32(len(pool))))
		case 4:
			y = m(ops.Add(x, pick()))
		case 5:
			y = m(ops.Mul(x, pick()))
		case 6:
			y = m(ops.Add(x, weight(channel...)))
		case 7, 8:
			y, _, err = ops.BatchNormTrain(x, weight(c), weight(c), 1e-5)
			m(y, err)
		case 9:
			y = m(ops.Reshape(m(ops.Sigmoid(m(ops.Reshape(x, []int{elements(shape)})))), shape))
		case 10:
			pads, starts := make([]int, 2*len(shape)), make([]int, len(shape)) // shifted along the last axis
			pads[len(pads)-1], starts[len(starts)-1] = 1, 1
			y = m(ops.Slice(m(ops.Pad(x, pads, 0, "constant")), starts, nil, shape))
		case 11: // a view that begins inside of its operand
			starts := make([]int, len(shape))
			starts[0] = 1 + r.IntN(shape[0])
			y = m(ops.Slice(m(ops.Relu(m(ops.Concat(0, x, pick())))), starts, nil, shape))
		}
		pool = append(pool, y)
	}
	y := pool[len(pool)-1]
	for _, x := range pool[len(pool)-4 : len(pool)-1] {
		y = m(ops.Add(y, x))
	}
	n.loss = m(ops.ReduceMean(m(ops.Mul(y, y)), nil, false))
	reached := map[*gorgonia.Node]bool{}
	for _, x := range reachable([]*gorgonia.Node{n.loss}) {
		reached[x] = true
	}
	n.weights = slices.DeleteFunc(n.weights, func(w *gorgonia.Node) bool { return !reached[w] })
	for x := range n.values {
		if !reached[x] {
			delete(n.values, x)
		}
	}
	if len(n.weights) == 0 {
		return nil
	}
	var err error
	if n.grads, err = gorgonia.Grad(n.loss, n.weights...); err != nil {
		t.Fatal(err)
	}
	return n
}

// same runs the given nodes as results, fused and not, and compares. It fails unless one group has the name given.
func (n *network) same(t *testing.T, group string, results ...*gorgonia.Node) {
	t.Helper()
	var values [2][][]float32
	for k, o := range []Options{{Unfused: true}, {}} {
		plan, err := Compile(results, o)
		if err != nil {
			t.Fatal(err)
		}
		if k == 1 && !slices.ContainsFunc(plan.Costs(), func(c Cost) bool { return c.Op == group }) {
			t.Errorf("no group %s among %+v", group, plan.Costs())
		}
		vm := plan.New(parallel.New(1))
		for node, v := range n.values {
			h, _ := vm.Input(node)
			if err := vm.BindF32(h, v.Data().([]float32)); err != nil {
				t.Fatal(err)
			}
		}
		if err := vm.Run(context.Background(), Draw{}); err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			values[k] = append(values[k], slices.Clone(vm.Buf(r).F32))
		}
	}
	for i := range results {
		if d := differ(values[1][i], values[0][i]); d != "" {
			t.Errorf("result %d: %s (unfused)", i, d)
		}
	}
}

func empty() *network {
	return &network{g: gorgonia.NewGraph(), values: map[*gorgonia.Node]*tensor.Dense{}, rand: rand.New(rand.NewPCG(1, 5))}
}

// The first of a chain reads a view that begins inside of a value and is its last reader. Two later results would fit
// into the value's memory, the second over the view's end, which is read after the second's beginning is written.
func TestMemoryStaysUntilTheChainEnds(t *testing.T) {
	n, m := empty(), must(t)
	const rows, width = 16, 1000
	all := m(ops.Concat(0, n.input(t, "top", 1, width), n.input(t, "a", rows, width), n.input(t, "b", rows, width)))
	view := m(ops.Slice(all, []int{1, 0}, nil, []int{rows, width}))
	r1 := m(ops.Tanh(view))
	r2 := m(ops.Sigmoid(r1))
	r3 := m(ops.Mul(r2, r1))
	n.same(t, "Tanh+Sigmoid+Mul", r1, r2, r3)
}

// The first of a chain adds the first row of a value to every row of another; the second, the value's last reader,
// could be written over it if it were not for that row.
func TestNoResultOverWhatIsReadWhole(t *testing.T) {
	n, m := empty(), must(t)
	const rows, width = 16, 1000
	x := m(ops.Exp(n.input(t, "x", rows, width)))
	row := m(ops.Slice(x, []int{0, 0}, nil, []int{1, width}))
	sum := m(ops.Add(n.input(t, "p", rows, width), row))
	n.same(t, "Add+Mul", m(ops.Mul(x, sum)))
}
