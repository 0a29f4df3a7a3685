package onnxload

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
)

// readExternal puts the numbers of tensors that lie in other files of dir into their raw_data; they keep
// data_location EXTERNAL. Without a dir such a tensor is an error. A path that leads out of dir, by ".." or by
// a symbolic link, is refused by os.Root. Files are read and not mapped into memory: a file that somebody cuts off while it is mapped
// ends the program.
//
// Together the tensors may be externalFactor times as large as the files, for each of many may name the same range.
func readExternal(p *onnxpb.ModelProto, dir *os.Root) error {
	sizes := map[string]int64{}
	var all, read int64
	for _, t := range tensorsOf(p) {
		if t.GetDataLocation() != onnxpb.TensorProto_EXTERNAL {
			continue
		}
		err := readExternalTensor(t, dir, func(location string, size, want int64) error {
			if _, ok := sizes[location]; !ok {
				sizes[location] = size
				all += size
			}
			if read += want; read > externalFactor*all+1<<20 {
				return fmt.Errorf("with it the tensors have %s, more than %d times the files that they lie in; ranges of them are given many times",
					bytesText(read), externalFactor)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.GetName(), err)
		}
	}
	return nil
}

const externalFactor = 4

// tensorsOf returns the tensors of a model: initializers, dense and sparse, and those in attributes of nodes, of the graph, of
// subgraphs, of functions and of training_info.
func tensorsOf(p *onnxpb.ModelProto) []*onnxpb.TensorProto {
	ts := graphTensors(p.Graph, nil)
	for _, f := range p.Functions {
		ts = functionTensors(f, ts)
	}
	for _, t := range p.TrainingInfo {
		ts = trainingTensors(t, ts)
	}
	return ts
}

func functionTensors(f *onnxpb.FunctionProto, ts []*onnxpb.TensorProto) []*onnxpb.TensorProto {
	return attributeTensors(f.AttributeProto, nodeTensors(f.Node, ts))
}

// trainingTensors are those of the graphs by which another program trains the model.
func trainingTensors(t *onnxpb.TrainingInfoProto, ts []*onnxpb.TensorProto) []*onnxpb.TensorProto {
	for _, g := range []*onnxpb.GraphProto{t.Initialization, t.Algorithm} {
		if g != nil {
			ts = graphTensors(g, ts)
		}
	}
	return ts
}

func graphTensors(g *onnxpb.GraphProto, ts []*onnxpb.TensorProto) []*onnxpb.TensorProto {
	ts = append(ts, g.Initializer...)
	return nodeTensors(g.Node, sparseTensors(g.SparseInitializer, ts))
}

func sparseTensors(list []*onnxpb.SparseTensorProto, ts []*onnxpb.TensorProto) []*onnxpb.TensorProto {
	for _, s := range list {
		for _, t := range []*onnxpb.TensorProto{s.Values, s.Indices} {
			if t != nil {
				ts = append(ts, t)
			}
		}
	}
	return ts
}

func nodeTensors(nodes []*onnxpb.NodeProto, ts []*onnxpb.TensorProto) []*onnxpb.TensorProto {
	for _, n := range nodes {
		ts = attributeTensors(n.Attribute, ts)
	}
	return ts
}

func attributeTensors(list []*onnxpb.AttributeProto, ts []*onnxpb.TensorProto) []*onnxpb.TensorProto {
	for _, a := range list {
		if a.T != nil {
			ts = append(ts, a.T)
		}
		ts = sparseTensors(a.SparseTensors, append(ts, a.Tensors...))
		if a.SparseTensor != nil {
			ts = sparseTensors([]*onnxpb.SparseTensorProto{a.SparseTensor}, ts)
		}
		for _, g := range graphsOf(a) {
			ts = graphTensors(g, ts)
		}
	}
	return ts
}

// place reads where a tensor lies; the length is -1 if it is not given.
func place(t *onnxpb.TensorProto) (location string, offset, length int64, err error) {
	length = -1
	for _, e := range t.ExternalData {
		var err error
		switch e.GetKey() {
		case "location":
			location = e.GetValue()
		case "offset":
			offset, err = strconv.ParseInt(e.GetValue(), 10, 64)
		case "length":
			length, err = strconv.ParseInt(e.GetValue(), 10, 64)
		}
		if err != nil {
			return "", 0, 0, fmt.Errorf("its external %s %q is no number", e.GetKey(), e.GetValue())
		}
	}
	return location, offset, length, nil
}

// readExternalTensor reads one; before it allocates, it asks allow, with the sizes of the file and of the tensor.
func readExternalTensor(t *onnxpb.TensorProto, dir *os.Root, allow func(location string, size, want int64) error) error {
	location, offset, length, err := place(t)
	if err != nil {
		return err
	}
	if dir == nil {
		return fmt.Errorf("its numbers lie in another file (%q); open the model by its path, or export it "+
			"as one file with torch.onnx.export(..., external_data=False)", location)
	}
	want, err := t.ByteLen()
	if err != nil {
		return err
	}
	if length >= 0 && length != int64(want) {
		return fmt.Errorf("shape %v of type %s takes %d bytes, but %d are given in file %q", t.GetDims(), t.TypeName(), want, length, location)
	}
	if offset < 0 {
		return fmt.Errorf("its offset %d in file %q is negative", offset, location)
	}
	if location == "" || !filepath.IsLocal(location) {
		return fmt.Errorf("its numbers lie in %q, which is not a path below the model's folder", location)
	}
	// Before it is opened: to open a named pipe waits for somebody who writes into it.
	info, err := dir.Stat(location)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("its numbers lie in file %q, which is not there; copy it next to the model, or export "+
			"the model as one file with torch.onnx.export(..., external_data=False)", location)
	}
	if err != nil { // above all a link to a place outside of the folder
		return fmt.Errorf("its numbers lie in %q, which cannot be read: %w; the file itself must be in the model's folder or below", location, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("its numbers lie in %q, which is no regular file", location)
	}
	f, err := dir.Open(location)
	if err != nil {
		return err
	}
	defer f.Close()
	// Compared before the memory is allocated. No sum, which could overflow.
	if int64(want) > info.Size() || offset > info.Size()-int64(want) {
		return fmt.Errorf("its %d bytes from offset %d do not fit in file %q of %d bytes; copy or export it again",
			want, offset, location, info.Size())
	}
	if err := allow(location, info.Size(), int64(want)); err != nil {
		return err
	}
	t.RawData = make([]byte, want)
	if _, err := f.ReadAt(t.RawData, offset); err != nil {
		return fmt.Errorf("file %q: %w", location, err)
	}
	return nil
}
