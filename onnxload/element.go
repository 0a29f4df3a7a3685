package onnxload

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// Element types. A graph has one type of floats, Options.Dtype, and one of integers, int64; the type that the
// file means is kept beside each value.
//
//   - FLOAT, DOUBLE, FLOAT16 and BFLOAT16 are all the graph's floats: a DOUBLE network is exact in a graph of
//     float64. A Cast to FLOAT16 or BFLOAT16 rounds; what other operators compute in these types is more exact.
//   - Integers of 8 to 64 bits and BOOL (0 and 1) are int64. After an operator that can leave the type's range
//     the number wraps around, as in the type's own arithmetic. UINT64 has the bits of the int64, and where the
//     order matters an operator looks at the type.
//   - Strings, 4-bit and 8-bit floats, 2-bit and 4-bit integers and complex numbers have no place in a graph.

// any returns input i as a node of the graph's floats or of int64.
func (c *nodeCtx) any(i int) (*gorgonia.Node, error) { return c.node(i, c.train) }

// elemOf returns the ONNX type of input i.
func (c *nodeCtx) elemOf(i int) int32 {
	if !c.has(i) {
		return 0
	}
	return c.in[i].elem
}

// setAs is set for an output of the given ONNX type.
func (c *nodeCtx) setAs(k int, elem int32, n *gorgonia.Node, err error) error {
	if err != nil {
		return err
	}
	if n, err = wrapped(n, elem); err != nil {
		return err
	}
	if k < len(c.out) && c.out[k] != nil {
		c.out[k].elem = elem
	}
	return c.set(k, n, nil)
}

// wrapped makes the int64 numbers of n numbers of the type; floats it leaves alone.
func wrapped(n *gorgonia.Node, elem int32) (*gorgonia.Node, error) {
	if n.Dtype() != tensor.Int64 || elem == elemINT64 || elem == elemUINT64 || elem == elemBOOL {
		return n, nil
	}
	return ops.MapInts("Wrap", n, func(v int64) int64 { return wrap(elem, v) })
}

// wrap keeps as many low bits of v as the integer type has.
func wrap(elem int32, v int64) int64 {
	switch onnxpb.TensorProto_DataType(elem) {
	case onnxpb.TensorProto_INT8:
		return int64(int8(v))
	case onnxpb.TensorProto_UINT8:
		return int64(uint8(v))
	case onnxpb.TensorProto_INT16:
		return int64(int16(v))
	case onnxpb.TensorProto_UINT16:
		return int64(uint16(v))
	case onnxpb.TensorProto_INT32:
		return int64(int32(v))
	case onnxpb.TensorProto_UINT32:
		return int64(uint32(v))
	}
	return v
}

// ordered returns n so that its order as int64 is that of the type, and the function that leads back: numbers
// of UINT64 have their first bit turned over.
func ordered(n *gorgonia.Node, elem int32) (*gorgonia.Node, func(*gorgonia.Node) (*gorgonia.Node, error), error) {
	if elem != elemUINT64 {
		return n, func(y *gorgonia.Node) (*gorgonia.Node, error) { return y, nil }, nil
	}
	turn := func(y *gorgonia.Node) (*gorgonia.Node, error) {
		return ops.MapInts("Turn", y, func(v int64) int64 { return v ^ math.MinInt64 })
	}
	n, err := turn(n)
	return n, turn, err
}

// cast returns n, of type from, as numbers of type to.
func castNode(n *gorgonia.Node, from, to int32, floats tensor.Dtype) (*gorgonia.Node, error) {
	var err error
	switch {
	case !onnxpb.IsFloat(to) && !onnxpb.IsInt(to):
		return nil, unsupportedf("a cast to %s", onnxpb.TypeName(to))
	case from == to:
		return n, nil
	case n.Dtype() == tensor.Int64 && to == elemBOOL:
		return ops.MapInts("Cast", n, func(v int64) int64 { return boolInt(v != 0) })
	case n.Dtype() == tensor.Int64 && onnxpb.IsInt(to):
		return wrapped(n, to)
	case n.Dtype() == tensor.Int64:
		if from == elemUINT64 {
			n, err = ops.ConvertUnsigned(n, floats)
		} else {
			n, err = ops.Convert(n, floats)
		}
	case to == elemBOOL:
		return ops.Test("Cast", n, func(x float64) bool { return x != 0 })
	case to == elemUINT64:
		return ops.FloatToUnsigned(n)
	case onnxpb.IsInt(to):
		if n, err = ops.Convert(n, tensor.Int64); err != nil {
			return nil, err
		}
		return wrapped(n, to)
	}
	if err != nil || !narrow(to) {
		return n, err
	}
	return ops.Round16(n, func(x float64) float64 { return round(to, x) })
}

func narrow(elem int32) bool {
	return elem == int32(onnxpb.TensorProto_FLOAT16) || elem == int32(onnxpb.TensorProto_BFLOAT16)
}

// castTo is Cast and CastLike, to what to says.
func castTo(to func(*nodeCtx) (int32, error)) func(*nodeCtx) error {
	return func(c *nodeCtx) error {
		elem, err := to(c)
		if err != nil {
			return err
		}
		x, err := c.any(0)
		if err != nil {
			return err
		}
		y, err := castNode(x, c.elemOf(0), elem, c.floatType())
		return c.setAs(0, elem, y, err)
	}
}

// castAttr is the type that attribute to of Cast names; before opset 6 by a string.
func castAttr(c *nodeCtx) (int32, error) {
	if c.opset < 6 {
		s, err := c.string("to", "")
		if err != nil {
			return 0, err
		}
		elem, ok := onnxpb.TensorProto_DataType_value[s]
		if !ok {
			return 0, fmt.Errorf("its attribute \"to\" is %q, which is no element type", s)
		}
		return elem, nil
	}
	to, err := c.int("to", 0)
	return int32(to), err
}

func castLikeElem(c *nodeCtx) (int32, error) { return c.elemOf(1), nil }

// floatType is the graph's type of floats.
func (c *nodeCtx) floatType() tensor.Dtype {
	if c.scratch != nil {
		return tensor.Float64
	}
	return c.b.opts.Dtype
}

// bitCast is BitCast: the numbers that the bits of the input mean in another type of as many bits.
func bitCast(c *nodeCtx) error {
	to, err := castAttr(c)
	if err != nil {
		return err
	}
	from := c.elemOf(0)
	if !onnxpb.IsFloat(to) && !onnxpb.IsInt(to) {
		return unsupportedf("a cast of bits to %s", onnxpb.TypeName(to))
	}
	if bitsOf(from) != bitsOf(to) {
		return fmt.Errorf("a cast of the bits of %s to %s, which has another number of them", onnxpb.TypeName(from), onnxpb.TypeName(to))
	}
	if (from == elemDOUBLE || to == elemDOUBLE) && from != to && c.floatType() != tensor.Float64 {
		return unsupportedf("the bits of DOUBLE numbers in a graph of float32")
	}
	x, err := c.any(0)
	if err != nil {
		return err
	}
	if onnxpb.IsFloat(from) && from != to {
		x, err = ops.ToInts("BitCast", x, func(v float64) int64 { return int64(onnxpb.FloatBits(from, v)) })
	}
	switch {
	case err != nil || from == to:
	case onnxpb.IsFloat(to):
		x, err = ops.FromInts("BitCast", x, c.floatType(), func(v int64) float64 { return onnxpb.FloatOfBits(to, uint64(v)) })
	case to == elemBOOL:
		x, err = castNode(x, from, to, c.floatType())
	}
	return c.setAs(0, to, x, err)
}
