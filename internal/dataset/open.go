package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Open reads what path holds, gzip or not:
//
//   - a directory with IDX files named as MNIST's are, train-images*, train-labels*, and t10k- or test-;
//   - a directory with CIFAR-10's binary files, data_batch_*.bin and test_batch.bin;
//   - a directory with NPY files train-x.npy, train-y.npy, test-x.npy, test-y.npy, or x_train.npy and so on;
//   - one file of samples, IDX, NPY or CIFAR-10: labels are taken from the file beside it that has "labels"
//     for "images", or "y" for "x", in its name, if there is one.
//
// Images (n, h, w) in an IDX file get an axis of channels. Labels are integers; files of floats in their
// place are target values.
func Open(path string) (*Data, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("dataset: %s: there is no such file or directory", path)
	case err != nil:
		return nil, fmt.Errorf("dataset: %w", err)
	case info.IsDir():
		return openDir(path)
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

func openDir(dir string) (*Data, error) {
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
	found := "it is empty"
	if n := len(names); n > 5 {
		found = fmt.Sprintf("it holds %s and %d more", strings.Join(names[:5], ", "), n-5)
	} else if n > 0 {
		found = "it holds " + strings.Join(names, ", ")
	}
	return nil, fmt.Errorf("dataset: %s: no data found: looked for %s, each also with .gz; %s", dir, strings.Join(looked, "; or "), found)
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
