package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// sequenceGrads makes the matrix products that end the derivative of a recurrent network: over all steps at
// once, a product for each direction.
type sequenceGrads struct {
	*sequence
	back *sequenceBackward
	tape *gorgonia.Node
	grad *gorgonia.Node // result of back
}

// rows is the number of steps of all sequences together.
func (g *sequenceGrads) rows() int { return g.t * g.n }

// section cuts one direction out of a section of da's shape, from gate on.
func (g *sequenceGrads) section(from, d, gate int) (*gorgonia.Node, error) {
	m := g.g * g.h
	return viewOf(g.grad, from+d*g.rows()*m+gate*g.h, tensor.Shape{g.rows()*m - gate*g.h})
}

// input is dX.
func (g *sequenceGrads) input(w *gorgonia.Node) (*gorgonia.Node, error) {
	m := g.g * g.h
	var sum *gorgonia.Node
	for d := range g.d {
		da, err := g.section(g.back.da, d, 0)
		if err != nil {
			return nil, err
		}
		wd, err := viewOf(w, d*m*g.i, tensor.Shape{m, g.i})
		if err != nil {
			return nil, err
		}
		dx, err := newProduct(g.name+"InputGrad", tensor.Shape{g.t, g.n, g.i}, da, wd,
			kernels.Gemm{M: g.rows(), N: g.i, K: m, LDA: m, LDB: g.i, LDC: g.i})
		if err != nil {
			return nil, err
		}
		if sum == nil {
			sum = dx
		} else if sum, err = Add(sum, dx); err != nil {
			return nil, err
		}
	}
	return sum, nil
}

// weights is dW.
func (g *sequenceGrads) weights(x *gorgonia.Node) (*gorgonia.Node, error) {
	m := g.g * g.h
	return g.each(func(d int) (*gorgonia.Node, error) {
		da, err := g.section(g.back.da, d, 0)
		if err != nil {
			return nil, err
		}
		return newProduct(g.name+"WeightGrad", tensor.Shape{1, m, g.i}, da, x,
			kernels.Gemm{TransA: true, M: m, N: g.i, K: g.rows(), LDA: m, LDB: g.i, LDC: g.i})
	})
}

// recurrent is dR.
func (g *sequenceGrads) recurrent() (*gorgonia.Node, error) {
	gates := g.g
	if g.kind == gruCell {
		gates = gruN
	}
	return g.each(func(d int) (*gorgonia.Node, error) {
		// The states before each step lie one after the other in order of time.
		first := 0
		if g.backwards[d] {
			first = 1
		}
		h, err := viewOf(g.tape, g.states+g.state(d, first, 0), tensor.Shape{g.rows(), g.h})
		if err != nil {
			return nil, err
		}
		dr, err := g.recurrentGates(d, 0, gates, h)
		if err != nil || gates == g.g {
			return dr, err
		}
		mixed, err := viewOf(g.tape, g.mixed+g.step(d, 0, 0, g.h), tensor.Shape{g.rows(), g.h})
		if err != nil {
			return nil, err
		}
		dn, err := g.recurrentGates(d, gruN, 1, mixed)
		if err != nil {
			return nil, err
		}
		return Concat(1, dr, dn)
	})
}

func (g *sequenceGrads) recurrentGates(d, from, gates int, h *gorgonia.Node) (*gorgonia.Node, error) {
	m := gates * g.h
	da, err := g.section(g.back.daR, d, from)
	if err != nil {
		return nil, err
	}
	return newProduct(g.name+"RecurrentGrad", tensor.Shape{1, m, g.h}, da, h,
		kernels.Gemm{TransA: true, M: m, N: g.h, K: g.rows(), LDA: g.g * g.h, LDB: g.h, LDC: g.h})
}

