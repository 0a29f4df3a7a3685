package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Open reads what path holds, gzip or not:
//
//   - a directory with IDX files named as MNIST's are, train-images*, train-labels*, and t10k- or test-;
//   - a directory with CIFAR-10's binary files, data_batch_*.bin and test_batch.bin;
//   - a directory with NPY files train-x.npy, train-y.npy, test-x.npy, test-y.npy, or x_train.npy and so on, with one NPZ
//     file, or with the CSV files train.csv, valid.csv and test.csv;
//   - a directory with folders of images, or with tar archives of images that have train and test in their names;
//   - one file of samples, IDX, NPY or CIFAR-10: labels are taken from the file beside it that has "labels"
//     for "images", or "y" for "x", in its name, if there is one;
//   - one NPZ, CSV or tar file.
//
// Options.Inputs says what is read for a network of several inputs.
//
// Images (n, h, w) in an IDX file get an axis of channels. Labels are integers; files of floats in their
// place are target values.
func Open(path string) (*Data, error) { return OpenWith(path, Options{}) }

// Options of OpenWith.
type Options struct {
	// Target is the column of a CSV file, or the array of an NPZ file, that is to be predicted. A CSV file needs one
	// unless NoTarget says that it may be absent.
	Target   string
	NoTarget bool
	// Classes and Columns, where they are known from training, are the names of classes in the order of their labels
	// and those of columns.
	Classes, Columns []string
	// Inputs are those of the network, if they are known. For several, the data are an NPZ file, or a directory of NPY files,
	// with an array for each of them, named as the input is and perhaps by its part: input_ids, input_ids_train or
	// test-input_ids; and the labels or targets are named y, y_train and so on, or labels, or targets.
	Inputs []Input
}

// OpenWith is Open with options.
func OpenWith(path string, o Options) (*Data, error) {
	d, err := openPath(path, o)
	if err != nil {
		return nil, err
	}
	for _, s := range []*Set{d.Train, d.Valid, d.Test} {
		if s == nil {
			continue
		}
		if err := s.rename(o.Classes); err != nil {
			return nil, err
		}
		if o.Target != "" && s.Columns == nil && s.Inputs == nil && !strings.Contains(path, ".npz") {
			return nil, fmt.Errorf("dataset: %s: a target, %q, is named where there are no columns", s.Name, o.Target)
		}
	}
	return d, nil
}

// rename gives classes the labels that they have in the given list, if there is one.
func (s *Set) rename(classes []string) error {
	if classes == nil || s.ClassNames == nil || slices.Equal(classes, s.ClassNames) {
		return nil
	}
	var to []int64
	for _, name := range s.ClassNames {
		k := slices.Index(classes, name)
		if k < 0 {
			return fmt.Errorf("dataset: %s: its class %q is none of the %d known: %s", s.Name, name, len(classes), some(classes))
		}
		to = append(to, int64(k))
	}
	for i, l := range s.Labels {
		s.Labels[i] = to[l]
	}
	s.ClassNames, s.Classes = classes, len(classes)
	return nil
}

func openPath(path string, o Options) (*Data, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("dataset: %s: there is no such file or directory", path)
	case err != nil:
		return nil, fmt.Errorf("dataset: %w", err)
	case len(o.Inputs) > 1:
		return openInputs(path, info, o)
	case info.IsDir():
		return openDir(path, o)
	}
	switch name := strings.ToLower(path); {
	case tarName.MatchString(name):
		return openTars(map[string]string{"": path})
	case tableName.MatchString(name):
		return openTables(map[string]string{"train": path}, o)
	case strings.HasSuffix(name, ".npz"):
		return openNPZ(path, o)
	}
	s, err := openFile(path)
	if err != nil {
		return nil, err
	}
	return &Data{Train: s}, nil
}

