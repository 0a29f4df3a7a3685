package onnxload

import (
	"cmp"
	"fmt"

	"google.golang.org/protobuf/proto"
	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// A value is what a name of the file stands for. It is one of
//   - data: a Gorgonia node;
//   - a constant: numbers known now. It may still become a node, a trainable one if weights go into it.
//     Both are made when first asked for, because only the reader decides which it needs, and a weight that
//     comes through a Transpose has to stay a weight;
//   - missing: nothing that can be used, for the reason given;
//   - poisoned: computed by a node that could not be built.
type value struct {
	name  string
	elem  int32 // ONNX element type
	shape []int // of data, and of constants as far as known before the numbers are

	node     *gorgonia.Node
	makeNode func(train bool) (*gorgonia.Node, error)
	host     *host
	makeHost func() (*host, error)
	// makeShape, if there is one, finds the shape without the numbers, so that asking for it does not count as reading them.
	makeShape func() ([]int, error)

	src      *source   // the tensor of the file that this is, unchanged
	roots    []*source // the trainable tensors that go into a constant
	fanIn    int       // of the matrix product that this is the output of, else 0
	missing  string
	poisoned bool

	list   []*value // the elements of a sequence
	isList bool
	isNone bool // an optional value that is not there

	statistic bool // missing because it is a running statistic
	text      bool // missing because it is made of strings
	absent    bool // an input of a function that the call leaves out
}

func (v *value) constant() bool { return v.host != nil || v.makeHost != nil }

// numbers returns the numbers of a constant.
func (v *value) numbers() (*host, error) {
	if v.host == nil {
		h, err := v.makeHost()
		if err != nil {
			return nil, err
		}
		v.host = h
	}
	return v.host, nil
}

// graphNode returns the value as a node. train tells that the place is one for weights, where a number from a
// Constant node is trained too.
func (v *value) graphNode(train bool) (*gorgonia.Node, error) {
	if v.node == nil {
		if v.makeNode == nil {
			return nil, unsupportedf("%q is a sequence where a tensor is needed", v.name)
		}
		n, err := v.makeNode(train)
		if err != nil {
			return nil, err
		}
		v.node = n
	}
	return v.node, nil
}

// dims returns the shape.
func (v *value) dims() ([]int, error) {
	if v.shape == nil && v.makeShape != nil && v.host == nil {
		s, err := v.makeShape()
		if err != nil {
			return nil, err
		}
		v.shape = s
	}
	if v.shape == nil && v.constant() {
		h, err := v.numbers()
		if err != nil {
			return nil, err
		}
		v.shape = h.shape
	}
	return v.shape, nil
}

// A slot is an input of a node of the file.
type slot struct{ node, input int }

// A source is a tensor of the file: an initializer, the value of a Constant node, or an attribute in which a linear model of
// ai.onnx.ml has its weights. Those inside functions, branches and loops are known by tensor alone.
type source struct {
	name        string
	tensor      *onnxpb.TensorProto
	shape       []int
	initializer int    // index of the initializer of the graph, or -1
	constant    int    // index of the graph's Constant node, or of that with the attribute, or -1
	inner       int    // number of a tensor inside a body, in the order in which they are met, or 0
	declared    bool   // an initializer, of the graph or of a body
	lifted      bool   // see Model.lifted
	attribute   string // of node constant that holds it, in the place of the value of a Constant
	opposite    bool   // and in front of it its negative

	param    bool // a parameter: read where it is trainable
	frozen   bool // a parameter that is not trained
	several  bool // inside a body that several nodes of the graph put in their places
	role     role
	op       string // operator that first used it as a node
	hostUses uses   // where it is read as numbers
	nodeUses uses   // where it is read as a node
}

// uses is a list of places, each once.
type uses struct {
	list  []slot
	seen  map[slot]bool
	nodes map[int]bool
}

func (u *uses) add(at slot) {
	if u.seen[at] {
		return
	}
	if u.seen == nil {
		u.seen, u.nodes = map[slot]bool{}, map[int]bool{}
	}
	u.list, u.seen[at], u.nodes[at.node] = append(u.list, at), true, true
}

func (u *uses) byNode(i int) bool { return u.nodes[i] }

func (s *source) elem() int32      { return s.tensor.GetDataType() }
func (s *source) typeName() string { return s.tensor.TypeName() }
func (s *source) size() int        { n, _ := onnxpb.Count(s.tensor.GetDims()); return n }

// compare orders sources: initializers of the graph, then its Constant nodes, as the file does, then those inside bodies.
func (s *source) compare(t *source) int {
	if s.inner > 0 || t.inner > 0 {
		return cmp.Compare(s.inner, t.inner)
	}
	if (s.initializer < 0) != (t.initializer < 0) {
		return cmp.Compare(t.initializer, s.initializer)
	}
	return cmp.Or(cmp.Compare(s.initializer, t.initializer), cmp.Compare(s.constant, t.constant))
}

// trainable tells whether the tensor is trained when it is read as a node. slot tells that the operator has
// weights in that place; in others, such as an operand of Add, a Constant node is taken for a constant that
// somebody wrote into the program.
func (s *source) trainable(slot bool) bool {
	if !onnxpb.IsFloat(s.elem()) || s.size() == 0 || s.lifted || s.declared && s.isNumber() {
		return false
	}
	if s.initializer < 0 && s.constant < 0 && s.inner == 0 {
		return false // it has no place in the file that could be written to
	}
	if s.constant >= 0 && s.attribute == "" && len(s.shape) == 0 {
		return false // a number of the program: expanded to the zeros that a state starts with, it can reach the place of a weight
	}
	return slot || s.declared && !s.isMask()
}

// sourceOf returns the source for a tensor.
func sourceOf(name string, t *onnxpb.TensorProto, initializer, constant int) *source {
	s := &source{name: name, tensor: t, initializer: initializer, constant: constant, declared: initializer >= 0, shape: []int{}}
	for _, d := range t.GetDims() {
		s.shape = append(s.shape, int(d))
	}
	return s
}

// constantTensor returns the value of a Constant node as a tensor.
func constantTensor(n *onnxpb.NodeProto) (*onnxpb.TensorProto, string) {
	for _, a := range n.Attribute {
		t := new(onnxpb.TensorProto)
		switch a.GetName() {
		case "value":
			if a.T == nil {
				return nil, "its value is no tensor"
			}
			return a.T, ""
		case "value_float":
			t.DataType = proto.Int32(elemFLOAT)
			t.FloatData = []float32{a.GetF()}
		case "value_floats":
			t.DataType = proto.Int32(elemFLOAT)
			t.FloatData = append([]float32{}, a.Floats...)
			t.Dims = []int64{int64(len(a.Floats))}
		case "value_int":
			t.DataType = proto.Int32(elemINT64)
			t.Int64Data = []int64{a.GetI()}
		case "value_ints":
			t.DataType = proto.Int32(elemINT64)
			t.Int64Data = append([]int64{}, a.Ints...)
			t.Dims = []int64{int64(len(a.Ints))}
		case "value_string", "value_strings", "sparse_value":
			return nil, fmt.Sprintf("constants given by %s are not known", a.GetName())
		default:
			continue
		}
		return t, ""
	}
	return nil, "it has no value"
}
