package onnxload

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

func poolOperators() map[string]operator {
	return map[string]operator{
		"MaxPool":           {inputs: 1, most: 1, graph: maxPool},
		"MaxUnpool":         {inputs: 2, most: 3, graph: maxUnpool},
		"AveragePool":       {inputs: 1, most: 1, graph: averagePool},
		"LpPool":            {inputs: 1, most: 1, graph: lpPool},
		"GlobalAveragePool": {inputs: 1, most: 1, graph: unary(ops.GlobalAveragePool)},
		"GlobalMaxPool":     {inputs: 1, most: 1, graph: unary(ops.GlobalMaxPool)},
		"GlobalLpPool":      {inputs: 1, most: 1, graph: globalLpPool},
		"LpNormalization":   {inputs: 1, most: 1, graph: lpNormalization},
	}
}

// maxPool is MaxPool. Its second output is where the maxima are.
func maxPool(c *nodeCtx) error {
	if elem := c.elemOf(0); onnxpb.IsInt(elem) {
		return c.maxPoolInts(elem)
	}
	x, a, err := c.pooling()
	if err != nil {
		return err
	}
	order, err := c.int("storage_order", 0)
	if err != nil {
		return err
	}
	if len(c.out) > 1 && c.out[1] != nil {
		at, err := ops.MaxPoolIndices(x, a, order != 0)
		if err != nil {
			return err
		}
		c.out[1].elem = elemINT64
		if err := c.set(1, at, nil); err != nil {
			return err
		}
	}
	if len(c.out) == 1 && c.onlyReaderThroughRelu() {
		if y, ok, err := ops.PoolFirst(x, a); ok || err != nil {
			return c.set(0, y, err)
		}
	}
	y, err := ops.MaxPool(x, a)
	return c.set(0, y, err)
}

// maxPoolInts is MaxPool of integers of 8 bits, which are floats for a while.
func (c *nodeCtx) maxPoolInts(elem int32) error {
	if bitsOf(elem) != 8 || len(c.out) > 1 {
		return unsupportedf("pooling of %s; integers of 8 bits are supported, without the indices of their maxima", onnxpb.TypeName(elem))
	}
	x, err := c.any(0)
	if err != nil {
		return err
	}
	a, err := c.poolAttr(x.Shape())
	if err != nil {
		return err
	}
	if x, err = castNode(x, elem, elemFLOAT, c.floatType()); err != nil {
		return err
	}
	y, err := ops.MaxPool(x, a)
	if err == nil {
		y, err = castNode(y, elemFLOAT, elem, c.floatType())
	}
	return c.setAs(0, elem, y, err)
}

// onlyReader tells whether nothing but this node reads its input.
func (c *nodeCtx) onlyReader() bool {
	_, only := c.onlyRead(c.n.Input[0])
	return only
}

// onlyReaderThroughRelu tells whether nothing but this node reads its input and, where that is a Relu, what Relu reads.
func (c *nodeCtx) onlyReaderThroughRelu() bool {
	from, only := c.onlyRead(c.n.Input[0])
	if only && from.GetOpType() == "Relu" {
		_, only = c.onlyRead(from.Input[0])
	}
	return only
}

// onlyRead returns the node that computes a tensor, and whether there is one and one reader.
func (c *nodeCtx) onlyRead(name string) (from *onnxpb.NodeProto, only bool) {
	m := c.b.model
	i, ok := m.info.producer[name]
	if !ok || c.scope != nil || len(m.readers(name)) != 1 {
		return nil, false
	}
	return m.proto.Graph.Node[i], true
}

func averagePool(c *nodeCtx) error {
	x, a, err := c.pooling()
	if err != nil {
		return err
	}
	y, err := ops.AveragePool(x, a)
	return c.set(0, y, err)
}

// lpPool is LpPool. The order of the norm is a float in opset 1 and an integer since.
func lpPool(c *nodeCtx) error {
	x, a, err := c.pooling()
	if err != nil {
		return err
	}
	p, err := c.order()
	if err != nil {
		return err
	}
	y, err := ops.LpPool(x, a, p)
	return c.set(0, y, err)
}

func globalLpPool(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	p, err := c.order()
	if err != nil {
		return err
	}
	y, err := ops.GlobalLpPool(x, p)
	return c.set(0, y, err)
}

func lpNormalization(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	a, err := c.int("axis", -1)
	if err != nil {
		return err
	}
	p, err := c.int("p", 2)
	if err != nil {
		return err
	}
	y, err := ops.LpNormalization(x, a, float64(p))
	return c.set(0, y, err)
}

