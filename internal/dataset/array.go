package dataset

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// An Array is the content of an IDX or NPY file in C order. Bytes stay bytes, other integers and bools become int64,
// and floats float32: the one of the three slices that is not nil holds them.
type Array struct {
	Name   string // of the file
	Shape  []int
	Bytes  []byte
	Ints   []int64
	Floats []float32
}

// A kind is a type of stored elements.
type kind int

const (
	kindUint8 kind = iota
	kindInt8
	kindInt16
	kindInt32
	kindInt64
	kindFloat32
	kindFloat64
	kindBool // an Int of 0 or 1
)

func (k kind) String() string {
	return [...]string{"uint8", "int8", "int16", "int32", "int64", "float32", "float64", "bool"}[k]
}

func (k kind) size() int {
	return [...]int{1, 1, 2, 4, 8, 4, 8, 1}[k]
}

func (k kind) float() bool { return k == kindFloat32 || k == kindFloat64 }

// maxDims bounds the dimensions that a header may claim.
const maxDims = 8

// elements reads the rest of s as the elements of an array whose header, of the given length, claims them.
func (s *source) elements(header int64, shape []int, k kind, o binary.ByteOrder) (*Array, error) {
	if len(shape) > maxDims {
		return nil, s.errorf("has %d dimensions; at most %d are read", len(shape), maxDims)
	}
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > 0 && n > math.MaxInt/16/int64(d) {
			return nil, s.errorf("its header claims the impossible shape %v", shape)
		}
		n *= int64(d)
	}
	if err := s.claim(header, n*int64(k.size()), fmt.Sprintf("%v of shape %v", k, shape)); err != nil {
		return nil, err
	}
	a := &Array{Name: s.name, Shape: shape}
	if k == kindUint8 {
		a.Bytes = make([]byte, n)
		if err := s.full(a.Bytes); err != nil {
			return nil, err
		}
		return a, s.end()
	}
	if k.float() {
		a.Floats = make([]float32, 0, n)
	} else {
		a.Ints = make([]int64, 0, n)
	}
	var buf [1 << 15]byte
	for left := n * int64(k.size()); left > 0; {
		b := buf[:min(left, int64(len(buf)))]
		if err := s.full(b); err != nil {
			return nil, err
		}
		a.append(k, o, b)
		left -= int64(len(b))
	}
	return a, s.end()
}

// append decodes the elements in b.
func (a *Array) append(k kind, o binary.ByteOrder, b []byte) {
	for ; len(b) > 0; b = b[k.size():] {
		switch k {
		case kindUint8:
			a.Bytes = append(a.Bytes, b[0])
		case kindInt8:
			a.Ints = append(a.Ints, int64(int8(b[0])))
		case kindInt16:
			a.Ints = append(a.Ints, int64(int16(o.Uint16(b))))
		case kindInt32:
			a.Ints = append(a.Ints, int64(int32(o.Uint32(b))))
		case kindInt64:
			a.Ints = append(a.Ints, int64(o.Uint64(b)))
		case kindBool:
			v := int64(0)
			if b[0] != 0 {
				v = 1
			}
			a.Ints = append(a.Ints, v)
		case kindFloat32:
			a.Floats = append(a.Floats, math.Float32frombits(o.Uint32(b)))
		case kindFloat64:
			a.Floats = append(a.Floats, float32(math.Float64frombits(o.Uint64(b))))
		}
	}
}

// newSet makes a set of arrays of samples and of labels or targets, of which the latter may be nil.
func newSet(x, y *Array) (*Set, error) {
	if len(x.Shape) < 2 {
		return nil, fmt.Errorf("dataset: %s: shape %v is not one of samples, whose first axis counts them and whose others are a sample's", x.Name, x.Shape)
	}
	s, err := x.samples()
	if err != nil {
		return nil, err
	}
	if y != nil {
		if err := s.label(x.Shape[0], y); err != nil {
			return nil, err
		}
	}
	return s, s.Use(Transform{})
}

// samples is the array as a set of samples without labels, one for each index of its first axis.
func (a *Array) samples() (*Set, error) {
	if len(a.Shape) == 0 {
		return nil, fmt.Errorf("dataset: %s: is a single value, not one for each sample", a.Name)
	}
	if product(a.Shape) == 0 {
		return nil, fmt.Errorf("dataset: %s: shape %v holds no value", a.Name, a.Shape)
	}
	s := &Set{Name: a.Name, Shape: a.Shape[1:], Bytes: a.Bytes, Floats: a.Floats, Ints: a.Ints}
	return s, s.Use(Transform{})
}

// also joins the names of arrays. Those in one archive, "a.npz: x.npy", name it once.
func also(names, name string) string {
	if archive, rest, ok := strings.Cut(name, ": "); ok && strings.HasPrefix(names, archive+": ") {
		name = rest
	}
	return names + ", " + name
}

// label gives the n samples of s their labels or targets.
func (s *Set) label(n int, y *Array) error {
	if len(y.Shape) == 0 {
		return fmt.Errorf("dataset: %s: is a single value, not one for each of the %d samples in %s", y.Name, n, s.Name)
	}
	if y.Shape[0] != n {
		return fmt.Errorf("dataset: %s: label count %d differs from %d samples in %s", y.Name, y.Shape[0], n, s.Name)
	}
	if product(y.Shape) == 0 {
		return fmt.Errorf("dataset: %s: shape %v holds no value", y.Name, y.Shape)
	}
	s.Name = also(s.Name, y.Name)
	if y.Floats != nil {
		s.Targets, s.TargetShape = y.Floats, y.Shape[1:]
		return nil
	}
	s.Labels = y.Ints
	if y.Bytes != nil {
		s.Labels = make([]int64, len(y.Bytes))
		for i, v := range y.Bytes {
			s.Labels[i] = int64(v)
		}
	}
	if len(y.Shape) > 1 {
		s.LabelShape = y.Shape[1:]
	}
	for _, v := range s.Labels {
		s.Classes = max(s.Classes, int(min(v, math.MaxInt32))+1)
	}
	return nil
}
