package kernels

//go:generate sh -c "cd _gen && go run ./rows -out ../rows_amd64.s -stubs ../rows_stubs_amd64.go -pkg kernels"

// rects is a number of rectangles of equal size in a slice: row i of rectangle n starts at n*next + i*ld.
type rects[T Float] struct {
	data     []T
	next, ld int
}

// cut checks that the rectangles are inside the slice.
func (r *rects[T]) cut(count, rows, cols int) { r.data = r.data[:(count-1)*r.next+(rows-1)*r.ld+cols] }

// copyRows copies rectangles. The slices must not overlap.
func copyRows[T Float](dst, src rects[T], count, rows, cols int) {
	if count < 1 || rows < 1 || cols < 1 {
		return
	}
	dst.cut(count, rows, cols)
	src.cut(count, rows, cols)
	if copyRowsAsm(dst, src, count, rows, cols) {
		return
	}
	for n := range count {
		for i := range rows {
			copy(dst.data[n*dst.next+i*dst.ld:][:cols], src.data[n*src.next+i*src.ld:])
		}
	}
}

// addRows adds rectangles of src to dst. The slices must not overlap, nor the rectangles of dst.
func addRows[T Float](dst, src rects[T], count, rows, cols int) {
	if count < 1 || rows < 1 || cols < 1 {
		return
	}
	dst.cut(count, rows, cols)
	src.cut(count, rows, cols)
	if addRowsAsm(dst, src, count, rows, cols) {
		return
	}
	for n := range count {
		for i := range rows {
			d := dst.data[n*dst.next+i*dst.ld:][:cols]
			for j, v := range src.data[n*src.next+i*src.ld:][:len(d)] {
				d[j] += v
			}
		}
	}
}

// transpose16 sets dst[p*ldd+i] = src[i*lds+p] for i < 16 and p < n.
func transpose16[T Float](dst []T, ldd int, src []T, lds, n int) {
	if n < 1 {
		return
	}
	dst, src = dst[:(n-1)*ldd+16], src[:15*lds+n]
	if done := transpose16Asm(dst, ldd, src, lds, n); done < n {
		for i := 0; i < 16; i += 4 {
			transpose4(dst[done*ldd+i:], ldd, src[i*lds+done:], lds, n-done)
		}
	}
}

// transpose4 sets dst[p*ldd+i] = src[i*lds+p] for i < 4 and p < n.
func transpose4[T Float](dst []T, ldd int, src []T, lds, n int) {
	if n < 1 {
		return
	}
	dst, src = dst[:(n-1)*ldd+4], src[:3*lds+n]
	done := transpose4Asm(dst, ldd, src, lds, n)
	s0, s1, s2, s3 := src[done:n], src[lds+done:][:n-done], src[2*lds+done:][:n-done], src[3*lds+done:][:n-done]
	at := done * ldd
	for p, v := range s0 {
		d := (*[4]T)(dst[at:])
		d[0], d[1], d[2], d[3] = v, s1[p], s2[p], s3[p]
		at += ldd
	}
}
