package onnxload

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

func normOperators() map[string]operator {
	return map[string]operator{
		"LayerNormalization":        {inputs: 2, most: 3, graph: layerNorm},
		"RMSNormalization":          {inputs: 2, most: 2, graph: rmsNorm},
		"GroupNormalization":        {inputs: 3, most: 3, graph: groupNorm},
		"InstanceNormalization":     {inputs: 3, most: 3, graph: instanceNorm},
		"MeanVarianceNormalization": {inputs: 1, most: 1, graph: meanVariance},
		"LRN":                       {inputs: 1, most: 1, graph: lrn},
	}
}

// layerNorm is LayerNormalization: X, Scale, optional B. Its optional outputs are the mean and the inverse of the
// standard deviation.
func layerNorm(c *nodeCtx) error {
	x, scale, bias, at, eps, err := c.layerNormOperands()
	if err != nil {
		return err
	}
	var y *gorgonia.Node
	if inner := x.Shape()[at:]; slices.Equal(scale.Shape(), inner) && (bias == nil || slices.Equal(bias.Shape(), inner)) {
		y, err = ops.LayerNorm(x, scale, bias, at, eps)
	} else {
		y, err = c.normBroadcast(x, scale, bias, at, func(x, one *gorgonia.Node) (*gorgonia.Node, error) {
			return ops.LayerNorm(x, one, nil, at, eps)
		})
	}
	if err := c.set(0, y, err); err != nil {
		return err
	}
	if len(c.out) < 2 || c.out[1] == nil && (len(c.out) < 3 || c.out[2] == nil) {
		return nil
	}
	var axes []int
	for a := at; a < x.Dims(); a++ {
		axes = append(axes, a)
	}
	mean, inverse, err := ops.InverseDeviation(x, axes, eps)
	if err != nil {
		return err
	}
	if err := c.set(1, mean, nil); err != nil {
		return err
	}
	return c.set(2, inverse, nil)
}

// rmsNorm is RMSNormalization: X, scale.
func rmsNorm(c *nodeCtx) error {
	x, scale, _, at, eps, err := c.layerNormOperands()
	if err != nil {
		return err
	}
	var y *gorgonia.Node
	if slices.Equal(scale.Shape(), x.Shape()[at:]) {
		y, err = ops.RMSNorm(x, scale, at, eps)
	} else {
		y, err = c.normBroadcast(x, scale, nil, at, func(x, one *gorgonia.Node) (*gorgonia.Node, error) {
			return ops.RMSNorm(x, one, at, eps)
		})
	}
	return c.set(0, y, err)
}

func (c *nodeCtx) layerNormOperands() (x, scale, bias *gorgonia.Node, at int, eps float64, err error) {
	if x, err = c.data(0); err != nil {
		return
	}
	if scale, err = c.weight(1, role{kind: roleScale}); err != nil {
		return
	}
	if c.has(2) {
		if bias, err = c.weight(2, role{kind: roleShift}); err != nil {
			return
		}
	}
	if at, err = c.int("axis", -1); err != nil {
		return
	}
	if at, err = axis(at, x.Dims(), x.Dims()); err != nil {
		return
	}
	eps, err = c.float("epsilon", 1e-5)
	return
}

// normBroadcast normalises with scales of 1, and then multiplies and adds what is broadcast.
func (c *nodeCtx) normBroadcast(x, scale, bias *gorgonia.Node, at int, norm func(x, one *gorgonia.Node) (*gorgonia.Node, error)) (*gorgonia.Node, error) {
	for _, p := range []*gorgonia.Node{scale, bias} {
		if p == nil {
			continue
		}
		if s, err := broadcastShape(p.Shape(), x.Shape()); err != nil || !slices.Equal(s, x.Shape()) {
			return nil, fmt.Errorf("a scale or bias of shape %v does not fit an input of shape %v", p.Shape(), x.Shape())
		}
	}
	one, err := c.ones(x.Shape()[at:])
	if err != nil {
		return nil, err
	}
	y, err := norm(x, one)
	if err != nil {
		return nil, err
	}
	if y, err = ops.Mul(y, scale); err != nil || bias == nil {
		return y, err
	}
	return ops.Add(y, bias)
}

// ones is a constant of the given shape.
func (c *nodeCtx) ones(shape []int) (*gorgonia.Node, error) {
	h, err := c.b.newHost(elemFLOAT, shape)
	if err != nil {
		return nil, err
	}
	for i := range h.f {
		h.f[i] = 1
	}
	return c.b.constNode(c.b.unique(shownName(c.n, c.index)+".ones"), h)
}

// groupNorm is GroupNormalization. Scale and bias are for groups in opset 18 to 20, for channels since.
func groupNorm(c *nodeCtx) error {
	groups, err := c.int("num_groups", 0)
	if err != nil {
		return err
	}
	if c.attr("num_groups") == nil {
		return fmt.Errorf("it has no num_groups")
	}
	return c.groupNorm(func(int) int { return groups }, c.opset < 21)
}

func instanceNorm(c *nodeCtx) error {
	return c.groupNorm(func(channels int) int { return channels }, false)
}

func (c *nodeCtx) groupNorm(of func(channels int) int, perGroup bool) error {
	eps, err := c.float("epsilon", 1e-5)
	if err != nil {
		return err
	}
	x, err := c.data(0)
	if err != nil {
		return err
	}
	if x.Dims() < 2 {
		return fmt.Errorf("an input of shape %v, which has no channels", x.Shape())
	}
	channels := x.Shape()[1]
	groups := of(channels)
	if groups < 1 || channels%groups != 0 {
		return fmt.Errorf("%d groups of %d channels", groups, channels)
	}
	var params [2]*gorgonia.Node
	for i := range params {
		p, err := c.weight(1+i, role{kind: []roleKind{roleScale, roleShift}[i]})
		if err != nil {
			return err
		}
		if perGroup && slices.Equal(p.Shape(), []int{groups}) {
			for _, f := range []func(*gorgonia.Node) (*gorgonia.Node, error){
				func(p *gorgonia.Node) (*gorgonia.Node, error) { return ops.Reshape(p, []int{groups, 1}) },
				func(p *gorgonia.Node) (*gorgonia.Node, error) {
					return ops.Expand(p, []int{groups, channels / groups})
				},
				func(p *gorgonia.Node) (*gorgonia.Node, error) { return ops.Reshape(p, []int{channels}) },
			} {
				if p, err = f(p); err != nil {
					return err
				}
			}
		}
		params[i] = p
	}
	y, err := ops.GroupNorm(x, params[0], params[1], groups, eps)
	return c.set(0, y, err)
}

// meanVariance is MeanVarianceNormalization: over samples and positions, unless axes says otherwise.
func meanVariance(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	list, err := c.ints("axes")
	if err != nil {
		return err
	}
	if list == nil {
		list = []int{0, 2, 3}
	}
	if list, err = axes(list, x.Dims()); err != nil {
		return err
	}
	y, err := ops.MeanVariance(x, list)
	return c.set(0, y, err)
}

// lrn is LRN, local response normalisation.
func lrn(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	size, err := c.int("size", 0)
	if err != nil {
		return err
	}
	alpha, err := c.float("alpha", 1e-4)
	if err != nil {
		return err
	}
	beta, err := c.float("beta", 0.75)
	if err != nil {
		return err
	}
	bias, err := c.float("bias", 1)
	if err != nil {
		return err
	}
	y, err := ops.LRN(x, size, alpha, beta, bias)
	return c.set(0, y, err)
}