// order is the order of a norm in pooling, attribute p.
func (c *nodeCtx) order() (float64, error) {
	if c.opset < 2 {
		return c.float("p", 2)
	}
	p, err := c.int("p", 2)
	return float64(p), err
}

// pooling reads the input and the attributes of an operator that pools.
func (c *nodeCtx) pooling() (x *gorgonia.Node, a ops.PoolAttr, err error) {
	if x, err = c.data(0); err != nil {
		return
	}
	if a, err = c.poolAttr(x.Shape()); err == nil {
		x, err = c.cropped(x, a)
	}
	return
}

// cropped cuts off what auto_pad leaves out of a pooling. Its padding makes the windows of ceil(size/stride) steps cover the input, and is
// negative by ONNX's formula where steps are longer than windows: half of what they do not reach is before the first, rounded as in
// onnxruntime.
func (c *nodeCtx) cropped(x *gorgonia.Node, a ops.PoolAttr) (*gorgonia.Node, error) {
	auto, err := c.string("auto_pad", "NOTSET")
	if err != nil || auto != "SAME_UPPER" && auto != "SAME_LOWER" {
		return x, err
	}
	sizes := slices.Clone([]int(x.Shape()))
	starts := make([]int, len(sizes))
	for d := range a.Kernel {
		n := sizes[2+d]
		steps := (n + a.Strides[d] - 1) / a.Strides[d]
		if left := n - (steps-1)*a.Strides[d] - (a.Kernel[d]-1)*a.Dilations[d] - 1; left > 0 {
			if starts[2+d] = left / 2; auto == "SAME_LOWER" {
				starts[2+d] = (left - 1) / 2
			}
			sizes[2+d] = n - left
		}
	}
	if slices.Equal(sizes, x.Shape()) {
		return x, nil
	}
	if len(c.out) > 1 && c.out[1] != nil {
		return nil, unsupportedf("the indices of maxima where auto_pad leaves elements out")
	}
	return ops.Slice(x, starts, nil, sizes)
}

func (c *nodeCtx) poolAttr(shape []int) (a ops.PoolAttr, err error) {
	rank := len(shape) - 2
	if rank < 1 {
		return a, fmt.Errorf("an input of shape %v has no spatial dimensions", shape)
	}
	if c.attr("kernel_shape") == nil {
		return a, fmt.Errorf("it has no kernel_shape")
	}
	if a.Kernel, err = c.sizes("kernel_shape", rank, 1, 1); err != nil {
		return
	}
	if a.Strides, a.Dilations, a.Pads, err = c.window(shape[2:], a.Kernel); err != nil {
		return
	}
	if a.CeilMode, err = c.bool("ceil_mode", false); err != nil {
		return
	}
	a.CountIncludePad, err = c.bool("count_include_pad", false)
	return
}

// maxUnpool is MaxUnpool. Indices count in the tensor that the attributes give; a larger output_shape has zeros behind.
func maxUnpool(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	index, err := c.integers(1)
	if err != nil {
		return err
	}
	rank := x.Dims() - 2
	if rank < 1 {
		return fmt.Errorf("an input of shape %v has no spatial dimensions", x.Shape())
	}
	kernel, err := c.sizes("kernel_shape", rank, 1, 1)
	if err != nil {
		return err
	}
	strides, err := c.sizes("strides", rank, 1, 1)
	if err != nil {
		return err
	}
	pads, err := c.sizes("pads", 2*rank, 0, 0)
	if err != nil {
		return err
	}
	shape := slices.Clone([]int(x.Shape()))
	for d := range rank {
		shape[2+d] = (shape[2+d]-1)*strides[d] + kernel[d] - pads[d] - pads[rank+d]
	}
	want := shape
	if c.has(2) {
		if want, err = c.constInts(2); err != nil {
			return err
		}
	}
	if len(want) != len(shape) {
		return fmt.Errorf("output_shape %v for an input of shape %v", want, x.Shape())
	}
	behind := make([]int, 2*len(shape))
	for d := range shape {
		if behind[len(shape)+d] = want[d] - shape[d]; want[d] < shape[d] || shape[d] < 1 {
			return fmt.Errorf("output_shape %v is smaller than what the kernel gives, %v", want, shape)
		}
	}
	if _, ok := elements(want, c.b.opts.MaxElements); !ok {
		return fmt.Errorf("its output of shape %v has more than %d elements", want, c.b.opts.MaxElements)
	}
	y, err := ops.MaxUnpool(x, index, shape)
	if err != nil {
		return err
	}
	y, err = ops.Pad(y, behind, 0, "constant")
	return c.set(0, y, err)
}
