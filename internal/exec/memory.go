package exec

import (
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// align is the number of elements that arena offsets are multiples of: 64 bytes of float32.
const align = 16

// place decides where each slot lives: results that the caller provides memory for, results written over
// an operand that nobody reads any more, and ranges of the arena that are reused when a value is dead.
func (p *Plan) place(results, direct []*gorgonia.Node) {
	const forever = 1 << 30
	last := make([]int, len(p.slots)) // the last instruction that reads a root
	for i := range last {
		last[i] = -1
	}
	for i, c := range p.code {
		last[p.slots[c.out].root] = i
		for _, in := range c.in {
			last[p.slots[in].root] = i
		}
	}
	for _, c := range p.code[:p.setup] { // what every run reads stays
		if r := p.slots[c.out].root; last[r] >= p.setup {
			last[r] = forever
		}
	}
	for _, n := range append(slices.Clone(results), direct...) {
		last[p.slots[p.values[n]].root] = forever
	}
	for _, n := range direct {
		if s := &p.slots[p.values[n]]; s.home == arena {
			s.home = output
		}
	}

	aliases := map[int][]int{} // of each root
	for j := range p.slots {
		if s := &p.slots[j]; s.home == alias {
			aliases[s.root] = append(aliases[s.root], j)
		}
	}
	var heaps [kinds]heap
	death := make([][]int, len(p.code)+1) // roots that die with an instruction
	for i := range p.code {
		c := &p.code[i]
		out := &p.slots[c.out]
		if out.home == arena {
			if from := p.taken(c, func(root int) bool { return last[root] == i }); from >= 0 {
				// The result takes over the operand's memory and its lifetime.
				out.home, out.root, out.offset = alias, from, 0
				last[from] = last[c.out]
				for _, j := range aliases[c.out] {
					p.slots[j].root = from
				}
				aliases[from] = append(aliases[from], aliases[c.out]...)
				if l := last[from]; l < len(p.code) {
					death[l] = append(death[l], from)
				}
			} else {
				out.offset = heaps[out.kind].alloc(out.len)
				if l := max(last[c.out], i); l < len(p.code) {
					death[l] = append(death[l], c.out)
				}
			}
		}
		for _, r := range death[i] {
			if s := p.slots[r]; last[r] <= i {
				heaps[s.kind].free(s.offset, s.len)
				last[r] = forever // freed once
			}
		}
	}
	for k := range heaps {
		p.size[k] = heaps[k].size
	}
}

// taken returns the arena root whose memory c may use for its result, or -1: an operand's for which free says that nobody reads it
// later.
func (p *Plan) taken(c *instr, free func(root int) bool) int {
	op, ok := c.op.(ops.InPlacer)
	if !ok {
		return -1
	}
	out := p.slots[c.out]
	for _, operand := range op.InPlace() {
		in := p.slots[c.in[operand]]
		root := in.root
		r := p.slots[root]
		if r.home != arena || r.kind != out.kind || r.len != out.len || in.len != out.len || !free(root) {
			continue
		}
		shared := false
		for other, id := range c.in {
			shared = shared || other != operand && p.slots[id].root == root
		}
		if !shared {
			return root
		}
	}
	return -1
}

// heap hands out ranges of an arena, first the smallest free one that fits.
type heap struct {
	size int
	gaps []gap // by offset, never adjacent
}

type gap struct{ from, to int }

func (h *heap) alloc(n int) int {
	n = roundUp(n)
	best := -1
	for i, g := range h.gaps {
		if g.to-g.from >= n && (best < 0 || g.to-g.from < h.gaps[best].to-h.gaps[best].from) {
			best = i
		}
	}
	if best >= 0 {
		at := h.gaps[best].from
		if h.gaps[best].from += n; h.gaps[best].from == h.gaps[best].to {
			h.gaps = slices.Delete(h.gaps, best, best+1)
		}
		return at
	}
	if k := len(h.gaps); k > 0 && h.gaps[k-1].to == h.size { // grow the last gap
		at := h.gaps[k-1].from
		h.gaps = h.gaps[:k-1]
		h.size = at + n
		return at
	}
	at := h.size
	h.size += n
	return at
}

func (h *heap) free(at, n int) {
	g := gap{at, at + roundUp(n)}
	if g.from == g.to {
		return
	}
	i, _ := slices.BinarySearchFunc(h.gaps, g, func(a, b gap) int { return a.from - b.from })
	h.gaps = slices.Insert(h.gaps, i, g)
	if i+1 < len(h.gaps) && h.gaps[i+1].from == h.gaps[i].to {
		h.gaps[i].to = h.gaps[i+1].to
		h.gaps = slices.Delete(h.gaps, i+1, i+2)
	}
	if i > 0 && h.gaps[i-1].to == h.gaps[i].from {
		h.gaps[i-1].to = h.gaps[i].to
		h.gaps = slices.Delete(h.gaps, i, i+1)
	}
}

func roundUp(n int) int { return (n + align - 1) / align * align }

// Memory is about how many bytes a machine of p takes with so many threads, inputs, constants and direct results apart. It also
// returns the intermediate value that takes most, nil if there is none, and its bytes.
func (p *Plan) Memory(threads int) (all int64, most *gorgonia.Node, size int64) {
	width := [kinds]int64{f32: 4, f64: 8, i64: 8}
	for k, w := range width {
		all += w * (int64(p.size[k]) + int64(p.shared[k]) + int64(p.kept[k]) + int64(threads)*int64(p.worker[k]))
	}
	for i := range p.slots {
		s := &p.slots[i]
		if n := width[s.kind] * int64(s.len); s.home == arena && n > size {
			most, size = s.node, n
		}
	}
	return all, most, size
}
