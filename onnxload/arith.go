package onnxload

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// add is Add. A vector of weights that is added to a product with weights is the bias of a linear layer.
func add(c *nodeCtx) error {
	for i := range 2 {
		bias, product := c.in[i], c.in[1-i]
		if c.scratch == nil && bias.constant() && len(bias.roots) > 0 && product.fanIn > 0 {
			if s, err := bias.dims(); err == nil && len(s) == 1 {
				if _, err := c.weight(i, role{kind: roleBias, fanIn: product.fanIn}); err != nil {
					return err
				}
			}
		}
	}
	return arithmetic("Add")(c)
}

// legacyBroadcast gives b trailing dimensions of 1, so that NumPy's rule puts it where attributes broadcast and
// axis say. Before opset 7 nothing broadcast without them.
func legacyBroadcast(c *nodeCtx, a, b *gorgonia.Node) (*gorgonia.Node, error) {
	on, err := c.bool("broadcast", false)
	if err != nil {
		return nil, err
	}
	if !on && !slices.Equal(a.Shape(), b.Shape()) {
		return nil, fmt.Errorf("shapes %v and %v differ, and attribute broadcast is not set (opset below 7)", a.Shape(), b.Shape())
	}
	if !on || c.attr("axis") == nil {
		return b, nil
	}
	at, err := c.int("axis", 0)
	if err != nil {
		return nil, err
	}
	if at, err = axis(at, a.Dims(), a.Dims()+1); err != nil {
		return nil, err
	}
	shape := slices.Clone([]int(b.Shape()))
	for len(shape)+at < a.Dims() {
		shape = append(shape, 1)
	}
	return ops.Reshape(b, shape)
}
