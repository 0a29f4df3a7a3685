package exec

import (
	"testing"
)

func TestHeapReuses(t *testing.T) {
	var h heap
	a, b, c := h.alloc(10), h.alloc(40), h.alloc(16)
	if a != 0 || b != 16 || c != 64 || h.size != 80 {
		t.Fatalf("three ranges at %d, %d, %d in %d elements", a, b, c, h.size)
	}
	h.free(b, 40)
	if d := h.alloc(20); d != 16 {
		t.Errorf("20 elements at %d, not in the gap at 16", d)
	}
	h.free(a, 10)
	h.free(16, 20)
	h.free(c, 16)
	if len(h.gaps) != 1 || h.gaps[0] != (gap{0, 80}) {
		t.Errorf("all freed, gaps %v", h.gaps)
	}
	if e := h.alloc(100); e != 0 || h.size != 112 {
		t.Errorf("100 elements at %d in %d: the last gap should grow", e, h.size)
	}
}
