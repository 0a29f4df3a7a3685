package main

import (
	"fmt"
	"math"
	"sync"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/dustin/go-humanize"

	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// graphFlags say what a model's graph may take.
type graphFlags struct {
	memoryFlags `embed:""`
	LoopRounds  *int `placeholder:"N" help:"Compute N rounds of a Loop that only the data end; more are an error."`
}

// bound makes the flags those of a model's graphs.
func (f *graphFlags) bound(m *model) error {
	m.limit = f.limit()
	if f.LoopRounds == nil {
		return nil
	}
	if m.rounds = *f.LoopRounds; m.rounds < 1 {
		return usagef("--loop-rounds is %d; it must be at least 1", m.rounds)
	}
	return nil
}

// memoryFlags say how much memory a model may take.
type memoryFlags struct {
	MaxMemory byteSize `json:"-" placeholder:"SIZE" help:"Refuse a model that would take more memory, such as 4GiB, before it does (default: four fifths of what the machine or its container has)."`
}

// limit is --max-memory in bytes, or its default.
func (f *memoryFlags) limit() int64 {
	if f.MaxMemory > 0 {
		return int64(f.MaxMemory)
	}
	return machineMemory()
}

// machineMemory is four fifths of the memory of the machine, or of the container that the program runs in; if neither is
// known, the default of package onnxload.
var machineMemory = sync.OnceValue(func() int64 {
	n, err := memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)()
	if err != nil || n == 0 || n > math.MaxInt64 {
		return onnxload.DefaultMaxMemory
	}
	return int64(n / 5 * 4)
})

// byteSize is a number of bytes as people write it: 4GiB, 500 MB, 1048576.
type byteSize int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *byteSize) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n == 0 || n > math.MaxInt64 {
		return fmt.Errorf("%q is no size; give one such as 4GiB or 500MB", text)
	}
	*s = byteSize(n)
	return nil
}
