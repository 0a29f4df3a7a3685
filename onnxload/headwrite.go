package onnxload

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// HeadOptions say what WithHead makes.
type HeadOptions struct {
	Classes int    // at least 1
	Output  string // the output whose head it is; "" stands for the first
	Seed    uint64 // of the new weights
	// MaxMemory is as in Options.
	MaxMemory int64
}

// WithHead returns a model whose last linear layer (see Head) has new weights for another number of classes, for
// fine-tuning on labels of one's own. Weights and bias are uniform in ±1/sqrt(features), as PyTorch's Linear and Conv
// start; they are a function of the seed and of their place in the tensor. A BatchNormalization behind the layer starts
// with scale 1, bias 0, mean 0 and variance 1.
//
// In the file the tensors of the layer keep their names, types and places. The shapes that the file states follow, and so
// do the targets of Reshape; all else keeps its bytes. A tensor that something else reads too, other than the weights
// themselves, is left to that, and the layer gets a new one.
func (m *Model) WithHead(o HeadOptions) (*Model, error) {
	if o.Classes < 1 || o.Classes > math.MaxInt32 {
		return nil, fmt.Errorf("onnxload: a head of %d classes; 1 to %d are possible", o.Classes, math.MaxInt32)
	}
	h, err := m.findHead(o.Output)
	if err != nil {
		return nil, fmt.Errorf("onnxload: %w", err)
	}
	old, err := m.valuesOf(o.MaxMemory)
	if err != nil {
		return nil, err
	}
	e := newEdit(m)
	bound := 1 / math.Sqrt(float64(h.Features))
	stream := rng.Stream{Seed: o.Seed, Purpose: rng.Init, Eval: headStream}
	random := func(x []float32) { uniform(x, bound, stream) }
	if err := e.resize(&h.weight, o.Classes, random); err != nil {
		return nil, err
	}
	if h.bias != nil {
		stream.Eval++
		if err := e.resize(h.bias, o.Classes, random); err != nil {
			return nil, err
		}
	}
	if err := e.norms(h, o.Classes); err != nil {
		return nil, err
	}
	if err := e.follow(h, old, o.Classes); err != nil {
		return nil, err
	}
	n, err := e.model()
	if err != nil {
		return nil, err
	}
	now, err := n.valuesOf(o.MaxMemory)
	if err != nil {
		return nil, fmt.Errorf("onnxload: with %d classes in the place of %d the network does not fit together: %w", o.Classes, h.Classes, err)
	}
	if err := h.compare(old, now, o.Classes); err != nil {
		return nil, err
	}
	e.restate(old, now)
	return e.model()
}

// headStream numbers the random numbers of a head, away from those of Reinit.
const headStream = 1 << 40

