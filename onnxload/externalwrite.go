package onnxload

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// Files is a model as the files that it is written to.
type Files struct {
	Model []byte // the ONNX file
	// Data is the name of the file beside it that holds tensors, as the model refers to it; "" if there is none.
	Data string
	// WriteData writes that file, a tensor at a time. It reads the weights that the files were made from.
	WriteData func(io.Writer) error
}

// External tells whether tensors of the model lie in other files.
func (m *Model) External() bool {
	return slices.ContainsFunc(tensorsOf(m.proto), func(t *onnxpb.TensorProto) bool {
		return t.GetDataLocation() == onnxpb.TensorProto_EXTERNAL
	})
}

// ExportFiles is Export for a model whose tensors may lie in other files: they are written to one file beside the model, whose
// name is data, at the offsets that they have if they come from one file. The model's own tensors stay in the model.
func (n *Net) ExportFiles(weights, running []float32, data string, o ExportOptions) (*Files, error) {
	b, out, err := n.export(weights, running, o, data)
	return files(b, data, out), err
}

// Files returns the model's files with the data under another name, as ExportFiles does.
func (m *Model) Files(data string) (*Files, error) {
	if !m.External() {
		return &Files{Model: m.raw}, nil
	}
	p := &patch{m: m, nodes: map[int]*onnxpb.NodeProto{}, after: map[int][]*onnxpb.NodeProto{}, gone: map[string]bool{}, data: newDataFile(m, data)}
	b, err := p.write(nil)
	return files(b, data, p.data), err
}

func files(b []byte, name string, d *dataFile) *Files {
	f := &Files{Model: b}
	if d != nil {
		f.Data, f.WriteData = name, d.write
	}
	return f
}

// A dataFile is the file for the tensors that lie outside of the model.
type dataFile struct {
	name   string
	base   map[string]int64 // where the ranges of each of the old files begin
	blocks []block          // by offset, none over another
	end    int64
}

// A block is a tensor's range. The same range may serve several tensors whose numbers are those of the file.
type block struct {
	from, to int64
	raw      []byte
	tensor   *onnxpb.TensorProto // whose numbers are x; nil if they are raw
	x        []float32
}

// dataAlign is what tensors begin at a multiple of where they have no place yet: a page, for programs that map the file.
const dataAlign = 4096

func newDataFile(m *Model, name string) *dataFile {
	d := &dataFile{name: name, base: map[string]int64{}}
	ends := map[string]int64{}
	var order []string
	for _, t := range tensorsOf(m.proto) {
		if t.GetDataLocation() != onnxpb.TensorProto_EXTERNAL {
			continue
		}
		location, offset, _, err := place(t)
		if err != nil {
			continue
		}
		if _, ok := ends[location]; !ok {
			order = append(order, location)
		}
		ends[location] = max(ends[location], offset+int64(len(t.RawData)))
	}
	for _, l := range order {
		d.base[l] = d.end
		d.end = (d.end + ends[l] + dataAlign - 1) / dataAlign * dataAlign
	}
	if len(order) == 1 {
		d.end = ends[order[0]]
	}
	return d
}

// put gives t, a copy of a tensor that lies outside, its place; x are its new numbers, nil if it keeps those that it has.
func (d *dataFile) put(t *onnxpb.TensorProto, x []float32) error {
	location, offset, _, err := place(t)
	if err != nil {
		return err
	}
	b := block{raw: t.RawData, from: d.base[location] + offset, x: x}
	b.to = b.from + int64(len(b.raw))
	if x != nil {
		if !onnxpb.IsFloat(t.GetDataType()) || int64(len(x)*(t.Bits()/8)) != int64(len(t.RawData)) {
			return fmt.Errorf("%d numbers for a tensor of shape %v of type %s", len(x), t.GetDims(), t.TypeName())
		}
		b.tensor = shallow(t)
	}
	i, _ := slices.BinarySearchFunc(d.blocks, b.from, func(o block, from int64) int { return cmpInt64(o.to, from+1) })
	shared := false
	if i < len(d.blocks) && d.blocks[i].from < b.to {
		if o := d.blocks[i]; o.from == b.from && o.to == b.to && o.x == nil && x == nil {
			shared = true
		} else { // one place cannot hold two tensors that have become different
			b.from = (d.end + dataAlign - 1) / dataAlign * dataAlign
			b.to = b.from + int64(len(b.raw))
			d.end = b.to
		}
	}
	if !shared && len(b.raw) > 0 {
		i, _ = slices.BinarySearchFunc(d.blocks, b.from, func(o block, from int64) int { return cmpInt64(o.from, from) })
		d.blocks = slices.Insert(d.blocks, i, b)
	}
	entry := func(key, value string) *onnxpb.StringStringEntryProto {
		return &onnxpb.StringStringEntryProto{Key: proto.String(key), Value: proto.String(value)}
	}
	t.RawData = nil
	t.ExternalData = []*onnxpb.StringStringEntryProto{entry("location", d.name), entry("offset", strconv.FormatInt(b.from, 10)), entry("length", strconv.FormatInt(b.to-b.from, 10))}
	return nil
}

func cmpInt64(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// write writes the blocks, with zeros between them.
func (d *dataFile) write(w io.Writer) error {
	at := int64(0)
	zeros := make([]byte, dataAlign)
	for _, b := range d.blocks {
		for at < b.from {
			n, err := w.Write(zeros[:min(int64(len(zeros)), b.from-at)])
			if err != nil {
				return err
			}
			at += int64(n)
		}
		if err := b.write(w); err != nil {
			return err
		}
		at = b.to
	}
	return nil
}

// write writes the tensor, a part at a time where its numbers are new, so that no copy of the weights is made.
func (b *block) write(w io.Writer) error {
	if b.tensor == nil {
		_, err := w.Write(b.raw)
		return err
	}
	const part = 1 << 18
	width := b.tensor.Bits() / 8
	buf := make([]byte, part*width)
	for from := 0; from < len(b.x); from += part {
		x := b.x[from:min(from+part, len(b.x))]
		b.tensor.EncodeRaw(buf, from, x)
		if _, err := w.Write(buf[:len(x)*width]); err != nil {
			return err
		}
	}
	return nil
}
