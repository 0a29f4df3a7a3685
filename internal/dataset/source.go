package dataset

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
)

// A source is the content of a file, unpacked if that is gzip, whatever its name.
type source struct {
	name   string // as errors call it
	r      *bufio.Reader
	size   int64 // exact length of the content, or if packed an upper bound
	packed bool
	file   io.Closer

	claimed   string // what the header says that follows it
	want, got int64  // bytes of it, and how many were read
}

// maxRatio is the most that deflate can shrink anything: 258 bytes to 2 bits.
const maxRatio = 1032

// open opens a file.
func open(path string) (*source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("dataset: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("dataset: %s: %w", path, err)
	}
	s, err := newSource(filepath.Base(path), f, info.Size())
	if err != nil {
		f.Close()
		return nil, err
	}
	s.file = f
	return s, nil
}

// newSource makes a source of size bytes from r.
func newSource(name string, r io.Reader, size int64) (*source, error) {
	s := &source{name: name, r: bufio.NewReaderSize(r, 1<<16), size: size}
	if head, _ := s.r.Peek(2); len(head) < 2 || head[0] != 0x1f || head[1] != 0x8b {
		return s, nil
	}
	z, err := gzip.NewReader(s.r)
	if err != nil {
		return nil, s.errorf("gzip: %w", err)
	}
	s.packed = true
	s.size = min(size, math.MaxInt64/maxRatio) * maxRatio
	s.r = bufio.NewReaderSize(z, 1<<16)
	return s, nil
}

func (s *source) close() {
	if s.file != nil {
		s.file.Close()
	}
}

// claim checks that the content can be a header of the given length and then n bytes of what.
func (s *source) claim(header, n int64, what string) error {
	s.claimed, s.want = what, n
	if s.packed && header+n > s.size {
		return s.errorf("its header claims %s, %d bytes, more than a gzip file of this size can hold", what, n)
	}
	if !s.packed && header+n != s.size {
		return s.errorf("its header claims %s, %d bytes, but %d follow it", what, n, s.size-header)
	}
	return nil
}

// full reads all of b, which is part of what was claimed.
func (s *source) full(b []byte) error {
	n, err := io.ReadFull(s.r, b)
	s.got += int64(n)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return s.errorf("is cut short: its header claims %s, %d bytes, but %d follow it", s.claimed, s.want, s.got)
	}
	if err != nil {
		return s.errorf("%w", err)
	}
	return nil
}

// end checks that nothing is left. For gzip this also checks the sum over the content.
func (s *source) end() error {
	switch _, err := s.r.ReadByte(); err {
	case io.EOF:
		return nil
	case nil:
		return s.errorf("goes on after the %s, %d bytes, that its header claims", s.claimed, s.want)
	default:
		return s.errorf("%w", err)
	}
}

func (s *source) errorf(format string, args ...any) error {
	return fmt.Errorf("dataset: %s: %w", s.name, fmt.Errorf(format, args...))
}
