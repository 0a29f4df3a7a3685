package kernels

// Elem is the element type of a kernel that only moves data.
type Elem interface{ ~float32 | ~float64 | ~int64 }

// Fill sets every element of y to v.
func Fill[T Elem](y []T, v T) {
	for i := range y {
		y[i] = v
	}
}

// Copy2D sets dst[dOff + i*d1 + j*d0] = src[sOff + i*s1 + j*s0] for i < n1 and j < n0. Strides may be
// negative, and those of src may be 0. The slices must not overlap.
//
// Where neither row is contiguous in both, the loop goes through blocks, so that the cache lines of src
// that a block touches are still there when its next row needs them.
func Copy2D[T Elem](dst, src []T, dOff, sOff, n1, n0, d1, d0, s1, s0 int) {
	switch {
	case n0 == 1:
		copy1D(dst, src, dOff, sOff, n1, d1, s1)
	case d0 == 1 && s0 == 1, d0 == 1 && s0 == 0, n1 == 1:
		for range n1 {
			copy1D(dst, src, dOff, sOff, n0, d0, s0)
			dOff += d1
			sOff += s1
		}
	default:
		const block = 32
		for i := 0; i < n1; i += block {
			for j := 0; j < n0; j += block {
				w := min(block, n0-j)
				for k := i; k < min(i+block, n1); k++ {
					copy1D(dst, src, dOff+k*d1+j*d0, sOff+k*s1+j*s0, w, d0, s0)
				}
			}
		}
	}
}

func copy1D[T Elem](dst, src []T, dOff, sOff, n, d, s int) {
	switch {
	case n == 0:
	case d == 1 && s == 1:
		copy(dst[dOff:dOff+n], src[sOff:sOff+n])
	case d == 1 && s == 0:
		Fill(dst[dOff:dOff+n], src[sOff])
	case d == 1:
		for i := range dst[dOff : dOff+n] {
			dst[dOff+i] = src[sOff]
			sOff += s
		}
	default:
		for range n {
			dst[dOff] = src[sOff]
			dOff += d
			sOff += s
		}
	}
}
