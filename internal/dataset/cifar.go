package dataset

import (
	"fmt"
	"io"
)

// cifarRecord is the length of a record of CIFAR-10's binary version: a label, then the red, the green and
// the blue plane of 32x32 bytes.
const cifarRecord = 1 + 3*32*32

// readCIFAR reads records until s ends and appends them to set.
func readCIFAR(s *source, set *Set) error {
	if !s.packed && (s.size == 0 || s.size%cifarRecord != 0) {
		return s.errorf("has %d bytes, not a multiple of the %d of a CIFAR-10 record", s.size, cifarRecord)
	}
	var record [cifarRecord]byte
	for n := 0; ; n++ {
		switch got, err := io.ReadFull(s.r, record[:]); err {
		case nil:
		case io.EOF:
			if n == 0 {
				return s.errorf("holds no CIFAR-10 record")
			}
			return nil
		case io.ErrUnexpectedEOF:
			return s.errorf("ends inside record %d, after %d of its %d bytes", n, got, cifarRecord)
		default:
			return s.errorf("%w", err)
		}
		if n == maxCIFAR {
			return s.errorf("has more than %d records; a CIFAR-10 file has 10000", maxCIFAR)
		}
		if record[0] > 9 {
			return s.errorf("record %d has label %d; those of CIFAR-10 go from 0 to 9", n, record[0])
		}
		set.Bytes = append(set.Bytes, record[1:]...)
		set.Labels = append(set.Labels, int64(record[0]))
		set.Classes = max(set.Classes, int(record[0])+1)
	}
}

// maxCIFAR bounds what a gzip file without a header can unpack to; it leaves room for all batches in one.
const maxCIFAR = 100_000

// openCIFAR reads the files in order into one set.
func openCIFAR(paths []string) (*Set, error) {
	set := &Set{Shape: []int{3, 32, 32}}
	for i, path := range paths {
		s, err := open(path)
		if err != nil {
			return nil, err
		}
		err = readCIFAR(s, set)
		s.close()
		if err != nil {
			return nil, err
		}
		if i == 0 {
			set.Name = s.name
		}
	}
	if n := len(paths); n > 1 {
		set.Name += fmt.Sprintf(" and %d more", n-1)
	}
	return set, set.Use(Transform{})
}
