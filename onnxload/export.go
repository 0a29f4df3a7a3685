package onnxload

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// ExportOptions say what Export writes besides the numbers.
type ExportOptions struct {
	// Same keeps a file that was exported in training mode in that mode. Without it, Dropout and
	// BatchNormalization are switched to inference, so that the file predicts wherever it is deployed.
	Same bool
	// Metadata is added to metadata_props; an entry replaces one of the same key.
	Metadata map[string]string
}

// A rewire makes an input of a node read another tensor than the file says, because one tensor of the file
// stands for several that have become different.
type rewire struct {
	at       slot
	name     string // of the new initializer
	src      *source
	buffer   int  // 1 + the index of the buffer whose numbers it gets, or 0
	constant bool // it keeps the numbers of src, which is trained
}

// Export returns the model's file with new weights and running statistics (vectors as Weights and Running
// return them). Everything else keeps its bytes; each tensor keeps its type and the way it is stored, except
// that numbers from other files are written into this one. If the numbers are those of the file and there are
// no metadata, the result is a copy of the original bytes.
//
// Tensors are added only where one tensor of the file stands for several: exporters merge equal tensors, such as
// the running means of a fresh network.
func (n *Net) Export(weights, running []float32, o ExportOptions) ([]byte, error) {
	b, _, err := n.export(weights, running, o, "")
	return b, err
}

// export writes tensors that lie in other files to the file data, or into the model if that is "".
func (n *Net) export(weights, running []float32, o ExportOptions, data string) ([]byte, *dataFile, error) {
	if len(weights) != n.NumWeights() || len(running) != n.NumRunning() {
		return nil, nil, fmt.Errorf("onnxload: export of %d weights and %d running statistics; the model has %d and %d",
			len(weights), len(running), n.NumWeights(), n.NumRunning())
	}
	p := n.newPatch(weights, running)
	external := n.model.External()
	if p.empty() && len(o.Metadata) == 0 && !external {
		return bytes.Clone(n.model.raw), nil, nil
	}
	if external && data != "" {
		p.data = newDataFile(n.model, data)
	}
	if err := p.addWiring(running); err != nil {
		return nil, nil, err
	}
	if !o.Same {
		if err := p.toInference(); err != nil {
			return nil, nil, err
		}
	}
	b, err := p.write(o.Metadata)
	return b, p.data, err
}

// A patch collects what changes in a file.
type patch struct {
	m      *Model
	net    *Net
	values map[*source][]float32             // new numbers
	inner  map[*onnxpb.TensorProto][]float32 // those of tensors inside bodies, and then of the copies that are written
	own    map[int]bool                      // buffers with a tensor of their own that change
	nodes  map[int]*onnxpb.NodeProto         // changed nodes; nil: dropped
	after  map[int][]*onnxpb.NodeProto
	added  []*onnxpb.TensorProto
	data   *dataFile       // for tensors that lie outside; nil: the file gets them
	gone   map[string]bool // names that no node computes any more, for value_info
}

func (n *Net) newPatch(weights, running []float32) *patch {
	p := &patch{
		m: n.model, net: n, values: map[*source][]float32{}, inner: map[*onnxpb.TensorProto][]float32{}, own: map[int]bool{},
		nodes: map[int]*onnxpb.NodeProto{}, after: map[int][]*onnxpb.NodeProto{}, gone: map[string]bool{},
	}
	for _, q := range n.Params {
		if w := weights[q.From:q.To]; !q.src.tensor.Holds(w) {
			p.values[q.src] = w
		}
	}
	for i, b := range n.Buffers {
		w := running[b.From:b.To]
		if b.src.tensor.Holds(w) {
			// Still it needs a tensor of its own if the one it shares changes.
			continue
		}
		if b.own {
			p.values[b.src] = w
		} else {
			p.own[i] = true
		}
	}
	for s, x := range p.values {
		if s.inner > 0 {
			p.inner[s.tensor] = x
		}
	}
	return p
}

func (p *patch) empty() bool { return len(p.values) == 0 && len(p.own) == 0 }

// addWiring adds the tensors of Net.edits that are needed: those that now differ from the tensor that the file
// has in their place.
func (p *patch) addWiring(running []float32) error {
	for _, e := range p.net.edits {
		_, changed := p.values[e.src]
		if e.buffer > 0 {
			changed = changed || p.own[e.buffer-1]
		}
		if !changed {
			continue
		}
		t := proto.Clone(e.src.tensor).(*onnxpb.TensorProto)
		t.Name = proto.String(e.name)
		inline(t)
		if e.buffer > 0 {
			b := p.net.Buffers[e.buffer-1]
			if err := t.SetFloats(running[b.From:b.To]); err != nil {
				return fmt.Errorf("onnxload: tensor %q: %w", e.name, err)
			}
		}
		p.added = append(p.added, t)
		if i, ok := p.m.info.producer[e.name]; ok {
			p.nodes[i] = nil // the Identity whose output the new initializer is
			continue
		}
		p.node(e.at.node).Input[e.at.input] = e.name
	}
	return nil
}

