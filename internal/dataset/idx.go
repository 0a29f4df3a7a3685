package dataset

import (
	"encoding/binary"
	"io"
	"math"
)

// isIDX tells whether a file that begins with these bytes is IDX: two zero bytes, an element type and a
// number of dimensions.
func isIDX(head []byte) bool {
	if len(head) < 4 || head[0] != 0 || head[1] != 0 || head[3] == 0 {
		return false
	}
	_, ok := idxKind(head[2])
	return ok
}

func idxKind(code byte) (kind, bool) {
	switch code {
	case 0x08:
		return kindUint8, true
	case 0x09:
		return kindInt8, true
	case 0x0b:
		return kindInt16, true
	case 0x0c:
		return kindInt32, true
	case 0x0d:
		return kindFloat32, true
	case 0x0e:
		return kindFloat64, true
	}
	return 0, false
}

// readIDX reads the format of the MNIST files (Y. LeCun, "The MNIST database of handwritten digits"): the
// four bytes of isIDX, each dimension as a 32-bit number, the elements; all big-endian.
func readIDX(s *source) (*Array, error) {
	var head [4]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return nil, s.errorf("is too short for an IDX file")
	}
	k, ok := idxKind(head[2])
	if head[0] != 0 || head[1] != 0 || !ok {
		return nil, s.errorf("begins with bytes %x; an IDX file begins with 0000, an element type (08, 09, 0b, 0c, 0d or 0e) and the number of dimensions", head)
	}
	dims := int(head[3])
	if dims == 0 || dims > maxDims {
		return nil, s.errorf("has %d dimensions; an IDX file may have 1 to %d", dims, maxDims)
	}
	var raw [4 * maxDims]byte
	if _, err := io.ReadFull(s.r, raw[:4*dims]); err != nil {
		return nil, s.errorf("ends inside its header, which has %d dimensions", dims)
	}
	shape := make([]int, dims)
	for i := range shape {
		d := binary.BigEndian.Uint32(raw[4*i:])
		if d > math.MaxInt32 {
			return nil, s.errorf("its header claims the impossible dimension %d", d)
		}
		shape[i] = int(d)
	}
	return s.elements(int64(4+4*dims), shape, k, binary.BigEndian)
}
