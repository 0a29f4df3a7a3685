package dataset

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/sbinet/npyio/npy"
)

const npyMagic = "\x93NUMPY"

// maxHeader bounds an NPY header; NumPy itself reads no more than 10,000 bytes unless told to.
const maxHeader = 1 << 16

// readNPY reads NumPy's array format. The npy package parses the header. The elements are read here, since
// that package takes each by a Read of its own, which at the end of a buffer may be cut short unnoticed.
func readNPY(s *source) (*Array, error) {
	head, err := s.r.Peek(12)
	if err != nil || string(head[:6]) != npyMagic {
		return nil, s.errorf("is not an NPY file, which begins with %q", npyMagic)
	}
	size, from := int64(binary.LittleEndian.Uint16(head[8:])), int64(10)
	if head[6] >= 2 {
		size, from = int64(binary.LittleEndian.Uint32(head[8:])), 12
	}
	if size > maxHeader || from+size > s.size {
		return nil, s.errorf("its NPY header claims to be %d bytes long", size)
	}
	h, err := npyHeader(s.r)
	if err != nil {
		return nil, s.errorf("NPY header: %w", err)
	}
	k, order, ok := npyKind(h.Descr.Type)
	if !ok {
		return nil, s.errorf("has elements of NumPy type %q; save it as float32, float64, bool, uint8, int8, int16, int32 or int64", h.Descr.Type)
	}
	if h.Descr.Fortran && len(h.Descr.Shape) > 1 {
		return nil, s.errorf("is in Fortran order; save it in C order (numpy.ascontiguousarray)")
	}
	return s.elements(from+size, h.Descr.Shape, k, order)
}

// npyHeader parses the header. The parser slices without looking, so a damaged one may make it panic.
func npyHeader(r io.Reader) (h npy.Header, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("is damaged (%v)", p)
		}
	}()
	n, err := npy.NewReader(r)
	if err != nil {
		return h, err
	}
	return n.Header, nil
}

func npyKind(descr string) (k kind, order binary.ByteOrder, ok bool) {
	order = binary.LittleEndian
	if strings.HasPrefix(descr, ">") {
		order = binary.BigEndian
	}
	switch strings.TrimLeft(descr, "<>|=") {
	case "u1":
		k = kindUint8
	case "i1":
		k = kindInt8
	case "i2":
		k = kindInt16
	case "i4":
		k = kindInt32
	case "i8":
		k = kindInt64
	case "f4":
		k = kindFloat32
	case "f8":
		k = kindFloat64
	case "b1":
		k = kindBool
	default:
		return k, order, false
	}
	return k, order, true
}

// WriteNPY writes v, of the given shape in C order, as an NPY file of float32.
func WriteNPY(w io.Writer, shape []int, v []float32) error {
	if product(shape) != len(v) {
		return fmt.Errorf("dataset: %d values don't fill shape %v", len(v), shape)
	}
	// Written here because the npy package has no way to give a slice more than one dimension.
	dims := make([]string, len(shape))
	for i, d := range shape {
		dims[i] = fmt.Sprint(d)
	}
	tuple := strings.Join(dims, ", ")
	if len(shape) == 1 {
		tuple += ","
	}
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", tuple)
	// The elements begin at a multiple of 64; the header ends with a line end.
	header += strings.Repeat(" ", 63-(10+len(header))%64) + "\n"

	b := bufio.NewWriter(w)
	b.WriteString(npyMagic + "\x01\x00")
	buf := binary.LittleEndian.AppendUint16(nil, uint16(len(header)))
	b.Write(buf)
	b.WriteString(header)
	for _, f := range v {
		buf = binary.LittleEndian.AppendUint32(buf[:0], math.Float32bits(f))
		b.Write(buf)
	}
	return b.Flush()
}
