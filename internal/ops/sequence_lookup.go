package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// The input of a recurrent network over text is rows of an embedding: X[t, n] = E[index[t, n]], with E of V rows. Its
// product with W is a row of E W, so V rows need be multiplied and not T*N, which is often a hundred times as many; and
// the derivative by E W, a sum of rows over equal indices, gives those by E and by W with products of V rows again.
// The operators then have E W of each direction (D, V, G*H) in place of X, and the index (T, N) in place of W.

// lookUp rewrites the first two operands so if x is rows of a table that are used twice or more in the mean.
func (s *sequence) lookUp(x, w *gorgonia.Node, operands []*gorgonia.Node) error {
	e, index, err := gathered(x)
	if err != nil || e == nil {
		return err
	}
	rows := e.Shape()[0]
	if rows == 0 || 2*rows > s.t*s.n {
		return nil
	}
	m := s.g * s.h
	var products []*gorgonia.Node
	for d := range s.d {
		wd, err := viewOf(w, d*m*s.i, tensor.Shape{m, s.i})
		if err != nil {
			return err
		}
		p, err := Gemm(e, wd, nil, 1, 0, false, true)
		if err != nil {
			return err
		}
		if p, err = Reshape(p, []int{1, rows, m}); err != nil {
			return err
		}
		products = append(products, p)
	}
	s.table = rows
	operands[1] = index
	operands[0], err = Concat(0, products...)
	return err
}

// gathered returns the table (V, I) and the index (without the last axis of x) if x is rows of a table, whatever the
// order and shape that the rows have been brought into since; nil if it is not.
func gathered(x *gorgonia.Node) (table, index *gorgonia.Node, err error) {
	shape := x.Shape()
	last := len(shape) - 1
	if last < 1 || x.Op() == nil {
		return nil, nil, nil
	}
	in := childrenOf(x)
	if from, perm := permutedRows(x); from != nil {
		if table, index, err = gathered(from); index != nil {
			index, err = Transpose(index, perm[:last])
		}
		return table, index, err
	}
	switch o := x.Op().(type) {
	case *gather:
		if o.axis == 0 && in[0].Dims() == 2 {
			return in[0], in[1], nil
		}
	case *view:
		from := in[0].Shape()
		if len(from) < 2 || from[len(from)-1] != shape[last] || len0(from) != len0(shape) {
			return nil, nil, nil
		}
		if table, index, err = gathered(in[0]); index != nil {
			index, err = Reshape(index, shape[:last])
		}
	}
	return table, index, err
}

// checkIndex returns the error of an index that the table does not have.
func (s *sequence) checkIndex(in []*Buf) error {
	if s.table == 0 {
		return nil
	}
	n := int64(s.table)
	for i, v := range in[1].I64 {
		if v < -n || v >= n {
			return fmt.Errorf("index %d, that of step %d of sequence %d of its input, is outside of the table of shape %v that the input is gathered from: indices are %d to %d",
				v, i/s.n, i%s.n, []int{s.table, s.i}, -n, n-1)
		}
	}
	return nil
}

// table is the derivative by the products of the table, of the given shape.
func (g *sequenceGrads) table(shape tensor.Shape, index *gorgonia.Node) (*gorgonia.Node, error) {
	m := g.g * g.h
	if g.back.summed {
		return viewOf(g.grad, g.back.sums, tensor.Shape(shape))
	}
	da, err := viewOf(g.grad, g.back.da, tensor.Shape{g.d, g.rows(), m})
	if err != nil {
		return nil, err
	}
	o := newGatherGrad(g.name+"TableGrad", shape, &gather{base: base{in: []tensor.Shape{shape[1:]}}, outer: g.d, n: g.sequence.table, m: g.rows(), inner: m})
	o.input = g.sequence
	return apply(o, da, index)
}
