package onnxload

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// softmax is Softmax and LogSoftmax. From opset 13 they are along one axis, by default the last. Before, the
// tensor is taken as a matrix whose columns are all dimensions from the axis on, by default from 1, which a vector does not have.
func softmax(f func(*gorgonia.Node, int) (*gorgonia.Node, error)) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		x, err := c.data(0)
		if err != nil {
			return err
		}
		def := -1
		if c.opset < 13 {
			def = 1
		}
		a, err := c.int("axis", def)
		if err != nil {
			return err
		}
		rank := x.Dims()
		if a, err = axis(a, rank, rank); err != nil {
			return err
		}
		if c.opset >= 13 || a == rank-1 {
			y, err := f(x, a)
			return c.set(0, y, err)
		}
		shape := []int(x.Shape())
		m, err := ops.Reshape(x, []int{product(shape[:a]), product(shape[a:])})
		if err != nil {
			return err
		}
		if m, err = f(m, 1); err != nil {
			return err
		}
		y, err := ops.Reshape(m, shape)
		return c.set(0, y, err)
	}
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// dropout is Dropout. Whether it drops depends on the graph that is built, not on the file. Its ratio is an
// attribute before opset 12 and then an input.
func dropout(c *nodeCtx) error {
	before := c.b.sizes
	x, err := c.data(0)
	if err != nil {
		return err
	}
	if c.has(1) && c.in[1].constant() {
		// Read it even if it does not matter here, so that it is known as a constant in every graph.
		if _, err := c.constant(1); err != nil {
			return err
		}
	}
	dropped := false
	if c.b.opts.Training {
		ratio, err := c.dropoutRatio()
		if err != nil {
			return err
		}
		if !(ratio >= 0 && ratio < 1) {
			return fmt.Errorf("its ratio is %g; it must be in [0, 1)", ratio)
		}
		if dropped = ratio > 0; dropped {
			c.b.net.Random = true
			if x, err = c.dropped(x, ratio); err != nil {
				return err
			}
		}
	}
	if err := c.set(0, x, nil); err != nil {
		return err
	}
	c.layer(before)
	if len(c.out) < 2 || c.out[1] == nil || dropped {
		return nil
	}
	return c.dropoutMask(x.Shape())
}

// dropped is Dropout of x, computed together with the normalisation and Relu before it where nobody else reads what these give.
func (c *nodeCtx) dropped(x *gorgonia.Node, ratio float64) (*gorgonia.Node, error) {
	number := c.dropoutNumber()
	if c.onlyReader() {
		if y, ok, err := ops.NormReluDropout(x, ratio, number); ok || err != nil {
			return y, err
		}
	}
	return ops.Dropout(x, ratio, number)
}

// dropoutMask makes the second output, which tells what is kept, where that is everything. It is a bool from opset 10
// on, of the type of the data before.
func (c *nodeCtx) dropoutMask(shape []int) error {
	elem := elemBOOL
	if c.opset < 10 {
		elem = elemFLOAT
	}
	h, err := c.b.newHost(elem, shape)
	if err != nil {
		return err
	}
	for i := range h.i {
		h.i[i] = 1
	}
	for i := range h.f {
		h.f[i] = 1
	}
	*c.out[1] = *c.b.fromHost(c.out[1].name, h)
	return nil
}

// dropoutNumber chooses the random numbers: those of bodies come after those of the graph itself.
func (c *nodeCtx) dropoutNumber() uint32 {
	if c.scope == nil {
		return uint32(c.b.dropouts[c.index])
	}
	c.b.masks++
	return uint32(len(c.b.dropouts) + c.b.masks - 1)
}

func (c *nodeCtx) dropoutRatio() (float64, error) {
	if r := c.b.opts.Dropout; r != nil {
		return *r, nil
	}
	if c.opset >= 12 && c.has(1) {
		return c.scalar(1)
	}
	return c.float("ratio", 0.5)
}

func identity(c *nodeCtx) error {
	x, err := c.any(0)
	return c.set(0, x, err)
}