// ReadArray reads an IDX or NPY file of samples, gzip or not. Images (n, h, w) in an IDX file get an axis
// of channels.
func ReadArray(path string) (*Array, error) {
	a, idx, err := readPath(path)
	if err == nil && idx && len(a.Shape) == 3 {
		a.Shape = []int{a.Shape[0], 1, a.Shape[1], a.Shape[2]}
	}
	return a, err
}

// readPath reads a file as it is and tells whether it is IDX.
func readPath(path string) (a *Array, idx bool, err error) {
	s, err := open(path)
	if err != nil {
		return nil, false, err
	}
	defer s.close()
	head, _ := s.r.Peek(4)
	idx = isIDX(head) // now: reading on overwrites head
	a, err = readArray(s)
	return a, idx, err
}

func readArray(s *source) (*Array, error) {
	head, _ := s.r.Peek(6)
	switch {
	case isIDX(head):
		return readIDX(s)
	case string(head) == npyMagic:
		return readNPY(s)
	case len(head) == 0:
		return nil, s.errorf("is empty")
	case strings.HasPrefix(string(head), "PK\x03\x04"):
		return nil, s.errorf("is a zip archive, as NPZ is, and not one array; give it as the data, or save the array with numpy.save")
	}
	return nil, s.errorf("begins with bytes %x: neither an IDX file (0000 and a type) nor NPY (93 and NUMPY)", head)
}

// A layout is a way to name the files of a directory. The patterns are matched against names without .gz.
type layout struct {
	what        string
	train, test *regexp.Regexp
	read        func(paths []string) (*Set, error)
}

func layouts() []layout {
	return []layout{
		{"train-images* and train-labels* with t10k- or test-images* and -labels* (IDX)",
			regexp.MustCompile(`train-images`), regexp.MustCompile(`(t10k|test)-images`), openOne},
		{"data_batch_*.bin and test_batch.bin (CIFAR-10)",
			regexp.MustCompile(`^data_batch_.*\.bin$`), regexp.MustCompile(`^test_batch.*\.bin$`), openCIFAR},
		{"train-x.npy and train-y.npy with test-x.npy and test-y.npy",
			regexp.MustCompile(`^(train[-_][xX]|[xX][-_]train)\.npy$`), regexp.MustCompile(`^(test[-_][xX]|[xX][-_]test)\.npy$`), openOne},
	}
}

func openDir(dir string, o Options) (*Data, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	// Sorted by name, so x comes before x.gz and is the one that is taken.
	var names, looked []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if d, err := openNamed(dir, names, o); d != nil || err != nil {
		return d, err
	}
	for _, l := range layouts() {
		train, test := matching(dir, names, l.train), matching(dir, names, l.test)
		looked = append(looked, l.what)
		if len(train)+len(test) == 0 {
			continue
		}
		d := new(Data)
		if len(train) > 0 {
			if d.Train, err = l.read(train); err != nil {
				return nil, err
			}
		}
		if len(test) > 0 {
			if d.Test, err = l.read(test); err != nil {
				return nil, err
			}
		}
		if d.Train != nil && d.Test != nil && fmt.Sprint(d.Train.Shape) != fmt.Sprint(d.Test.Shape) {
			return nil, fmt.Errorf("dataset: %s: samples of shape %v differ from %v in %s", d.Test.Name, d.Test.Shape, d.Train.Shape, d.Train.Name)
		}
		return d, nil
	}
	if d, err := openArrays(dir, names, o); d != nil || err != nil {
		return d, err
	}
	if holdsImages(dir) {
		return openImages(dir)
	}
	looked = append(looked, "train*.tar and test*.tar, or folders, of images; train.csv and test.csv; one .npz")
	found := "it is empty"
	if n := len(names); n > 5 {
		found = fmt.Sprintf("it holds %s and %d more", strings.Join(names[:5], ", "), n-5)
	} else if n > 0 {
		found = "it holds " + strings.Join(names, ", ")
	}
	return nil, fmt.Errorf("dataset: %s: no data found: looked for %s, each also with .gz; %s", dir, strings.Join(looked, "; or "), found)
}

