// Package exec runs a Gorgonia graph by a static plan: order, memory and aliases are settled once, so that a
// run allocates nothing.
//
// Compile makes a Plan, which is read-only and may be shared; each VM owns the memory of one run at a time.
//
// Elementwise operators run by themselves. When products and convolutions went on with them part by part (Relu, Clip, the sum
// with a residual, the bias of MatMul), 16 images of mobilenet_v2 took 107 ms, not 109, of resnet18 177, not 175, one of vit_b_16
// 188, not 187, of mobilenet_v2 7.8, not 7.2: what they read is in a cache anyway.
package exec

import (
	"fmt"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// A Plan is a graph lowered to a list of instructions over numbered slots.
type Plan struct {
	slots  []slot
	code   []instr
	inputs map[*gorgonia.Node]int // slot of each graph input
	values map[*gorgonia.Node]int // slot of each node of the plan
	size   [kinds]int             // elements of the arena, by element type
	shared [kinds]int             // elements of scratch memory: that the workers share,
	worker [kinds]int             // of each,
	kept   [kinds]int             // and that stay from run to run
	setup  int                    // instructions that depend on fixed inputs only: the first ones
}

// A slot is a value: memory of its own, or a range of another slot's.
type slot struct {
	node   *gorgonia.Node
	kind   kind
	shape  tensor.Shape
	len    int
	home   home
	root   int // slot that owns the memory; itself unless an alias
	offset int // in elements: of an arena slot in the arena, of an alias in its root
	value  *ops.Buf
	fixed  bool // depends on fixed inputs and constants only
}

// home says who provides the memory of a slot.
type home uint8

const (
	arena    home = iota // the machine
	input                // the caller, before a run
	output               // the caller, before a run: a result written where it is wanted
	constant             // the graph
	alias                // another slot
)

type kind uint8

const (
	f32 kind = iota
	f64
	i64
	kinds
)

func kindOf(dt tensor.Dtype) (kind, error) {
	switch dt {
	case tensor.Float32:
		return f32, nil
	case tensor.Float64:
		return f64, nil
	case tensor.Int64:
		return i64, nil
	}
	return 0, fmt.Errorf("element type %v: only float32, float64 and int64 are run", dt)
}

type instr struct {
	node   *gorgonia.Node
	op     ops.Op      // nil for an operator of another package:
	stock  gorgonia.Op // then this is run by its Do method, which allocates
	in     []int
	out    int
	phases []int

	shared, worker int // elements of scratch memory
	kept           int // elements that its first phases leave for the others
	prepared       int // phases that depend on fixed inputs only,
	keptAt         int // and where the memory is that they fill
}

// Options of Compile.
type Options struct {
	// Direct lists results that the caller provides memory for at each run (VM.Bind): they are computed
	// in place where the graph allows and copied there where it does not.
	Direct []*gorgonia.Node
	// Fixed lists inputs whose elements stay as they are from run to run, until others are bound or VM.Changed is called: what
	// depends on them alone is computed once and kept.
	Fixed []*gorgonia.Node
}

// Compile plans the computation of the given nodes, which stay readable after a run. It does not change the
// graph. The graph's nodes must be of float32, float64 or int64.
func Compile(results []*gorgonia.Node, o Options) (*Plan, error) {
	all := append(slices.Clone(results), o.Direct...)
	if len(all) == 0 {
		return nil, fmt.Errorf("exec: nothing to compute")
	}
	p := &Plan{inputs: map[*gorgonia.Node]int{}, values: map[*gorgonia.Node]int{}}
	for _, n := range reachable(all) {
		if err := p.lower(n, slices.Contains(o.Fixed, n)); err != nil {
			return nil, fmt.Errorf("exec: %s: %w", describe(n), err)
		}
		if slices.Contains(o.Direct, n) {
			p.slots[p.values[n]].fixed = false // its memory is not the machine's
		}
	}
	p.prepare(all)
	for _, c := range p.code {
		k := p.slots[c.out].kind
		p.worker[k] = max(p.worker[k], c.worker)
		if c.prepared == 0 {
			p.shared[k] = max(p.shared[k], c.kept+c.shared)
		} else {
			p.shared[k] = max(p.shared[k], c.shared)
		}
	}
	p.place(results, o.Direct)
	return p, nil
}

// reachable returns the nodes that the results depend on, operands first. Gorgonia numbers a node after
// its operands, so the order of the numbers will do.
func reachable(results []*gorgonia.Node) []*gorgonia.Node {
	seen := map[*gorgonia.Node]bool{}
	var order []*gorgonia.Node
	stack := slices.Clone(results)
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[n] {
			continue
		}
		seen[n] = true
		order = append(order, n)
		stack = append(stack, operands(n)...)
	}
	slices.SortFunc(order, func(a, b *gorgonia.Node) int { return int(a.ID() - b.ID()) })
	return order
}

