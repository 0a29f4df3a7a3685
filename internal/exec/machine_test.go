package exec

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
)

// network is a graph with a loss, its gradients, and a value for each input.
type network struct {
	g       *gorgonia.ExprGraph
	loss    *gorgonia.Node
	weights gorgonia.Nodes
	grads   gorgonia.Nodes
	values  map[*gorgonia.Node]*tensor.Dense
	rand    *rand.Rand
}

func (n *network) input(t *testing.T, name string, shape ...int) *gorgonia.Node {
	t.Helper()
	v := make([]float32, elements(shape))
	for i := range v {
		v[i] = float32(n.rand.NormFloat64()) * 0.3
	}
	node := gorgonia.NewTensor(n.g, tensor.Float32, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
	n.values[node] = tensor.New(tensor.WithShape(shape...), tensor.WithBacking(v))
	return node
}

func must(t *testing.T) func(*gorgonia.Node, error) *gorgonia.Node {
	return func(n *gorgonia.Node, err error) *gorgonia.Node {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
}

// residual is a small network with everything that memory planning can get wrong: a value that is read long
// after it was made, one that is read twice by one operator, views, packed results, operators in place.
func residual(t *testing.T, dropout float64) *network {
	t.Helper()
	m := must(t)
	n := &network{g: gorgonia.NewGraph(), values: map[*gorgonia.Node]*tensor.Dense{}, rand: rand.New(rand.NewPCG(3, 4))}
	w := func(name string, shape ...int) *gorgonia.Node {
		p := n.input(t, name, shape...)
		n.weights = append(n.weights, p)
		return p
	}
	x := n.input(t, "x", 6, 2, 9, 9)
	h := m(ops.Conv(x, w("w1", 4, 2, 3, 3), w("b1", 4), ops.ConvAttr{Pads: []int{1, 1, 1, 1}}))
	h, _, err := ops.BatchNormTrain(h, w("s1", 4), w("o1", 4), 1e-5)
	m(h, err)
	h = m(ops.Relu(h))
	skip := h
	h = m(ops.Conv(h, w("w2", 4, 4, 3, 3), nil, ops.ConvAttr{Pads: []int{1, 1, 1, 1}}))
	h = m(ops.Dropout(m(ops.Relu(h)), dropout, 0))
	h = m(ops.Add(h, skip))
	h = m(ops.Mul(h, h))
	h = m(ops.MaxPool(h, ops.PoolAttr{Kernel: []int{3, 3}, Strides: []int{3, 3}}))
	h = m(ops.Reshape(h, []int{6, 36}))
	h = m(ops.Tanh(m(ops.Gemm(h, w("w3", 10, 36), w("b3", 10), 1, 1, false, true))))
	y := m(ops.Gemm(h, w("w4", 5, 10), w("b4", 5), 1, 1, false, true))
	target := gorgonia.NewVector(n.g, tensor.Int64, gorgonia.WithShape(6), gorgonia.WithName("t"))
	n.values[target] = tensor.New(tensor.WithShape(6), tensor.WithBacking([]int64{0, 4, 2, 1, 3, 3}))
	n.loss = m(ops.CrossEntropy(y, target))
	if n.grads, err = gorgonia.Grad(n.loss, n.weights...); err != nil {
		t.Fatal(err)
	}
	return n
}

// machine binds everything and returns the memory of the gradients.
func (n *network) machine(t *testing.T, threads int) (*VM, [][]float32) {
	t.Helper()
	return n.machineOf(t, threads)
}

// machineOf is machine with more results.
func (n *network) machineOf(t *testing.T, threads int, results ...*gorgonia.Node) (*VM, [][]float32) {
	t.Helper()
	plan, err := Compile(append(results, n.loss), Options{Direct: n.grads})
	if err != nil {
		t.Fatal(err)
	}
	vm := plan.New(parallel.New(threads))
	n.bind(t, vm)
	var grads [][]float32
	for _, g := range n.grads {
		h := vm.Direct(g)
		out := make([]float32, elements(g.Shape()))
		if err := vm.BindF32(h, out); err != nil {
			t.Fatal(err)
		}
		grads = append(grads, out)
	}
	return vm, grads
}

// bind gives vm the values of all inputs.
func (n *network) bind(t *testing.T, vm *VM) {
	t.Helper()
	for node, v := range n.values {
		h, ok := vm.Input(node)
		if !ok {
			t.Fatalf("%s is not in the plan", node.Name())
		}
		var err error
		switch d := v.Data().(type) {
		case []float32:
			err = vm.BindF32(h, d)
		case []int64:
			err = vm.BindI64(h, d)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestMachineEqualsTapeMachine runs one graph in both, with dropout, whose masks are those of seed 0 and
// evaluation 0 in TapeMachine. Both run the same kernels in the same order, so the bits agree.
func TestMachineEqualsTapeMachine(t *testing.T) {
	n := residual(t, 0.3)
	for node, v := range n.values {
		if err := gorgonia.Let(node, v); err != nil {
			t.Fatal(err)
		}
	}
	var loss gorgonia.Value
	want := make([]gorgonia.Value, len(n.grads))
	gorgonia.Read(n.loss, &loss)
	for i, g := range n.grads {
		gorgonia.Read(g, &want[i])
	}
	tape := gorgonia.NewTapeMachine(n.g)
	defer tape.Close()
	if err := tape.RunAll(); err != nil {
		t.Fatal(err)
	}
	for _, threads := range []int{1, 2, 8} {
		n := residual(t, 0.3)
		vm, grads := n.machine(t, threads)
		for run := range 3 {
			if err := vm.Run(context.Background(), Draw{}); err != nil {
				t.Fatal(err)
			}
			if got := vm.Buf(n.loss).F32[0]; got != loss.Data().(float32) {
				t.Errorf("%d threads, run %d: loss %v, TapeMachine %v", threads, run, got, loss)
			}
			for i, g := range grads {
				if d := differ(g, want[i].Data().([]float32)); d != "" {
					t.Errorf("%d threads, run %d: gradient of %s: %s", threads, run, n.weights[i].Name(), d)
				}
			}
		}
	}
}

func differ(got, want []float32) string {
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			return fmt.Sprintf("element %d is %v, want %v", i, got[i], want[i])
		}
	}
	return ""
}

func TestDrawSelectsTheMasks(t *testing.T) {
	n := residual(t, 0.5)
	vm, _ := n.machine(t, 2)
	loss := func(d Draw) float32 {
		if err := vm.Run(context.Background(), d); err != nil {
			t.Fatal(err)
		}
		return vm.Buf(n.loss).F32[0]
	}
	first := loss(Draw{Seed: 1, Eval: 5})
	for _, d := range []Draw{{Seed: 2, Eval: 5}, {Seed: 1, Eval: 6}, {Seed: 1, Replica: 1, Eval: 5}} {
		if loss(d) == first {
			t.Errorf("draw %+v gives the masks of another", d)
		}
	}
	if again := loss(Draw{Seed: 1, Eval: 5}); again != first {
		t.Errorf("the same draw gave losses %v and %v", first, again)
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	n := residual(t, 0.3)
	vm, _ := n.machine(t, 2)
	ctx := context.Background()
	if a := testing.AllocsPerRun(20, func() {
		if err := vm.Run(ctx, Draw{Eval: 1}); err != nil {
			t.Fatal(err)
		}
	}); a != 0 {
		t.Errorf("%v allocations a run", a)
	}
}

// TestDirectResultOfAnyKind asks for a gradient that is an input itself, one that is a view, and one twice.
func TestDirectResultOfAnyKind(t *testing.T) {
	m := must(t)
	n := &network{g: gorgonia.NewGraph(), values: map[*gorgonia.Node]*tensor.Dense{}, rand: rand.New(rand.NewPCG(1, 1))}
	x := n.input(t, "x", 2, 3)
	view := m(ops.Reshape(x, []int{6}))
	twice := m(ops.Neg(x))
	n.grads = gorgonia.Nodes{x, view, twice, m(ops.Reshape(twice, []int{3, 2}))}
	n.loss = m(ops.ReduceSum(x, nil, false))
	vm, got := n.machine(t, 1)
	if err := vm.Run(context.Background(), Draw{}); err != nil {
		t.Fatal(err)
	}
	for i, v := range n.values[x].Data().([]float32) {
		if got[0][i] != v || got[1][i] != v || got[2][i] != -v || got[3][i] != -v {
			t.Errorf("element %d of %v: %v %v %v %v", i, v, got[0][i], got[1][i], got[2][i], got[3][i])
		}
	}
}

// TestStockOperators runs operators of Gorgonia itself among ours.
func TestStockOperators(t *testing.T) {
	m := must(t)
	n := &network{g: gorgonia.NewGraph(), values: map[*gorgonia.Node]*tensor.Dense{}, rand: rand.New(rand.NewPCG(1, 2))}
	a, b := n.input(t, "a", 3, 4), n.input(t, "b", 4, 2)
	n.weights = gorgonia.Nodes{a, b}
	y := m(gorgonia.Mul(m(ops.Tanh(a)), b))
	n.loss = m(gorgonia.Mean(m(gorgonia.Square(m(gorgonia.Sub(y, m(ops.Relu(y))))))))
	var err error
	if n.grads, err = gorgonia.Grad(n.loss, n.weights...); err != nil {
		t.Fatal(err)
	}
	vm, grads := n.machine(t, 2)
	if err := vm.Run(context.Background(), Draw{}); err != nil {
		t.Fatal(err)
	}
	va, vb := n.values[a].Data().([]float32), n.values[b].Data().([]float32)
	loss := func() (sum float64) { // mean of min(tanh(a) b, 0)²
		for i := range 3 {
			for j := range 2 {
				var s float64
				for k := range 4 {
					s += math.Tanh(float64(va[i*4+k])) * float64(vb[k*2+j])
				}
				if s < 0 {
					sum += s * s / 6
				}
			}
		}
		return sum
	}
	if got, want := float64(vm.Buf(n.loss).F32[0]), loss(); math.Abs(got-want) > 1e-6 {
		t.Errorf("loss %v, want %v", got, want)
	}
	for i, v := range [][]float32{va, vb} {
		for j, at := range v {
			const h = 1e-3
			v[j] = at + h
			up := loss()
			v[j] = at - h
			slope := (up - loss()) / (float64(at+h) - float64(at-h))
			v[j] = at
			if got := float64(grads[i][j]); math.Abs(got-slope) > 1e-4 {
				t.Errorf("input %d, element %d: derivative %v, want %v", i, j, got, slope)
			}
		}
	}
}

func TestRunErrors(t *testing.T) {
	n := residual(t, 0.3)
	plan, err := Compile([]*gorgonia.Node{n.loss}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	vm := plan.New(parallel.New(2))
	if err := vm.Run(context.Background(), Draw{}); err == nil || !strings.Contains(err.Error(), "is not bound") {
		t.Errorf("run without inputs: %v", err)
	}
	vm, _ = n.machine(t, 2)
	h, _ := vm.Input(n.weights[0])
	if err := vm.BindF32(h, make([]float32, 5)); err == nil || !strings.Contains(err.Error(), `"w1"`) {
		t.Errorf("5 elements for w1: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := vm.Run(ctx, Draw{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled run: %v", err)
	}
	for node, v := range n.values {
		if labels, ok := v.Data().([]int64); ok {
			labels[3] = 5
			if err := vm.Run(context.Background(), Draw{}); err == nil || !strings.Contains(err.Error(), "5") || !strings.Contains(err.Error(), node.Name()) && !strings.Contains(err.Error(), "CrossEntropy") {
				t.Errorf("label 5 of 5 classes: %v", err)
			}
			labels[3] = 1
		}
	}
	if err := vm.Run(context.Background(), Draw{}); err != nil {
		t.Errorf("a good run after bad ones: %v", err)
	}
}
