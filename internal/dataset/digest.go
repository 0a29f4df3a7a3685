package dataset

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Digest is the SHA-256 of all that Fill and its kin can give: shapes, stored values, labels, targets and the
// transform, whatever the names and the packing of the files.
func (s *Set) Digest() string {
	h := sha256.New()
	w := bufio.NewWriterSize(h, 1<<16)
	fmt.Fprintf(w, "%v %v %v %v %d %d %d %d\n", s.Shape, s.LabelShape, s.TargetShape, s.Transform(), len(s.Bytes), len(s.Floats), len(s.Labels), len(s.Targets))
	w.Write(s.Bytes)
	for _, v := range [...]any{s.Floats, s.Labels, s.Targets, s.Ints} {
		binary.Write(w, binary.LittleEndian, v) // to memory: it cannot fail
	}
	for _, in := range s.Inputs {
		fmt.Fprintln(w, in.Digest())
	}
	w.Flush()
	return hex.EncodeToString(h.Sum(nil))
}
