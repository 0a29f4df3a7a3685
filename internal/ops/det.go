package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// det computes determinants. A part is some matrices.
type det struct {
	base
	m, count int // rows of a matrix; matrices
}

// Det returns the determinants of square matrices (..., M, M), as (...) (ONNX Det). The derivative of each is the matrix of its
// cofactors, also where it is singular and PyTorch's derivative is 0.
func Det(x *gorgonia.Node) (*gorgonia.Node, error) {
	s := x.Shape()
	if len(s) < 2 || s[len(s)-1] != s[len(s)-2] {
		return nil, fmt.Errorf("ops: Det: x of shape %v is no stack of square matrices", s)
	}
	if err := noneEmpty("Det", s); err != nil {
		return nil, err
	}
	if err := needFloat("Det", x); err != nil {
		return nil, err
	}
	out := s[:len(s)-2].Clone()
	return apply(&det{base{name: "Det", out: out}, s[len(s)-1], len0(out)}, x)
}

func (o *det) perPart() int { return max(1, chunk/(o.m*o.m)) }

func (o *det) Phases() []int { return []int{ceilDiv(o.count, o.perPart())} }

func (o *det) Scratch() (shared, worker int) { return 0, o.m * o.m }

func (o *det) Run(env *Env, worker, _, part int, out *Buf, in []*Buf) error {
	from, to := part*o.perPart(), min((part+1)*o.perPart(), o.count)
	if out.F64 != nil {
		detPart(o.m, from, to, out.F64, in[0].F64, env.Worker[worker].F64)
	} else {
		detPart(o.m, from, to, out.F32, in[0].F32, env.Worker[worker].F32)
	}
	return nil
}

// detPart multiplies the pivots of Gaussian elimination, each the largest of its column. a has room for one matrix.
func detPart[T kernels.Float](m, from, to int, y, x, a []T) {
	for k := from; k < to; k++ {
		copy(a[:m*m], x[k*m*m:])
		d := T(1)
		for i := range m {
			p := i
			for r := i + 1; r < m; r++ {
				if absolute(a[r*m+i]) > absolute(a[p*m+i]) {
					p = r
				}
			}
			pivot := a[p*m+i]
			d *= pivot
			if pivot == 0 {
				break
			}
			if p != i {
				d = -d
				swapRows(a, m, i, p)
			}
			for r := i + 1; r < m; r++ {
				f := a[r*m+i] / pivot
				for c := i + 1; c < m; c++ {
					a[r*m+c] -= T(f * a[i*m+c])
				}
			}
		}
		y[k] = d
	}
}

func absolute[T kernels.Float](x T) T { return T(math.Abs(float64(x))) }

func swapRows[T kernels.Float](a []T, width, i, j int) {
	for c := range width {
		a[i*width+c], a[j*width+c] = a[j*width+c], a[i*width+c]
	}
}

func (o *det) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := apply(&detGrad{base{name: "DetGrad", out: in[0].Shape()}, o}, dy, in[0])
	return gorgonia.Nodes{dx}, err
}

// detGrad is dy times the cofactors; its operands are dy and x.
type detGrad struct {
	base
	of *det
}

func (o *detGrad) Phases() []int { return o.of.Phases() }

// Scratch has room for a matrix beside another, and for the places of its rows and columns.
func (o *detGrad) Scratch() (shared, worker int) { return 0, 2*o.of.m*o.of.m + 2*o.of.m }

func (o *detGrad) Run(env *Env, worker, _, part int, out *Buf, in []*Buf) error {
	from, to := part*o.of.perPart(), min((part+1)*o.of.perPart(), o.of.count)
	if out.F64 != nil {
		detGradPart(o.of.m, from, to, out.F64, in[0].F64, in[1].F64, env.Worker[worker].F64)
	} else {
		detGradPart(o.of.m, from, to, out.F32, in[0].F32, in[1].F32, env.Worker[worker].F32)
	}
	return nil
}

func detGradPart[T kernels.Float](m, from, to int, dx, dy, x, work []T) {
	for k := from; k < to; k++ {
		cofactors(dx[k*m*m:][:m*m], x[k*m*m:][:m*m], dy[k], m, work)
	}
}

// cofactors sets y to f times the cofactors of x, an m by m matrix.
//
// Gauss-Jordan elimination with complete pivoting stops before the last pivot, s. With B for x in the order of the pivots, A its first
// m-1 rows and columns, c and r what is right of and below it, [B | I] has become
//
//	[ I  A^-1 c |  A^-1    0 ]
//	[ 0    s    | -r A^-1  1 ]
//
// from which the adjugate of B, the transpose of its cofactors, follows without a division by s:
// det(A) times the right half's last row, and, above it, times s A^-1 + (A^-1 c)(r A^-1) and -A^-1 c.
func cofactors[T kernels.Float](y, x []T, f T, m int, work []T) {
	width := 2 * m
	a, rows, columns := work[:m*width], work[m*width:][:m], work[m*width+m:][:m]
	for i := range m {
		copy(a[i*width:], x[i*m:][:m])
		clear(a[i*width+m:][:m])
		a[i*width+m+i] = 1
		rows[i], columns[i] = T(i), T(i)
	}
	for i := range m - 1 {
		p, q := i, i
		for r := i; r < m; r++ {
			for c := i; c < m; c++ {
				if absolute(a[r*width+c]) > absolute(a[p*width+q]) {
					p, q = r, c
				}
			}
		}
		pivot := a[p*width+q]
		if pivot == 0 { // the rank is m-2 at most: all cofactors are 0
			clear(y)
			return
		}
		f *= pivot
		if p != i {
			f = -f
			swapRows(a, width, i, p)
			rows[i], rows[p] = rows[p], rows[i]
			// The right half stands for the rows in their new order.
			for r := range m {
				a[r*width+m+i], a[r*width+m+p] = a[r*width+m+p], a[r*width+m+i]
			}
		}
		if q != i {
			f = -f
			for r := range m {
				a[r*width+i], a[r*width+q] = a[r*width+q], a[r*width+i]
			}
			columns[i], columns[q] = columns[q], columns[i]
		}
		for c := range width {
			a[i*width+c] /= pivot
		}
		for r := range m {
			if g := a[r*width+i]; r != i && g != 0 {
				for c := range width {
					a[r*width+c] -= T(g * a[i*width+c])
				}
			}
		}
	}
	last := a[(m-1)*width:]
	s := last[m-1]
	for i := range m {
		for j := range m {
			adjugate := last[m+j]
			if i < m-1 {
				adjugate = T(s*a[i*width+m+j]) - T(a[i*width+m-1]*last[m+j])
			}
			y[int(rows[j])*m+int(columns[i])] = T(f * adjugate)
		}
	}
}
