package onnxload

import (
	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// The operators that draw numbers: as the noise of a variational autoencoder. In training every gradient has numbers of its
// own, in inference they are the same in every run. They follow from the seed of the run; the attribute seed, which no two
// runtimes understand alike, is not used.
func randomOperators() map[string]operator {
	return map[string]operator{
		"RandomNormal":      {graph: randomly(ops.RandomNormal, "mean", 0, "scale", 1)},
		"RandomNormalLike":  {inputs: 1, most: 1, graph: randomly(ops.RandomNormal, "mean", 0, "scale", 1)},
		"RandomUniform":     {graph: randomly(ops.RandomUniform, "low", 0, "high", 1)},
		"RandomUniformLike": {inputs: 1, most: 1, graph: randomly(ops.RandomUniform, "low", 0, "high", 1)},
		"Bernoulli":         {inputs: 1, most: 1, graph: bernoulli},
	}
}

// randomly is an operator that draws numbers of a distribution with two parameters. Their shape is that of the input or, if
// the operator has none, an attribute.
func randomly(f func(*gorgonia.Node, []int, float64, float64, uint32) (*gorgonia.Node, error),
	first string, first0 float64, second string, second0 float64) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		a, err := c.float(first, first0)
		if err != nil {
			return err
		}
		b, err := c.float(second, second0)
		if err != nil {
			return err
		}
		like := elemFLOAT
		var shape []int
		if c.has(0) {
			like = c.elemOf(0)
			shape, err = c.in[0].dims()
		} else {
			shape, err = c.ints("shape")
		}
		if err != nil {
			return err
		}
		elem, err := c.int("dtype", int(like))
		if err != nil {
			return err
		}
		if !onnxpb.IsFloat(int32(elem)) {
			return unsupportedf("random numbers of type %s", onnxpb.TypeName(int32(elem)))
		}
		any, shape, err := c.drawShape(shape)
		if err != nil {
			return err
		}
		y, err := f(any, shape, a, b, c.randomNumber())
		return c.setAs(0, int32(elem), y, err)
	}
}

// drawShape checks the shape of numbers to be drawn, and makes the operand that ties them to the graph.
func (c *nodeCtx) drawShape(shape []int) (*gorgonia.Node, []int, error) {
	if _, ok := elements(shape, c.b.opts.MaxElements); !ok {
		return nil, nil, unsupportedf("random numbers of shape %v; a shape has no negative size and at most %d elements", shape, c.b.opts.MaxElements)
	}
	any, err := c.b.constNode(c.b.unique(shownName(c.n, c.index)+".any"), &host{elem: elemFLOAT, shape: []int{}, f: []float64{0}})
	return any, append([]int{}, shape...), err
}

// bernoulli is 1 with the probability that the input says, else 0. Its derivative is 0.
func bernoulli(c *nodeCtx) error {
	p, err := c.data(0)
	if err != nil {
		return err
	}
	elem, err := c.int("dtype", int(c.elemOf(0)))
	if err != nil {
		return err
	}
	any, shape, err := c.drawShape(p.Shape())
	if err != nil {
		return err
	}
	u, err := ops.RandomUniform(any, shape, 0, 1, c.randomNumber())
	if err != nil {
		return err
	}
	y, err := ops.Compare("Bernoulli", u, p, true, false, false)
	if err != nil {
		return err
	}
	y, err = castNode(y, elemBOOL, int32(elem), c.floatType())
	return c.setAs(0, int32(elem), y, err)
}

// randomNumber chooses the stream of random numbers: by the place in the file, so that it is the same for every batch size.
func (c *nodeCtx) randomNumber() uint32 {
	c.b.net.Random = true
	if c.scope == nil {
		return uint32(c.index)
	}
	c.b.draws++
	return 1<<24 + uint32(c.b.draws)
}
