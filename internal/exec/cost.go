package exec

import (
	"slices"
	"time"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// A Cost is what an instruction of a plan costs in a run.
type Cost struct {
	Node  *gorgonia.Node // that it computes
	Op    string
	FLOPs float64 // see ops.FLOPs
	// Bytes is the size of the operands and the result: what memory moves at least where no cache helps.
	Bytes float64
}

// Costs returns the cost of every instruction, in the order in which they run.
func (p *Plan) Costs() []Cost {
	costs := make([]Cost, len(p.code))
	for i, c := range p.code {
		costs[i] = Cost{Node: c.node, Op: c.name(), FLOPs: ops.FLOPs(c.node.Op()), Bytes: p.bytes(c.out)}
		for k, in := range c.in {
			if !slices.Contains(c.in[:k], in) {
				costs[i].Bytes += p.bytes(in)
			}
		}
	}
	return costs
}

func (c *instr) name() string {
	if c.op != nil {
		return c.op.String()
	}
	return c.stock.String()
}

func (p *Plan) bytes(slot int) float64 {
	size := 8
	if p.slots[slot].kind == f32 {
		size = 4
	}
	return float64(p.slots[slot].len * size)
}

// Plan returns the plan that the machine runs.
func (vm *VM) Plan() *Plan { return vm.plan }

// Profile makes each following run write the time of every instruction to times, which has Plan.Len elements;
// nil ends it.
func (vm *VM) Profile(times []time.Duration) { vm.times = times }