// node returns node i to be changed.
func (p *patch) node(i int) *onnxpb.NodeProto {
	if n, ok := p.nodes[i]; ok {
		return n
	}
	n := proto.Clone(p.m.proto.Graph.Node[i]).(*onnxpb.NodeProto)
	p.copied(p.nodeTensors(i), nodeTensors([]*onnxpb.NodeProto{n}, nil))
	p.nodes[i] = n
	return n
}

func (p *patch) nodeTensors(i int) []*onnxpb.TensorProto {
	return nodeTensors(p.m.proto.Graph.Node[i:i+1], nil)
}

// copied notes that copies will be written in the place of tensors.
func (p *patch) copied(tensors, copies []*onnxpb.TensorProto) {
	for k, t := range tensors {
		if x, ok := p.inner[t]; ok {
			p.inner[copies[k]] = x
		}
	}
}

// inline makes a tensor whose numbers were read from another file one that holds them.
func inline(t *onnxpb.TensorProto) {
	if t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
		t.DataLocation, t.ExternalData = nil, nil
	}
}

// write makes the new file.
func (p *patch) write(metadata map[string]string) ([]byte, error) {
	byInit := map[int][]float32{}
	for s, x := range p.values {
		if s.inner > 0 {
			continue // settled where its body is written
		}
		if s.initializer >= 0 {
			byInit[s.initializer] = x
			continue
		}
		if err := s.write(p.node(s.constant), x); err != nil {
			return nil, fmt.Errorf("onnxload: %s: %w", p.m.nodeName(s.constant), err)
		}
	}
	marshal := func(m proto.Message) ([]byte, error) { return proto.MarshalOptions{Deterministic: true}.Marshal(m) }

	inits, nodes, sparse, functions, training, graphs := 0, 0, 0, 0, 0, 0
	editGraph := func(num protowire.Number, _ int, body []byte) ([][]byte, bool, error) {
		switch num {
		case graphInitializer:
			i := inits
			inits++
			t := p.m.proto.Graph.Initializer[i]
			x, ok := byInit[i]
			if !ok && t.GetDataLocation() != onnxpb.TensorProto_EXTERNAL {
				return nil, true, nil
			}
			if outside := t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL; outside && p.data != nil {
				t = shallow(t)
				if err := p.data.put(t, x); err != nil {
					return nil, false, fmt.Errorf("onnxload: initializer %q: %w", t.GetName(), err)
				}
				b, err := marshal(t)
				return [][]byte{b}, false, err
			}
			t = proto.Clone(t).(*onnxpb.TensorProto)
			inline(t)
			if ok {
				if err := t.SetFloats(x); err != nil {
					return nil, false, fmt.Errorf("onnxload: initializer %q: %w", t.GetName(), err)
				}
			}
			b, err := marshal(t)
			return [][]byte{b}, false, err
		case graphNode:
			i := nodes
			nodes++
			n, ok := p.nodes[i]
			if !ok && p.touches(p.nodeTensors(i)) {
				n, ok = p.node(i), true
			}
			if !ok && len(p.after[i]) == 0 {
				return nil, true, nil
			}
			var out [][]byte
			switch {
			case !ok:
				out = append(out, body)
			case n != nil:
				if err := p.settle(nodeTensors([]*onnxpb.NodeProto{n}, nil)); err != nil {
					return nil, false, err
				}
				b, err := marshal(n)
				if err != nil {
					return nil, false, err
				}
				out = append(out, b)
			}
			for _, extra := range p.after[i] {
				b, err := marshal(extra)
				if err != nil {
					return nil, false, err
				}
				out = append(out, b)
			}
			return out, false, nil
		case graphSparse:
			sparse++
			s := p.m.proto.Graph.SparseInitializer[sparse-1]
			if !p.touches(sparseTensors([]*onnxpb.SparseTensorProto{s}, nil)) {
				return nil, true, nil
			}
			s = proto.Clone(s).(*onnxpb.SparseTensorProto)
			if err := p.settle(sparseTensors([]*onnxpb.SparseTensorProto{s}, nil)); err != nil {
				return nil, false, err
			}
			b, err := marshal(s)
			return [][]byte{b}, false, err
		case graphValueInfo:
			v := new(onnxpb.ValueInfoProto)
			if err := proto.Unmarshal(body, v); err != nil {
				return nil, false, errWire
			}
			return nil, !p.gone[v.GetName()], nil
		}
		return nil, true, nil
	}
	edit := func(num protowire.Number, _ int, body []byte) ([][]byte, bool, error) {
		switch num {
		case modelGraph:
			g, err := rewriteFields(make([]byte, 0, len(body)+1024), body, editGraph)
			if err != nil {
				return nil, false, err
			}
			if graphs++; graphs == 1 {
				for _, t := range p.added {
					b, err := marshal(t)
					if err != nil {
						return nil, false, err
					}
					g = protowire.AppendTag(g, graphInitializer, protowire.BytesType)
					g = protowire.AppendBytes(g, b)
				}
			}
			return [][]byte{g}, false, nil
		case modelFunction:
			functions++
			f := p.m.proto.Functions[functions-1]
			tensors := functionTensors(f, nil)
			if !p.touches(tensors) {
				return nil, true, nil
			}
			f = proto.Clone(f).(*onnxpb.FunctionProto)
			p.copied(tensors, functionTensors(f, nil))
			if err := p.settle(functionTensors(f, nil)); err != nil {
				return nil, false, err
			}
			b, err := marshal(f)
			return [][]byte{b}, false, err
		case modelTraining:
			training++
			t := p.m.proto.TrainingInfo[training-1]
			if !p.touches(trainingTensors(t, nil)) {
				return nil, true, nil
			}
			t = proto.Clone(t).(*onnxpb.TrainingInfoProto)
			if err := p.settle(trainingTensors(t, nil)); err != nil {
				return nil, false, err
			}
			b, err := marshal(t)
			return [][]byte{b}, false, err
		case modelMetadata:
			e := new(onnxpb.StringStringEntryProto)
			if err := proto.Unmarshal(body, e); err != nil {
				return nil, false, errWire
			}
			_, replaced := metadata[e.GetKey()]
			return nil, !replaced, nil
		}
		return nil, true, nil
	}
	out, err := rewriteFields(make([]byte, 0, len(p.m.raw)+4096), p.m.raw, edit)
	if err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		b, err := marshal(&onnxpb.StringStringEntryProto{Key: proto.String(key), Value: proto.String(metadata[key])})
		if err != nil {
			return nil, err
		}
		out = protowire.AppendTag(out, modelMetadata, protowire.BytesType)
		out = protowire.AppendBytes(out, b)
	}
	if len(out) >= math.MaxInt32 {
		return nil, fmt.Errorf("onnxload: the exported file has %d bytes, but a protocol buffer cannot have 2^31; "+
			"write it with its data in a file of their own (ExportFiles)", len(out))
	}
	return out, nil
}

