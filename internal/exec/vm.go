package exec

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
)

// A VM runs a Plan. It owns the memory of the intermediate values; inputs and direct results are the
// caller's. One goroutine at a time may use it.
type VM struct {
	plan    *Plan
	pool    *parallel.Pool
	bufs    []ops.Buf
	args    [][]*ops.Buf // operands of each instruction
	aliases [][]int      // aliases of each slot
	copies  []copyOut
	scratch scratch
	env     ops.Env
	bound   []bool // by handle
	unbound int
	kept    bool   // what depends on fixed inputs alone is there
	direct  []bool // slots that Direct gave away

	cur     int // instruction
	phase   int
	failure atomic.Pointer[error]

	times []time.Duration // see Profile

	// Check, when not nil, is called with the result of every instruction; an error ends the run.
	Check func(n *gorgonia.Node, out *ops.Buf) error
}

// copyOut is a direct result that the plan computes elsewhere.
type copyOut struct {
	slot int
	dst  ops.Buf
}

type scratch struct {
	shared [kinds]ops.Buf
	kept   [kinds]ops.Buf
	worker [kinds][]ops.Buf
}

// Draw selects the random numbers of a run.
type Draw struct {
	Seed    uint64
	Replica uint32
	Eval    uint64
}

// New returns a machine for p that spreads the parts of an instruction over pool.
func (p *Plan) New(pool *parallel.Pool) *VM {
	vm := &VM{plan: p, pool: pool, bufs: make([]ops.Buf, len(p.slots)), aliases: make([][]int, len(p.slots)), bound: make([]bool, len(p.slots)), direct: make([]bool, len(p.slots))}
	a32, a64, aint := aligned[float32](p.size[f32]), aligned[float64](p.size[f64]), aligned[int64](p.size[i64])
	for i, s := range p.slots {
		b := &vm.bufs[i]
		b.Shape = s.shape
		switch s.home {
		case arena:
			switch s.kind {
			case f32:
				b.F32 = a32[s.offset : s.offset+s.len : s.offset+s.len]
			case f64:
				b.F64 = a64[s.offset : s.offset+s.len : s.offset+s.len]
			default:
				b.I64 = aint[s.offset : s.offset+s.len : s.offset+s.len]
			}
		case constant:
			b.F32, b.F64, b.I64 = s.value.F32, s.value.F64, s.value.I64
		case alias:
			vm.aliases[s.root] = append(vm.aliases[s.root], i)
		case input, output:
			vm.unbound++
		}
	}
	for root := range vm.aliases {
		if h := p.slots[root].home; h == arena || h == constant {
			vm.realias(root)
		}
	}
	for _, c := range p.code {
		in := make([]*ops.Buf, len(c.in))
		for i, s := range c.in {
			in[i] = &vm.bufs[s]
		}
		vm.args = append(vm.args, in)
	}
	vm.env.Worker = make([]ops.Buf, pool.Threads())
	vm.scratch.init(p, pool.Threads())
	return vm
}

func (s *scratch) init(p *Plan, threads int) {
	for k := range kinds {
		s.shared[k], s.kept[k] = newBuf(k, p.shared[k]), newBuf(k, p.kept[k])
		for range threads {
			s.worker[k] = append(s.worker[k], newBuf(k, p.worker[k]))
		}
	}
}

func newBuf(k kind, n int) ops.Buf {
	switch k {
	case f32:
		return ops.Buf{F32: aligned[float32](n)}
	case f64:
		return ops.Buf{F64: aligned[float64](n)}
	}
	return ops.Buf{I64: aligned[int64](n)}
}

// aligned returns n zeros that start at a multiple of 64 bytes.
func aligned[T any](n int) []T {
	var zero T
	size := int(unsafe.Sizeof(zero))
	s := make([]T, n+64/size)
	skip := 0
	for uintptr(unsafe.Pointer(&s[skip]))%64 != 0 {
		skip++
	}
	return s[skip : skip+n : skip+n]
}

