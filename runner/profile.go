package runner

import (
	"context"
	"math"
	"slices"
	"time"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/exec"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
)

// An OpCost is what one operator costs in the computation of a gradient or of outputs.
type OpCost struct {
	Op    string        // operator; those of derivatives end in Grad
	Layer string        // name of the ONNX node that it computes or derives, "" for the loss and where unknown
	Shape []int         // of its result
	Time  time.Duration // median
	FLOPs float64       // two for each product of elements in matrix products, convolutions and recurrent networks
	Bytes float64       // size of operands and result: what memory moves at least where no cache helps
}

// Profile computes the gradient of Grad the given number of times and returns what each operator cost, in the
// order in which they run. With 0 runs it only counts operations and bytes.
func (s *Step) Profile(ctx context.Context, grad, x []float32, b *Batch, at optimizer.Draw, runs int) ([]OpCost, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.compile(forGradient, b)
	if err != nil {
		return nil, err
	}
	return c.profile(runs, func() error {
		_, err := s.gradient(ctx, grad, x, b, at)
		return err
	})
}

// Profile is Step.Profile for the outputs of Predict.
func (p *Predictor) Profile(ctx context.Context, b *Batch, runs int) ([]OpCost, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	c, err := p.infer(ctx, forInference, b) // what is computed once does not count
	if err != nil {
		return nil, err
	}
	return c.profile(runs, func() error {
		_, err := p.infer(ctx, forInference, b)
		return err
	})
}

// profile returns the costs of the operators that run runs.
func (c *compiled) profile(runs int, run func() error) ([]OpCost, error) {
	costs := c.vm.Plan().Costs()
	times := make([][]time.Duration, len(costs))
	now := make([]time.Duration, len(costs))
	c.vm.Profile(now)
	defer c.vm.Profile(nil)
	for range runs {
		if err := run(); err != nil {
			return nil, err
		}
		for i, t := range now {
			times[i] = append(times[i], t)
		}
	}
	layers := c.layers(costs)
	out := make([]OpCost, len(costs))
	for i, o := range costs {
		out[i] = OpCost{Op: o.Op, Layer: layers[o.Node], Shape: o.Node.Shape(), FLOPs: o.FLOPs, Bytes: o.Bytes}
		if runs > 0 {
			slices.Sort(times[i])
			out[i].Time = times[i][runs/2]
		}
	}
	return out, nil
}

// layers finds the ONNX node that each node of the graph belongs to. Gorgonia does not tell which node a
// derivative is of; it reads that one's weights or results, or is its weights' gradient.
func (c *compiled) layers(costs []exec.Cost) map[*gorgonia.Node]string {
	names := map[*gorgonia.Node]string{}
	end := int64(math.MaxInt64) // of the network's own nodes
	if c.loss != nil {
		end = c.loss.ID()
	}
	var nodes gorgonia.Nodes
	for _, o := range costs {
		nodes = append(nodes, o.Node)
	}
	for _, n := range nodes {
		name := c.net.NodeName(n)
		if name == "" || n.ID() > end {
			continue
		}
		names[n] = name
		for _, in := range operands(n) {
			if in.Op() == nil && names[in] == "" {
				names[in] = name // weights; other inputs of the graph do no harm
			}
		}
	}
	for i, n := range c.derivatives {
		for v, view := n.Op().(ops.Viewer); view; v, view = n.Op().(ops.Viewer) {
			operand, _ := v.View()
			n = operands(n)[operand]
		}
		if names[n] == "" {
			names[n] = names[c.trained[i]]
		}
	}
	// What an ONNX node is made of besides its result.
	for i := len(nodes) - 1; i >= 0; i-- {
		if name := names[nodes[i]]; name != "" && nodes[i].ID() < end {
			for _, in := range operands(nodes[i]) {
				if names[in] == "" && in.Op() != nil {
					names[in] = name
				}
			}
		}
	}
	for _, n := range nodes {
		if names[n] != "" {
			continue
		}
		from := int64(-1)
		for _, in := range operands(n) {
			switch weights := slices.Contains(c.trained, in); {
			case names[in] == "" || in.ID() >= end:
			case weights:
				names[n], from = names[in], end
			case in.ID() > from:
				names[n], from = names[in], in.ID()
			}
		}
	}
	return names
}

func operands(n *gorgonia.Node) []*gorgonia.Node {
	var in []*gorgonia.Node
	for it := n.Graph().From(n.ID()); it.Next(); {
		in = append(in, it.Node().(*gorgonia.Node))
	}
	return in
}