// bias is dB.
func (g *sequenceGrads) bias() (*gorgonia.Node, error) {
	sums := func(from, d int) (*gorgonia.Node, error) {
		if from == g.back.da && g.back.summed {
			rows, err := viewOf(g.grad, g.back.sums+d*g.addends()*g.g*g.h, tensor.Shape{g.addends(), g.g * g.h})
			if err != nil || g.addends() == 1 {
				return rows, err
			}
			return ReduceSum(rows, []int{0}, true)
		}
		da, err := g.section(from, d, 0)
		if err != nil {
			return nil, err
		}
		if da, err = Reshape(da, []int{g.rows(), g.g * g.h}); err != nil {
			return nil, err
		}
		return ReduceSum(da, []int{0}, true)
	}
	return g.each(func(d int) (*gorgonia.Node, error) {
		w, err := sums(g.back.da, d)
		if err != nil {
			return nil, err
		}
		r := w
		if g.back.daR != g.back.da {
			if r, err = sums(g.back.daR, d); err != nil {
				return nil, err
			}
		}
		return Concat(1, w, r)
	})
}

// peepholes is dP: for each unit the sum of the derivative by a gate's argument times the cell that it sees, that
// before the step and, for o, that after it.
func (g *sequenceGrads) peepholes() (*gorgonia.Node, error) {
	return g.each(func(d int) (*gorgonia.Node, error) {
		da, err := viewOf(g.grad, g.back.da+g.step(d, 0, 0, g.g*g.h), tensor.Shape{g.rows(), g.g * g.h})
		if err != nil {
			return nil, err
		}
		first := 0
		if g.backwards[d] {
			first = 1
		}
		var sums []*gorgonia.Node
		for k, gate := range []int{lstmI, lstmO, lstmF} {
			place := first
			if gate == lstmO {
				place = 1 - first
			}
			cell, err := viewOf(g.tape, g.cells+g.state(d, place, 0), tensor.Shape{g.rows(), g.h})
			if err != nil {
				return nil, err
			}
			p, err := Slice(da, []int{0, k * g.h}, nil, []int{g.rows(), g.h})
			if err != nil {
				return nil, err
			}
			if p, err = Mul(p, cell); err != nil {
				return nil, err
			}
			if p, err = ReduceSum(p, []int{0}, true); err != nil {
				return nil, err
			}
			sums = append(sums, p)
		}
		return Concat(1, sums...)
	})
}

// each joins what f returns for the directions along axis 0.
func (g *sequenceGrads) each(f func(d int) (*gorgonia.Node, error)) (*gorgonia.Node, error) {
	var parts []*gorgonia.Node
	for d := range g.d {
		n, err := f(d)
		if err != nil {
			return nil, err
		}
		parts = append(parts, n)
	}
	return Concat(0, parts...)
}

// product is a matrix product of two ranges of memory, whatever the shapes of the nodes. It has no derivative.
type product struct {
	base
	g kernels.Gemm
}

func newProduct(name string, out tensor.Shape, a, b *gorgonia.Node, g kernels.Gemm) (*gorgonia.Node, error) {
	return apply(&product{base{name: name, out: out}, g}, a, b)
}

func (o *product) Phases() []int       { return o.g.Phases() }
func (o *product) Scratch() (s, w int) { return o.g.Scratch() }

func (o *product) Run(env *Env, worker, phase, part int, out *Buf, in []*Buf) error {
	if out.F64 != nil {
		productPart[float64](o, env, worker, phase, part, out, in)
	} else {
		productPart[float32](o, env, worker, phase, part, out, in)
	}
	return nil
}

func productPart[T kernels.Float](o *product, env *Env, worker, phase, part int, out *Buf, in []*Buf) {
	kernels.GemmPart(&o.g, phase, part, floats[T](out), floats[T](in[0]), floats[T](in[1]), floats[T](&env.Shared), floats[T](&env.Worker[worker]))
}

func (o *product) SymDiff(gorgonia.Nodes, *gorgonia.Node, *gorgonia.Node) (gorgonia.Nodes, error) {
	return nil, fmt.Errorf("ops: %s: derivatives of derivatives are not known", o.name)
}
