package dataset

import (
	"crypto/md5"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// real gives a directory of real data, or skips the test.
func real(t *testing.T, name string) string {
	dir := os.Getenv("ONNX_ENTROPY_DATA")
	if dir == "" {
		t.Skip("ONNX_ENTROPY_DATA names no directory with real data")
	}
	dir = filepath.Join(dir, name)
	if _, err := os.Stat(dir); err != nil {
		t.Skip(err)
	}
	return dir
}

// The sums are those of the uncompressed files of the original distribution: an IDX header and what a Set
// holds.
func TestMNIST(t *testing.T) {
	d, err := Open(real(t, "mnist"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		set            *Set
		n              int
		images, labels string
	}{
		{d.Train, 60000, "6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624"},
		{d.Test, 10000, "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"},
	} {
		if c.set.Len() != c.n || fmt.Sprint(c.set.Shape) != "[1 28 28]" || c.set.Classes != 10 {
			t.Errorf("%s: %d samples of shape %v in %d classes", c.set.Name, c.set.Len(), c.set.Shape, c.set.Classes)
		}
		labels := make([]byte, c.n)
		for i, v := range c.set.Labels {
			labels[i] = byte(v)
		}
		for _, f := range []struct {
			b    []byte
			want string
		}{
			{idx(8, []uint32{uint32(c.n), 28, 28}, c.set.Bytes), c.images},
			{idx(8, []uint32{uint32(c.n)}, labels), c.labels},
		} {
			if got := fmt.Sprintf("%x", md5.Sum(f.b)); got != f.want {
				t.Errorf("%s: md5 %s, want %s", c.set.Name, got, f.want)
			}
		}
	}
}

// A part of the first CIFAR-10 batch, in the standard layout: the file is its records.
func TestCIFAR(t *testing.T) {
	path := filepath.Join(real(t, "cifar10"), "data_batch_1-first4000.bin.gz")
	s, err := open(path)
	if err != nil {
		t.Skip(err)
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	file, err := io.ReadAll(s.r)
	if err != nil {
		t.Fatal(err)
	}
	var again []byte
	for i := range d.Train.Len() {
		again = append(again, byte(d.Train.Labels[i]))
		again = append(again, d.Train.Bytes[i*3072:(i+1)*3072]...)
	}
	if d.Train.Len() != 4000 || string(again) != string(file) || d.Train.Classes != 10 {
		t.Errorf("%d samples in %d classes differ from the file's", d.Train.Len(), d.Train.Classes)
	}
}

// The test images of CIFAR-10 as a tar of JPEG have the labels of the file beside them, in its order.
func TestCIFARImages(t *testing.T) {
	dir := real(t, "cifar10")
	labels, _, err := readPath(filepath.Join(dir, "cifar10-test-labels-idx1-ubyte.gz"))
	if err != nil {
		t.Skip(err)
	}
	d, err := Open(filepath.Join(dir, "cifar10-test-jpeg.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	s := d.Test
	if s.Len() != 10000 || s.Classes != 10 || len(s.Shape) != 3 || s.Shape[0] != 3 || s.Shape[1] != 32 || s.Shape[2] != 32 {
		t.Fatal(s.Len(), s.Classes, s.Shape)
	}
	for i, l := range labels.Bytes {
		if s.Labels[i] != int64(l) {
			t.Fatalf("image %d has label %d, the file says %d", i, s.Labels[i], l)
		}
	}
}
