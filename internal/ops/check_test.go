package ops

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// builder makes the graph under test from its input nodes.
type builder func(g *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error)

// checkGrad differentiates sum(w*build(inputs)), w fixed pseudo-random weights, with gorgonia.Grad with
// respect to every float input, and compares with central differences in float64. The same graph in
// float32 must give the same output and gradients up to rounding. Inputs are float64 (rounded to float32
// first, so that both types see the same point) or int64, which are not differentiated. The point must be
// farther than 1e-4 from any kink.
func checkGrad(t *testing.T, build builder, inputs ...*tensor.Dense) {
	t.Helper()
	var wrt []int
	for i, in := range inputs {
		if isFloat(in.Dtype()) {
			wrt = append(wrt, i)
		}
	}
	checkGradWRT(t, wrt, build, inputs...)
}

// checkGradWRT is checkGrad with respect to the inputs of the given indices only.
func checkGradWRT(t *testing.T, wrt []int, build builder, inputs ...*tensor.Dense) {
	t.Helper()
	point := buffers(t, inputs)
	for i, b := range point {
		point[i] = b.clone()
		for j, v := range b.F64 {
			point[i].F64[j] = float64(float32(v))
		}
	}
	wide := newTrial(t, build, tensor.Float64, point, wrt)
	got := wide.grads(t, point)
	const h = 1e-5
	wrong := 0
	for k, i := range wrt {
		x := point[i].F64
		for j, at := range x {
			x[j] = at + h
			above := wide.loss(t, point)
			x[j] = at - h
			below := wide.loss(t, point)
			x[j] = at
			want := (above - below) / (2 * h)
			// Truncation and rounding are both about 1e-10 of the loss for values around 1.
			if d := math.Abs(got[k].F64[j] - want); !(d <= 2e-7*(1+math.Abs(want))) {
				t.Errorf("input %d %v, element %d: gradient %.9g, central difference %.9g", i, point[i].Shape, j, got[k].F64[j], want)
				if wrong++; wrong == 5 {
					return
				}
			}
		}
	}
	checkFloat32(t, build, wide, got, point, wrt)
}

// checkFloat32 compares the graph in float32 with wide and its gradients.
func checkFloat32(t *testing.T, build builder, wide *trial, grads, point []*Buf, wrt []int) {
	t.Helper()
	narrow := newTrial(t, build, tensor.Float32, point, wrt)
	near32(t, "output", narrow.eval(t, point, narrow.out)[0], wide.eval(t, point, wide.out)[0])
	for k, g := range narrow.grads(t, point) {
		near32(t, fmt.Sprintf("gradient of input %d", wrt[k]), g, grads[k])
	}
}

// near32 compares float32 results with float64 ones relative to the largest element.
func near32(t *testing.T, what string, got, want *Buf) {
	t.Helper()
	if !sameShape(got.Shape, want.Shape) || len(got.F32) != len(want.F64) {
		t.Errorf("float32 %s has shape %v, float64 %v", what, got.Shape, want.Shape)
		return
	}
	scale := 1e-3
	for _, v := range want.F64 {
		if !math.IsInf(v, 0) {
			scale = math.Max(scale, math.Abs(v))
		}
	}
	for i, v := range want.F64 {
		w := float64(got.F32[i])
		same := v == w || math.IsNaN(v) && math.IsNaN(w)
		if d := math.Abs(w - v); !same && !(d <= 2e-5*scale) {
			t.Errorf("float32 %s, element %d: %.9g, in float64 %.9g", what, i, w, v)
			return
		}
	}
}

// buffers returns the inputs as buffers that share their memory.
func buffers(t *testing.T, inputs []*tensor.Dense) (point []*Buf) {
	t.Helper()
	for i, in := range inputs {
		b, err := FromValue(in)
		if err != nil {
			t.Fatalf("input %d: %v", i, err)
		}
		point = append(point, b)
	}
	return point
}

// A trial is the graph of sum(w*build(inputs)) in one element type, with its gradients.
type trial struct {
	dt        tensor.Dtype
	g         *gorgonia.ExprGraph
	in        []*gorgonia.Node
	out, cost *gorgonia.Node
	deriv     gorgonia.Nodes
}

