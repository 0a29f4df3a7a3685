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
// a symbolic link, is refused by os.Root.
func readExternal(g *onnxpb.GraphProto, dir *os.Root) error {
	for _, t := range tensorsOf(g) {
		if t.GetDataLocation() != onnxpb.TensorProto_EXTERNAL {
			continue
		}
		if err := readExternalTensor(t, dir); err != nil {
			return fmt.Errorf("tensor %q: %w", t.GetName(), err)
		}
	}
	return nil
}

// tensorsOf returns the initializers of a graph and the tensors in the attributes of its nodes.
func tensorsOf(g *onnxpb.GraphProto) []*onnxpb.TensorProto {
	ts := append([]*onnxpb.TensorProto(nil), g.Initializer...)
	for _, n := range g.Node {
		for _, a := range n.Attribute {
			if a.T != nil {
				ts = append(ts, a.T)
			}
		}
	}
	return ts
}

func readExternalTensor(t *onnxpb.TensorProto, dir *os.Root) error {
	var location string
	var offset, length int64 = 0, -1
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
			return fmt.Errorf("its external %s %q is no number", e.GetKey(), e.GetValue())
		}
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
	if err != nil {
		return err
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
	t.RawData = make([]byte, want)
	if _, err := f.ReadAt(t.RawData, offset); err != nil {
		return fmt.Errorf("file %q: %w", location, err)
	}
	return nil
}