// openNamed reads the files of a directory that hold all parts or are named by them; it returns nil if there are none.
func openNamed(dir string, names []string, o Options) (*Data, error) {
	tables, tars := map[string]string{}, map[string]string{}
	var npz []string
	for _, n := range names {
		full := filepath.Join(dir, n)
		if m := tableName.FindStringSubmatch(n); m != nil {
			if part := partNames[strings.ToLower(strings.TrimSuffix(n, m[0]))]; part != "" && tables[part] == "" {
				tables[part] = full
			}
		}
		for part, fits := range map[string]*regexp.Regexp{"train": trainTar, "test": testTar} {
			if !fits.MatchString(n) {
				continue
			}
			if tars[part] != "" {
				return nil, fmt.Errorf("dataset: %s: which of %s and %s is meant? Name the file instead of its directory", dir, filepath.Base(tars[part]), n)
			}
			tars[part] = full
		}
		if strings.HasSuffix(strings.ToLower(n), ".npz") {
			npz = append(npz, full)
		}
	}
	switch {
	case len(tars) > 0:
		return openTars(tars)
	case tables["train"] != "" || tables["test"] != "":
		return openTables(tables, o)
	case len(npz) == 1:
		return openNPZ(npz[0], o)
	}
	return nil, nil
}

// matching gives the paths of the names that fit, one for each name without .gz.
func matching(dir string, names []string, fits *regexp.Regexp) (paths []string) {
	seen := map[string]bool{}
	for _, name := range names {
		bare := strings.TrimSuffix(name, ".gz")
		if fits.MatchString(bare) && !seen[bare] {
			seen[bare] = true
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	return paths
}

// openOne reads the one file of samples and its labels.
func openOne(paths []string) (*Set, error) {
	if len(paths) > 1 {
		return nil, fmt.Errorf("dataset: %s: which of %s is meant? Name the file instead of its directory", filepath.Dir(paths[0]), join(paths))
	}
	s, err := openFile(paths[0])
	if err == nil && s.Labels == nil && s.Targets == nil {
		return nil, fmt.Errorf("dataset: %s: has no labels: %s is missing", s.Name, strings.Join(partners(s.Name), " or "))
	}
	return s, err
}

// openFile reads a file of samples, and its labels if there are any.
func openFile(path string) (*Set, error) {
	if strings.HasSuffix(strings.TrimSuffix(path, ".gz"), ".bin") {
		return openCIFAR([]string{path})
	}
	x, err := ReadArray(path)
	if err != nil {
		return nil, err
	}
	if len(x.Shape) == 1 && x.Floats == nil {
		return nil, fmt.Errorf("dataset: %s: holds %d single numbers, perhaps labels; name the file of the samples", x.Name, x.Shape[0])
	}
	for _, name := range partners(filepath.Base(path)) {
		beside := filepath.Join(filepath.Dir(path), name)
		if _, err := os.Stat(beside); err == nil {
			y, _, err := readPath(beside)
			if err != nil {
				return nil, err
			}
			return newSet(x, y)
		}
	}
	return newSet(x, nil)
}

// partners gives the names that the file of labels may have beside a file of samples: the one packed or
// not as the file itself first.
func partners(name string) []string {
	bare, packed := strings.CutSuffix(name, ".gz")
	label := bare
	if strings.Contains(bare, "images") {
		label = strings.ReplaceAll(bare, "images", "labels")
		label = regexp.MustCompile(`idx\d`).ReplaceAllString(label, "idx1")
	} else if m := regexp.MustCompile(`^(.*[-_])?([xX])([-_.].*)$`).FindStringSubmatch(bare); m != nil {
		label = m[1] + string(m[2][0]+1) + m[3] // x, y and X, Y are neighbours
	}
	switch {
	case label == bare:
		return nil
	case packed:
		return []string{label + ".gz", label}
	}
	return []string{label, label + ".gz"}
}

func join(paths []string) string {
	var names []string
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	return strings.Join(names, ", ")
}
