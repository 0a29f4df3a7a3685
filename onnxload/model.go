// Package onnxload turns an ONNX file into a Gorgonia graph that can be trained, and the trained weights back
// into the same ONNX file.
//
//	m, err := onnxload.Parse(b)                        // read and check the file
//	net, err := m.Build(32, onnxload.Options{Training: true}) // its graph for batches of 32
//	...                                                // train the flat vector net.Weights()
//	b, err := net.Export(weights, running, onnxload.ExportOptions{})
//
// Decoding goes through onnx-go, which is given a normalised copy of the model and a backend of ours; the
// reasons are with normalise.
package onnxload

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// A Model is an ONNX file that was read and checked. It does not change, and may be used by several goroutines.
type Model struct {
	Opset           int    // version of the default operator set
	IRVersion       int    // version of the file format
	Producer        string // name and version of the program that wrote the file
	Inputs, Outputs []ValueInfo

	raw   []byte
	proto *onnxpb.ModelProto
	order []int // nodes in an order in which every node follows those it reads
	info  *index
	held  int64 // bytes that the file and its decoded form take
}

// ValueInfo describes an input or output of a model.
type ValueInfo struct {
	Name string
	Type string // element type, an ONNX name such as FLOAT
	// Shape holds a dimension each: a number, a name such as "batch", or "?". It is nil if the file does not
	// even give the rank.
	Shape []string
}

// Parse reads an ONNX file from memory and checks it. It keeps b, which must not change afterwards. Tensors
// that lie in other files are an error; use ParseFile for them.
func Parse(b []byte) (*Model, error) { return parse("", b, nil) }

// ParseFile reads an ONNX file and the files next to it that hold its external tensors.
func ParseFile(path string) (*Model, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("onnxload: %q cannot be read: %w", path, reason(err))
	}
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("onnxload: %w", err)
	}
	defer dir.Close()
	return parse(path, b, dir)
}

// reason is an error of the file system without the path, which the caller has named.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func parse(path string, b []byte, dir *os.Root) (*Model, error) {
	what := "the data"
	if path != "" {
		what = fmt.Sprintf("%q", path)
	}
	if reason := notONNX(b); reason != "" {
		return nil, fmt.Errorf("onnxload: %s is not an ONNX file (%s)", what, reason)
	}
	p, size, err := decode(b)
	if err != nil {
		return nil, fmt.Errorf("onnxload: %s is damaged: %w", what, err)
	}
	if p.Graph == nil {
		return nil, fmt.Errorf("onnxload: %s is not an ONNX file (it holds no graph); export the network with torch.onnx.export", what)
	}
	m := &Model{raw: b, proto: p, held: int64(len(b)) + size, IRVersion: int(p.GetIrVersion()), Producer: p.GetProducerName()}
	if v := p.GetProducerVersion(); v != "" {
		m.Producer += " " + v
	}
	if err := readExternal(p, dir); err != nil {
		return nil, fmt.Errorf("onnxload: %s: %w", what, err)
	}
	for _, t := range tensorsOf(p) {
		if t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
			m.held += int64(len(t.RawData))
		}
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("onnxload: %s: %w", what, err)
	}
	for _, v := range p.Graph.Input {
		if _, ok := m.info.initializer[v.GetName()]; !ok {
			m.Inputs = append(m.Inputs, valueInfo(v))
		}
	}
	for _, v := range p.Graph.Output {
		m.Outputs = append(m.Outputs, valueInfo(v))
	}
	return m, nil
}

// Bytes returns the file, which must not be changed.
func (m *Model) Bytes() []byte { return m.raw }

// Metadata returns the file's metadata_props.
func (m *Model) Metadata() map[string]string {
	props := map[string]string{}
	for _, e := range m.proto.MetadataProps {
		props[e.GetKey()] = e.GetValue()
	}
	return props
}

// notONNX returns why b cannot be an ONNX file, or "". It walks over the outermost fields without decoding
// them, which tells a file that was cut off from one that never was ONNX.
func notONNX(b []byte) string {
	for _, k := range []struct{ magic, reason string }{
		{"", ""},
		{"PK\x03\x04", "it is a zip archive, as torch.save writes; export the network with torch.onnx.export"},
		{"\x1f\x8b", "it is compressed with gzip; unpack it first"},
		{"\x89HDF", "it is HDF5, as Keras writes; convert it with tf2onnx"},
		{"version https://git-lfs", "it is a pointer of Git LFS; run git lfs pull"},
		{"\x93NUMPY", "it is a NumPy array"},
	} {
		if k.magic != "" && bytes.HasPrefix(b, []byte(k.magic)) {
			return k.reason
		}
	}
	if len(b) == 0 {
		return "it is empty"
	}
	const never = "it does not start as one; export the network with torch.onnx.export"
	known := 0
	for rest := b; len(rest) > 0; known++ {
		num, typ, n := protowire.ConsumeTag(rest)
		if n < 0 || !isModelField(num, typ) && known == 0 {
			return cut(known, len(b), never)
		}
		k := protowire.ConsumeFieldValue(num, typ, rest[n:])
		if k < 0 {
			return cut(known, len(b), never)
		}
		rest = rest[n+k:]
	}
	return ""
}

// cut is the reason when reading fails after some good fields.
func cut(known, size int, never string) string {
	if known == 0 {
		return never
	}
	return fmt.Sprintf("it is cut off or damaged: it ends in the middle of a field after %d bytes; copy or download it again", size)
}

// isModelField tells whether a field can be the first of a ModelProto.
func isModelField(num protowire.Number, typ protowire.Type) bool {
	switch num {
	case 1, 5: // ir_version, model_version
		return typ == protowire.VarintType
	case 2, 3, 4, 6, 7, 8, 14, 20, 25, 26:
		return typ == protowire.BytesType
	}
	return false
}

func valueInfo(v *onnxpb.ValueInfoProto) ValueInfo {
	t := v.GetType().GetTensorType()
	info := ValueInfo{Name: v.GetName(), Type: onnxpb.TypeName(t.GetElemType())}
	if t == nil {
		info.Type = "no tensor"
	}
	if t.GetShape() == nil {
		return info
	}
	info.Shape = []string{}
	for _, d := range t.Shape.Dim {
		s := d.GetDimParam()
		if _, ok := d.Value.(*onnxpb.TensorShapeProto_Dimension_DimValue); ok && d.GetDimValue() >= 0 {
			s = fmt.Sprint(d.GetDimValue())
		}
		if s == "" {
			s = "?"
		}
		info.Shape = append(info.Shape, s)
	}
	return info
}
