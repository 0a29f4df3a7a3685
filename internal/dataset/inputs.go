package dataset

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// An Input is an input of the network that data are for.
type Input struct {
	Name string
	Type string // what it takes, such as "INT64 batchx128", for messages
}

// A part is the names of the arrays for one part of the data.
type part struct {
	inputs []string // for each input
	target string   // of the labels or targets; "" if there is none
}

// A role is what the name of an array says of it.
type role struct {
	part  string // train, valid or test
	input int    // number of the input, or -1 for labels and targets
}

// Names for samples and for labels or targets.
var (
	samplesName = regexp.MustCompile(`(?i)^(x|data|images|features|inputs?)$`)
	targetName  = regexp.MustCompile(`(?i)^(y|labels?|targets?|classes|outputs?)$`)
)

// role returns what a name is the name of. It may have a part in front or behind: x_train, test_labels, X. Samples for the only
// input of a network may be named x as well as by the input. Names of inputs are compared as they are, for a file may hold anything.
func (o Options) role(name string) (role, bool) {
	for _, c := range parted(name) { // the whole name first: an input called train_ids is that, and not a part of another called ids
		if k := slices.IndexFunc(o.Inputs, func(in Input) bool { return c.rest == in.Name || c.rest == fileName(in.Name) }); k >= 0 {
			return role{c.part, k}, true
		}
		if len(o.Inputs) < 2 && samplesName.MatchString(c.rest) {
			return role{c.part, 0}, true
		}
		if o.Target != "" && c.rest == o.Target || o.Target == "" && targetName.MatchString(c.rest) {
			return role{c.part, -1}, true
		}
	}
	return role{}, false
}

// A partedName is a name without what says which part of the data it is for.
type partedName struct{ part, rest string }

// parted returns the ways to take a name apart, the one with no part first.
func parted(name string) []partedName {
	ways := []partedName{{"train", name}}
	for _, p := range []string{"train", "valid", "val", "test"} {
		const between = "-_."
		n, at := len(p), len(name)-len(p)
		if at < 1 {
			continue
		}
		if strings.EqualFold(name[:n], p) {
			if strings.IndexByte(between, name[n]) >= 0 {
				n++
			}
			ways = append(ways, partedName{partNames[p], name[n:]})
		}
		if strings.EqualFold(name[at:], p) {
			if strings.IndexByte(between, name[at-1]) >= 0 {
				at--
			}
			ways = append(ways, partedName{partNames[p], name[:at]})
		}
	}
	return ways
}

// fileName is the name of an input as that of a file.
func fileName(input string) string { return strings.NewReplacer("/", "_", ":", "_").Replace(input) }

// arrange finds the arrays of each part among the names of all that path holds.
func (o Options) arrange(path string, names []string) (map[string]part, error) {
	parts := map[string]part{}
	for _, n := range names {
		at, ok := o.role(n)
		if !ok {
			continue
		}
		p := parts[at.part]
		if p.inputs == nil {
			p.inputs = make([]string, max(1, len(o.Inputs)))
		}
		to, plain := &p.target, "x and y"
		if at.input >= 0 {
			to = &p.inputs[at.input]
		}
		if len(o.Inputs) > 0 {
			plain = o.wanted()
		}
		if *to != "" {
			return nil, fmt.Errorf("dataset: %s: which of the arrays %s and %s is meant? Name them %s", path, *to, n, plain)
		}
		*to = n
		parts[at.part] = p
	}
	return parts, nil
}

// wanted lists the names of the inputs and that of the targets.
func (o Options) wanted() string {
	names := o.inputNames()
	if len(o.Inputs) == 1 {
		names += " or x"
	}
	return names + " and " + TargetName(o.Inputs)
}

func (o Options) inputNames() string {
	var names []string
	for _, in := range o.Inputs {
		names = append(names, in.Name)
	}
	return strings.Join(names, ", ")
}

// TargetName is a name for the array of labels or targets that is none of the inputs', which come first.
func TargetName(inputs []Input) string {
	for _, name := range []string{"y", "labels", "targets"} {
		if !slices.ContainsFunc(inputs, func(in Input) bool { return in.Name == name }) {
			return name
		}
	}
	return "outputs"
}

