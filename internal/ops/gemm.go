package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// gemm is alpha*A*B + beta*C for matrices A and B, either of which may be transposed.
type gemm struct {
	base
	g              kernels.Gemm
	alpha, beta    float64
	rowC, elementC int // distance in C from row to row and from column to column; 0 where C is broadcast
}

// Gemm returns alpha*A*B + beta*C (ONNX Gemm). A is (M,K) or, with transA, (K,M); B is (K,N) or, with
// transB, (N,K); c is broadcast to (M,N), or nil for none.
func Gemm(a, b, c *gorgonia.Node, alpha, beta float64, transA, transB bool) (*gorgonia.Node, error) {
	sa, sb := a.Shape(), b.Shape()
	if len(sa) != 2 || len(sb) != 2 {
		return nil, fmt.Errorf("ops: Gemm: A of shape %v and B of shape %v: both must be matrices", sa, sb)
	}
	if err := noneEmpty("Gemm", sa, sb); err != nil {
		return nil, err
	}
	g, inner := newGemm(sa, sb, transA, transB)
	if g.K != inner {
		return nil, fmt.Errorf("ops: Gemm: A of shape %v (transposed: %v) does not fit B of shape %v (transposed: %v): %d columns, %d rows", sa, transA, sb, transB, g.K, inner)
	}
	o := &gemm{base: base{name: "Gemm", out: tensor.Shape{g.M, g.N}}, g: g, alpha: alpha, beta: beta}
	operands := []*gorgonia.Node{a, b}
	if c != nil {
		s := c.Shape()
		if !broadcastsTo(s, o.out) {
			return nil, fmt.Errorf("ops: Gemm: C of shape %v can't be broadcast to %v", s, o.out)
		}
		if len(s) > 0 && s[len(s)-1] > 1 {
			o.elementC = 1
		}
		if len(s) == 2 && s[0] > 1 {
			o.rowC = s[1]
		}
		if alpha == 1 && beta == 1 {
			o.fuseBias()
		}
		operands = append(operands, c)
	}
	if err := needFloat("Gemm", operands...); err != nil {
		return nil, err
	}
	return apply(o, operands...)
}

// fuseBias lets the product add C if it is the same in all rows or in all columns.
func (o *gemm) fuseBias() {
	switch {
	case o.rowC == 0 && o.elementC == 1:
		o.g.Bias = kernels.ColumnBias
	case o.rowC == 1 && o.elementC == 0:
		o.g.Bias = kernels.RowBias
	}
}

// newGemm returns the product of two stored matrices; inner is K according to b.
func newGemm(a, b []int, transA, transB bool) (g kernels.Gemm, inner int) {
	g = kernels.Gemm{TransA: transA, TransB: transB, M: a[0], K: a[1], N: b[1], LDA: a[1], LDB: b[1]}
	inner = b[0]
	if transA {
		g.M, g.K = g.K, g.M
	}
	if transB {
		g.N, inner = inner, g.N
	}
	g.LDC = g.N
	return g, inner
}

// broadcastsTo tells whether s can be broadcast to shape in one direction.
func broadcastsTo(s, shape []int) bool {
	if len(s) > len(shape) {
		return false
	}
	for i, d := range s {
		if d != 1 && d != shape[len(shape)-len(s)+i] {
			return false
		}
	}
	return true
}

func (o *gemm) Phases() []int                  { return packedPhases(&o.g, o.g.Phases()) }
func (o *gemm) Scratch() (s, w int)            { return o.g.Scratch() }
func (o *gemm) Prepared() (p, k int, in []int) { return packedOperand(&o.g) }

func (o *gemm) Specialized(fixed []bool) Op {
	if !packs(&o.g, fixed[1]) {
		return nil
	}
	p := *o
	p.g.PackB = true
	return &p
}

func (o *gemm) Run(env *Env, worker, phase, part int, out *Buf, in []*Buf) error {
	phase, packed := packPhase(&o.g, env, phase, part, in[1])
	if packed {
		return nil
	}
	if out.F64 != nil {
		gemmPart[float64](o, env, worker, phase, part, out, in)
	} else {
		gemmPart[float32](o, env, worker, phase, part, out, in)
	}
	return nil
}

func gemmPart[T kernels.Float](o *gemm, env *Env, worker, phase, part int, out *Buf, in []*Buf) {
	y := floats[T](out)
	var bias []T
	if o.g.Bias != kernels.NoBias {
		bias = floats[T](in[2])
	}
	kernels.GemmBiasPart(&o.g, phase, part, y, floats[T](in[0]), right[T](&o.g, env, in), bias, floats[T](&env.Shared), floats[T](&env.Worker[worker]))
	if phase < o.g.Final() || o.alpha == 1 && (len(in) == 2 || bias != nil) {
		return
	}
	row0, row1, col0, col1 := o.g.Block(part)
	alpha, beta := T(o.alpha), T(o.beta)
	for i := row0; i < row1; i++ {
		yi := y[i*o.g.N+col0 : i*o.g.N+col1]
		if o.alpha != 1 {
			for j := range yi {
				yi[j] *= alpha
			}
		}
		if len(in) == 2 {
			continue
		}
		c := floats[T](in[2])[i*o.rowC:]
		if o.elementC == 0 {
			for j := range yi {
				yi[j] += T(beta * c[0])
			}
			continue
		}
		c = c[col0:col1]
		for j, v := range c[:len(yi)] {
			yi[j] += T(beta * v)
		}
	}
}

// With Y = alpha*A'*B' + beta*C, where A' is A or its transpose: dA' = alpha*dY*transpose(B'), dB' =
// alpha*transpose(A')*dY, dC = beta*dY, summed where C was broadcast.
func (o *gemm) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	a, b := in[0], in[1]
	var da, db *gorgonia.Node
	var err error
	if o.g.TransA {
		da, err = Gemm(b, grad, nil, o.alpha, 0, o.g.TransB, true)
	} else {
		da, err = Gemm(grad, b, nil, o.alpha, 0, false, !o.g.TransB)
	}
	if err != nil {
		return nil, err
	}
	if o.g.TransB {
		db, err = Gemm(grad, a, nil, o.alpha, 0, true, o.g.TransA)
	} else {
		db, err = Gemm(a, grad, nil, o.alpha, 0, !o.g.TransA, false)
	}
	if err != nil || len(in) == 2 {
		return gorgonia.Nodes{da, db}, err
	}
	dc, err := sumTo(grad, in[2].Shape())
	if err == nil && o.beta != 1 {
		dc, err = scaled(dc, o.beta)
	}
	return gorgonia.Nodes{da, db, dc}, err
}