// operands returns the children of n in order, with repetitions.
func operands(n *gorgonia.Node) []*gorgonia.Node {
	var out []*gorgonia.Node
	for it := n.Graph().From(n.ID()); it.Next(); {
		out = append(out, it.Node().(*gorgonia.Node))
	}
	return out
}

func describe(n *gorgonia.Node) string {
	if n.Op() == nil {
		return fmt.Sprintf("input %q", n.Name())
	}
	return fmt.Sprintf("node %d (%v %v)", n.ID(), n.Op(), n.Shape())
}

// size asks the operator for its sizes.
func (c *instr) size() {
	c.phases = c.op.Phases()
	c.shared, c.worker = c.op.Scratch()
	c.kept = ops.Kept(c.op)
}

// special returns c with the form of its operator for fixed operands, if it has one and there is room for what that keeps.
func (p *Plan) special(c instr) instr {
	op, ok := c.op.(ops.Specializer)
	if !ok {
		return c
	}
	fixed := make([]bool, len(c.in))
	for i, s := range c.in {
		fixed[i] = p.slots[s].fixed
	}
	own := c
	if own.op = op.Specialized(fixed); own.op == nil {
		return c
	}
	if own.size(); p.kept[p.slots[c.out].kind]+own.kept > mostKept {
		return c
	}
	return own
}

// mostKept is the most elements that are kept for the first phases of instructions: of float32 512 MB.
const mostKept = 1 << 27

// prepare finds out what need not be computed in every run, moves instructions that need not to the front, and orders the others.
func (p *Plan) prepare(results []*gorgonia.Node) {
	var first, rest []instr
	for _, c := range p.code {
		if p.slots[c.out].fixed {
			first = append(first, c)
			continue
		}
		c = p.special(c)
		if op, ok := c.op.(ops.Preparer); ok {
			phases, kept, operands := op.Prepared()
			k := p.slots[c.out].kind
			if phases > 0 && p.kept[k]+kept <= mostKept && !slices.ContainsFunc(operands, func(i int) bool { return !p.slots[c.in[i]].fixed }) {
				c.prepared, c.keptAt = phases, p.kept[k]
				p.kept[k] += roundUp(kept)
			}
		}
		rest = append(rest, c)
	}
	p.setup = len(first)
	p.code = append(first, p.soon(rest, results)...)
}

