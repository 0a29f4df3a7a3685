package onnxload

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// maxOpset is the newest default operator set whose operators were compared with what is implemented here.
const maxOpset = 28

// maxLinks bounds inputs times outputs of all nodes, which is what onnx-go's edges cost.
const maxLinks = 1 << 22

// maxNested bounds how deep subgraphs may be inside each other.
const maxNested = 64

// index finds what a value's name stands for in a graph.
type index struct {
	initializer map[string]int // into graph.Initializer
	producer    map[string]int // into graph.Node
	input       map[string]int // into graph.Input
	sparse      map[string]bool
	opset       map[string]int // version of each domain but the default
	function    map[call]*onnxpb.FunctionProto

	once    sync.Once
	readers map[string][]int // nodes that read a value; -1 is the graph, which gives it out
	any     []int            // nodes with subgraphs, which may read any value
}

// call is what a node says to call a function.
type call struct{ domain, name, overload string }

// check finds what is wrong with the file whatever it is used for, sets m.Opset and m.order, and builds m.info.
func (m *Model) check() error {
	if err := m.checkOpset(); err != nil {
		return err
	}
	g := m.proto.Graph
	ix := &index{
		initializer: map[string]int{}, producer: map[string]int{}, input: map[string]int{}, sparse: map[string]bool{},
		opset: map[string]int{}, function: map[call]*onnxpb.FunctionProto{},
	}
	m.info = ix
	for _, s := range g.SparseInitializer {
		ix.sparse[s.GetValues().GetName()] = true
	}
	for _, o := range m.proto.OpsetImport {
		if _, twice := ix.opset[o.GetDomain()]; !twice {
			ix.opset[o.GetDomain()] = int(o.GetVersion())
		}
	}
	for _, f := range m.proto.Functions {
		c := call{domainOf(f.GetDomain()), f.GetName(), f.GetOverload()}
		if ix.function[c] != nil {
			return fmt.Errorf("two functions are named %q in domain %q; a name must be unique", f.GetName(), f.GetDomain())
		}
		ix.function[c] = f
	}
	for i, v := range g.Input {
		name := v.GetName()
		if _, twice := ix.input[name]; twice || name == "" {
			return fmt.Errorf("two inputs are named %q; a name must be unique", name)
		}
		ix.input[name] = i
	}
	for i, t := range g.Initializer {
		name := t.GetName()
		if name == "" {
			return fmt.Errorf("initializer %d has no name", i)
		}
		if _, twice := ix.initializer[name]; twice {
			return fmt.Errorf("two initializers are named %q; a name must be unique", name)
		}
		ix.initializer[name] = i
		if err := t.Check(); err != nil {
			return fmt.Errorf("initializer %q: %w", name, err)
		}
	}
	if err := m.checkNodes(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, v := range g.Output {
		name := v.GetName()
		if name == "" || seen[name] {
			return fmt.Errorf("two outputs are named %q; a name must be unique", name)
		}
		seen[name] = true
		if !ix.has(name) {
			return fmt.Errorf("output %q is computed by no node", name)
		}
	}
	return m.sort()
}

func (m *Model) checkOpset() error {
	for _, o := range m.proto.OpsetImport {
		if d := o.GetDomain(); d != "" && d != "ai.onnx" {
			continue
		}
		if m.Opset != 0 && m.Opset != int(o.GetVersion()) {
			return fmt.Errorf("it imports the default operator set in versions %d and %d; only one can be meant", m.Opset, o.GetVersion())
		}
		if o.GetVersion() < 1 || o.GetVersion() > maxOpset {
			return fmt.Errorf("it is written for version %d of the default operator set, and versions 1 to %d are known; "+
				"export it with torch.onnx.export(..., opset_version=17)", o.GetVersion(), maxOpset)
		}
		m.Opset = int(o.GetVersion())
	}
	if m.Opset == 0 && (len(m.proto.OpsetImport) == 0 || slices.ContainsFunc(m.proto.Graph.Node, m.isDefault)) {
		return fmt.Errorf("it does not say which version of the default operator set it uses (opset_import); export it again")
	}
	return nil
}

func (m *Model) checkNodes() error {
	g, ix := m.proto.Graph, m.info
	links := 0
	for i, n := range g.Node {
		outputs := 0
		for _, o := range n.Output {
			if o == "" {
				continue
			}
			outputs++
			_, isInput := ix.input[o]
			_, isInit := ix.initializer[o]
			if _, twice := ix.producer[o]; twice || isInput || isInit {
				return fmt.Errorf("%s computes %q, but so does another node, or it is an input or initializer; a name must be unique", m.nodeName(i), o)
			}
			ix.producer[o] = i
		}
		if outputs == 0 {
			return fmt.Errorf("%s has no output", m.nodeName(i))
		}
		if links += len(n.Output) * (1 + len(n.Input)); links > maxLinks {
			return fmt.Errorf("%s: the nodes have more inputs and outputs than any real network", m.nodeName(i))
		}
		if !nestedUpTo(n, maxNested) {
			return fmt.Errorf("%s: its subgraphs are inside each other more than %d deep", m.nodeName(i), maxNested)
		}
		for _, a := range n.Attribute {
			if a.T == nil {
				continue
			}
			if err := a.T.Check(); err != nil {
				return fmt.Errorf("%s: attribute %q: %w", m.nodeName(i), a.GetName(), err)
			}
		}
	}
	for i, n := range g.Node {
		for _, in := range n.Input {
			if in != "" && !ix.has(in) && !ix.sparse[in] {
				return fmt.Errorf("%s reads %q, which is no input, no initializer and computed by no node", m.nodeName(i), in)
			}
		}
	}
	return nil
}

// nestedUpTo tells whether the subgraphs of a node are at most depth deep.
func nestedUpTo(n *onnxpb.NodeProto, depth int) bool {
	for _, a := range n.Attribute {
		for _, g := range graphsOf(a) {
			if depth == 0 || slices.ContainsFunc(g.Node, func(n *onnxpb.NodeProto) bool { return !nestedUpTo(n, depth-1) }) {
				return false
			}
		}
	}
	return true
}

// graphsOf returns the subgraphs of an attribute.
func graphsOf(a *onnxpb.AttributeProto) []*onnxpb.GraphProto {
	if a.G == nil {
		return a.Graphs
	}
	return append(slices.Clip(a.Graphs), a.G)
}

func (ix *index) has(name string) bool {
	_, a := ix.input[name]
	_, b := ix.initializer[name]
	_, c := ix.producer[name]
	return a || b || c
}

// domainOf is a domain without the long name of the default one.
func domainOf(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

// nodeName is how errors name node i.
func (m *Model) nodeName(i int) string {
	n := m.proto.Graph.Node[i]
	return fmt.Sprintf("node %q (%s, opset %d)", shownName(n, i), opName(n), m.opsetOf(n))
}

// shownName is the node's name, or what identifies it best.
func shownName(n *onnxpb.NodeProto, i int) string {
	if n.GetName() != "" {
		return n.GetName()
	}
	for _, o := range n.Output {
		if o != "" {
			return o
		}
	}
	return fmt.Sprintf("#%d", i)
}

func opName(n *onnxpb.NodeProto) string {
	if d := n.GetDomain(); d != "" && d != "ai.onnx" {
		return printable(d + "." + n.GetOpType())
	}
	return printable(n.GetOpType())
}

// printable is s as a part of a line, for a file may have anything as a name.
func printable(s string) string {
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// opsetOf is the version of the operator set of the node's domain, 0 if the file does not import it.
func (m *Model) opsetOf(n *onnxpb.NodeProto) int {
	d := n.GetDomain()
	if d == "" || d == "ai.onnx" {
		return m.Opset
	}
	return m.info.opset[d]
}

// sort sets m.order: the file's order where that is already right, as the specification asks. It walks depth
// first, without recursion, since a chain of nodes may be long.
func (m *Model) sort() error {
	nodes := m.proto.Graph.Node
	const (
		unseen = iota
		open
		done
	)
	state := make([]byte, len(nodes))
	next := make([]int, len(nodes)) // the input of a node to look at next
	reads := make([][]string, len(nodes))
	for i, n := range nodes {
		reads[i] = captured(n, slices.Clip(n.Input))
	}
	for root := range nodes {
		stack := []int{root}
		for len(stack) > 0 {
			i := stack[len(stack)-1]
			if state[i] == done {
				stack = stack[:len(stack)-1]
				continue
			}
			state[i] = open
			if next[i] == len(reads[i]) {
				state[i] = done
				m.order = append(m.order, i)
				stack = stack[:len(stack)-1]
				continue
			}
			in := reads[i][next[i]]
			next[i]++
			j, ok := m.info.producer[in]
			if !ok || state[j] == done {
				continue
			}
			if state[j] == open {
				return m.cycle(stack, j)
			}
			stack = append(stack, j)
		}
	}
	return nil
}

// cycle is the error for the nodes of stack from j on, each of which reads the next and the last reads j.
func (m *Model) cycle(stack []int, j int) error {
	var names []string
	for k := len(stack) - 1; k >= 0; k-- {
		names = append(names, fmt.Sprintf("%q", shownName(m.proto.Graph.Node[stack[k]], stack[k])))
		if stack[k] == j {
			break
		}
	}
	if len(names) > 8 {
		names = append(names[:8], "...")
	}
	return fmt.Errorf("the nodes %s read each other in a circle; the file is damaged, export it again", strings.Join(names, ", "))
}
