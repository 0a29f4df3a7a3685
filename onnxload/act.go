package onnxload

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

func leakyRelu(c *nodeCtx) error {
	alpha, err := c.float("alpha", 0.01)
	if err != nil {
		return err
	}
	x, err := c.data(0)
	if err != nil {
		return err
	}
	y, err := ops.LeakyRelu(x, alpha)
	return c.set(0, y, err)
}

// clip is Clip. Its bounds are attributes before opset 11, then optional inputs, which must be constants.
func clip(c *nodeCtx) error {
	lo, hi := math.Inf(-1), math.Inf(1)
	var err error
	if c.opset < 11 {
		if lo, err = c.float("min", lo); err != nil {
			return err
		}
		if hi, err = c.float("max", hi); err != nil {
			return err
		}
	}
	if c.has(1) {
		if lo, err = c.scalar(1); err != nil {
			return err
		}
	}
	if c.has(2) {
		if hi, err = c.scalar(2); err != nil {
			return err
		}
	}
	x, err := c.data(0)
	if err != nil {
		return err
	}
	y, err := ops.Clip(x, lo, hi)
	return c.set(0, y, err)
}

// softmax is Softmax and LogSoftmax. From opset 13 they are along one axis, by default the last. Before, the
// tensor is taken as a matrix whose columns are all dimensions from the axis on, by default from 1.
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
		if c.opset >= 13 {
			if a, err = axis(a, rank, rank); err != nil {
				return err
			}
			y, err := f(x, a)
			return c.set(0, y, err)
		}
		if a, err = axis(a, rank, rank+1); err != nil {
			return err
		}
		if a == rank-1 {
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
	before := len(c.b.net.Params)
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
	if c.b.opts.Training {
		ratio, err := c.dropoutRatio()
		if err != nil {
			return err
		}
		if !(ratio >= 0 && ratio < 1) {
			return fmt.Errorf("its ratio is %g; it must be in [0, 1)", ratio)
		}
		if ratio > 0 {
			if x, err = ops.Dropout(x, ratio, c.dropoutNumber()); err != nil {
				return err
			}
		}
	}
	if err := c.set(0, x, nil); err != nil {
		return err
	}
	c.layer(before)
	if len(c.out) < 2 || c.out[1] == nil || c.b.opts.Training {
		return nil
	}
	return c.dropoutMask(x.Shape())
}

// dropoutMask makes the second output, which tells what is kept: in inference everything. It is a bool from opset 10
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
	v := c.in[0]
	c.out[0].elem = v.elem
	n, err := v.graphNode(c.train)
	return c.set(0, n, err)
}

func hostIdentity(c *nodeCtx) (*host, error) { return c.constant(0) }

// cast is Cast on data: from one floating-point type to another, which are all one in the graph. That the
// numbers are not rounded to the type shows only if it is the type of an output.
func cast(c *nodeCtx) error {
	to, err := c.int("to", 0)
	if err != nil {
		return err
	}
	v := c.in[0]
	if int32(to) != v.elem && !(onnxpb.IsFloat(int32(to)) && onnxpb.IsFloat(v.elem)) {
		return unsupportedf("a cast of data from %s to %s; only casts between floating-point types are supported",
			onnxpb.TypeName(v.elem), onnxpb.TypeName(int32(to)))
	}
	n, err := v.graphNode(c.train)
	if c.out[0] != nil {
		if int32(to) != elemFLOAT && int32(to) != elemDOUBLE && slices.Contains(c.b.model.readers(c.out[0].name), -1) {
			return unsupportedf("an output of type %s; export in float32", onnxpb.TypeName(int32(to)))
		}
		c.out[0].elem = int32(to)
	}
	return c.set(0, n, err)
}

// hostCast is Cast on constants.
func hostCast(c *nodeCtx) (*host, error) {
	x, err := c.constant(0)
	if err != nil {
		return nil, err
	}
	to, err := c.int("to", 0)
	if err != nil {
		return nil, err
	}
	y, err := c.b.newHost(int32(to), x.shape)
	if err != nil {
		return nil, err
	}
	for k := range x.size() {
		switch {
		case y.elem == elemBOOL:
			y.i[k] = boolInt(x.at(k) != 0)
		case y.f != nil:
			y.f[k] = round(y.elem, x.at(k))
		case x.f != nil:
			y.i[k] = int64(x.f[k]) // towards zero
		default:
			y.i[k] = x.i[k]
			if y.elem == elemINT32 {
				y.i[k] = int64(int32(y.i[k]))
			}
		}
	}
	return y, nil
}
