package onnxload

import (
	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

func lossOperators() map[string]operator {
	return map[string]operator{
		"SoftmaxCrossEntropyLoss":   {inputs: 2, most: 3, graph: crossEntropyLoss},
		"NegativeLogLikelihoodLoss": {inputs: 2, most: 3, graph: func(c *nodeCtx) error { return c.likelihood(false) }},
	}
}

// crossEntropyLoss is SoftmaxCrossEntropyLoss, whose second output is the logarithm of the probabilities.
func crossEntropyLoss(c *nodeCtx) error { return c.likelihood(true) }

// likelihood reads scores (N, C, ...), labels (N, ...) and weights of the classes (C).
func (c *nodeCtx) likelihood(logits bool) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	labels, err := c.integers(1)
	if err != nil {
		return err
	}
	var weights *gorgonia.Node
	if c.has(2) {
		if !c.in[2].constant() {
			weights, err = c.data(2)
		} else if h, e := c.constant(2); e != nil {
			err = e
		} else {
			weights, err = c.b.constNode(c.b.unique(c.in[2].name+".classes"), h)
		}
		if err != nil {
			return err
		}
	}
	a := ops.NLLAttr{HasIgnore: c.attr("ignore_index") != nil}
	if a.Reduction, err = c.string("reduction", "mean"); err != nil {
		return err
	}
	ignore, err := c.int("ignore_index", 0)
	if err != nil {
		return err
	}
	a.Ignore = int64(ignore)
	if logits {
		if x, err = ops.LogSoftmax(x, 1); err != nil {
			return err
		}
		if len(c.out) > 1 {
			if err := c.set(1, x, nil); err != nil {
				return err
			}
		}
	}
	y, err := ops.NLLLoss(x, labels, weights, a)
	return c.set(0, y, err)
}