// newTrial builds the graph; inputs are used for shapes and integer types. With wrt nil there are no gradients.
func newTrial(t *testing.T, build builder, dt tensor.Dtype, inputs []*Buf, wrt []int) *trial {
	t.Helper()
	tr := &trial{dt: dt, g: gorgonia.NewGraph()}
	for i, b := range inputs {
		nodeType := dt
		if b.I64 != nil {
			nodeType = tensor.Int64
		}
		tr.in = append(tr.in, newInput(tr.g, nodeType, fmt.Sprintf("in%d", i), b.Shape))
	}
	var err error
	if tr.out, err = build(tr.g, tr.in); err != nil {
		t.Fatalf("%v: %v", dt, err)
	}
	if wrt == nil {
		return tr
	}
	if tr.cost, err = apply(&weigh{base: base{name: "weigh"}}, tr.out); err != nil {
		t.Fatalf("%v: %v", dt, err)
	}
	var nodes gorgonia.Nodes
	for _, i := range wrt {
		nodes = append(nodes, tr.in[i])
	}
	if tr.deriv, err = gorgonia.Grad(tr.cost, nodes...); err != nil {
		t.Fatalf("%v: Grad: %v", dt, err)
	}
	for k, n := range nodes {
		if !sameShape(tr.deriv[k].Shape(), n.Shape()) {
			t.Fatalf("%v: the gradient of input %d has shape %v, the input %v", dt, wrt[k], tr.deriv[k].Shape(), n.Shape())
		}
	}
	return tr
}

func newInput(g *gorgonia.ExprGraph, dt tensor.Dtype, name string, shape []int) *gorgonia.Node {
	if len(shape) == 0 {
		return gorgonia.NewScalar(g, dt, gorgonia.WithName(name))
	}
	return gorgonia.NewTensor(g, dt, len(shape), gorgonia.WithShape(shape...), gorgonia.WithName(name))
}

func (tr *trial) loss(t *testing.T, point []*Buf) float64 {
	t.Helper()
	b, err := interpret(tr.g, tr.in, tr.cast(point), gorgonia.Nodes{tr.cost}, false)
	if err != nil {
		t.Fatal(err)
	}
	if tr.dt == tensor.Float32 {
		return float64(b[0].F32[0])
	}
	return b[0].F64[0]
}

func (tr *trial) grads(t *testing.T, point []*Buf) []*Buf {
	t.Helper()
	return tr.eval(t, point, tr.deriv...)
}

// eval evaluates nodes and checks the obligations of every Op on the way, see checkRun.
func (tr *trial) eval(t *testing.T, point []*Buf, nodes ...*gorgonia.Node) []*Buf {
	t.Helper()
	b, err := interpret(tr.g, tr.in, tr.cast(point), nodes, true)
	if err != nil {
		t.Fatalf("%v: %v", tr.dt, err)
	}
	return b
}

// cast converts float64 operands to the type of the trial.
func (tr *trial) cast(point []*Buf) []*Buf {
	if tr.dt == tensor.Float64 {
		return point
	}
	out := make([]*Buf, len(point))
	for i, b := range point {
		if out[i] = b; b.F64 != nil {
			out[i] = NewBuf(tensor.Float32, b.Shape)
			for j, v := range b.F64 {
				out[i].F32[j] = float32(v)
			}
		}
	}
	return out
}

// forward evaluates build in float64 or, with dt Float32, in float32 and returns the output. The inputs are
// float64 or int64. Errors of building and running are returned.
func forward(t *testing.T, dt tensor.Dtype, build builder, inputs ...*tensor.Dense) (*Buf, error) {
	t.Helper()
	tr := &trial{dt: dt, g: gorgonia.NewGraph()}
	point := buffers(t, inputs)
	for i, b := range point {
		nodeType := dt
		if b.I64 != nil {
			nodeType = tensor.Int64
		}
		tr.in = append(tr.in, newInput(tr.g, nodeType, fmt.Sprintf("in%d", i), b.Shape))
	}
	out, err := build(tr.g, tr.in)
	if err != nil {
		return nil, err
	}
	b, err := interpret(tr.g, tr.in, tr.cast(point), gorgonia.Nodes{out}, true)
	if err != nil {
		return nil, err
	}
	return b[0], nil
}