// soon orders instructions such that values are read from a cache while they are there: one whose result is much smaller than what it
// reads, or takes the memory of an operand that nobody reads later, comes as soon as its operands are made. So only small values
// can live longer than they would. Inputs, and what is computed once, don't count.
func (p *Plan) soon(code []instr, results []*gorgonia.Node) []instr {
	const much = 8
	// Of each root: the instruction that makes it, -1 for none of these, and the last one that reads it, in the old order and, so
	// far, in the new one.
	madeBy, lastRead, lastPlaced := make([]int, len(p.slots)), make([]int, len(p.slots)), make([]int, len(p.slots))
	for s := range madeBy {
		madeBy[s] = -1
	}
	for i, c := range code {
		for _, s := range c.in {
			lastRead[p.slots[s].root] = i
		}
	}
	for _, n := range results {
		lastRead[p.slots[p.values[n]].root] = len(code)
	}
	follows := make([]int, len(code))     // the instruction that one comes after, or itself
	followers := make([][]int, len(code)) // in order
	for i, c := range code {
		made, largest := -1, 0
		for _, s := range c.in {
			if m := madeBy[p.slots[s].root]; m >= 0 {
				made = max(made, follows[m])
				largest = max(largest, p.slots[s].len)
			}
		}
		follows[i] = i
		taken := p.taken(&code[i], func(root int) bool { return madeBy[root] >= 0 && lastRead[root] == i })
		switch {
		case made < 0:
		case much*p.slots[c.out].len <= largest:
			follows[i] = made
		case taken >= 0:
			follows[i] = max(made, lastPlaced[taken])
		}
		if f := follows[i]; f != i {
			followers[f] = append(followers[f], i)
		}
		for _, s := range c.in {
			root := p.slots[s].root
			lastPlaced[root] = max(lastPlaced[root], follows[i])
		}
		madeBy[p.slots[c.out].root] = i
	}
	ordered := make([]instr, 0, len(code))
	for i := range code {
		if follows[i] == i {
			ordered = append(ordered, code[i])
		}
		for _, f := range followers[i] {
			ordered = append(ordered, code[f])
		}
	}
	return ordered
}

// lower makes the slot of n and, if n computes something, its instruction. fixed says that n is a fixed input.
func (p *Plan) lower(n *gorgonia.Node, fixed bool) error {
	k, err := kindOf(n.Dtype())
	if err != nil {
		return err
	}
	shape := n.Shape()
	id := len(p.slots)
	s := slot{node: n, kind: k, shape: shape, len: elements(shape), root: id}
	op := n.Op()
	in := operands(n)
	switch {
	case op == nil && n.Value() == nil:
		s.home, s.fixed = input, fixed
		p.inputs[n] = id
	case len(in) == 0:
		if n.Value() == nil {
			return fmt.Errorf("a leaf without a value")
		}
		s.home, s.fixed = constant, true
		if s.value, err = ops.FromValue(n.Value()); err != nil {
			return err
		}
	default:
		c := instr{node: n, out: id, stock: op}
		for _, child := range in {
			c.in = append(c.in, p.values[child])
		}
		if own, ok := op.(ops.Op); ok {
			c.op, c.stock = own, nil
		} else if isStockAdd(op, n, in) {
			c.op, c.stock = ops.StockAdd(n), nil
		}
		if v, ok := c.op.(ops.Viewer); ok {
			operand, offset := v.View()
			of := p.slots[c.in[operand]]
			s.home, s.root, s.offset, s.fixed = alias, of.root, offset, of.fixed
			if of.home == alias {
				s.offset += of.offset
			}
			break
		}
		if c.op != nil {
			s.fixed = !ops.Draws(c.op) && !slices.ContainsFunc(c.in, func(i int) bool { return !p.slots[i].fixed })
			c.size()
		}
		p.code = append(p.code, c)
	}
	p.slots = append(p.slots, s)
	p.values[n] = id
	return nil
}

// isStockAdd tells whether n is Gorgonia's own sum of two tensors of one shape: Grad makes it where several
// derivatives of one value meet.
func isStockAdd(op gorgonia.Op, n *gorgonia.Node, in []*gorgonia.Node) bool {
	_, binary := op.(gorgonia.BinaryOp)
	return binary && strings.HasPrefix(op.String(), "+ ") && len(in) == 2 &&
		in[0].Shape().Eq(n.Shape()) && in[1].Shape().Eq(n.Shape())
}

func elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Inputs returns the nodes that must be bound before a run.
func (p *Plan) Inputs() []*gorgonia.Node {
	var in []*gorgonia.Node
	for _, s := range p.slots {
		if s.home == input {
			in = append(in, s.node)
		}
	}
	return in
}

// Len is the number of instructions.
func (p *Plan) Len() int { return len(p.code) }

// ArenaBytes is the memory that a VM holds for intermediate values, scratch apart.
func (p *Plan) ArenaBytes() int { return 4*p.size[f32] + 8*p.size[f64] + 8*p.size[i64] }
