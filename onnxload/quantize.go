package onnxload

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// quantizationOperators are the operators between floats and 8-bit or 16-bit integers, which are for inference only: their
// derivative is 0 or hides the rounding.
func quantizationOperators() map[string]operator {
	return map[string]operator{
		"QuantizeLinear":        {inputs: 2, most: 3, graph: inferenceOnly(quantizeLinear), fold: true, elem: quantizedElem},
		"DequantizeLinear":      {inputs: 2, most: 3, graph: inferenceOnly(dequantizeLinear), fold: true, elem: dequantizedElem},
		"DynamicQuantizeLinear": {inputs: 1, most: 1, graph: inferenceOnly(dynamicQuantizeLinear), fold: true},
	}
}

func inferenceOnly(graph func(*nodeCtx) error) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		if c.b.opts.Training {
			return unsupportedf("quantized networks are not trained, because rounding has the derivative 0; train the network in floating point and quantize it afterwards")
		}
		return graph(c)
	}
}

// quantizedElem is the type of QuantizeLinear's output: of the zero point, or the one that is asked for.
func quantizedElem(c *nodeCtx) (int32, error) {
	def := int(onnxpb.TensorProto_UINT8)
	if c.has(2) {
		def = int(c.elemOf(2))
	}
	elem, err := c.int("output_dtype", def)
	if elem == 0 {
		elem = def
	}
	if bits := bitsOf(int32(elem)); err == nil && (!onnxpb.IsInt(int32(elem)) || bits > 16) {
		return 0, unsupportedf("a quantization to %s", onnxpb.TypeName(int32(elem)))
	}
	return int32(elem), err
}

func dequantizedElem(c *nodeCtx) (int32, error) {
	elem, err := c.int("output_dtype", int(c.elemOf(1)))
	if elem == 0 {
		elem = int(c.elemOf(1))
	}
	return int32(elem), err
}

// quantizeLinear is round(x/scale) + zero, cut to the range of the type.
func quantizeLinear(c *nodeCtx) error {
	elem, err := quantizedElem(c)
	if err != nil {
		return err
	}
	x, err := c.any(0)
	if err != nil {
		return err
	}
	if x.Dtype() == tensor.Int64 {
		if x, err = castNode(x, c.elemOf(0), elemFLOAT, c.floatType()); err != nil {
			return err
		}
	}
	scale, zero, err := c.scaleAndZero(x.Shape())
	if err != nil {
		return err
	}
	y, err := quantized(x, scale, zero, elem)
	return c.setAs(0, elem, y, err)
}

func quantized(x, scale, zero *gorgonia.Node, elem int32) (*gorgonia.Node, error) {
	y, err := ops.Div(x, scale)
	if err == nil {
		y, err = ops.Curve("Round", y)
	}
	if err == nil && zero != nil {
		y, err = ops.Add(y, zero)
	}
	if err == nil {
		least, most := limits(elem)
		y, err = ops.Clip(y, float64(least), float64(most))
	}
	if err == nil {
		y, err = ops.Convert(y, tensor.Int64)
	}
	return y, err
}

// dequantizeLinear is (x - zero)*scale.
func dequantizeLinear(c *nodeCtx) error {
	elem, err := dequantizedElem(c)
	if err != nil {
		return err
	}
	x, err := c.integers(0)
	if err != nil {
		return err
	}
	y, err := castNode(x, c.elemOf(0), elemFLOAT, c.floatType())
	if err != nil {
		return err
	}
	scale, zero, err := c.scaleAndZero(x.Shape())
	if err == nil && zero != nil {
		y, err = ops.Sub(y, zero)
	}
	if err == nil {
		y, err = ops.Mul(y, scale)
	}
	return c.setAs(0, elem, y, err)
}

