package exec

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// compare runs n, on several threads, and compares all bits with a run where every value is a result and so has memory
// of its own.
func (n *network) compare(t *testing.T) {
	t.Helper()
	vm, want := n.machineOf(t, 1, reachable(append(n.grads, n.loss))...)
	if err := vm.Run(context.Background(), Draw{Seed: 3, Eval: 2}); err != nil {
		t.Fatal(err)
	}
	for _, threads := range []int{1, 2, 8} {
		tight, got := n.machineOf(t, threads)
		for range 2 {
			if err := tight.Run(context.Background(), Draw{Seed: 3, Eval: 2}); err != nil {
				t.Fatal(err)
			}
			if a, b := tight.Buf(n.loss).F32[0], vm.Buf(n.loss).F32[0]; a != b {
				t.Fatalf("%d threads: loss %v, with more memory %v", threads, a, b)
			}
			for i := range got {
				if d := differ(got[i], want[i]); d != "" {
					t.Fatalf("%d threads: gradient of %s: %s (with more memory)", threads, n.weights[i].Name(), d)
				}
			}
		}
	}
}

// TestCheckSeesEveryResult runs with a check, which sees each result before another is written over it.
func TestCheckSeesEveryResult(t *testing.T) {
	n := residual(t, 0.3)
	vm, _ := n.machine(t, 2)
	seen := map[int64]bool{}
	roomy, _ := n.machineOf(t, 1, reachable(append(n.grads, n.loss))...)
	if err := roomy.Run(context.Background(), Draw{}); err != nil {
		t.Fatal(err)
	}
	vm.Check = func(node *gorgonia.Node, out *ops.Buf) error {
		seen[node.ID()] = true
		if d := differ(out.F32, roomy.Buf(node).F32); d != "" {
			t.Errorf("%s: %s", describe(node), d)
		}
		return nil
	}
	if err := vm.Run(context.Background(), Draw{}); err != nil {
		t.Fatal(err)
	}
	if len(seen) != vm.Plan().Len() {
		t.Errorf("%d results of %d instructions", len(seen), vm.Plan().Len())
	}
}

func TestMemoryOfAResidualNetwork(t *testing.T) { residual(t, 0.3).compare(t) }

// TestMemoryOfRandomGraphs builds elementwise operators, reductions, views and broadcasts in any order, so that
// in-place results, aliases and memory that is used again meet in many ways.
func TestMemoryOfRandomGraphs(t *testing.T) {
	compared := 0
	for seed := range uint64(150) {
		n := randomNetwork(t, seed)
		if n == nil {
			continue
		}
		n.compare(t)
		compared++
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if compared < 100 {
		t.Errorf("only %d graphs", compared)
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

// TestReadSoon has values whose readers come as soon as they can: a sum, though a product was built before it, and what takes the
// memory of an operand, but not before the other readers of that. What is small only beside an input stays where it is, and what
// can't take memory, since its operand is a result or the value of a fixed input.
func TestReadSoon(t *testing.T) {
	m := must(t)
	n := &network{g: gorgonia.NewGraph(), values: map[*gorgonia.Node]*tensor.Dense{}, rand: rand.New(rand.NewPCG(3, 9))}
	x, w, few := n.input(t, "x", 64, 64), n.input(t, "w", 64, 64), n.input(t, "few", 2, 64)
	a := m(ops.Exp(x))
	product := m(ops.MatMul(a, w))
	sumOfProduct := m(ops.ReduceSum(product, []int{0}, false))
	last := m(ops.Tanh(product))
	sum := m(ops.ReduceSum(a, []int{0}, false))
	over := m(ops.Relu(a)) // reads a last
	h := m(ops.Exp(few))
	again := m(ops.Exp(h))
	small := m(ops.MatMul(h, w))
	kept := m(ops.Tanh(few))
	next := m(ops.MatMul(kept, w))
	relu := m(ops.Relu(kept))
	value := m(ops.Sigmoid(w)) // fixed
	b := m(ops.Tanh(x))
	square := m(ops.MatMul(b, b))
	late := m(ops.Add(value, b))
	end := m(ops.Sub(b, late))
	results := gorgonia.Nodes{sumOfProduct, last, sum, over, again, small, kept, next, relu, square, end}
	p, err := Compile(results, Options{Fixed: gorgonia.Nodes{w}})
	if err != nil {
		t.Fatal(err)
	}
	var got gorgonia.Nodes
	for _, c := range p.code {
		got = append(got, c.node)
	}
	if want := (gorgonia.Nodes{value, a, sum, product, sumOfProduct, last, over, h, again, small, kept, next, relu, b, square, late, end}); !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
	// Three take their operand's memory: beside a, the product, the fixed value, b, its square and the sum of two that are read
	// elsewhere only small values have their own.
	if most := 4 * (6*64*64 + 2*64 + 6*2*64); p.ArenaBytes() > most {
		t.Errorf("%d bytes, want at most %d", p.ArenaBytes(), most)
	}
}