// valuesOf builds the graph and returns the values of all names. Dimensions other than the batch that the file leaves
// open get a size that the network takes.
func (m *Model) valuesOf(memory int64) (map[string]*value, error) {
	batch := 2
	if !m.DynamicBatch() && len(m.Inputs) > 0 && len(m.Inputs[0].Shape) > 0 {
		fmt.Sscan(m.Inputs[0].Shape[0], &batch)
	}
	var first error
	for _, size := range []int{0, 224, 64, 16, 8} { // 0: as the file says
		b, err := m.builder(max(batch, 1), Options{Training: true, MaxMemory: memory, Shapes: m.OpenShapes(max(batch, 1), size)})
		if err == nil {
			return b.values, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// OpenShapes are shapes of the inputs in which each dimension behind the first that the file leaves open has the given size; nil
// for size 0. One that is named as the first of some input is the batch too, as in states of shape (layers, batch, hidden).
func (m *Model) OpenShapes(batch, size int) map[string][]int {
	if size == 0 {
		return nil
	}
	first := map[string]bool{}
	for _, v := range m.Inputs {
		if len(v.Shape) > 0 && v.Shape[0] != "?" {
			first[v.Shape[0]] = true
		}
	}
	shapes := map[string][]int{}
	for _, v := range m.Inputs {
		if v.Shape == nil {
			continue
		}
		s := []int{}
		for i, d := range v.Shape {
			n := size
			if isNumber(d) {
				fmt.Sscan(d, &n)
			} else if i == 0 || first[d] {
				n = batch
			}
			s = append(s, n)
		}
		shapes[v.Name] = s
	}
	return shapes
}

// compare finds out whether the output has the new classes, and differs in nothing else.
func (h *head) compare(old, now map[string]*value, classes int) error {
	a, err := old[h.Output].dims()
	if err != nil {
		return err
	}
	b, err := now[h.Output].dims()
	if err != nil {
		return err
	}
	changed := 0
	for i := range a {
		if len(a) != len(b) || a[i] != b[i] && (a[i] != h.Classes || b[i] != classes) {
			changed = -1
			break
		}
		if a[i] != b[i] {
			changed++
		}
	}
	if changed == 1 || changed == 0 && classes == h.Classes {
		return nil
	}
	return fmt.Errorf("onnxload: with %d classes in the place of %d in %s, output %q becomes %v instead of %v; the head cannot be replaced",
		classes, h.Classes, h.m.nodeName(h.node), h.Output, b, a)
}

// resize gives t so many classes, with the numbers that fill makes.
func (e *edit) resize(t *tensorAt, classes int, fill func([]float32)) error {
	dims := slices.Clone(t.tensor.GetDims())
	dims[t.axis] = int64(classes)
	c, err := blank(t.tensor, dims)
	if err != nil {
		return fmt.Errorf("onnxload: tensor %q: %w", t.name, err)
	}
	n, _ := onnxpb.Count(dims)
	x := make([]float32, n)
	fill(x)
	if err := c.SetFloats(x); err != nil {
		return fmt.Errorf("onnxload: tensor %q: %w", t.name, err)
	}
	return e.replace(t, c)
}

// blank is a tensor like t, of another shape and of zeros, whose numbers lie in this file.
func blank(t *onnxpb.TensorProto, dims []int64) (*onnxpb.TensorProto, error) {
	c := proto.Clone(t).(*onnxpb.TensorProto)
	c.Dims = dims
	inline(c)
	bytes, err := c.ByteLen()
	if err != nil {
		return nil, err
	}
	if bytes > maxHeadBytes {
		return nil, fmt.Errorf("shape %v takes %d bytes; a new head may take %d at most", dims, bytes, maxHeadBytes)
	}
	n, _ := onnxpb.Count(dims)
	switch {
	case len(t.FloatData) > 0:
		c.FloatData = make([]float32, n)
	case len(t.DoubleData) > 0:
		c.DoubleData = make([]float64, n)
	case len(t.Int32Data) > 0:
		c.Int32Data = make([]int32, n)
	default:
		c.RawData = make([]byte, bytes)
	}
	return c, nil
}

// maxHeadBytes bounds a tensor of a new head, so that a slip of the finger does not exhaust the memory.
const maxHeadBytes = 1 << 30

// norms gives BatchNormalizations between the head and the output fresh numbers.
func (e *edit) norms(h *head, classes int) error {
	for _, i := range h.path {
		n := e.m.proto.Graph.Node[i]
		if n.GetOpType() != "BatchNormalization" {
			continue
		}
		for k := 1; k < min(5, len(n.Input)); k++ {
			t, err := e.m.tensorAt(slot{i, k})
			if err != nil {
				return fmt.Errorf("onnxload: %s: %w", e.m.nodeName(i), err)
			}
			if len(t.shape) != 1 || t.shape[0] != h.Classes || !onnxpb.IsFloat(t.elem()) {
				return fmt.Errorf("onnxload: %s: its input %q has shape %v; one number for each of %d classes is needed", e.m.nodeName(i), t.name, t.shape, h.Classes)
			}
			value := float32(k % 3 % 2) // scale and variance are 1, bias and mean 0
			if err := e.resize(t, classes, func(x []float32) { fill(x, value) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// follow goes after the axis of the classes to where the results of the head go, and writes their new number into the
// targets of Reshape that hold the old one. Of labels that are looked up by the number of the best class it makes new ones.
func (e *edit) follow(h *head, old map[string]*value, classes int) error {
	axis := map[string]int{}
	shape, err := old[e.m.proto.Graph.Node[h.node].Output[0]].dims()
	if err != nil {
		return err
	}
	axis[e.m.proto.Graph.Node[h.node].Output[0]] = len(shape) - h.axis
	best := map[string]bool{} // values that are numbers of classes
	for _, i := range e.m.order {
		n := e.m.proto.Graph.Node[i]
		if len(n.Input) == 2 && best[n.Input[1]] {
			if err := e.relabel(i, h.Classes, classes); err != nil {
				return err
			}
			continue
		}
		if len(n.Input) > 0 && best[n.Input[0]] && (rearranges[n.GetOpType()] || n.GetOpType() == "ArgMax") {
			best[n.Output[0]] = true
			continue
		}
		at := slices.IndexFunc(n.Input, func(s string) bool { _, ok := axis[s]; return ok })
		if at < 0 || len(n.Output) == 0 || old[n.Output[0]] == nil || old[n.Output[0]].poisoned {
			continue
		}
		from, err := old[n.Input[at]].dims()
		if err != nil {
			return err
		}
		to, err := old[n.Output[0]].dims()
		if err != nil {
			return err
		}
		a := axis[n.Input[at]]
		if n.GetOpType() == "ArgMax" && e.m.isDefault(n) {
			k := int(intAttr(n, "axis"))
			best[n.Output[0]] = k == a || k == a-len(from)
			continue
		}
		b := axisAfter(from, a, to)
		if n.GetOpType() == "Transpose" && e.m.isDefault(n) {
			b = slices.Index(permOf(n, len(from)), a)
		}
		if b < 0 {
			continue // compare will tell whether it matters
		}
		axis[n.Output[0]] = b
		if n.GetOpType() == "Reshape" && e.m.isDefault(n) {
			if err := e.retarget(i, b, h.Classes, classes, old); err != nil {
				return err
			}
		}
	}
	return nil
}

// axisAfter returns where axis a of a tensor of shape from is when its elements, in the same order, have shape to; -1 if
// it is no axis there.
func axisAfter(from []int, a int, to []int) int {
	if len(from) == len(to) && from[a] == to[a] && product(from[:a]) == product(to[:a]) {
		return a
	}
	before := product(from[:a])
	for j, d := range to {
		if d == from[a] && product(to[:j]) == before {
			return j
		}
	}
	return -1
}

// retarget makes element j of the shape that a Reshape is given the new number of classes if it is the old one. The shape
// may be put together from parts by Concat; a part that is computed from other shapes follows by itself.
func (e *edit) retarget(node, j, was, classes int, old map[string]*value) error {
	n := e.m.proto.Graph.Node[node]
	if len(n.Input) < 2 { // below opset 5
		for k, a := range n.Attribute {
			if a.GetName() == "shape" && j < len(a.Ints) && a.Ints[j] == int64(was) {
				e.node(node).Attribute[k].Ints[j] = int64(classes)
			}
		}
		return nil
	}
	at := slot{node, 1}
	for range len(e.m.proto.Graph.Node) + 1 {
		name := e.m.proto.Graph.Node[at.node].Input[at.input]
		if i, ok := e.m.info.producer[name]; ok {
			p := e.m.proto.Graph.Node[i]
			if other := e.m.othersThan(at, name); other != "" && p.GetOpType() != "Constant" {
				return fmt.Errorf("onnxload: %s reads its shape %q, which %s reads too; export the network with another class count", e.m.nodeName(node), name, other)
			}
			switch op := p.GetOpType(); {
			case (op == "Identity" || op == "Cast") && len(p.Input) == 1:
				at = slot{i, 0}
				continue
			case op == "Unsqueeze" && j == 0 && len(p.Input) > 0:
				at = slot{i, 0}
				continue
			case op == "Concat":
				part := -1
				for k, in := range p.Input {
					d, err := old[in].dims()
					if err != nil {
						return err
					}
					if j < product(d) {
						part = k
						break
					}
					j -= product(d)
				}
				if part < 0 {
					return nil
				}
				at = slot{i, part}
				continue
			case op != "Constant":
				return nil
			}
		}
		return e.setTarget(at, j, was, classes)
	}
	return nil
}

// relabel gives the table in which node i looks labels up the numbers from 0 in the place of labels for the old classes, as skl2onnx has
// them: with another number of classes they mean nothing, and there may be too few.
func (e *edit) relabel(i, was, classes int) error {
	n := e.m.proto.Graph.Node[i]
	if op := n.GetOpType(); was == classes || !(op == "ArrayFeatureExtractor" && n.GetDomain() == mlDomain || op == "Gather" && e.m.isDefault(n)) {
		return nil
	}
	t, err := e.m.tensorAt(slot{i, 0})
	if err != nil || t.size() != was {
		return nil // no table of labels
	}
	dims := slices.Clone(t.tensor.Dims)
	for k, d := range dims {
		if int(d) == was {
			dims[k] = int64(classes)
		}
	}
	c := &onnxpb.TensorProto{Name: t.tensor.Name, DataType: t.tensor.DataType, Dims: dims}
	switch elem := t.elem(); {
	case elem == int32(onnxpb.TensorProto_STRING):
		for k := range min(classes, maxHeadBytes/64) {
			c.StringData = append(c.StringData, fmt.Append(nil, k))
		}
		if len(c.StringData) < classes {
			return fmt.Errorf("onnxload: %d labels of strings are more than a new head may have", classes)
		}
	case elem == elemINT64:
		for k := range classes {
			c.Int64Data = append(c.Int64Data, int64(k))
		}
	case elem == int32(onnxpb.TensorProto_INT32):
		for k := range classes {
			c.Int32Data = append(c.Int32Data, int32(k))
		}
	case onnxpb.IsFloat(elem):
		if c, err = blank(t.tensor, dims); err != nil {
			return fmt.Errorf("onnxload: tensor %q: %w", t.name, err)
		}
		numbers := make([]float32, classes)
		for k := range numbers {
			numbers[k] = float32(k)
		}
		if err := c.SetFloats(numbers); err != nil {
			return fmt.Errorf("onnxload: tensor %q: %w", t.name, err)
		}
	default:
		return fmt.Errorf("onnxload: %s looks labels of %d classes up in %q, of type %s; labels of FLOAT, INT32, INT64 and STRING can be replaced",
			e.m.nodeName(i), was, t.name, t.typeName())
	}
	return e.replace(t, c)
}

func (e *edit) setTarget(at slot, j, was, classes int) error {
	t, err := e.m.tensorAt(at)
	if err != nil {
		return nil // it is computed
	}
	x, err := t.tensor.Ints()
	if err != nil || j >= len(x) || x[j] != int64(was) {
		return nil
	}
	x[j] = int64(classes)
	c := proto.Clone(t.tensor).(*onnxpb.TensorProto)
	inline(c)
	if c.RawData == nil {
		c.Int64Data = x
	} else {
		binary.LittleEndian.PutUint64(c.RawData[8*j:], uint64(classes))
	}
	return e.replace(t, c)
}
