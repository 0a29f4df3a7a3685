package ops

import (
	"fmt"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// elementary lists operators with operands of the size of LeNet's first layers at batch 32.
var elementary = []struct {
	name   string
	shapes [][]int
	labels int // classes, if the last operand is of labels
	make   builder
}{
	{"Relu", [][]int{{32, 20, 24, 24}}, 0, of1(Relu)},
	{"Sigmoid", [][]int{{32, 500}}, 0, of1(Sigmoid)},
	{"Add", [][]int{{32, 20, 24, 24}, {32, 20, 24, 24}}, 0, of2(Add)},
	{"AddBias", [][]int{{32, 20, 24, 24}, {20, 1, 1}}, 0, of2(Add)},
	{"MulRow", [][]int{{320, 500}, {500}}, 0, of2(Mul)},
	{"BatchNorm", [][]int{{32, 20, 24, 24}, {20}, {20}}, 0, buildNormTrain(1e-5)},
	{"BatchNormRow", [][]int{{128, 500}, {500}, {500}}, 0, buildNormTrain(1e-5)},
	{"Dropout", [][]int{{32, 20, 24, 24}}, 0, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Dropout(x, 0.25, 0) })},
	{"Softmax", [][]int{{128, 100}}, 0, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Softmax(x, 1) })},
	{"CrossEntropy", [][]int{{128, 10}, {128}}, 10, of2(CrossEntropy)},
	{"BinaryCrossEntropy", [][]int{{128, 100}, {128, 100}}, 0, of2(plainBinary)},
	{"MSE", [][]int{{128, 100}, {128, 100}}, 0, of2(plainMSE)},
	{"Transpose", [][]int{{512, 784}}, 0, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Transpose(x, nil) })},
	{"TransposeLast", [][]int{{32, 20, 24, 24}}, 0, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return Transpose(x, []int{0, 2, 3, 1}) })},
	{"Pad", [][]int{{32, 20, 24, 24}}, 0, padded([]int{0, 0, 1, 1, 0, 0, 1, 1}, "constant")},
	{"PadReflect", [][]int{{32, 20, 24, 24}}, 0, padded([]int{0, 0, 1, 1, 0, 0, 1, 1}, "reflect")},
	{"Concat", [][]int{{32, 20, 24, 24}, {32, 7, 24, 24}}, 0, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) { return Concat(1, in...) }},
	{"Gather", [][]int{{87, 128}, {50, 128}}, 87, func(_ *gorgonia.ExprGraph, in []*gorgonia.Node) (*gorgonia.Node, error) {
		return Gather(in[0], in[1], 0)
	}},
	{"ReduceMean", [][]int{{32, 20, 24, 24}}, 0, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ReduceMean(x, []int{2, 3}, false) })},
	{"ReduceColumns", [][]int{{320, 500}}, 0, of1(func(x *gorgonia.Node) (*gorgonia.Node, error) { return ReduceSum(x, []int{0}, false) })},
}

// A job is one operator of a graph with its operands and scratch memory.
type job struct {
	op  Op
	env Env
	out *Buf
	in  []*Buf
}

func (j *job) run() error {
	for phase, parts := range j.op.Phases() {
		for part := range parts {
			if err := j.op.Run(&j.env, 0, phase, part, j.out, j.in); err != nil {
				return err
			}
		}
	}
	return nil
}

// jobs returns the operators of build and of its gradient in the order to run them in float32, all run once.
func jobs(t testing.TB, build builder, classes int, shapes ...[]int) []*job {
	t.Helper()
	g := gorgonia.NewGraph()
	values := map[*gorgonia.Node]*Buf{}
	var in, wrt []*gorgonia.Node
	for i, s := range shapes {
		var n *gorgonia.Node
		if classes > 0 && i == len(shapes)-1 {
			n = newInput(g, tensor.Int64, fmt.Sprint("in", i), s)
			values[n] = &Buf{Shape: s, I64: labels(1, classes, s...).Data().([]int64)}
		} else {
			n = newInput(g, tensor.Float32, fmt.Sprint("in", i), s)
			b := NewBuf(tensor.Float32, s)
			for k, v := range randn(uint64(i), s...).Float64s() {
				b.F32[k] = float32(v)
			}
			values[n] = b
			wrt = append(wrt, n)
		}
		in = append(in, n)
	}
	y, err := build(g, in)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := y.Op().(*elementLoss); ok {
		wrt = wrt[:1] // targets have no derivative
	}
	loss, err := apply(&weigh{base: base{name: "weigh"}}, y)
	if err != nil {
		t.Fatal(err)
	}
	grads, err := gorgonia.Grad(loss, wrt...)
	if err != nil {
		t.Fatal(err)
	}
	var out []*job
	var visit func(n *gorgonia.Node)
	visit = func(n *gorgonia.Node) {
		if values[n] != nil {
			return
		}
		op, ok := n.Op().(Op)
		if !ok {
			if values[n], err = FromValue(n.Value()); err != nil {
				t.Fatal(err)
			}
			return
		}
		j := &job{op: op, out: NewBuf(n.Dtype(), n.Shape())}
		for it := n.Graph().From(n.ID()); it.Next(); {
			child := it.Node().(*gorgonia.Node)
			visit(child)
			j.in = append(j.in, values[child])
		}
		values[n] = j.out
		if v, ok := op.(Viewer); ok {
			operand, at := v.View()
			values[n] = j.in[operand].Slice(at, at+len0(n.Shape())).as(n.Shape())
			return
		}
		shared, worker := op.Scratch()
		j.env = Env{Shared: *NewBuf(n.Dtype(), []int{shared}), Kept: *NewBuf(n.Dtype(), []int{Kept(op)}), Worker: []Buf{*NewBuf(n.Dtype(), []int{worker})}}
		if err := j.run(); err != nil {
			t.Fatal(err)
		}
		switch op.(type) {
		case *weigh, *spread:
		default:
			out = append(out, j)
		}
	}
	for _, n := range append(grads, y) {
		visit(n)
	}
	return out
}

func TestNoAllocations(t *testing.T) {
	for _, c := range elementary {
		for _, j := range jobs(t, c.make, c.labels, c.shapes...) {
			phases := j.op.Phases() // the machine keeps them
			run := func() {
				for phase, parts := range phases {
					for part := range parts {
						if err := j.op.Run(&j.env, 0, phase, part, j.out, j.in); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			if n := testing.AllocsPerRun(2, run); n != 0 {
				t.Errorf("%s: %v allocates %v times a run", c.name, j.op, n)
			}
		}
	}
}

// BenchmarkElementary times every operator and its derivatives on one thread, in nanoseconds per element of
// the output or the largest operand.
func BenchmarkElementary(b *testing.B) {
	for _, c := range elementary {
		for _, j := range jobs(b, c.make, c.labels, c.shapes...) {
			size := len0(j.out.Shape)
			for _, in := range j.in {
				size = max(size, len0(in.Shape))
			}
			b.Run(c.name+"/"+j.op.String(), func(b *testing.B) {
				for b.Loop() {
					if err := j.run(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/elem")
			})
		}
	}
}
