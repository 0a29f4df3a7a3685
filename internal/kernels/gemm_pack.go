package kernels

// packedA is the room packA needs for any height of the panels.
func packedA(m, k int) int { return (m + maxTileRows) * k }

// packA copies the m x k matrix a (with trans: its transpose, k x m) into panels of panelRows rows: the
// elements of one column lie side by side. The last panel is filled up with zeros.
func packA[T Float](dst, a []T, lda int, trans bool, m, k int) panels[T] {
	rows := panelRows[T](m)
	p := panels[T]{dst, rows, rows * k}
	packPanels(p, a, lda, trans, m, k)
	return p
}

// packPanels is packA into panels that may be longer than k.
func packPanels[T Float](dst panels[T], a []T, lda int, trans bool, m, k int) {
	rows := dst.ld
	for i := 0; i < m; i += rows {
		d := dst.data[i/rows*dst.stride:][:rows*k]
		if trans {
			copyRows(d, a[i:], lda, k, min(rows, m-i), rows)
		} else {
			interleave(d, a[i*lda:], lda, k, min(rows, m-i), rows)
		}
	}
}

// packB copies the k x n matrix b (with trans: its transpose, n x k) into panels of the tile's columns.
// The last panel is filled up with zeros.
func packB[T Float](dst, b []T, ldb int, trans bool, k, n int) {
	_, cols := tile[T]()
	for j := 0; j < n; j += cols {
		d := dst[j*k:][:cols*k]
		if trans {
			interleave(d, b[j*ldb:], ldb, k, min(cols, n-j), cols)
		} else {
			copyRows(d, b[j:], ldb, k, min(cols, n-j), cols)
		}
	}
}

// copyRows sets dst[p*width+i] = src[p*ld+i] for i < count, and 0 for count <= i < width; p < k.
func copyRows[T Float](dst, src []T, ld, k, count, width int) {
	if count == 16 && width == 16 {
		for p := range k {
			*(*[16]T)(dst[p*16:]) = *(*[16]T)(src[p*ld:])
		}
		return
	}
	for p := range k {
		d := dst[p*width:][:width]
		s := src[p*ld:][:count]
		for i, v := range s {
			d[i] = v
		}
		clear(d[count:])
	}
}

// interleave sets dst[p*width+i] = src[i*ld+p] for i < count, and 0 for count <= i < width; p < k.
func interleave[T Float](dst, src []T, ld, k, count, width int) {
	i := 0
	for ; i+4 <= count; i += 4 {
		s0, s1, s2, s3 := src[i*ld:][:k], src[(i+1)*ld:][:k], src[(i+2)*ld:][:k], src[(i+3)*ld:][:k]
		at := i
		for p, v := range s0 {
			d := (*[4]T)(dst[at:])
			d[0], d[1], d[2], d[3] = v, s1[p], s2[p], s3[p]
			at += width
		}
	}
	for ; i < count; i++ {
		at := i
		for _, v := range src[i*ld:][:k] {
			dst[at] = v
			at += width
		}
	}
	for ; i < width; i++ {
		for at := i; at < k*width; at += width {
			dst[at] = 0
		}
	}
}
