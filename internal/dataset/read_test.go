package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// idx makes an IDX file by the description of the format.
func idx(code byte, dims []uint32, elements any) []byte {
	var b bytes.Buffer
	b.Write([]byte{0, 0, code, byte(len(dims))})
	binary.Write(&b, binary.BigEndian, dims)
	binary.Write(&b, binary.BigEndian, elements)
	return b.Bytes()
}

func zipped(b []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	return z.Bytes()
}

// write makes a directory of files.
func write(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func npyFile(shape []int, v []float32) []byte {
	var b bytes.Buffer
	WriteNPY(&b, shape, v)
	return b.Bytes()
}

func cifarFile(labels ...byte) []byte {
	var b []byte
	for _, l := range labels {
		b = append(append(b, l), bytes.Repeat([]byte{l + 100}, cifarRecord-1)...)
	}
	return b
}

func images(n uint32) []byte {
	v := make([]byte, n*6)
	for i := range v {
		v[i] = byte(i)
	}
	return idx(8, []uint32{n, 2, 3}, v)
}

func labels(v ...byte) []byte { return idx(8, []uint32{uint32(len(v))}, v) }

func TestIDXTypes(t *testing.T) {
	floats, ints := []float32{0, -1.5, 3}, []int64{0, -2, 3}
	for _, c := range []struct {
		code     byte
		elements any
		want     Array
	}{
		{0x08, []byte{0, 200, 3}, Array{Bytes: []byte{0, 200, 3}}},
		{0x09, []int8{0, -2, 3}, Array{Ints: ints}},
		{0x0b, []int16{0, -2, 3}, Array{Ints: ints}},
		{0x0c, []int32{0, -2, 3}, Array{Ints: ints}},
		{0x0d, []float32{0, -1.5, 3}, Array{Floats: floats}},
		{0x0e, []float64{0, -1.5, 3}, Array{Floats: floats}},
	} {
		for _, pack := range []bool{false, true} {
			b := idx(c.code, []uint32{3, 1}, c.elements)
			if pack {
				b = zipped(b)
			}
			s, err := newSource("x", bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			a, err := readIDX(s)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(a.Shape, []int{3, 1}) || !slices.Equal(a.Bytes, c.want.Bytes) ||
				!slices.Equal(a.Ints, c.want.Ints) || !slices.Equal(a.Floats, c.want.Floats) {
				t.Errorf("type %#x: got %+v", c.code, a)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	reals := npyFile([]int{2, 2}, []float32{1, 2, 3, 4})
	for _, c := range []struct {
		name        string
		files       map[string][]byte
		path        string
		train, test int // samples; 0: none
		shape       []int
		classes     int
		targets     bool
		from        string
	}{
		{"mnist", map[string][]byte{
			"train-images-idx3-ubyte": images(3), "train-labels-idx1-ubyte": labels(0, 4, 1),
			"t10k-images-idx3-ubyte.gz": zipped(images(2)), "t10k-labels-idx1-ubyte.gz": zipped(labels(1, 2))},
			"", 3, 2, []int{1, 2, 3}, 5, false, "train-images-idx3-ubyte, train-labels-idx1-ubyte"},
		{"packed or not does not show in the name", map[string][]byte{
			"train-images.idx3-ubyte": zipped(images(2)), "train-labels.idx1-ubyte.gz": labels(0, 1)},
			"", 2, 0, []int{1, 2, 3}, 2, false, "train-images.idx3-ubyte, train-labels.idx1-ubyte.gz"},
		{"test only", map[string][]byte{"test-images": images(2), "test-labels": labels(0, 1)},
			"", 0, 2, []int{1, 2, 3}, 2, false, "test-images, test-labels"},
		{"both packed and not", map[string][]byte{
			"train-images": images(2), "train-labels": labels(0, 1), "train-images.gz": nil, "train-labels.gz": nil},
			"", 2, 0, []int{1, 2, 3}, 2, false, "train-images, train-labels"},
		{"one file", map[string][]byte{"emnist-images-idx3": images(2), "emnist-labels-idx1": labels(0, 1)},
			"emnist-images-idx3", 2, 0, []int{1, 2, 3}, 2, false, "emnist-images-idx3, emnist-labels-idx1"},
		{"one file without labels", map[string][]byte{"a": images(2)}, "a", 2, 0, []int{1, 2, 3}, 0, false, "a"},
		{"larger than a buffer", map[string][]byte{"a": images(50_000)}, "a", 50_000, 0, []int{1, 2, 3}, 0, false, "a"},
		{"cifar", map[string][]byte{
			"data_batch_1.bin": cifarFile(1, 2), "data_batch_2.bin.gz": zipped(cifarFile(3)), "test_batch.bin": cifarFile(9)},
			"", 3, 1, []int{3, 32, 32}, 4, false, "data_batch_1.bin and 1 more"},
		{"cifar file", map[string][]byte{"test_batch.bin": cifarFile(9)}, "test_batch.bin", 1, 0, []int{3, 32, 32}, 10, false, "test_batch.bin"},
		{"regression", map[string][]byte{"train-x.npy": reals, "train-y.npy": npyFile([]int{2}, []float32{5, 6})},
			"", 2, 0, []int{2}, 0, true, "train-x.npy, train-y.npy"},
		{"keras names", map[string][]byte{"x_train.npy": reals, "y_train.npy": npyFile([]int{2, 1}, []float32{5, 6})},
			"", 2, 0, []int{2}, 0, true, "x_train.npy, y_train.npy"},
		{"npy", map[string][]byte{"x.npy": reals}, "x.npy", 2, 0, []int{2}, 0, false, "x.npy"},
		{"a per cent sign", map[string][]byte{"100%d": images(2)}, "100%d", 2, 0, []int{1, 2, 3}, 0, false, "100%d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := Open(filepath.Join(write(t, c.files), c.path))
			if err != nil {
				t.Fatal(err)
			}
			if (d.Train == nil) != (c.train == 0) || (d.Test == nil) != (c.test == 0) {
				t.Fatalf("train %v, test %v", d.Train, d.Test)
			}
			s := d.Train
			if s == nil {
				s = d.Test
			} else if s.Len() != c.train {
				t.Errorf("%d samples", s.Len())
			}
			if d.Test != nil && d.Test.Len() != c.test {
				t.Errorf("%d test samples", d.Test.Len())
			}
			if !slices.Equal(s.Shape, c.shape) || s.Classes != c.classes || (s.Targets != nil) != c.targets || s.Name != c.from {
				t.Errorf("got shape %v, %d classes, targets %v, name %s", s.Shape, s.Classes, s.Targets, s.Name)
			}
		})
	}
}

// Segmentation: a label for each pixel keeps its shape, and gets no axis of channels.
func TestOpenLabelImages(t *testing.T) {
	dir := write(t, map[string][]byte{"train-images": images(2), "train-labels": idx(8, []uint32{2, 2, 3}, make([]byte, 12))})
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	y := make([]int64, 6)
	if err := d.Train.Fill(make([]float32, 6), y, []int{1}); err != nil || !slices.Equal(d.Train.LabelShape, []int{2, 3}) {
		t.Errorf("label shape %v, %v", d.Train.LabelShape, err)
	}
}

func TestOpenErrors(t *testing.T) {
	dims := idx(8, []uint32{math.MaxInt32, math.MaxInt32, math.MaxInt32}, []byte{1})
	sign := idx(8, []uint32{math.MaxUint32}, []byte{1})
	huge := idx(8, []uint32{100, 1000, 1000}, []byte{1})
	for _, c := range []struct {
		name  string
		files map[string][]byte
		path  string
		want  string // DIR stands for the directory
	}{
		{"missing", nil, "nowhere", "dataset: DIR/nowhere: there is no such file or directory"},
		{"empty directory", nil, "", "dataset: DIR: no data found: looked for train-images* and train-labels* with t10k- or test-images* and -labels* (IDX); or data_batch_*.bin and test_batch.bin (CIFAR-10); or train-x.npy and train-y.npy with test-x.npy and test-y.npy; or train*.tar and test*.tar, or folders, of images; train.csv and test.csv; one .npz, each also with .gz; it is empty"},
		{"nothing known", map[string][]byte{"a.txt": nil, "b.dat": nil}, "", "; it holds a.txt, b.dat"},
		{"much unknown", map[string][]byte{"a": nil, "b": nil, "c": nil, "d": nil, "e": nil, "f": nil, "g": nil}, "", "; it holds a, b, c, d, e and 2 more"},
		{"counts differ", map[string][]byte{"train-images-idx3-ubyte.gz": zipped(images(3)), "train-labels-idx1-ubyte.gz": zipped(labels(1, 2))},
			"", "dataset: train-labels-idx1-ubyte.gz: label count 2 differs from 3 samples in train-images-idx3-ubyte.gz"},
		{"labels missing", map[string][]byte{"train-images-idx3-ubyte.gz": images(1)},
			"", "dataset: train-images-idx3-ubyte.gz: has no labels: train-labels-idx1-ubyte.gz or train-labels-idx1-ubyte is missing"},
		{"labels for images", map[string][]byte{"train-labels": labels(1, 2)}, "train-labels",
			"dataset: train-labels: holds 2 single numbers, perhaps labels; name the file of the samples"},
		{"shapes differ", map[string][]byte{"train-images": images(1), "train-labels": labels(1), "test-images": idx(8, []uint32{1, 1, 1}, []byte{1}), "test-labels": labels(1)},
			"", "dataset: test-images, test-labels: samples of shape [1 1 1] differ from [1 2 3] in train-images, train-labels"},
		{"ambiguous", map[string][]byte{"a-train-images": images(1), "b-train-images": images(1)},
			"", "dataset: DIR: which of a-train-images, b-train-images is meant? Name the file instead of its directory"},
		{"empty file", map[string][]byte{"a": nil}, "a", "dataset: a: is empty"},
		{"text", map[string][]byte{"a": []byte("label,pixel\n")}, "a", "dataset: a: begins with bytes 6c6162656c2c: neither an IDX file (0000 and a type) nor NPY (93 and NUMPY)"},
		{"cut short", map[string][]byte{"a": images(3)[:20]}, "a", "dataset: a: its header claims uint8 of shape [3 2 3], 18 bytes, but 4 follow it"},
		{"cut short, packed", map[string][]byte{"a": zipped(images(3)[:20])}, "a", "dataset: a: is cut short: its header claims uint8 of shape [3 2 3], 18 bytes, but 4 follow it"},
		{"too long", map[string][]byte{"a": append(images(3), 1)}, "a", "dataset: a: its header claims uint8 of shape [3 2 3], 18 bytes, but 19 follow it"},
		{"too long, packed", map[string][]byte{"a": zipped(append(images(3), 1))}, "a", "dataset: a: goes on after the uint8 of shape [3 2 3], 18 bytes, that its header claims"},
		{"overflow", map[string][]byte{"a": dims}, "a", "dataset: a: its header claims the impossible shape [2147483647 2147483647 2147483647]"},
		{"sign", map[string][]byte{"a": sign}, "a", "dataset: a: its header claims the impossible dimension 4294967295"},
		{"huge, packed", map[string][]byte{"a": zipped(huge)}, "a", "more than a gzip file of this size can hold"},
		{"gzip cut short", map[string][]byte{"a": zipped(images(3))[:30]}, "a", "dataset: a: is cut short"},
		{"gzip header", map[string][]byte{"a": {0x1f, 0x8b, 9, 9}}, "a", "dataset: a: gzip: "},
		{"header only", map[string][]byte{"a": images(3)[:7]}, "a", "dataset: a: ends inside its header, which has 3 dimensions"},
		{"many dimensions", map[string][]byte{"a": {0, 0, 8, 200, 0}}, "a", "dataset: a: has 200 dimensions; an IDX file may have 1 to 8"},
		{"no samples", map[string][]byte{"a": images(0)}, "a", "dataset: a: shape [0 1 2 3] holds no value"},
		{"cifar length", map[string][]byte{"data_batch_1.bin": make([]byte, 5000)}, "", "dataset: data_batch_1.bin: has 5000 bytes, not a multiple of the 3073 of a CIFAR-10 record"},
		{"cifar length, packed", map[string][]byte{"data_batch_1.bin.gz": zipped(make([]byte, 5000))}, "", "dataset: data_batch_1.bin.gz: ends inside record 1, after 1927 of its 3073 bytes"},
		{"cifar label", map[string][]byte{"data_batch_1.bin": cifarFile(1, 10)}, "", "dataset: data_batch_1.bin: record 1 has label 10; those of CIFAR-10 go from 0 to 9"},
		{"npy cut short", map[string][]byte{"x.npy": npyFile([]int{2, 2}, make([]float32, 4))[:140]}, "x.npy", "dataset: x.npy: its header claims float32 of shape [2 2], 16 bytes, but 12 follow it"},
		{"npy header", map[string][]byte{"x.npy": []byte(npyMagic + "\x01\x00\x04\x00{}  ")}, "x.npy", "dataset: x.npy: NPY header: is damaged"},
		{"npy long header", map[string][]byte{"x.npy": []byte(npyMagic + "\x02\x00\xff\xff\xff\x7f{}")}, "x.npy", "dataset: x.npy: its NPY header claims to be 2147483647 bytes long"},
		{"npy negative", map[string][]byte{"x.npy": []byte(strings.Replace(string(npyFile([]int{1, 1}, []float32{1})), "(1, 1)", "(-1,1)", 1))}, "x.npy",
			"dataset: x.npy: its header claims the impossible shape [-1 1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := write(t, c.files)
			_, err := Open(filepath.Join(dir, c.path))
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.ReplaceAll(err.Error(), dir, "DIR")
			if !strings.Contains(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// A file that is no file at all must not be waited for.
func TestOpenSpecial(t *testing.T) {
	if _, err := os.Stat(os.DevNull); err != nil {
		t.Skip(err)
	}
	if _, err := Open(os.DevNull); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("got %v", err)
	}
}

// check holds what every reader promises of what it accepts.
func check(t *testing.T, a *Array, err error) {
	if err != nil {
		if !strings.HasPrefix(err.Error(), "dataset: fuzz: ") {
			t.Errorf("error %q does not name the file", err)
		}
		return
	}
	if n := len(a.Bytes) + len(a.Ints) + len(a.Floats); n != product(a.Shape) {
		t.Errorf("%d elements of shape %v", n, a.Shape)
	}
}

func FuzzIDX(f *testing.F) {
	f.Add(images(2))
	f.Add(zipped(images(2)))
	f.Add(idx(0x0e, []uint32{2}, []float64{1, 2}))
	f.Add(idx(8, []uint32{math.MaxUint32, math.MaxUint32, math.MaxUint32}, []byte{1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := newSource("fuzz", bytes.NewReader(b), int64(len(b)))
		var a *Array
		if err == nil {
			a, err = readIDX(s)
		}
		check(t, a, err)
	})
}

func FuzzNPY(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.npy")
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(zipped(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := newSource("fuzz", bytes.NewReader(b), int64(len(b)))
		var a *Array
		if err == nil {
			a, err = readNPY(s)
		}
		check(t, a, err)
	})
}

func FuzzCIFAR(f *testing.F) {
	f.Add(cifarFile(1, 9))
	f.Add(zipped(cifarFile(1, 9)))
	f.Add(cifarFile(200)[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := newSource("fuzz", bytes.NewReader(b), int64(len(b)))
		set := &Set{Name: "fuzz", Shape: []int{3, 32, 32}}
		if err == nil {
			err = readCIFAR(s, set)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "dataset: fuzz: ") {
			t.Errorf("error %q does not name the file", err)
		}
		if err == nil && (set.Len() == 0 || set.Len() != len(set.Labels)) {
			t.Errorf("%d samples, %d labels", set.Len(), len(set.Labels))
		}
	})
}
