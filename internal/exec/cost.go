package exec

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// A Cost is what a group of instructions that run together, mostly a single one, costs in a run.
type Cost struct {
	Nodes []*gorgonia.Node // that it computes
	Op    string           // names of the operators, with + between
	FLOPs float64          // see ops.FLOPs
	// Bytes is the size of operands and results: what memory moves at least where no cache helps. What one
	// instruction of the group makes and another reads counts once.
	Bytes float64
}

// Costs returns the costs in the order in which they occur.
func (p *Plan) Costs() []Cost {
	costs := make([]Cost, len(p.groups))
	for i, g := range p.groups {
		c := &costs[i]
		c.Op = p.name(&g)
		var slots []int
		for _, instr := range p.code[g.first:g.end] {
			c.Nodes = append(c.Nodes, instr.node)
			c.FLOPs += ops.FLOPs(instr.node.Op())
			slots = append(append(slots, instr.in...), instr.out)
		}
		slices.Sort(slots)
		for _, s := range slices.Compact(slots) {
			c.Bytes += p.bytes(s)
		}
	}
	return costs
}

// name joins the names of a group's operators.
func (p *Plan) name(g *group) string {
	var names []string
	for _, c := range p.code[g.first:g.end] {
		if c.op != nil {
			names = append(names, c.op.String())
		} else {
			names = append(names, c.stock.String())
		}
	}
	return strings.Join(names, "+")
}

// describeGroup is describe for a group, of whose instructions any may be meant.
func (p *Plan) describeGroup(g *group) string {
	first := p.code[g.first].node
	if g.end == g.first+1 {
		return describe(first)
	}
	return fmt.Sprintf("nodes from %d on (%s %v)", first.ID(), p.name(g), first.Shape())
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
