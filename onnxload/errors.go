package onnxload

import (
	"fmt"
	"strings"
)

// An Unsupported is a node that this program cannot turn into a graph, or an input of an unsupported type, which
// has a name and a reason only.
type Unsupported struct {
	Name   string // of the node, or of its first output
	Op     string // operator
	Domain string // "" for the default domain
	Opset  int    // version of the domain's operator set
	Reason string // what is unsupported, and what helps
}

func (u Unsupported) String() string {
	if u.Op == "" {
		return fmt.Sprintf("input %q: %s", u.Name, u.Reason)
	}
	op := u.Op
	if u.Domain != "" {
		op = u.Domain + "." + op
	}
	return fmt.Sprintf("node %q (%s, opset %d): %s", u.Name, printable(op), u.Opset, u.Reason)
}

// An UnsupportedError lists every unsupported node of a model, in file order.
type UnsupportedError struct{ Nodes []Unsupported }

func (e *UnsupportedError) Error() string {
	if len(e.Nodes) == 1 {
		return "onnxload: " + e.Nodes[0].String()
	}
	var s strings.Builder
	fmt.Fprintf(&s, "onnxload: %d nodes are not supported:", len(e.Nodes))
	for _, n := range e.Nodes {
		s.WriteString("\n  " + n.String())
	}
	return s.String()
}
