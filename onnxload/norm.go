package onnxload

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// batchNorm is BatchNormalization: X (N, C, ...), scale, B, mean and variance (C).
//
// A training graph normalises with the statistics of the batch and records them in Net.Stats; another uses the
// running statistics, and makes it part of a convolution before it. Only the first output is computed; in inference the others, the updated running
// statistics, are the running statistics themselves. A training graph computes those of opset 14 and newer too if the
// running statistics are no tensors of the file.
func batchNorm(c *nodeCtx) error {
	if spatial, err := c.bool("spatial", true); err != nil {
		return err
	} else if !spatial {
		return unsupportedf("statistics for every position (spatial=0) are not supported; export with opset 9 or newer")
	}
	eps, err := c.float("epsilon", 1e-5)
	if err != nil {
		return err
	}
	momentum, err := c.float("momentum", 0.9)
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
	scale, err := c.weight(1, role{kind: roleScale})
	if err != nil {
		return err
	}
	bias, err := c.weight(2, role{kind: roleShift})
	if err != nil {
		return err
	}
	channels := x.Shape()[1]
	mean, err := c.buffer(3, channels)
	if err != nil {
		return err
	}
	variance, err := c.buffer(4, channels)
	if err != nil {
		return err
	}
	if c.batchStatistics() && c.scope != nil && len(c.scope.bounds) > 0 {
		return unsupportedf("BatchNormalization in a branch or loop of which the data decide whether it counts would measure statistics of mini-batches that are none of its own")
	}
	if c.batchStatistics() {
		return c.batchNormTrain(x, scale, bias, eps, momentum)
	}
	folded := false
	var y *gorgonia.Node
	if !c.b.opts.Training && c.onlyReader() {
		y, folded, err = ops.FoldNorm(x, scale, bias, mean, variance, eps)
	}
	if !folded {
		y, err = ops.BatchNorm(x, scale, bias, mean, variance, eps)
	}
	if err := c.set(0, y, err); err != nil {
		return err
	}
	for k, v := range c.out[1:] {
		if v != nil {
			*v = value{name: v.name, statistic: true, elem: c.in[3].elem, shape: []int{channels}, node: []*gorgonia.Node{mean, variance}[k%2]}
		}
	}
	return nil
}

// batchStatistics tells whether BatchNormalization takes the statistics of the mini-batch; where the trained output is not computed
// from its result, those in the file stay.
func (c *nodeCtx) batchStatistics() bool {
	return c.b.opts.Training && !c.b.opts.FileStatistics && !c.b.selected.elsewhere(c.b.model.proto.Graph.Node[c.index].Output...)
}

func (c *nodeCtx) batchNormTrain(x, scale, bias *gorgonia.Node, eps, momentum float64) error {
	y, stats, err := ops.BatchNormTrain(x, scale, bias, eps)
	if err != nil {
		return err
	}
	net := c.b.net
	if n := len(net.Buffers); c.in[3].src != nil && c.in[4].src != nil {
		net.Stats = append(net.Stats, Stat{
			Node: stats, Mean: n - 2, Var: n - 1, Count: x.Shape().TotalSize() / x.Shape()[1],
			Unbiased: c.opset < 14, Momentum: momentum, Layer: shownName(c.n, c.index),
		})
	}
	net.names[stats.ID()] = shownName(c.n, c.index)
	for k, v := range c.out[1:] {
		if v == nil {
			continue
		}
		if c.opset >= 14 && k < 2 && c.in[3].src == nil && c.in[4].src == nil {
			if err := c.runningStatistic(k, stats, momentum); err != nil {
				return err
			}
			continue
		}
		v.statistic = true
		v.missing = "running statistics are not computed by the training graph"
	}
	return c.set(0, y, nil)
}

// runningStatistic makes output 1+k: the running mean, or with k 1 the variance, moved towards that of the batch.
func (c *nodeCtx) runningStatistic(k int, stats *gorgonia.Node, momentum float64) error {
	channels := stats.Shape()[1]
	of, err := ops.Slice(stats, []int{k, 0}, nil, []int{1, channels})
	if err == nil {
		of, err = ops.Reshape(of, []int{channels})
	}
	if err != nil {
		return err
	}
	old, err := c.data(3 + k)
	if err != nil {
		return err
	}
	if old, err = ops.Scale(old, momentum); err != nil {
		return err
	}
	if of, err = ops.Scale(of, 1-momentum); err != nil {
		return err
	}
	y, err := ops.Add(old, of)
	return c.set(1+k, y, err)
}

// buffer adds input i, a running statistic, to Net.Buffers; if it is no tensor of the file it is data like any
// other, which training does not need. The node is nil in a training graph.
func (c *nodeCtx) buffer(i, channels int) (*gorgonia.Node, error) {
	v := c.in[i]
	s := v.src
	if s == nil || c.in[7-i].src == nil {
		if c.batchStatistics() {
			return nil, nil
		}
		if !v.constant() {
			return c.data(i)
		}
		h, err := c.constant(i)
		if err != nil {
			return nil, err
		}
		return c.b.constNode(c.b.unique(v.name+".running"), h)
	}
	if len(s.shape) != 1 || s.shape[0] != channels || !onnxpb.IsFloat(s.elem()) {
		return nil, fmt.Errorf("its running statistics %q are of shape %v and type %s; %d floating-point numbers are needed",
			v.name, s.shape, s.typeName(), channels)
	}
	f := Buffer{Shape: s.shape, src: s, at: c.slot(i), mean: i == 3}
	if !c.batchStatistics() {
		// Not the tensor's own name: another BatchNormalization may use the same one.
		name := fmt.Sprintf("%s.running.%d", shownName(c.n, c.index), i)
		f.Node = c.b.input(c.b.unique(name), c.b.opts.Dtype, f.Shape)
	}
	c.b.net.Buffers = append(c.b.net.Buffers, f)
	return f.Node, nil
}
