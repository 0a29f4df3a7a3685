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
			widen(d, a[i:], lda, k, min(rows, m-i), rows)
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
			widen(d, b[j:], ldb, k, min(cols, n-j), cols)
		}
	}
}

// widen sets dst[p*width+i] = src[p*ld+i] for i < count, and 0 for count <= i < width; p < k.
func widen[T Float](dst, src []T, ld, k, count, width int) {
	copyRows(rects[T]{dst, 0, width}, rects[T]{src, 0, ld}, 1, k, count)
	zeroColumns(dst, k, count, width)
}

// interleave sets dst[p*width+i] = src[i*ld+p] for i < count, and 0 for count <= i < width; p < k.
func interleave[T Float](dst, src []T, ld, k, count, width int) {
	zeroColumns(dst, k, count, width)
	if count >= 4 {
		for i := 0; i < count; i += 4 {
			// The last four overlap the ones before.
			i := min(i, count-4)
			transpose4(dst[i:], width, src[i*ld:], ld, k)
		}
		return
	}
	for i := range count {
		at := i
		for _, v := range src[i*ld:][:k] {
			dst[at] = v
			at += width
		}
	}
}

func zeroColumns[T Float](dst []T, k, count, width int) {
	for i := count; i < width; i++ {
		for at := i; at < k*width; at += width {
			dst[at] = 0
		}
	}
}
