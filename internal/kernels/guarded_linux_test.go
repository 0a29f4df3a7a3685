package kernels

import (
	"syscall"
	"testing"
	"unsafe"
)

// guarded returns a copy of s that ends where memory ends: reading or writing behind it is a fault.
func guarded[E any](t testing.TB, s []E) []E {
	t.Helper()
	page := syscall.Getpagesize()
	size := len(s) * int(unsafe.Sizeof(*new(E)))
	room := (size + page - 1) / page * page
	m, err := syscall.Mmap(-1, 0, room+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(m); err != nil {
			t.Error(err)
		}
	})
	if err := syscall.Mprotect(m[room:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	if len(s) == 0 {
		return s[:0:0]
	}
	c := unsafe.Slice((*E)(unsafe.Pointer(&m[room-size])), len(s))
	copy(c, s)
	return c
}