// realias points the aliases of root into its memory.
func (vm *VM) realias(root int) {
	r := &vm.bufs[root]
	for _, a := range vm.aliases[root] {
		s := vm.plan.slots[a]
		b := &vm.bufs[a]
		from, to := s.offset, s.offset+s.len
		switch s.kind {
		case f32:
			b.F32 = r.F32[from:to:to]
		case f64:
			b.F64 = r.F64[from:to:to]
		default:
			b.I64 = r.I64[from:to:to]
		}
	}
}

// Input returns the number that binds an input; a node that the plan does not use has none.
func (vm *VM) Input(n *gorgonia.Node) (handle int, ok bool) {
	handle, ok = vm.plan.inputs[n]
	return handle, ok
}

// Direct returns a number that binds memory for a direct result. A result that another one shares memory
// with, or an input, is copied there at the end of each run.
func (vm *VM) Direct(n *gorgonia.Node) (handle int) {
	id := vm.plan.values[n]
	if vm.plan.slots[id].home == output && !vm.direct[id] {
		vm.direct[id] = true
		return id
	}
	vm.copies = append(vm.copies, copyOut{slot: id})
	vm.unbound++
	vm.bound = append(vm.bound, false)
	return len(vm.plan.slots) + len(vm.copies) - 1
}

// BindF32 gives the machine the memory of an input or a direct result, until it is bound again.
func (vm *VM) BindF32(handle int, data []float32) error {
	return vm.bind(handle, ops.Buf{F32: data}, f32, len(data))
}

// BindF64 is BindF32 for float64.
func (vm *VM) BindF64(handle int, data []float64) error {
	return vm.bind(handle, ops.Buf{F64: data}, f64, len(data))
}

// BindI64 is BindF32 for int64.
func (vm *VM) BindI64(handle int, data []int64) error {
	return vm.bind(handle, ops.Buf{I64: data}, i64, len(data))
}

func (vm *VM) bind(handle int, data ops.Buf, k kind, n int) error {
	id := handle
	if c := handle - len(vm.plan.slots); c >= 0 {
		id = vm.copies[c].slot
	}
	if s := vm.plan.slots[id]; s.kind != k || s.len != n {
		return fmt.Errorf("exec: %s has %d elements of %v; %d of another kind or number were bound", describe(s.node), s.len, s.node.Dtype(), n)
	}
	if !vm.bound[handle] {
		vm.bound[handle] = true
		vm.unbound--
	}
	if c := handle - len(vm.plan.slots); c >= 0 {
		vm.copies[c].dst = data
		return nil
	}
	b := &vm.bufs[id]
	if vm.plan.slots[id].fixed && vm.kept {
		vm.kept = same(b.F32, data.F32) && same(b.F64, data.F64) && same(b.I64, data.I64)
	}
	b.F32, b.F64, b.I64 = data.F32, data.F64, data.I64
	vm.realias(id)
	return nil
}