// touches tells whether some of the tensors have new numbers, or lie in other files.
func (p *patch) touches(ts []*onnxpb.TensorProto) bool {
	return slices.ContainsFunc(ts, func(t *onnxpb.TensorProto) bool {
		return t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL || p.inner[t] != nil
	})
}

// settle gives the tensors, which are copies, their new numbers, and those that lie in other files a place in the new data file,
// or in the model.
func (p *patch) settle(ts []*onnxpb.TensorProto) (err error) {
	for _, t := range ts {
		x, outside := p.inner[t], t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL
		if outside && p.data != nil {
			err = p.data.put(t, x)
		} else if inline(t); x != nil {
			err = t.SetFloats(x)
		}
		if err != nil {
			return fmt.Errorf("onnxload: tensor %q: %w", t.GetName(), err)
		}
	}
	return nil
}

// write puts numbers into the node that has them: a Constant, or one with an attribute of weights.
func (s *source) write(n *onnxpb.NodeProto, x []float32) error {
	for _, a := range n.Attribute {
		if s.attribute != "" {
			if a.GetName() == s.attribute {
				a.Floats = nil
				if s.opposite {
					for _, v := range x {
						a.Floats = append(a.Floats, -v)
					}
				}
				a.Floats = append(a.Floats, x...)
				return nil
			}
			continue
		}
		switch a.GetName() {
		case "value":
			inline(a.T)
			return a.T.SetFloats(x)
		case "value_float":
			a.F = proto.Float32(x[0])
			return nil
		case "value_floats":
			a.Floats = append([]float32(nil), x...)
			return nil
		}
	}
	return fmt.Errorf("it has no value")
}
