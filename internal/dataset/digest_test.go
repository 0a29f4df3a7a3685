package dataset

import "testing"

// Every change of what a network would see gives another digest.
func TestDigest(t *testing.T) {
	fresh := func() *Set {
		return &Set{Name: "a", Shape: []int{1, 2}, Floats: []float32{1, 2, 3, 4}, Labels: []int64{0, 1}, Targets: []float32{5, 6}}
	}
	seen := map[string]string{}
	for name, change := range map[string]func(*Set){
		"nothing":   func(*Set) {},
		"shape":     func(s *Set) { s.Shape = []int{2, 1} },
		"value":     func(s *Set) { s.Floats[3] = 5 },
		"label":     func(s *Set) { s.Labels[0] = 1 },
		"target":    func(s *Set) { s.Targets[1] = 7 },
		"transform": func(s *Set) { s.Use(Transform{Mean: []float64{0.5}}) },
		"bytes":     func(s *Set) { s.Bytes, s.Floats = []byte{1, 2, 3, 4}, nil },
	} {
		s := fresh()
		change(s)
		d := s.Digest()
		if other, ok := seen[d]; ok || len(d) != 64 {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[d] = name
	}
	a, b := fresh(), fresh()
	b.Name = "b"
	if a.Digest() != b.Digest() {
		t.Error("the name of the file changes the digest")
	}
}
