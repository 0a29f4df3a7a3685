package exec

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
)

// prepared is a network in which much depends on weights alone: convolutions of all kinds that order their weights first,
// chains and views of weights, a result that is one, and random numbers, which no two runs share.
func prepared(t *testing.T) (n *network, results gorgonia.Nodes) {
	t.Helper()
	m := must(t)
	n = &network{g: gorgonia.NewGraph(), values: map[*gorgonia.Node]*tensor.Dense{}, rand: rand.New(rand.NewPCG(5, 6))}
	w := func(name string, shape ...int) *gorgonia.Node {
		p := n.input(t, name, shape...)
		n.weights = append(n.weights, p)
		return p
	}
	x := n.input(t, "x", 1, 3, 17, 16)
	same := ops.ConvAttr{Pads: []int{1, 1, 1, 1}}
	h := m(ops.Conv(x, m(ops.Mul(w("w1", 64, 3, 3, 3), w("s1", 64, 1, 1, 1))), w("b1", 64), same)) // few positions
	h = m(ops.Relu(h))
	h = m(ops.Conv(h, w("w2", 17, 64, 3, 3), nil, same)) // tiles, all in one block
	h = m(ops.Conv(h, w("w3", 7, 17, 2, 2), w("b3", 7), ops.ConvAttr{Strides: []int{3, 3}}))
	h = m(ops.Reshape(h, []int{1, 7 * 6 * 5}))
	v := w("w4", 210, 20)
	h = m(ops.MatMul(h, m(ops.Tanh(m(ops.Transpose(m(ops.Reshape(m(ops.Exp(v)), []int{20, 210})), []int{1, 0}))))))
	h = m(ops.Reshape(m(ops.MatMul(m(ops.Reshape(h, []int{5, 4})), w("w5", 4, 36))), []int{30, 6})) // many rows
	h = m(ops.Gemm(h, w("w6", 11, 6), w("b6", 11), 1, 1, false, true))
	h = m(ops.MatMul(m(ops.Reshape(h, []int{1, 30, 11})), w("w7", 11, 4)))
	h = m(ops.Reshape(h, []int{6, 20}))
	wide := m(ops.MatMul(m(ops.MatMul(m(ops.Reshape(h, []int{60, 2})), w("w8", 2, 128))), w("w9", 128, 1030))) // many blocks
	wide = m(ops.Gemm(wide, w("w10", 140, 1030), nil, 1, 0, false, true))                                      // few rows, turned if not packed
	h = m(ops.Add(h, m(ops.ReduceMean(wide, nil, false))))
	drop := m(ops.Dropout(m(ops.Mul(v, v)), 0.5, 0))
	h = m(ops.Add(h, m(ops.ReduceSum(drop, []int{0}, true))))
	return n, gorgonia.Nodes{h, m(ops.Sqrt(m(ops.Exp(v))))}
}

// TestFixedInputs compares runs that keep what depends on weights with runs that compute all, to the bit: over several
// batches, when other weights are bound, when weights change in place, and after a run that was cut off.
func TestFixedInputs(t *testing.T) {
	for _, threads := range []int{1, 2, 8} {
		n, results := prepared(t)
		machine := func(o Options) *VM {
			plan, err := Compile(results, o)
			if err != nil {
				t.Fatal(err)
			}
			vm := plan.New(parallel.New(threads))
			n.bind(t, vm)
			return vm
		}
		all, kept := machine(Options{}), machine(Options{Fixed: n.weights})
		if len(kept.Plan().Costs()) >= len(all.Plan().Costs()) {
			t.Errorf("%d operators a run, and %d when nothing is kept", len(kept.Plan().Costs()), len(all.Plan().Costs()))
		}
		eval := uint64(0)
		compare := func(what string) {
			t.Helper()
			eval++
			for _, vm := range []*VM{all, kept} {
				if err := vm.Run(context.Background(), Draw{Eval: eval}); err != nil {
					t.Fatal(err)
				}
			}
			for i, r := range results {
				if d := differ(kept.Buf(r).F32, all.Buf(r).F32); d != "" {
					t.Fatalf("%d threads, %s: result %d: %s", threads, what, i, d)
				}
			}
		}
		compare("first run")
		compare("second run")
		for node, v := range n.values {
			if node.Name() == "x" {
				v.Float32s()[7] += 0.5
			}
		}
		compare("another batch")
		for _, p := range n.weights {
			other := slices.Clone(n.values[p].Float32s())
			other[0]++
			for _, vm := range []*VM{all, kept} {
				h, _ := vm.Input(p)
				if err := vm.BindF32(h, other); err != nil {
					t.Fatal(err)
				}
			}
			compare("another " + p.Name())
			other[1]--
			kept.Changed()
			compare("changed " + p.Name())
		}
		kept.Changed()
		ctx, cancel := context.WithCancel(context.Background())
		kept.Check = func(*gorgonia.Node, *ops.Buf) error { cancel(); return nil }
		if err := kept.Run(ctx, Draw{}); err == nil {
			t.Fatal("the run was not cut off")
		}
		kept.Check = nil
		compare("after a run that was cut off")
	}
}

// TestFixedBehindDirect has a value of a fixed input that is wanted in the caller's memory, so that every run computes it, and what
// depends on it.
func TestFixedBehindDirect(t *testing.T) {
	m := must(t)
	n := &network{g: gorgonia.NewGraph(), values: map[*gorgonia.Node]*tensor.Dense{}, rand: rand.New(rand.NewPCG(5, 7))}
	x, w := n.input(t, "x", 3), n.input(t, "w", 3)
	e := m(ops.Exp(w))
	z := m(ops.Add(x, m(ops.Tanh(e))))
	p, err := Compile(gorgonia.Nodes{z}, Options{Direct: []*gorgonia.Node{e}, Fixed: []*gorgonia.Node{w}})
	if err != nil {
		t.Fatal(err)
	}
	vm := p.New(parallel.New(1))
	n.bind(t, vm)
	exp := make([]float32, 3)
	if err := vm.BindF32(vm.Direct(e), exp); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := vm.Run(context.Background(), Draw{}); err != nil {
			t.Fatal(err)
		}
		for i, v := range n.values[w].Float32s() {
			want := math.Exp(float64(v))
			sum := float64(n.values[x].Float32s()[i]) + math.Tanh(want)
			if math.Abs(float64(exp[i])-want) > 1e-6*want || math.Abs(float64(vm.Buf(z).F32[i])-sum) > 1e-6 {
				t.Errorf("element %d: %v and %v, want %v and %v", i, exp[i], vm.Buf(z).F32[i], want, sum)
			}
		}
	}
}

// TestKeptRunAllocatesNothing includes the first run after a change.
func TestKeptRunAllocatesNothing(t *testing.T) {
	n, results := prepared(t)
	plan, err := Compile(results, Options{Fixed: n.weights})
	if err != nil {
		t.Fatal(err)
	}
	vm := plan.New(parallel.New(2))
	n.bind(t, vm)
	ctx := context.Background()
	if a := testing.AllocsPerRun(20, func() {
		vm.Changed()
		for range 2 {
			if err := vm.Run(ctx, Draw{}); err != nil {
				t.Fatal(err)
			}
		}
	}); a != 0 {
		t.Errorf("%v allocations", a)
	}
}
