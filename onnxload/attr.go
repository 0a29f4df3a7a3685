package onnxload

import (
	"fmt"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// attr returns an attribute, or nil. The oldest files leave out its type.
func (c *nodeCtx) attr(name string) *onnxpb.AttributeProto {
	for _, a := range c.n.Attribute {
		if a.GetName() == name {
			return a
		}
	}
	return nil
}

func (c *nodeCtx) attrOf(name string, types ...onnxpb.AttributeProto_AttributeType) (*onnxpb.AttributeProto, error) {
	a := c.attr(name)
	if a == nil || a.GetType() == onnxpb.AttributeProto_UNDEFINED {
		return a, nil
	}
	for _, t := range types {
		if a.GetType() == t {
			return a, nil
		}
	}
	return nil, fmt.Errorf("its attribute %q is of type %v, not %v", name, a.GetType(), types[0])
}

// int returns an integer attribute or, without it, def.
func (c *nodeCtx) int(name string, def int) (int, error) {
	a, err := c.attrOf(name, onnxpb.AttributeProto_INT)
	if a == nil || err != nil {
		return def, err
	}
	if a.GetI() > 1<<40 || a.GetI() < -1<<40 {
		return 0, fmt.Errorf("its attribute %q is %d", name, a.GetI())
	}
	return int(a.GetI()), nil
}

// groups is the attribute group of a convolution.
func (c *nodeCtx) groups() (int, error) {
	g, err := c.int("group", 1)
	if err == nil && g < 1 {
		err = fmt.Errorf("its attribute \"group\" is %d; it must be at least 1", g)
	}
	return g, err
}

func (c *nodeCtx) bool(name string, def bool) (bool, error) {
	i, err := c.int(name, int(boolInt(def)))
	return i != 0, err
}

func (c *nodeCtx) float(name string, def float64) (float64, error) {
	a, err := c.attrOf(name, onnxpb.AttributeProto_FLOAT)
	if a == nil || err != nil {
		return def, err
	}
	return float64(a.GetF()), nil
}

func (c *nodeCtx) string(name, def string) (string, error) {
	a, err := c.attrOf(name, onnxpb.AttributeProto_STRING)
	if a == nil || err != nil {
		return def, err
	}
	return string(a.GetS()), nil
}

// ints returns a list of integers, and nil without the attribute.
func (c *nodeCtx) ints(name string) ([]int, error) {
	a, err := c.attrOf(name, onnxpb.AttributeProto_INTS)
	if a == nil || err != nil {
		return nil, err
	}
	x := make([]int, len(a.Ints))
	for i, v := range a.Ints {
		if v > 1<<40 || v < -1<<40 {
			return nil, fmt.Errorf("its attribute %q holds %d", name, v)
		}
		x[i] = int(v)
	}
	return x, nil
}

// sizes returns a list of n integers of at least least, by default def each.
func (c *nodeCtx) sizes(name string, n, def, least int) ([]int, error) {
	x, err := c.ints(name)
	if err != nil {
		return nil, err
	}
	if x == nil {
		x = make([]int, n)
		for i := range x {
			x[i] = def
		}
		return x, nil
	}
	if len(x) != n {
		return nil, fmt.Errorf("its attribute %q has %d numbers; %d are needed", name, len(x), n)
	}
	for _, v := range x {
		if v < least || v > 1<<24 {
			return nil, fmt.Errorf("its attribute %q is %v; numbers must be from %d to 2^24", name, x, least)
		}
	}
	return x, nil
}

// axis makes an axis of a tensor of the given rank non-negative; upTo is the first that is too large.
func axis(a, rank, upTo int) (int, error) {
	b := a
	if b < 0 {
		b += rank
	}
	if b < 0 || b >= upTo {
		return 0, fmt.Errorf("axis %d of a tensor of %d dimensions", a, rank)
	}
	return b, nil
}

// axes does so for a list, in which no axis may occur twice.
func axes(list []int, rank int) ([]int, error) {
	seen := map[int]bool{}
	out := []int{}
	for _, a := range list {
		b, err := axis(a, rank, rank)
		if err != nil {
			return nil, err
		}
		if seen[b] {
			return nil, fmt.Errorf("axes %v name an axis twice", list)
		}
		seen[b] = true
		out = append(out, b)
	}
	return out, nil
}

// floats returns a list of numbers, and nil without the attribute.
func (c *nodeCtx) floats(name string) ([]float64, error) {
	a, err := c.attrOf(name, onnxpb.AttributeProto_FLOATS)
	if a == nil || err != nil {
		return nil, err
	}
	x := make([]float64, len(a.Floats))
	for i, v := range a.Floats {
		x[i] = float64(v)
	}
	return x, nil
}

// strings returns a list of strings, and nil without the attribute.
func (c *nodeCtx) strings(name string) ([]string, error) {
	a, err := c.attrOf(name, onnxpb.AttributeProto_STRINGS)
	if a == nil || err != nil {
		return nil, err
	}
	var x []string
	for _, v := range a.Strings {
		x = append(x, string(v))
	}
	return x, nil
}
