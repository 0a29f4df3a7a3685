package exec

import (
	"slices"
	"time"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// A Cost is what an instruction costs in a run.
type Cost struct {
	Node  *gorgonia.Node // that it computes
	Op    string         // name of the operator
	FLOPs float64        // see ops.FLOPs
	Bytes float64        // size of operands and result, each counted once: what memory moves at least where no cache helps
}

// Costs returns the costs in the order in which they occur, without those of what is computed once.
func (p *Plan) Costs() []Cost {
	costs := make([]Cost, len(p.code)-p.setup)
	for i, c := range p.code[p.setup:] {
		costs[i] = Cost{Node: c.node, Op: ops.Name(c.node), FLOPs: ops.FLOPs(c.node.Op())}
		slots := append([]int{c.out}, c.in...)
		slices.Sort(slots)
		for _, s := range slices.Compact(slots) {
			costs[i].Bytes += p.bytes(s)
		}
	}
	return costs
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

// Profile makes each following run write its times to times, which has an element for each of Plan.Costs; nil
// ends it.
func (vm *VM) Profile(times []time.Duration) { vm.times = times }