// interpret computes the values of nodes from those of the inputs: each node once, after its operands.
func interpret(g *gorgonia.ExprGraph, inputs []*gorgonia.Node, values []*Buf, nodes gorgonia.Nodes, check bool) ([]*Buf, error) {
	known := map[int64]gorgonia.Value{}
	for i, n := range inputs {
		known[n.ID()] = values[i].Value()
	}
	var visit func(n *gorgonia.Node) (gorgonia.Value, error)
	visit = func(n *gorgonia.Node) (gorgonia.Value, error) {
		if v, ok := known[n.ID()]; ok {
			return v, nil
		}
		if n.Op() == nil {
			if v := n.Value(); v != nil {
				return v, nil
			}
			return nil, fmt.Errorf("node %v has no value", n)
		}
		var operands []gorgonia.Value
		for it := g.From(n.ID()); it.Next(); {
			v, err := visit(it.Node().(*gorgonia.Node))
			if err != nil {
				return nil, err
			}
			operands = append(operands, v)
		}
		v, err := n.Op().Do(operands...)
		if err != nil {
			return nil, err
		}
		if op, ok := n.Op().(Op); ok && check {
			if err := checkRun(op, v, operands); err != nil {
				return nil, err
			}
		}
		known[n.ID()] = v
		return v, nil
	}
	out := make([]*Buf, len(nodes))
	for i, n := range nodes {
		v, err := visit(n)
		if err != nil {
			return nil, err
		}
		if out[i], err = FromValue(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// checkRun checks what the interface Op asks: the same bits as Do from parts in the opposite order on two
// goroutines at once, with out and scratch full of NaN at first; in the memory of an operand if op is an
// InPlacer; operands unchanged otherwise.
func checkRun(op Op, want gorgonia.Value, operands []gorgonia.Value) error {
	if _, ok := op.(Viewer); ok {
		return nil
	}
	b := op.core()
	ref, err := FromValue(want)
	if err != nil {
		return err
	}
	places := []int{-1}
	if p, ok := op.(InPlacer); ok {
		places = append(places, p.InPlace()...)
	}
	for _, place := range places {
		in, before := make([]*Buf, len(operands)), make([]*Buf, len(operands))
		for i, v := range operands {
			if before[i], err = FromValue(v); err != nil {
				return err
			}
			in[i] = before[i].clone()
		}
		out := poisoned(b.dt, b.out)
		if place >= 0 {
			out = in[place].as(b.out)
		}
		if err := runBackwards(op, out, in); err != nil {
			return err
		}
		if !sameBits(out, ref) {
			return fmt.Errorf("%s: other bits with parts in another order (in place of operand %d)", b.name, place)
		}
		for i := range in {
			if i != place && !sameBits(in[i], before[i]) {
				return fmt.Errorf("%s changed its operand %d", b.name, i)
			}
		}
	}
	return nil
}

// runBackwards runs every phase of op, last part first, on two goroutines.
func runBackwards(op Op, out *Buf, in []*Buf) error {
	dt := op.core().dt
	shared, worker := op.Scratch()
	env := &Env{Shared: *poisoned(dt, []int{shared}), Kept: *poisoned(dt, []int{Kept(op)}), Worker: []Buf{*poisoned(dt, []int{worker}), *poisoned(dt, []int{worker})}}
	for phase, parts := range op.Phases() {
		var wg sync.WaitGroup
		var errs [2]error
		for w := range 2 {
			wg.Go(func() {
				for part := parts - 1 - w; part >= 0; part -= 2 {
					if err := op.Run(env, w, phase, part, out, in); err != nil {
						errs[w] = err
					}
				}
			})
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func poisoned(dt tensor.Dtype, shape []int) *Buf {
	b := NewBuf(dt, shape)
	for i := range b.F32 {
		b.F32[i] = float32(math.NaN())
	}
	for i := range b.F64 {
		b.F64[i] = math.NaN()
	}
	for i := range b.I64 {
		b.I64[i] = math.MinInt64
	}
	return b
}

// sameBits compares bits; any NaN equals any other.
func sameBits(a, b *Buf) bool {
	if len(a.F32) != len(b.F32) || len(a.F64) != len(b.F64) || len(a.I64) != len(b.I64) {
		return false
	}
	for i, v := range a.F32 {
		if w := b.F32[i]; math.Float32bits(v) != math.Float32bits(w) && (v == v || w == w) {
			return false
		}
	}
	for i, v := range a.F64 {
		if w := b.F64[i]; math.Float64bits(v) != math.Float64bits(w) && (v == v || w == w) {
			return false
		}
	}
	for i, v := range a.I64 {
		if v != b.I64[i] {
			return false
		}
	}
	return true
}

// randn returns a float64 tensor of standard normal values; shape () is a scalar.
func randn(seed uint64, shape ...int) *tensor.Dense {
	r := rand.New(rand.NewPCG(seed, 1))
	return fill(func(int) float64 { return r.NormFloat64() }, shape...)
}

// distinct returns a permutation of evenly spaced values in (-2, 2): no two are nearer than 4/size, and
// none is 0, so maxima and kinks at 0 are safe to differentiate.
func distinct(seed uint64, shape ...int) *tensor.Dense {
	n := len0(shape)
	p := rand.New(rand.NewPCG(seed, 2)).Perm(n)
	return fill(func(i int) float64 { return 4*(float64(p[i])+0.37)/float64(n) - 2 }, shape...)
}

// uniform returns values in [lo, hi).
func uniform(seed uint64, lo, hi float64, shape ...int) *tensor.Dense {
	r := rand.New(rand.NewPCG(seed, 3))
	return fill(func(int) float64 { return lo + (hi-lo)*r.Float64() }, shape...)
}

// labels returns int64 values in [0, classes).
func labels(seed uint64, classes int, shape ...int) *tensor.Dense {
	r := rand.New(rand.NewPCG(seed, 4))
	b := make([]int64, len0(shape))
	for i := range b {
		b[i] = r.Int64N(int64(classes))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(b))
}

func fill(f func(i int) float64, shape ...int) *tensor.Dense {
	b := make([]float64, len0(shape))
	for i := range b {
		b[i] = f(i)
	}
	if len(shape) == 0 {
		return tensor.New(tensor.FromScalar(b[0]))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(b))
}

// weigh is sum(w*x) with weights of weight(i); its derivative is spread.
type weigh struct{ base }

// weight is in [0.5, 1.5) with either sign: no gradient is multiplied by almost 0.
func weight(i int) float64 {
	r := rand.New(rand.NewPCG(uint64(i), 5))
	w := 0.5 + r.Float64()
	if r.Uint64()&1 == 0 {
		w = -w
	}
	return float64(float32(w))
}

func (o *weigh) Phases() []int { return []int{1} }

func (o *weigh) Run(_ *Env, _, _, _ int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		weighPart[float64](out, in[0])
	} else {
		weighPart[float32](out, in[0])
	}
	return nil
}

func weighPart[T kernels.Float](out, in *Buf) {
	var sum float64
	for i, v := range floats[T](in) {
		sum += weight(i) * float64(v)
	}
	floats[T](out)[0] = T(sum)
}

func (o *weigh) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	d, err := apply(&spread{base{name: "spread", out: in[0].Shape()}}, grad)
	return gorgonia.Nodes{d}, err
}

// spread is w*g for a scalar g.
type spread struct{ base }

func (o *spread) Phases() []int { return []int{1} }

func (o *spread) Run(_ *Env, _, _, _ int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		spreadPart[float64](out, in[0])
	} else {
		spreadPart[float32](out, in[0])
	}
	return nil
}

func spreadPart[T kernels.Float](out, g *Buf) {
	y := floats[T](out)
	for i := range y {
		y[i] = T(weight(i)) * floats[T](g)[0]
	}
}

// TestCheck checks the helper on an operator whose derivative is known.
func TestCheck(t *testing.T) {
	build := func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return apply(&weigh{base: base{name: "weigh"}}, in[0])
	}
	for _, shape := range [][]int{{}, {1}, {3, 5}, {2, 1, 3, 2}} {
		checkGrad(t, build, distinct(1, shape...))
	}
}
