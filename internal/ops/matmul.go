package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// matmul is the product of stacks of matrices. a and b are the shapes of the operands as stacks: at least
// two axes, the last two of which are the stored matrix; out is that of the result.
type matmul struct {
	base
	g          kernels.Gemm
	a, b, prod []int
	// Product i multiplies matrices atA[i] and atB[i]; there are slabs matrices in a, which phase 0 prepares.
	atA, atB []int
	slabs    int
	each     []int // parts of the phases of one product
	fold     bool  // the stack on the left is one tall matrix
}

// MatMul returns the matrix product with the rules of NumPy: a vector on the left is a row, on the right a
// column, whose axis goes from the result; axes before the last two are stacked products and broadcast.
func MatMul(a, b *gorgonia.Node) (*gorgonia.Node, error) {
	sa, sb := []int(a.Shape()), []int(b.Shape())
	if len(sa) == 0 || len(sb) == 0 {
		return nil, fmt.Errorf("ops: MatMul: operands of shapes %v and %v: a scalar can't be multiplied", sa, sb)
	}
	if err := noneEmpty("MatMul", sa, sb); err != nil {
		return nil, err
	}
	if err := needFloat("MatMul", a, b); err != nil {
		return nil, err
	}
	// Not where the product has longer rows to move.
	if x, perm := permutedRows(a); x != nil && len(sb) == 2 && sb[1] <= sb[0] {
		return behind(x, perm, func(x *gorgonia.Node) (*gorgonia.Node, error) { return MatMul(x, b) })
	}
	stackA, stackB := sa, sb
	if len(sa) == 1 {
		stackA = []int{1, sa[0]}
	}
	if len(sb) == 1 {
		stackB = []int{sb[0], 1}
	}
	o, err := newMatmul(stackA, stackB, false, false)
	if err != nil {
		return nil, err
	}
	// The axes that vectors lack go: rows from the last but one place, columns from the last.
	out := tensor.Shape(append([]int(nil), o.prod[:len(o.prod)-2]...))
	if len(sa) > 1 {
		out = append(out, o.prod[len(o.prod)-2])
	}
	if len(sb) > 1 {
		out = append(out, o.prod[len(o.prod)-1])
	}
	o.out = out
	return apply(o, a, b)
}

// newMatmul returns the product of two stacks; the caller sets out.
func newMatmul(a, b []int, transA, transB bool) (*matmul, error) {
	la, lb := len(a)-2, len(b)-2
	g, inner := newGemm(a[la:], b[lb:], transA, transB)
	stack, err := broadcast(a[:la], b[:lb])
	if err != nil || g.K != inner {
		return nil, fmt.Errorf("ops: MatMul: operands of shapes %v and %v do not fit", a, b)
	}
	o := &matmul{base: base{name: "MatMul"}, g: g, a: a, b: b, prod: append(append([]int(nil), stack...), g.M, g.N), slabs: len0(a[:la])}
	if len0(b[:lb]) == 1 && !transA {
		// One matrix on the right: the rows of all matrices on the left are one tall matrix.
		o.g.M *= o.slabs
		o.slabs, o.fold = 1, true
		o.atA, o.atB = []int{0}, []int{0}
		o.each = o.g.Phases()
		return o, nil
	}
	o.atA, o.atB = stackIndices(a[:la], stack), stackIndices(b[:lb], stack)
	o.g.Stack = len(o.atA)
	o.each = o.g.Phases()
	return o, nil
}

// stackIndices returns for every index of the broadcast shape out that of the element of shape.
func stackIndices(shape, out []int) []int {
	at := make([]int, len0(out))
	lead := len(out) - len(shape)
	for i := range at {
		rest, step := i, 1
		for k := len(out) - 1; k >= 0; k-- {
			j := rest % out[k]
			rest /= out[k]
			if k >= lead {
				if d := shape[k-lead]; d > 1 {
					at[i] += j * step
				}
				step *= shape[k-lead]
			}
		}
	}
	return at
}

