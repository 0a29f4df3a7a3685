package dataset

import (
	"bytes"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sbinet/npyio/npy"
)

// The files are NumPy's own; testdata/numpy_files.py made them.
func TestNPYFromNumPy(t *testing.T) {
	ints := []int64{0, -1, 2, -3, 4, -5}
	floats := []float32{0, -1, 2, -3, 4, -5}
	for _, c := range []struct {
		file string
		want Array
	}{
		{"f4", Array{Floats: floats}}, {"f8", Array{Floats: floats}}, {"bigf4", Array{Floats: floats}},
		{"i1", Array{Ints: ints}}, {"i2", Array{Ints: ints}}, {"i4", Array{Ints: ints}}, {"i8", Array{Ints: ints}},
		{"bigi8", Array{Ints: ints}}, {"u1", Array{Bytes: []byte{0, 1, 2, 3, 4, 5}}},
	} {
		a, err := ReadArray(filepath.Join("testdata", c.file+".npy"))
		if err != nil {
			t.Error(err)
			continue
		}
		if !slices.Equal(a.Shape, []int{2, 3}) || !slices.Equal(a.Floats, c.want.Floats) ||
			!slices.Equal(a.Ints, c.want.Ints) || !slices.Equal(a.Bytes, c.want.Bytes) {
			t.Errorf("%s: got %+v", c.file, a)
		}
	}
	for _, c := range []struct{ file, want string }{
		{"fortran", "dataset: fortran.npy: is in Fortran order; save it in C order (numpy.ascontiguousarray)"},
		{"c8", `dataset: c8.npy: has elements of NumPy type "<c8"; save it as float32, float64, bool, uint8, int8, int16, int32 or int64`},
	} {
		if _, err := ReadArray(filepath.Join("testdata", c.file+".npy")); err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
	if _, err := Open("testdata/scalar.npy"); err == nil {
		t.Error("a scalar passed for samples")
	}
}

func TestWriteNPY(t *testing.T) {
	v := []float32{1, -2, 0.1, float32(math.Inf(1)), 5, 6, 7, 8, 9, 10, 11, 12}
	for _, shape := range [][]int{{12}, {3, 4}, {1, 2, 3, 2}, {12, 1}} {
		var b bytes.Buffer
		if err := WriteNPY(&b, shape, v); err != nil {
			t.Fatal(err)
		}
		if (b.Len()-4*len(v))%64 != 0 {
			t.Errorf("shape %v: the elements begin at %d, not a multiple of 64", shape, b.Len()-4*len(v))
		}
		r, err := npy.NewReader(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		var got []float32
		if err := r.Read(&got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(r.Header.Descr.Shape, shape) || r.Header.Descr.Fortran || !slices.Equal(got, v) {
			t.Errorf("shape %v: read back as %+v %v", shape, r.Header, got)
		}
		s, _ := newSource("x.npy", bytes.NewReader(b.Bytes()), int64(b.Len()))
		a, err := readNPY(s)
		if err != nil || !slices.Equal(a.Shape, shape) || !slices.Equal(a.Floats, v) {
			t.Errorf("shape %v: read back as %+v, %v", shape, a, err)
		}
	}
	if err := WriteNPY(new(bytes.Buffer), []int{2, 2}, v); err == nil {
		t.Error("12 values made 2 by 2")
	}
}
