package dataset

import (
	"archive/zip"
	"fmt"
	"slices"
	"strings"
)

// openNPZ reads NumPy's archive of arrays: x and y, or x_train, y_train, x_test and so on, or those named as the inputs of the
// network; for one input, with a target, the array of that name and the only other one.
func openNPZ(path string, o Options) (*Data, error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: is no NPZ file, or damaged: %w", path, err)
	}
	defer z.Close()
	var names []string
	files := map[string]*zip.File{}
	for _, f := range z.File {
		name, ok := strings.CutSuffix(f.Name, ".npy")
		if !ok {
			continue
		}
		if files[name] != nil {
			return nil, fmt.Errorf("dataset: %s: holds the array %q twice", path, name)
		}
		files[name] = f
		names = append(names, name)
	}
	if k := slices.Index(names, o.Target); o.Target != "" && len(o.Inputs) < 2 {
		if k < 0 || len(names) != 2 {
			return nil, fmt.Errorf("dataset: %s: --target %s wants an array of that name and one other, of the samples; the file holds %s", path, o.Target, listed(names))
		}
		o.Inputs = []Input{{Name: names[1-k]}}
	}
	return o.assemble(path, names, func(name string) (*Array, error) { return readMember(path, files[name]) })
}

func listed(names []string) string {
	if len(names) == 0 {
		return "no array"
	}
	return some(names)
}

// readMember reads an array of the archive, which may be packed.
func readMember(path string, f *zip.File) (*Array, error) {
	if f.UncompressedSize64 > f.CompressedSize64*maxRatio+1024 {
		return nil, fmt.Errorf("dataset: %s: the array %s claims %d bytes, more than its %d packed ones can hold", path, f.Name, f.UncompressedSize64, f.CompressedSize64)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("dataset: %s: %s: %w", path, f.Name, err)
	}
	defer r.Close()
	s, err := newSource(path+": "+f.Name, r, int64(f.UncompressedSize64))
	if err != nil {
		return nil, err
	}
	return readNPY(s)
}
