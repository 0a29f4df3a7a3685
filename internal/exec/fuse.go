package exec

import (
	"slices"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// A group is a run of instructions that go through memory together: elementwise operators on tensors of one
// size (ops.Ranger). While a range is in a cache, all of them see it. What each computes stays the same to the bit.
// A group of one instruction just runs it.
//
// Reductions do not join: computing BatchNorm's sums right after what they read, range by range of a channel, made
// the gradient of mnistconv 5 to 8 % slower and that of allcnn 2 to 17 %: memory is not read in its order then.
type group struct {
	first, end int // instructions
	len        int // elements of the tensors
	phases     []phase
}

func (g *group) fused() bool { return g.end > g.first+1 }

// phase is one of an instruction or, if instr is negative, the fused one.
type phase struct{ instr, phase, parts int }

const (
	// fusedPart is the number of elements of a part of the fused phase, and fusedRange of the ranges it goes
	// through memory in: a few tensors' ranges of float32 fit in a first-level cache.
	fusedPart, fusedRange = 1 << 14, 1 << 12
	// longest is the number of instructions of a group; without a bound the time to plan would grow with its square.
	longest = 256
)

// fuse cuts the code into groups. It may move a later instruction to the end of a group if it reads the
// group's results.
func (p *Plan) fuse(allowed bool) {
	for i := 0; i < len(p.code); {
		g := group{first: i, end: i + 1}
		if allowed && p.startsGroup(&p.code[i]) {
			g.len = p.slots[p.code[i].out].len
			p.extend(&g)
		}
		p.phases(&g)
		p.layScratch(&g)
		p.groups = append(p.groups, g)
		i = g.end
	}
}

func (p *Plan) startsGroup(c *instr) bool {
	op, ok := c.op.(ops.Ranger)
	return ok && c.worker == 0 && p.slots[c.out].len > 0 && len(op.Ranged()) > 0 && p.slots[c.out].kind != i64
}

// extend adds instructions to g as long as there are fitting ones among the next few.
func (p *Plan) extend(g *group) {
	const ahead = 8
	for at := g.end; at < min(g.end+ahead, len(p.code)) && g.end-g.first < longest; at++ {
		c := &p.code[at]
		if !p.readsAny(c, g.first, g.end) || p.readsAny(c, g.end, at) || !p.fits(c, g) {
			continue
		}
		moved := p.code[at]
		copy(p.code[g.end+1:at+1], p.code[g.end:at])
		p.code[g.end] = moved
		g.end++
		at = g.end - 1
	}
}

// readsAny tells whether c reads a result of instructions [from, to).
func (p *Plan) readsAny(c *instr, from, to int) bool {
	for _, in := range c.in {
		for _, other := range p.code[from:to] {
			if p.slots[in].root == other.out {
				return true
			}
		}
	}
	return false
}

// fits tells whether c can be the next instruction of g: results of the group it must read by equal index only,
// and those it reads otherwise must not be of the group.
func (p *Plan) fits(c *instr, g *group) bool {
	op, ok := c.op.(ops.Ranger)
	if !ok || c.worker > 0 || p.slots[c.out].kind != p.slots[p.code[g.first].out].kind || p.slots[c.out].len != g.len {
		return false
	}
	ranged := op.Ranged()
	for k, in := range c.in {
		s := p.slots[in]
		ofGroup := slices.ContainsFunc(p.code[g.first:g.end], func(other instr) bool { return s.root == other.out })
		whole := s.len == g.len && (s.home != alias || s.offset == 0)
		if ofGroup && !(slices.Contains(ranged, k) && whole) {
			return false
		}
	}
	return true
}

// phases lists what a group runs.
func (p *Plan) phases(g *group) {
	all := func(i, from, to int) {
		for k := from; k < to; k++ {
			g.phases = append(g.phases, phase{i, k, p.code[i].phases[k]})
		}
	}
	if !g.fused() {
		all(g.first, 0, len(p.code[g.first].phases))
		return
	}
	for i := g.first; i < g.end; i++ {
		all(i, 0, len(p.code[i].phases)-1)
	}
	g.phases = append(g.phases, phase{-1, 0, (g.len + fusedPart - 1) / fusedPart})
}

// layScratch gives each instruction of a group a range of the shared scratch memory.
func (p *Plan) layScratch(g *group) {
	at := 0
	for i := g.first; i < g.end; i++ {
		p.code[i].sharedAt = at
		at += roundUp(p.code[i].shared)
	}
	k := p.slots[p.code[g.first].out].kind
	p.shared[k] = max(p.shared[k], at)
	p.worker[k] = max(p.worker[k], p.code[g.first].worker)
	p.widest = max(p.widest, g.end-g.first)
}

// groupOf returns the group of each instruction.
func (p *Plan) groupOf() []*group {
	of := make([]*group, len(p.code))
	for i := range p.groups {
		for k := p.groups[i].first; k < p.groups[i].end; k++ {
			of[k] = &p.groups[i]
		}
	}
	return of
}