// assemble makes the data of named arrays that path holds.
func (o Options) assemble(path string, names []string, read func(name string) (*Array, error)) (*Data, error) {
	parts, err := o.arrange(path, names)
	if err != nil {
		return nil, err
	}
	if len(parts) == 0 {
		if len(o.Inputs) > 1 {
			return nil, o.missing(path, "", 0, names)
		}
		return nil, fmt.Errorf("dataset: %s: looked for arrays x and y, or x_train, y_train, x_test, y_test; the file holds %s", path, listed(names))
	}
	if o.Target != "" && !slices.ContainsFunc(slices.Collect(maps.Values(parts)), func(p part) bool { return p.target != "" }) {
		return nil, fmt.Errorf("dataset: %s: there is no array for --target %s, named so or with its part, such as %s_train; there is %s", path, o.Target, o.Target, listed(names))
	}
	d := new(Data)
	for name, to := range map[string]**Set{"train": &d.Train, "valid": &d.Valid, "test": &d.Test} {
		p, ok := parts[name]
		if !ok {
			continue
		}
		var xs []*Array
		for k, array := range p.inputs {
			if array == "" && len(o.Inputs) > 1 {
				return nil, o.missing(path, name, k, names)
			} else if array == "" {
				return nil, fmt.Errorf("dataset: %s: the array %s has no samples beside it, named x as it is named y; the file holds %s", path, p.target, listed(names))
			}
			x, err := read(array)
			if err != nil {
				return nil, err
			}
			xs = append(xs, x)
		}
		var y *Array
		if p.target != "" {
			if y, err = read(p.target); err != nil {
				return nil, err
			}
		}
		if len(o.Inputs) > 1 {
			*to, err = Combine(xs, y)
		} else {
			*to, err = newSet(xs[0], y)
		}
		if err != nil {
			return nil, err
		}
	}
	return d, nil
}

// missing is the error for an input without an array in a part.
func (o Options) missing(path, part string, k int, names []string) error {
	in := o.Inputs[k]
	looked := fmt.Sprintf("%s_%s or %s-%s", in.Name, part, part, in.Name)
	switch part {
	case "train":
		looked = fmt.Sprintf("%s, %s", in.Name, looked)
	case "":
		looked = fmt.Sprintf("%s, or %s_train and %s_test", in.Name, in.Name, in.Name)
	}
	return fmt.Errorf("dataset: %s: there is no array for the input %q (%s) of the network: looked for %s; there is %s", path, in.Name, in.Type, looked, listed(names))
}

// Combine makes a set for a network of several inputs of an array for each, and of labels or targets, which may be nil.
func Combine(inputs []*Array, y *Array) (*Set, error) {
	s := new(Set)
	for _, a := range inputs {
		in, err := a.samples()
		if err != nil {
			return nil, err
		}
		if first := inputs[0]; a.Shape[0] != first.Shape[0] {
			return nil, fmt.Errorf("dataset: %s: sample count %d differs from %d in %s", a.Name, a.Shape[0], first.Shape[0], first.Name)
		}
		if s.Inputs == nil {
			s.Name = a.Name
		} else {
			s.Name = also(s.Name, a.Name)
		}
		s.Inputs = append(s.Inputs, in)
	}
	if y == nil {
		return s, nil
	}
	return s, s.label(inputs[0].Shape[0], y)
}

// openArrays reads a directory of NPY files with the names of the inputs. It returns nil if there is none.
func openArrays(dir string, files []string, o Options) (*Data, error) {
	paths := map[string]string{}
	var names []string
	for _, f := range files { // x.npy is in front of x.npy.gz
		if name, ok := strings.CutSuffix(strings.TrimSuffix(f, ".gz"), ".npy"); ok && paths[name] == "" {
			paths[name] = filepath.Join(dir, f)
			names = append(names, name)
		}
	}
	if len(o.Inputs) < 2 && !slices.ContainsFunc(names, func(n string) bool { at, ok := o.role(n); return ok && at.input == 0 }) || len(names) == 0 {
		return nil, nil
	}
	return o.assemble(dir, names, func(name string) (*Array, error) {
		a, _, err := readPath(paths[name])
		return a, err
	})
}

// openInputs reads arrays for a network of several inputs.
func openInputs(path string, info os.FileInfo, o Options) (*Data, error) {
	if strings.HasSuffix(strings.ToLower(path), ".npz") && !info.IsDir() {
		return openNPZ(path, o)
	}
	var files []string
	if info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, fmt.Errorf("dataset: %w", err)
		}
		for _, e := range entries {
			files = append(files, e.Name())
		}
		if d, err := openArrays(path, files, o); d != nil || err != nil {
			return d, err
		}
		if npz := slices.DeleteFunc(slices.Clone(files), func(f string) bool { return !strings.HasSuffix(strings.ToLower(f), ".npz") }); len(npz) == 1 {
			return openNPZ(filepath.Join(path, npz[0]), o)
		}
	}
	in := o.Inputs[0].Name
	return nil, fmt.Errorf("dataset: %s: the network has %d inputs, %s; give an NPZ file or a directory of NPY files with an array for each: %s_train.npy or train-%s.npy and so on, and %s_train for the labels",
		path, len(o.Inputs), o.inputNames(), fileName(in), fileName(in), TargetName(o.Inputs))
}
