// Package ops holds the differentiable operators: each is a gorgonia.Op with a symbolic derivative, and a
// kernel in parts that the machine of internal/exec can run without allocating.
//
// An operator is built for known shapes. The functions of this package (Conv, Relu, ...) check them, build
// the operator and apply it to graph nodes; they return an error that names the operator and the shape.
package ops

import (
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"sync"
	"sync/atomic"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// A Buf is one operand as a kernel sees it: dense, row-major, and of exactly one element type. Len is the
// product of Shape; a scalar has an empty shape and one element.
type Buf struct {
	Shape []int
	F32   []float32
	F64   []float64
	I64   []int64
}

// Env is what a kernel may use besides its operands. Every virtual machine has its own.
type Env struct {
	// Seed, Replica and Eval select the random numbers of this evaluation: the same values give the
	// same dropout masks.
	Seed    uint64
	Replica uint32
	Eval    uint64
	// Shared is scratch memory of the operator's element type that all parts of one run see, as long
	// as Scratch asked for, with undefined contents at the first phase.
	Shared Buf
	// Kept is shared memory for what a Preparer's first phases leave.
	Kept Buf
	// Worker holds one scratch memory for each worker.
	Worker []Buf
}

// An Op is an operator of this package.
type Op interface {
	gorgonia.SDOp

	// Phases returns the number of parts of each phase. The parts of a phase may run at the same time; a
	// phase starts when the one before it is done. The numbers depend on shapes only.
	Phases() []int
	// Scratch returns how many elements (of the operator's type) of memory a run needs: shared by all
	// parts, and for each worker.
	Scratch() (shared, worker int)
	// Run computes one part of one phase. It overwrites out; it does not change in.
	Run(env *Env, worker, phase, part int, out *Buf, in []*Buf) error

	core() *base
}

// A Viewer is an Op whose output is a contiguous range of one operand, element for element. The machine
// makes it an alias and never runs it.
type Viewer interface {
	Op
	// View returns the operand and the offset in elements.
	View() (operand, offset int)
}

// An InPlacer is an Op that may be given the memory of an operand for its output.
type InPlacer interface {
	Op
	// InPlace lists the operands whose memory may serve as out.
	InPlace() []int
}

// A Preparer is an Op whose first phases read some operands only and leave what they make of them in Env.Kept.
// A machine whose operands of that kind stay as they are keeps the memory and runs those phases once.
type Preparer interface {
	Op
	// Prepared returns the number of phases, 0 for none, the elements of Env.Kept, and the operands that are read.
	Prepared() (phases, kept int, operands []int)
}

// A Specializer is an Op that has another form, with the same results to the bit, for where some operands stay from run to run.
type Specializer interface {
	Op
	// Specialized returns the other form, or nil for none.
	Specialized(fixed []bool) Op
}

// Kept is how many elements of Env.Kept op needs.
func Kept(op Op) int {
	if p, ok := op.(Preparer); ok {
		_, n, _ := p.Prepared()
		return n
	}
	return 0
}

// Draws tells whether an operator's result depends on the random numbers of Env besides its operands.
func Draws(op Op) bool {
	d, ok := op.(interface{ draws() bool })
	return ok && d.draws()
}

// base has what all operators share. An operator embeds it and sets name, out and, if some operand gets
// no derivative, fixed.
type base struct {
	name  string
	out   tensor.Shape
	fixed []int        // operands that are not differentiable; integer operands never are
	dt    tensor.Dtype // element type of the output; by default that of operand 0

	in   []tensor.Shape
	inDt []tensor.Dtype
	id   uint64
	self Op
}

func (b *base) core() *base              { return b }
func (b *base) Arity() int               { return len(b.in) }
func (b *base) ReturnsPtr() bool         { return false }
func (b *base) CallsExtern() bool        { return false }
func (b *base) OverwritesInput() int     { return -1 }
func (b *base) String() string           { return b.name }
func (b *base) Scratch() (shared, w int) { return 0, 0 }
func (b *base) WriteHash(h hash.Hash)    { fmt.Fprintf(h, "onnx-entropy %s %d", b.name, b.id) }
func (b *base) OutShape() tensor.Shape   { return b.out }
func (b *base) SymDiff(_ gorgonia.Nodes, _, _ *gorgonia.Node) (gorgonia.Nodes, error) {
	return nil, fmt.Errorf("ops: %s has no derivative", b.name)
}

func (b *base) Hashcode() uint32 {
	h := fnv.New32a()
	b.WriteHash(h)
	return h.Sum32()
}

func (b *base) Type() hm.Type {
	ts := make([]hm.Type, 0, len(b.in)+1)
	for i, s := range b.in {
		ts = append(ts, typeOf(b.inDt[i], s))
	}
	return hm.NewFnType(append(ts, typeOf(b.dt, b.out))...)
}

func typeOf(dt tensor.Dtype, s tensor.Shape) hm.Type {
	if len(s) == 0 {
		return dt
	}
	return gorgonia.TensorType{Dims: len(s), Of: dt}
}

func (b *base) InferShape(ds ...gorgonia.DimSizer) (tensor.Shape, error) {
	for i, d := range ds {
		if s, ok := d.(tensor.Shape); !ok || !sameShape(s, b.in[i]) {
			return nil, fmt.Errorf("ops: %s was built for operand %d of shape %v, not %v", b.name, i, b.in[i], d)
		}
	}
	return b.out.Clone(), nil
}

func (b *base) DiffWRT(inputs int) []bool {
	d := make([]bool, inputs)
	for i := range d {
		d[i] = isFloat(b.inDt[i])
	}
	for _, i := range b.fixed {
		d[i] = false
	}
	return d
}

// Do computes the operator on values, one part after the other. It is how TapeMachine runs the graph.
func (b *base) Do(vs ...gorgonia.Value) (gorgonia.Value, error) {
	in := make([]*Buf, len(vs))
	for i, v := range vs {
		buf, err := FromValue(v)
		if err != nil {
			return nil, fmt.Errorf("ops: %s: operand %d: %w", b.name, i, err)
		}
		in[i] = buf
	}
	out, err := Eval(b.self, in)
	if err != nil {
		return nil, err
	}
	return out.Value(), nil
}

// Eval computes an operator that is part of a graph, one part after the other, and returns a buffer of its own.
func Eval(op Op, in []*Buf) (*Buf, error) {
	b := op.core()
	if v, ok := op.(Viewer); ok {
		operand, offset := v.View()
		return in[operand].Slice(offset, offset+len0(b.out)).as(b.out).clone(), nil
	}
	out := NewBuf(b.dt, b.out)
	shared, worker := op.Scratch()
	env := &Env{Shared: *NewBuf(b.dt, tensor.Shape{shared}), Kept: *NewBuf(b.dt, tensor.Shape{Kept(op)}), Worker: []Buf{*NewBuf(b.dt, tensor.Shape{worker})}}
	for phase, parts := range op.Phases() {
		for part := range parts {
			if err := op.Run(env, 0, phase, part, out, in); err != nil {
				return nil, fmt.Errorf("ops: %s: %w", b.name, err)
			}
		}
	}
	return out, nil
}

// opID numbers operators, so that Gorgonia, which merges nodes of equal hash, never merges two of ours.
var opID atomic.Uint64

// apply adds op to the graph of its operands and returns the new node.
func apply(op Op, operands ...*gorgonia.Node) (*gorgonia.Node, error) {
	b := op.core()
	b.self = op
	b.in, b.inDt = nil, nil
	for _, n := range operands {
		b.in = append(b.in, n.Shape())
		b.inDt = append(b.inDt, n.Dtype())
	}
	if b.dt == (tensor.Dtype{}) {
		b.dt = b.inDt[0]
	}
	if !countable(b.out) {
		return nil, fmt.Errorf("ops: %s: a result of shape %v, which has more than 2^40 elements", b.name, b.out)
	}
	for range 8 {
		b.id = opID.Add(1)
		n, err := gorgonia.ApplyOp(op, operands...)
		if err != nil {
			return nil, fmt.Errorf("ops: %s: %w", b.name, err)
		}
		if n.Op() == gorgonia.Op(op) {
			return n, nil
		}
		// The 32-bit hash met another node's; another number gives another hash.
	}
	return nil, fmt.Errorf("ops: %s: Gorgonia keeps merging the node with another", b.name)
}

var errType = errors.New("only float32, float64 and int64 are known")

// NewBuf returns a zeroed buffer.
func NewBuf(dt tensor.Dtype, shape tensor.Shape) *Buf {
	n := len0(shape)
	b := &Buf{Shape: shape.Clone()}
	switch dt {
	case tensor.Float32:
		b.F32 = make([]float32, n)
	case tensor.Float64:
		b.F64 = make([]float64, n)
	case tensor.Int64:
		b.I64 = make([]int64, n)
	default:
		panic(fmt.Sprintf("ops: %v: %v", dt, errType))
	}
	return b
}

// FromValue returns a buffer that shares the memory of v.
func FromValue(v gorgonia.Value) (*Buf, error) {
	b := &Buf{Shape: v.Shape().Clone()}
	switch d := v.Data().(type) {
	case []float32:
		b.F32 = d
	case []float64:
		b.F64 = d
	case []int64:
		b.I64 = d
	case float32:
		b.F32 = []float32{d}
	case float64:
		b.F64 = []float64{d}
	case int64:
		b.I64 = []int64{d}
	default:
		return nil, fmt.Errorf("element type %v: %w", v.Dtype(), errType)
	}
	return b, nil
}

// Value returns the buffer as a Gorgonia value that shares its memory, except for a scalar.
func (b *Buf) Value() gorgonia.Value {
	scalar := len(b.Shape) == 0
	var backing any
	switch {
	case b.F32 != nil:
		backing = b.F32
		if scalar {
			return gorgonia.NewF32(b.F32[0])
		}
	case b.F64 != nil:
		backing = b.F64
		if scalar {
			return gorgonia.NewF64(b.F64[0])
		}
	default:
		backing = b.I64
		if scalar {
			return gorgonia.NewI64(b.I64[0])
		}
	}
	return tensor.New(tensor.WithShape(b.Shape...), tensor.WithBacking(backing))
}

// Slice returns the elements [from, to) as a buffer of one dimension that shares memory.
func (b *Buf) Slice(from, to int) *Buf {
	s := &Buf{Shape: []int{to - from}}
	switch {
	case b.F32 != nil:
		s.F32 = b.F32[from:to:to]
	case b.F64 != nil:
		s.F64 = b.F64[from:to:to]
	default:
		s.I64 = b.I64[from:to:to]
	}
	return s
}

func (b *Buf) as(shape []int) *Buf { c := *b; c.Shape = shape; return &c }

func (b *Buf) clone() *Buf {
	return &Buf{
		Shape: append([]int(nil), b.Shape...),
		F32:   append([]float32(nil), b.F32...),
		F64:   append([]float64(nil), b.F64...),
		I64:   append([]int64(nil), b.I64...),
	}
}

// floats returns the elements of b as a slice of T, which must be their type.
func floats[T kernels.Float](b *Buf) []T {
	var p any = &b.F32
	if s, ok := p.(*[]T); ok {
		return *s
	}
	p = &b.F64
	return *p.(*[]T)
}

// len0 is the number of elements of a shape.
func len0(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// countable tells whether a shape has at most 2^40 elements, so that no sum or product with their number overflows.
func countable(shape []int) bool {
	n := 1
	for _, d := range shape {
		if d < 0 || d > 0 && n > 1<<40/d {
			return false
		}
		n *= max(d, 1)
	}
	return true
}

func sameShape(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func isFloat(dt tensor.Dtype) bool { return dt == tensor.Float32 || dt == tensor.Float64 }

// span returns part i of n elements cut into equal parts, the last of which may be shorter.
func span(n, parts, i int) (from, to int) {
	size := (n + parts - 1) / parts
	return min(i*size, n), min((i+1)*size, n)
}

// chunk is the number of elements of one part of an elementwise kernel.
const chunk = 1 << 14

func chunks(n int) int { return max(1, (n+chunk-1)/chunk) }

// building guards Gorgonia's package-level state (type inference, node pools), which building and
// differentiating graphs use and running them does not.
var building sync.Mutex

// Building runs f while nobody else in the process builds a graph through this function.
func Building(f func() error) error {
	building.Lock()
	defer building.Unlock()
	return f()
}
