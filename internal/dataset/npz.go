package dataset

import (
	"archive/zip"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Names of arrays in an NPZ file, with a part in front or behind: x_train, test_labels, X.
var (
	npzSamples = regexp.MustCompile(`(?i)^(?:(train|valid|val|test)[-_.]?)?(?:x|data|images|features|inputs?)(?:[-_.]?(train|valid|val|test))?$`)
	npzTargets = regexp.MustCompile(`(?i)^(?:(train|valid|val|test)[-_.]?)?(?:y|labels?|targets?|classes|outputs?)(?:[-_.]?(train|valid|val|test))?$`)
)

// openNPZ reads NumPy's archive of arrays: x and y, or x_train, y_train, x_test and so on; with a target, the array of that name and
// the only other one.
func openNPZ(path, target string) (*Data, error) {
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
	pairs := map[string][2]string{} // names of samples and targets by part
	if target != "" {
		k := slices.Index(names, target)
		if k < 0 || len(names) != 2 {
			return nil, fmt.Errorf("dataset: %s: --target %s wants an array of that name and one other, of the samples; the file holds %s", path, target, listed(names))
		}
		pairs["train"] = [2]string{names[1-k], target}
	} else {
		for _, n := range names {
			for k, pattern := range []*regexp.Regexp{npzSamples, npzTargets} {
				m := pattern.FindStringSubmatch(n)
				if m == nil {
					continue
				}
				part := partNames[strings.ToLower(m[1]+m[2])]
				if part == "" {
					part = "train"
				}
				p := pairs[part]
				if p[k] != "" {
					return nil, fmt.Errorf("dataset: %s: which of the arrays %s and %s is meant? Name them x and y", path, p[k], n)
				}
				p[k] = n
				pairs[part] = p
				break
			}
		}
	}
	d := new(Data)
	for part, to := range map[string]**Set{"train": &d.Train, "valid": &d.Valid, "test": &d.Test} {
		p, ok := pairs[part]
		if !ok {
			continue
		}
		if p[0] == "" {
			return nil, fmt.Errorf("dataset: %s: the array %s has no samples beside it, named x as it is named y; the file holds %s", path, p[1], listed(names))
		}
		x, err := readMember(path, files[p[0]])
		if err != nil {
			return nil, err
		}
		var y *Array
		if p[1] != "" {
			if y, err = readMember(path, files[p[1]]); err != nil {
				return nil, err
			}
		}
		if *to, err = newSet(x, y); err != nil {
			return nil, err
		}
	}
	if d.Train == nil && d.Test == nil && d.Valid == nil {
		return nil, fmt.Errorf("dataset: %s: looked for arrays x and y, or x_train, y_train, x_test, y_test; the file holds %s", path, listed(names))
	}
	return d, nil
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