// same tells whether two slices are the same memory.
func same[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// Changed says that elements of fixed inputs have changed since the last run.
func (vm *VM) Changed() { vm.kept = false }

// Buf returns the value of a result after a run. The memory is the machine's.
func (vm *VM) Buf(n *gorgonia.Node) *ops.Buf { return &vm.bufs[vm.plan.values[n]] }

// A NodeError is the error of a node's operator in a run.
type NodeError struct {
	Node *gorgonia.Node
	Err  error
}

func (e *NodeError) Error() string { return fmt.Sprintf("exec: %s: %v", describe(e.Node), e.Err) }
func (e *NodeError) Unwrap() error { return e.Err }

// Run computes the plan once. An operator's error or panic ends the run with a *NodeError, the end of ctx with its error; the
// machine can be used again.
func (vm *VM) Run(ctx context.Context, d Draw) (err error) {
	if vm.unbound > 0 {
		return vm.unboundError()
	}
	vm.env.Seed, vm.env.Replica, vm.env.Eval = d.Seed, d.Replica, d.Eval
	defer func() {
		if r := recover(); r != nil {
			err = &NodeError{vm.plan.code[vm.cur].node, fmt.Errorf("panic: %v", r)}
		}
	}()
	done := ctx.Done()
	first := 0
	if vm.kept {
		first = vm.plan.setup
	}
	for i := first; i < len(vm.plan.code); i++ {
		select {
		case <-done:
			return ctx.Err()
		default:
		}
		var start time.Time
		if vm.times != nil {
			start = time.Now()
		}
		if err = vm.runInstr(i); err != nil {
			return err
		}
		if vm.times != nil && i >= vm.plan.setup {
			vm.times[i-vm.plan.setup] = time.Since(start)
		}
	}
	vm.kept = true
	for _, c := range vm.copies {
		b := &vm.bufs[c.slot]
		copy(c.dst.F32, b.F32)
		copy(c.dst.F64, b.F64)
		copy(c.dst.I64, b.I64)
	}
	return nil
}

func (vm *VM) unboundError() error {
	for i, s := range vm.plan.slots {
		if (s.home == input || s.home == output) && !vm.bound[i] {
			return fmt.Errorf("exec: %s is not bound", describe(s.node))
		}
	}
	return fmt.Errorf("exec: a direct result is not bound")
}

func (vm *VM) runInstr(i int) error {
	vm.cur = i
	c := &vm.plan.code[i]
	if c.op == nil {
		if err := vm.runStock(i); err != nil {
			return &NodeError{c.node, err}
		}
	} else {
		k := vm.plan.slots[c.out].kind
		vm.env.Shared = cut(&vm.scratch.shared[k], 0, c.shared)
		if c.prepared > 0 {
			vm.env.Kept = cut(&vm.scratch.kept[k], c.keptAt, c.kept)
		} else {
			vm.env.Kept = cut(&vm.scratch.shared[k], c.shared, c.kept)
		}
		for w := range vm.env.Worker {
			vm.env.Worker[w] = cut(&vm.scratch.worker[k][w], 0, c.worker)
		}
		for phase, parts := range c.phases {
			if vm.kept && phase < c.prepared {
				continue
			}
			vm.phase = phase
			vm.pool.Run(parts, vm)
			if e := vm.failure.Swap(nil); e != nil {
				return *e
			}
		}
	}
	if vm.Check != nil {
		return vm.Check(c.node, &vm.bufs[c.out])
	}
	return nil
}

// cut returns n elements of b.
func cut(b *ops.Buf, from, n int) ops.Buf {
	to := from + n
	switch {
	case b.F32 != nil:
		return ops.Buf{F32: b.F32[from:to:to]}
	case b.F64 != nil:
		return ops.Buf{F64: b.F64[from:to:to]}
	}
	return ops.Buf{I64: b.I64[from:to:to]}
}

// Part makes a VM a parallel.Task: it runs one part of the current phase.
func (vm *VM) Part(worker, part int) {
	c := &vm.plan.code[vm.cur]
	if err := c.op.Run(&vm.env, worker, vm.phase, part, &vm.bufs[c.out], vm.args[vm.cur]); err != nil {
		vm.fail(c, err)
	}
}

func (vm *VM) fail(c *instr, err error) {
	err = &NodeError{c.node, err}
	vm.failure.CompareAndSwap(nil, &err)
}

// runStock runs an operator of another package by its Do method.
func (vm *VM) runStock(i int) error {
	c := &vm.plan.code[i]
	values := make([]gorgonia.Value, len(c.in))
	for i, b := range vm.args[i] {
		values[i] = b.Value()
	}
	v, err := c.stock.Do(values...)
	if err != nil {
		return err
	}
	if d, ok := v.(*tensor.Dense); ok && d.RequiresIterator() {
		v = d.Materialize().(*tensor.Dense)
	}
	got, err := ops.FromValue(v)
	if err != nil {
		return err
	}
	out := &vm.bufs[c.out]
	if len(got.F32) != len(out.F32) || len(got.F64) != len(out.F64) || len(got.I64) != len(out.I64) {
		return fmt.Errorf("result of shape %v where %v was announced", got.Shape, out.Shape)
	}
	copy(out.F32, got.F32)
	copy(out.F64, got.F64)
	copy(out.I64, got.I64)
	return nil
}
