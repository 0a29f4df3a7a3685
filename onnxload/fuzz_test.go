package onnxload_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/rng"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

func FuzzParse(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
		f.Add(b[:len(b)*2/3])
	}
	f.Add([]byte("text"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := onnxload.Parse(b)
		if (m == nil) == (err == nil) {
			t.Fatal(m, err)
		}
		if err != nil {
			return
		}
		m.Warnings()
		m.TrainingMode()
	})
}

// FuzzBuild goes on to graphs, and to files again. It changes well-formed models, since changed bytes are hardly
// ever one. Graphs are not run, so only what building allocates counts.
func FuzzBuild(f *testing.F) {
	models := seeds()
	for i := range models {
		f.Add(i, i%2 == 0, []byte{})
		f.Add(i, i%2 == 1, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18})
	}
	f.Fuzz(func(t *testing.T, seed int, training bool, changes []byte) {
		if seed < 0 || len(changes) > 200 {
			return
		}
		p := unmarshal(t, models[seed%len(models)])
		mutate(p, changes)
		tryBuild(t, marshal(p), training)
	})
}

// FuzzExport takes files as they come, and goes on to a gradient and to files again.
func FuzzExport(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		if _, _, err := harmless(t.TempDir(), b); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzExternal reads tensors from a file of 64 bytes.
func FuzzExternal(f *testing.F) {
	f.Add("w.bin", "0", "16", "length", int64(4), int32(1))
	f.Add("w.bin", "48", "16", "checksum", int64(4), int32(1))
	f.Add("../w.bin", "-1", "9223372036854775807", "location", int64(1<<40), int32(7))
	f.Add("./a/../w.bin", "0x10", "1e3", "offset", int64(0), int32(10))
	f.Fuzz(func(t *testing.T, location, offset, length, key string, dim int64, elem int32) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "w.bin"), make([]byte, 64), 0o666); err != nil {
			t.Fatal(err)
		}
		x := &onnxpb.TensorProto{Name: proto.String("b"), DataType: &elem, Dims: []int64{dim}, DataLocation: onnxpb.TensorProto_EXTERNAL.Enum()}
		for _, e := range [][2]string{{"location", location}, {"offset", offset}, {"length", length}, {key, "w.bin"}} {
			x.ExternalData = append(x.ExternalData, &onnxpb.StringStringEntryProto{Key: proto.String(e[0]), Value: proto.String(e[1])})
		}
		m := relu()
		m.Graph.Initializer[0] = x
		path := filepath.Join(dir, "m.onnx")
		if err := os.WriteFile(path, must(proto.MarshalOptions{AllowPartial: true}.Marshal(m)), 0o666); err != nil {
			t.Fatal(err)
		}
		p, err := onnxload.ParseFile(path)
		if err != nil {
			return
		}
		if dim < 0 || dim > 64 {
			t.Fatalf("%d elements in a file of 64 bytes", dim)
		}
		if net, err := p.Build(2, onnxload.Options{}); err == nil {
			if _, err := net.Export(net.Weights(), nil, onnxload.ExportOptions{Metadata: map[string]string{"a": "b"}}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestRandomModels is FuzzBuild for some thousand random changes, in every test run.
func TestRandomModels(t *testing.T) {
	models := seeds()
	n := 3000
	if testing.Short() {
		n = 300
	}
	for i := range n {
		s := rng.Stream{Seed: uint64(i)}
		var changes []byte
		for k := range 1 + i%8 {
			for _, w := range s.Block(uint32(k)) {
				changes = append(changes, byte(w))
			}
		}
		p := unmarshal(t, models[i%len(models)])
		mutate(p, changes)
		tryBuild(t, marshal(p), i%16 < 8)
		if t.Failed() {
			t.Fatalf("number %d: %v", i, p)
		}
	}
}

func tryBuild(t *testing.T, b []byte, training bool) {
	m, err := onnxload.Parse(b)
	if err != nil {
		return
	}
	m.Warnings()
	o := onnxload.Options{Training: training, MaxElements: 1 << 24}
	net, err := m.Build(2, o)
	if (net == nil) == (err == nil) {
		t.Fatal(net, err)
	}
	if err != nil {
		if strings.Contains(err.Error(), "cannot be built") {
			t.Fatalf("a panic was caught: %v", err)
		}
		return
	}
	w, r := net.Reinit(1)
	out, err := net.Export(w, r, onnxload.ExportOptions{Same: !training, Metadata: map[string]string{"a": "b"}})
	if err != nil {
		return
	}
	again, err := onnxload.Parse(out)
	if err != nil {
		t.Fatalf("the exported file cannot be read: %v", err)
	}
	net2, err := again.Build(2, o)
	if err != nil {
		t.Fatalf("the exported file cannot be built: %v", err)
	}
	for _, p := range net.Params { // rounded to their type
		elem := onnxpb.TensorProto_DataType_value[p.Type]
		for i := p.From; i < p.To; i++ {
			w[i] = float32(onnxpb.Round(elem, float64(w[i])))
		}
	}
	if !slices.Equal(net2.Weights(), w) {
		t.Fatal("the exported file has other weights")
	}
}

// mutate changes a model by three bytes at a time: what, where, and to what.
func mutate(m *onnxpb.ModelProto, changes []byte) {
	g := m.Graph
	numbers := []int64{0, 1, -1, 2, 3, 4, 7, -2, 64, 1 << 20, 1 << 31, 1 << 40, math.MaxInt64, math.MinInt64, 5, 6}
	for ; len(changes) >= 3; changes = changes[3:] {
		at, to := int(changes[1]), int(changes[2])
		value := numbers[to%len(numbers)]
		if len(g.Node) == 0 {
			return
		}
		n := g.Node[at%len(g.Node)]
		var x *onnxpb.TensorProto
		if len(g.Initializer) > 0 {
			x = g.Initializer[at%len(g.Initializer)]
		}
		switch changes[0] % 18 {
		case 0: // another operator
			n.OpType = proto.String(opTypes[to%len(opTypes)])
		case 1: // another value as input
			if len(n.Input) > 0 {
				n.Input[at/8%len(n.Input)] = anyValue(g, to)
			}
		case 2:
			n.Input = append(n.Input, anyValue(g, to))
		case 3:
			n.Input = n.Input[:min(len(n.Input), to%4)]
		case 4:
			if len(n.Attribute) > 0 {
				a := n.Attribute[to%len(n.Attribute)]
				a.I = &value
				for i := range a.Ints {
					a.Ints[i] = value
				}
			}
		case 5:
			if len(n.Attribute) > 0 {
				a := n.Attribute[at%len(n.Attribute)]
				if len(a.Ints) > 0 {
					a.Ints[to%len(a.Ints)] = numbers[at%len(numbers)]
				}
				a.Ints = a.Ints[:min(len(a.Ints), to%7)]
			}
		case 6:
			names := []string{"axis", "axes", "keepdims", "perm", "pads", "group", "to", "allowzero", "training_mode", "transA", "strides", "spatial"}
			a := &onnxpb.AttributeProto{Name: proto.String(names[to%len(names)]), Type: onnxpb.AttributeProto_INT.Enum(), I: &numbers[at%len(numbers)]}
			if to >= 128 {
				a.Type, a.Ints = onnxpb.AttributeProto_INTS.Enum(), numbers[at%8:at%8+to%4]
			}
			n.Attribute = append(n.Attribute, a)
		case 7:
			m.OpsetImport[0].Version = proto.Int64(int64(to % 30))
		case 8:
			if x != nil && len(x.Dims) > 0 {
				x.Dims[to%len(x.Dims)] = value
			}
		case 9: // new shape for the same numbers
			if x != nil {
				x.Dims = append(x.Dims, 1)
			}
		case 10:
			if x != nil {
				for i := range x.Int64Data {
					if i%2 == to%2 {
						x.Int64Data[i] = value
					}
				}
			}
		case 11:
			if x != nil {
				x.Dims, x.FloatData, x.Int64Data = []int64{0}, nil, nil
			}
		case 12:
			if t := g.Input[0].GetType().GetTensorType().GetShape(); t != nil && len(t.Dim) > 0 {
				t.Dim[to%len(t.Dim)].Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: numbers[at%len(numbers)]}
			}
		case 13:
			if t := g.Input[0].GetType().GetTensorType().GetShape(); t != nil && len(t.Dim) > 0 {
				t.Dim = t.Dim[:to%(len(t.Dim)+1)]
			}
		case 14:
			g.Output = append(g.Output, input(anyValue(g, to)))
		case 15:
			g.Node = slices.Delete(g.Node, at%len(g.Node), at%len(g.Node)+1)
		case 16: // a new node before n, on one of its inputs
			if len(n.Input) > 0 {
				name := fmt.Sprint("new", len(g.Node))
				c := node(opTypes[to%len(opTypes)], list(n.Input[0], anyValue(g, at)), list(name))
				n.Input[0] = name
				g.Node = append(g.Node, c)
			}
		case 17:
			n.Output = append(n.Output, fmt.Sprint("out", len(n.Output), at, to))
		}
	}
}

func anyValue(g *onnxpb.GraphProto, k int) string {
	names := []string{""}
	for _, x := range g.Input {
		names = append(names, x.GetName())
	}
	for _, x := range g.Initializer {
		names = append(names, x.GetName())
	}
	for _, n := range g.Node {
		names = append(names, n.Output...)
	}
	return names[k%len(names)]
}

var opTypes = strings.Fields(`Conv Gemm MatMul BatchNormalization MaxPool AveragePool GlobalAveragePool GlobalMaxPool Relu Sigmoid
	Neg Not Clip Dropout Identity Cast Softmax LogSoftmax Add Sub Mul Div Mod Equal Less And Sum Where ReduceSum ReduceMean
	ReduceProd ReduceMax Flatten Reshape Squeeze Unsqueeze Transpose Concat Slice Pad Expand Shape Size Gather
	ConstantOfShape Range Constant If Sqrt Erf`)
