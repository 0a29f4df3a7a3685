package onnxload

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// A selection says by name which parameters are trained. A pattern with one of *?[ is matched as by path.Match, except
// that * and ? stand for slashes too; any other means the parameter of that name, and those whose names go on with a dot,
// a slash or a colon: "conv1" means "conv1.weight" and not "conv10.weight". A parameter goes by the name of its tensor, and
// by those of the nodes that read it, because exporters that fold BatchNormalization name tensors by numbers.
//
// Freeze holds still what it matches, except for what Trainable matches; without Freeze, Trainable leaves only what it
// matches to be trained. What the trained output is not computed from is held still in any case.
type selection struct {
	freeze, trainable []string
	output            string                       // that is trained, "" for all
	feeds             map[string]bool              // values that it is computed from; nil for all
	inside            map[*onnxpb.TensorProto]bool // tensors inside functions, branches and loops that it is computed from
	readers           map[string][]string          // names of nodes by tensor
	known             []string                     // names that patterns were held against
	used              map[string]bool              // patterns that matched
}

func (m *Model) selection(o Options) (*selection, error) {
	s := &selection{freeze: o.Freeze, trainable: o.Trainable, output: o.Output, used: map[string]bool{}}
	if o.Output != "" {
		if !slices.ContainsFunc(m.Outputs, func(v ValueInfo) bool { return v.Name == o.Output }) {
			return nil, fmt.Errorf("onnxload: %w", m.noOutput(o.Output))
		}
		s.feeds, s.inside = m.feeds(o.Output)
	}
	if len(o.Freeze)+len(o.Trainable) > 0 {
		s.readers = m.Readers()
	}
	for _, p := range slices.Concat(o.Freeze, o.Trainable) {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			return nil, fmt.Errorf("onnxload: the pattern %q for names of parameters is malformed; * stands for any characters, ? for one, [abc] for one of them", p)
		}
	}
	return s, nil
}

// frozen tells whether patterns hold the parameter of that name still.
func (s *selection) frozen(name string) bool {
	if len(s.freeze)+len(s.trainable) == 0 {
		return false
	}
	names := append([]string{name}, s.readers[name]...)
	s.known = append(s.known, names...)
	freeze := s.match(s.freeze, names) || len(s.freeze) == 0
	return !s.match(s.trainable, names) && freeze
}

// elsewhere tells whether the trained output is computed from none of the values, of the file or of nodes.
func (s *selection) elsewhere(names ...string) bool {
	return s.feeds != nil && !slices.ContainsFunc(names, func(n string) bool { return s.feeds[n] })
}

// feeds are the names of the values that an output is computed from, and its own, and the tensors inside of the bodies of
// nodes that it is computed by.
func (m *Model) feeds(output string) (from map[string]bool, inside map[*onnxpb.TensorProto]bool) {
	from, inside = map[string]bool{output: true}, map[*onnxpb.TensorProto]bool{}
	called := map[*onnxpb.FunctionProto]bool{}
	var visit func(nodes []*onnxpb.NodeProto)
	visit = func(nodes []*onnxpb.NodeProto) {
		for _, t := range nodeTensors(nodes, nil) {
			inside[t] = true
		}
		for _, n := range nodes {
			for _, a := range n.Attribute {
				for _, g := range graphsOf(a) {
					visit(g.Node)
				}
			}
			if f := m.functionOf(n); f != nil && !called[f] {
				called[f] = true
				for _, t := range attributeTensors(f.AttributeProto, nil) {
					inside[t] = true
				}
				visit(f.Node)
			}
		}
	}
	for _, i := range slices.Backward(m.order) {
		n := m.proto.Graph.Node[i]
		if slices.ContainsFunc(n.Output, func(s string) bool { return from[s] }) {
			for _, in := range captured(n, slices.Clone(n.Input)) {
				from[in] = true
			}
			for _, w := range m.attributeWeights(i) {
				from[w] = true
			}
			visit(m.proto.Graph.Node[i : i+1])
		}
	}
	return from, inside
}

// match tells whether one of the patterns matches one of the names, and remembers all that do.
func (s *selection) match(patterns, names []string) bool {
	any := false
	for _, p := range patterns {
		if slices.ContainsFunc(names, func(n string) bool { return matches(p, n) }) {
			s.used[p], any = true, true
		}
	}
	return any
}

func matches(pattern, name string) bool {
	if !strings.ContainsAny(pattern, "*?[") {
		rest, ok := strings.CutPrefix(name, pattern)
		return ok && (rest == "" || strings.ContainsAny(rest[:1], "./:") || strings.HasSuffix(pattern, "/"))
	}
	flat := strings.NewReplacer("/", "\x01")
	ok, _ := path.Match(flat.Replace(pattern), flat.Replace(name))
	return ok
}

// check fails if a pattern has matched nothing, which is a slip of the pen.
func (s *selection) check() error {
	of := "parameter"
	if s.output != "" {
		of = fmt.Sprintf("parameter of output %q", s.output)
	}
	for _, p := range slices.Concat(s.freeze, s.trainable) {
		if !s.used[p] {
			return fmt.Errorf("onnxload: no %s has a name that %q matches; close are %s", of, p, closest(p, s.known))
		}
	}
	return nil
}

// Readers returns the names of the nodes that read each tensor, directly or through one that only rearranges it; first the
// one that computes with it, if all ways lead there.
func (m *Model) Readers() map[string][]string {
	names := map[string][]string{}
	for name, at := range m.ends() {
		if at != several && m.proto.Graph.Node[at.node].GetName() != "" {
			names[name] = append(names[name], m.proto.Graph.Node[at.node].GetName())
		}
	}
	for i, n := range m.proto.Graph.Node {
		for _, w := range m.attributeWeights(i) {
			names[w] = append(names[w], shownName(n, i))
		}
		if n.GetName() == "" || rearranges[n.GetOpType()] {
			continue
		}
		for _, in := range n.Input {
			root := in
			for range 64 {
				j, ok := m.info.producer[root]
				if !ok || !rearranges[m.proto.Graph.Node[j].GetOpType()] {
					break
				}
				root = m.proto.Graph.Node[j].Input[0]
			}
			if name := shownName(n, i); !slices.Contains(names[root], name) {
				names[root] = append(names[root], name)
			}
		}
	}
	return names
}

var rearranges = map[string]bool{"Identity": true, "Cast": true, "Transpose": true, "Reshape": true, "Unsqueeze": true, "Squeeze": true, "Slice": true}

// closest lists the names that are most like s, at most four.
func closest(s string, names []string) string {
	if len(names) == 0 {
		return "none, for there are none"
	}
	bare := strings.Trim(s, "*?")
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	cost := map[string]int{}
	for _, n := range names {
		cost[n] = distance(bare, n)
	}
	slices.SortStableFunc(names, func(a, b string) int { return cost[a] - cost[b] })
	var quoted []string
	for _, n := range names[:min(4, len(names))] {
		quoted = append(quoted, fmt.Sprintf("%q", n))
	}
	return strings.Join(quoted, ", ")
}

// distance is the least number of letters to change, add or take away to make b begin with a, and a little for what
// then follows.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return 1000*slices.Min(row) + min(len(b), 999)
}
