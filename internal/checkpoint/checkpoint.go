// Package checkpoint is the format of a checkpoint file: named sections, each with a checksum.
//
//	magic    8 bytes, "OEntropy"
//	version  uint32, 1
//	section  any number of times:
//	  name   uint16 length, then so many bytes
//	  size   uint64, bytes of data
//	  check  uint32, CRC-32C of name and size as they stand in the file
//	  data   size bytes
//	  check  uint32, CRC-32C of data
//	end      a section without name whose data is the uint64 number of the sections before it
//
// Numbers are little-endian. A file that was cut anywhere lacks the end, and a changed byte fails a checksum.
package checkpoint

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
)

const (
	magic   = "OEntropy"
	version = 1
	maxName = 255
)

var table = crc32.MakeTable(crc32.Castagnoli)

// A Writer writes sections. Its first error stays; Close returns it.
type Writer struct {
	w     *bufio.Writer
	count uint64
	err   error
}

// NewWriter begins a file.
func NewWriter(w io.Writer) *Writer {
	c := &Writer{w: bufio.NewWriterSize(w, 1<<16)}
	c.put([]byte(magic))
	c.put(binary.LittleEndian.AppendUint32(nil, version))
	return c
}

func (c *Writer) put(b []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(b)
	}
}

func (c *Writer) begin(name string, size uint64) {
	head := binary.LittleEndian.AppendUint16(nil, uint16(len(name)))
	head = append(head, name...)
	head = binary.LittleEndian.AppendUint64(head, size)
	c.put(head)
	c.put(binary.LittleEndian.AppendUint32(nil, crc32.Checksum(head, table)))
}

// Bytes writes a section. Its name has 1 to 255 bytes and is used once.
func (c *Writer) Bytes(name string, data []byte) {
	if len(name) == 0 || len(name) > maxName {
		panic("checkpoint: a section's name has 1 to 255 bytes")
	}
	c.section(name, data)
	c.count++
}

func (c *Writer) section(name string, data []byte) {
	c.begin(name, uint64(len(data)))
	c.put(data)
	c.put(binary.LittleEndian.AppendUint32(nil, crc32.Checksum(data, table)))
}

// JSON writes v as a section.
func (c *Writer) JSON(name string, v any) {
	b, err := json.Marshal(v)
	if err != nil && c.err == nil {
		c.err = err
	}
	c.Bytes(name, b)
}

// Floats writes x as a section, 4 bytes a number, bit for bit.
func (c *Writer) Floats(name string, x []float32) {
	c.begin(name, 4*uint64(len(x)))
	var sum uint32
	var block [4096]byte
	for len(x) > 0 {
		n := min(len(x), len(block)/4)
		for i, v := range x[:n] {
			binary.LittleEndian.PutUint32(block[4*i:], math.Float32bits(v))
		}
		sum = crc32.Update(sum, table, block[:4*n])
		c.put(block[:4*n])
		x = x[n:]
	}
	c.put(binary.LittleEndian.AppendUint32(nil, sum))
	c.count++
}

// Close writes the end. It does not close the underlying writer.
func (c *Writer) Close() error {
	c.section("", binary.LittleEndian.AppendUint64(nil, c.count))
	if c.err != nil {
		return c.err
	}
	return c.w.Flush()
}

// A File is the content of a checkpoint: the data of each section by its name.
type File map[string][]byte

// errCut is what becomes of a file that ends early.
var errCut = errors.New("checkpoint: the file is cut off")

// Read reads a whole file of the given size in bytes, which bounds what it allocates.
func Read(r io.Reader, size int64) (File, error) {
	d := &reader{r: bufio.NewReaderSize(r, 1<<16), left: size}
	head, err := d.take(len(magic) + 4)
	switch {
	case err != nil:
		return nil, err
	case string(head[:len(magic)]) != magic:
		return nil, errors.New("checkpoint: the file is no checkpoint: it does not begin with " + magic)
	}
	if v := binary.LittleEndian.Uint32(head[len(magic):]); v != version {
		return nil, fmt.Errorf("checkpoint: the file is of version %d; this program reads version %d", v, version)
	}
	f := File{}
	for {
		name, data, err := d.section()
		if err != nil {
			return nil, err
		}
		if name != "" {
			if _, ok := f[name]; ok {
				return nil, fmt.Errorf("checkpoint: section %q occurs twice", name)
			}
			f[name] = data
			continue
		}
		if len(data) != 8 || binary.LittleEndian.Uint64(data) != uint64(len(f)) {
			return nil, errors.New("checkpoint: the end does not count the sections")
		}
		if d.left != 0 {
			return nil, fmt.Errorf("checkpoint: %d bytes follow the end", d.left)
		}
		return f, nil
	}
}

type reader struct {
	r    *bufio.Reader
	left int64
}

func (d *reader) take(n int) ([]byte, error) {
	if int64(n) > d.left {
		return nil, errCut
	}
	d.left -= int64(n)
	b := make([]byte, n)
	if _, err := io.ReadFull(d.r, b); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = errCut
		}
		return nil, err
	}
	return b, nil
}

func (d *reader) section() (name string, data []byte, err error) {
	length, err := d.take(2)
	if err != nil {
		return "", nil, err
	}
	n := int(binary.LittleEndian.Uint16(length))
	if n > maxName {
		return "", nil, errors.New("checkpoint: the head of a section is damaged")
	}
	rest, err := d.take(n + 8 + 4)
	if err != nil {
		return "", nil, err
	}
	head := append(length, rest[:n+8]...)
	if crc32.Checksum(head, table) != binary.LittleEndian.Uint32(rest[n+8:]) {
		return "", nil, errors.New("checkpoint: the head of a section is damaged")
	}
	name = string(rest[:n])
	size := binary.LittleEndian.Uint64(rest[n:])
	if size > uint64(max(d.left-4, 0)) {
		return "", nil, errCut
	}
	if data, err = d.take(int(size)); err != nil {
		return "", nil, err
	}
	sum, err := d.take(4)
	if err != nil {
		return "", nil, err
	}
	if crc32.Checksum(data, table) != binary.LittleEndian.Uint32(sum) {
		return "", nil, fmt.Errorf("checkpoint: section %q is damaged", name)
	}
	return name, data, nil
}

// JSON reads a section into v.
func (f File) JSON(name string, v any) error {
	b, ok := f[name]
	if !ok {
		return fmt.Errorf("checkpoint: section %q is missing", name)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("checkpoint: section %q: %w", name, err)
	}
	return nil
}

// Floats reads a section of float32 numbers.
func (f File) Floats(name string) ([]float32, error) {
	b, ok := f[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("checkpoint: section %q is missing", name)
	case len(b)%4 != 0:
		return nil, fmt.Errorf("checkpoint: section %q has %d bytes, which are no float32 numbers", name, len(b))
	}
	x := make([]float32, len(b)/4)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x, nil
}