func (o *matmul) Phases() []int {
	phases := []int{o.each[0] * o.slabs}
	for _, parts := range o.each[1:] {
		phases = append(phases, parts*len(o.atA))
	}
	return packedPhases(&o.g, phases)
}

func (o *matmul) Prepared() (p, k int, in []int) { return packedOperand(&o.g) }

func (o *matmul) Specialized(fixed []bool) Op {
	if !o.fold || !packs(&o.g, fixed[1]) {
		return nil
	}
	p := *o
	p.g.PackB = true
	p.each = p.g.Phases()
	return &p
}

func (o *matmul) Scratch() (shared, worker int) {
	shared, worker = o.g.Scratch()
	if o.each[0] > 0 {
		return shared * o.slabs, worker
	}
	return shared * len(o.atA), worker
}

func (o *matmul) Run(env *Env, worker, phase, part int, out *Buf, in []*Buf) error {
	phase, packed := packPhase(&o.g, env, phase, part, in[1])
	if packed {
		return nil
	}
	if out.F64 != nil {
		matmulPart[float64](o, env, worker, phase, part, out, in)
	} else {
		matmulPart[float32](o, env, worker, phase, part, out, in)
	}
	return nil
}

func matmulPart[T kernels.Float](o *matmul, env *Env, worker, phase, part int, out *Buf, in []*Buf) {
	each := o.each[phase]
	i, part := part/each, part%each
	y, a, b := floats[T](out), floats[T](in[0]), right[T](&o.g, env, in)
	atA := i
	if phase > 0 {
		y = y[i*o.g.M*o.g.N:]
		b = b[o.atB[i]*o.g.K*o.g.N:]
		atA = o.atA[i]
	}
	// Shared memory holds what phase 0 prepares of each matrix on the left, or else what phase 1 leaves of each product.
	size, _ := o.g.Scratch()
	own := atA
	if o.each[0] == 0 {
		own = i
	}
	kernels.GemmPart(&o.g, phase, part, y, a[atA*o.g.M*o.g.K:], b, floats[T](&env.Shared)[own*size:], floats[T](&env.Worker[worker]))
}

// dA = dY*transpose(B), dB = transpose(A)*dY, each summed over the stacks that its operand was broadcast to.
func (o *matmul) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.g.TransA || o.g.TransB {
		return o.base.SymDiff(in, nil, grad)
	}
	da, err := newMatmul(o.prod, o.b, false, true)
	if err != nil {
		return nil, err
	}
	gradA, err := o.gradient(da, o.a, in[0].Shape(), grad, in[1])
	if err != nil {
		return nil, err
	}
	a, prod := o.a, o.prod
	if o.fold {
		// One tall matrix sums over the stack on the way.
		a, prod = []int{o.g.M, o.g.K}, []int{o.g.M, o.g.N}
	}
	db, err := newMatmul(a, prod, true, false)
	if err != nil {
		return nil, err
	}
	b := o.b
	if o.fold {
		b = b[len(b)-2:]
	}
	gradB, err := o.gradient(db, b, in[1].Shape(), in[0], grad)
	return gorgonia.Nodes{gradA, gradB}, err
}

// gradient applies d to its operands, sums the result to a stack of the shape that the operand of o has,
// and gives it the operand's own shape.
func (o *matmul) gradient(d *matmul, stack []int, shape tensor.Shape, l, r *gorgonia.Node) (*gorgonia.Node, error) {
	d.name = "MatMulGrad"
	if len0(d.prod) == len0(shape) {
		d.out = shape
		return apply(d, l, r)
	}
	d.out = d.prod
	n, err := apply(d, l, r)
	if err != nil {
		return nil, err
	}
	if n, err = sumTo(n, stack); err != nil || sameShape(stack, shape) {
		return n, err
	}
	return Reshape(n, shape)
}