// scaleAndZero returns inputs 1 and 2 as floats that broadcast to a tensor of the given shape: one number, one for each
// place along the axis, or one for each block of block_size places. zero is nil if it is absent.
func (c *nodeCtx) scaleAndZero(shape []int) (scale, zero *gorgonia.Node, err error) {
	a, err := c.int("axis", 1)
	if err != nil {
		return nil, nil, err
	}
	block, err := c.int("block_size", 0)
	if err != nil {
		return nil, nil, err
	}
	if scale, err = c.fixed(1); err != nil {
		return nil, nil, err
	}
	if scale, err = spread(scale, shape, a, block); err != nil || !c.has(2) {
		return scale, nil, err
	}
	if zero, err = c.fixed(2); err != nil {
		return nil, nil, err
	}
	if zero.Dtype() == tensor.Int64 {
		if zero, err = castNode(zero, c.elemOf(2), elemFLOAT, c.floatType()); err != nil {
			return nil, nil, err
		}
	}
	zero, err = spread(zero, shape, a, block)
	return scale, zero, err
}

func spread(s *gorgonia.Node, shape []int, a, block int) (*gorgonia.Node, error) {
	own := s.Shape()
	if product(own) == 1 && block == 0 {
		return ops.Reshape(s, []int{})
	}
	a, err := axis(a, len(shape), len(shape))
	if err != nil {
		return nil, err
	}
	to := slices.Repeat([]int{1}, len(shape))
	switch {
	case block == 0 && len(own) == 1 && own[0] == shape[a]:
		to[a] = own[0]
		return ops.Reshape(s, to)
	case block > 0 && len(own) == len(shape) && own[a] == (shape[a]+block-1)/block:
		apart := slices.Insert(slices.Clone([]int(own)), a+1, 1)
		wide := slices.Clone(apart)
		wide[a+1] = block
		long := slices.Clone([]int(own))
		long[a] *= block
		if s, err = ops.Reshape(s, apart); err == nil {
			s, err = ops.Expand(s, wide)
		}
		if err == nil {
			s, err = ops.Reshape(s, long)
		}
		if err == nil {
			long[a] = shape[a]
			s, err = ops.Slice(s, make([]int, len(long)), nil, long)
		}
		return s, err
	}
	return nil, fmt.Errorf("a scale or zero point of shape %v for an input of shape %v along axis %d (block_size %d)", own, shape, a, block)
}

// fixed returns input i as a node that is not trained.
func (c *nodeCtx) fixed(i int) (*gorgonia.Node, error) {
	if c.scratch != nil || !c.has(i) || !c.in[i].constant() {
		return c.any(i)
	}
	h, err := c.constant(i)
	if err != nil {
		return nil, err
	}
	return c.b.constNode(c.b.unique(c.in[i].name+".fixed"), h)
}

// dynamicQuantizeLinear is DynamicQuantizeLinear: to UINT8, with the scale and zero point that the range of x asks for.
func dynamicQuantizeLinear(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	const elem = int32(onnxpb.TensorProto_UINT8)
	most, err := ops.ReduceMax(x, nil, false)
	if err == nil {
		most, err = ops.Clip(most, 0, math.Inf(1))
	}
	if err != nil {
		return err
	}
	least, err := ops.ReduceMin(x, nil, false)
	if err == nil {
		least, err = ops.Clip(least, math.Inf(-1), 0)
	}
	if err != nil {
		return err
	}
	scale, err := ops.Sub(most, least)
	if err == nil {
		scale, err = ops.Scale(scale, 1.0/255)
	}
	if err != nil {
		return err
	}
	zero, err := ops.Neg(least)
	if err == nil {
		zero, err = quantized(zero, scale, nil, elem)
	}
	if err != nil {
		return err
	}
	zeroFloat, err := ops.Convert(zero, x.Dtype())
	if err != nil {
		return err
	}
	y, err := quantized(x, scale, zeroFloat, elem)
	if err := c.setAs(0, elem, y, err); err != nil {
		return err
	}
	if len(c.out) > 1 {
		if err := c.setAs(1, elemFLOAT, scale, nil); err != nil {
			return err
		}
	}
	if len(c.out) > 2 {
		return c.setAs(2, elem, zero, nil)
	}
	return nil
}
