package rng

import "testing"

// The known-answer vectors for philox4x32-10 that come with the authors' Random123 library (kat_vectors).
func TestPhiloxKnownAnswers(t *testing.T) {
	const ones = 0xffffffff
	for _, c := range []struct {
		counter [4]uint32
		key     [2]uint32
		want    [4]uint32
	}{
		{want: [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{ones, ones, ones, ones}, [2]uint32{ones, ones},
			[4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		s := Stream{
			Seed:    uint64(c.key[1])<<32 | uint64(c.key[0]),
			Purpose: c.counter[1],
			Replica: uint16(c.counter[3]),
			Eval:    uint64(c.counter[3]>>16)<<32 | uint64(c.counter[2]),
		}
		if got := s.Block(c.counter[0]); got != c.want {
			t.Errorf("counter %08x, key %08x: %08x, want %08x", c.counter, c.key, got, c.want)
		}
	}
}

func TestUniformIsInside(t *testing.T) {
	for w, want := range map[uint32]float32{0: 1.0 / (1 << 24), 1<<32 - 1: 1 - 1.0/(1<<24), 1 << 31: 0.5 + 1.0/(1<<24)} {
		if got := Uniform(w); got != want {
			t.Errorf("Uniform(%08x) = %v, want %v", w, got, want)
		}
	}
}
