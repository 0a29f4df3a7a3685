package onnxload

import (
	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// A boundary is what values pass on their way into a body of which the data decide whether it counts. Each value is made into another once.
type boundary struct {
	cond *gorgonia.Node // the body counts where it is not 0 (keep) or is 0
	keep bool
	made map[*value]*value
}

// enter returns what v is behind boundaries, from the outermost on.
func enter(v *value, through []*boundary) *value {
	for _, b := range through {
		v = b.pass(v)
	}
	return v
}

func (b *boundary) pass(v *value) *value {
	if v == nil || v.absent || v.poisoned || v.missing != "" || v.isNone {
		return v
	}
	if w := b.made[v]; w != nil {
		return w
	}
	w := *v
	switch {
	case v.isList:
		w.list = nil
		for _, x := range v.list {
			w.list = append(w.list, b.pass(x))
		}
	case v.constant() && len(v.roots) == 0:
		return v // numbers that nothing trained goes into
	case !v.constant() && onnxpb.IsInt(v.elem):
		return v
	default:
		w.node = nil
		w.makeNode = func(train bool) (*gorgonia.Node, error) { return b.node(v, train) }
		if v.constant() {
			w.makeHost = v.numbers
		} else if n, err := w.graphNode(false); err == nil { // else the reader meets the error
			w.shape = n.Shape()
		}
	}
	b.made[v] = &w
	return &w
}

// node is what v, data or weights, is inside.
func (b *boundary) node(v *value, train bool) (*gorgonia.Node, error) {
	n, err := v.graphNode(train)
	if err != nil || len(v.roots) > 0 && n.Value() != nil { // a constant after all
		return n, err
	}
	return ops.Gate(b.cond, n, b.keep)
}

// chosen is the boundary of a body that counts only where cond is not 0 (keep) or is 0.
func chosen(cond *gorgonia.Node, keep bool) *boundary {
	return &boundary{cond, keep, map[*value]*value{}}
}

// condition returns a value of one BOOL as a node without axes.
func (c *nodeCtx) condition(v *value) (*gorgonia.Node, error) {
	n, err := v.graphNode(false)
	if err != nil {
		return nil, err
	}
	if !onnxpb.IsInt(v.elem) || n.Shape().TotalSize() != 1 {
		return nil, unsupportedf("its condition %q is of type %s and shape %v; one BOOL is needed", v.name, onnxpb.TypeName(v.elem), n.Shape())
	}
	return ops.Reshape(n, nil)
}

// choose returns a where cond is not 0, else b, which must be of one type and shape.
func (c *nodeCtx) choose(cond *gorgonia.Node, a, b *value) (*value, error) {
	if a == b {
		return a, nil
	}
	if a.isNone && b.isNone {
		return a, nil
	}
	for _, v := range []*value{a, b} {
		if v.isList || v.isNone || v.text {
			return nil, unsupportedf("the data decide about %q, a sequence, an optional value or strings; tensors are supported", v.name)
		}
	}
	m, err := a.graphNode(false)
	if err != nil {
		return nil, err
	}
	n, err := b.graphNode(false)
	if err != nil {
		return nil, err
	}
	if a.elem != b.elem || !m.Shape().Eq(n.Shape()) {
		return nil, unsupportedf("the data decide between %q of type %s and shape %v and %q of type %s and shape %v; one type and shape are needed",
			a.name, onnxpb.TypeName(a.elem), m.Shape(), b.name, onnxpb.TypeName(b.elem), n.Shape())
	}
	v := &value{name: c.b.innerName("chosen"), elem: a.elem}
	if v.node, err = ops.Where(cond, m, n); err != nil {
		return nil, err
	}
	v.shape = v.node.Shape()
	return v, nil
}
