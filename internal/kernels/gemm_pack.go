package kernels

// leftOperand returns the m x k matrix a (with trans: its transpose, k x m), ready to be multiplied: where it is,
// or packed into room if that is what the kernel needs. Slices of K are longer than what a cache holds; where the distance
// of rows is bad for it besides, reading them once, in order, is faster.
func leftOperand[T Float](room, a []T, lda int, trans bool, m, k int, sliced bool) strided[T] {
	rows := panelRows[T](m)
	switch {
	case !readsDirectly[T](), trans && lda%(crowded/4) == 0 && sliced:
		return packA(room, a, lda, trans, m, k).left()
	case trans:
		return strided[T]{a, 1, lda, rows, rows}
	}
	return strided[T]{a, lda, 1, rows, rows * lda}
}

// rightOperand returns the k x n matrix b (with trans: its transpose, n x k), ready to be multiplied with m rows: where it
// is if that can be and each element is used once or twice, else packed into room, or to be packed there by the product.
func rightOperand[T Float](room, b []T, ldb int, trans bool, m, k, n int) bands[T] {
	_, cols := tile[T]()
	here := bands[T]{panels: panels[T]{b, ldb, cols}, size: cols}
	if rightDirectly[T](trans, m, n) {
		return here
	}
	if keepsRight[T](trans, m) && n%cols == 0 {
		here.keep = room[:k*n]
		return here
	}
	if vector := vectorCols[T](); n <= vector {
		cols = vector
	}
	packBands(room, b, ldb, trans, k, n, cols)
	return bands[T]{panels: panels[T]{room, cols, cols * k}, size: cols}
}

// rightDirectly tells whether a right operand is read where it is.
func rightDirectly[T Float](trans bool, m, n int) bool {
	rows, cols := tile[T]()
	return readsDirectly[T]() && !trans && m <= 2*rows && n%cols == 0
}

// keepsRight tells whether the product packs the whole panels of a right operand that m rows are multiplied with, while it
// computes the first of the tiles below one another.
func keepsRight[T Float](trans bool, m int) bool {
	rows, _ := tile[T]()
	return readsDirectly[T]() && !trans && m >= rows && panelRows[T](m) == rows
}

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
	if trans && m >= rows {
		// All panels at once, along the rows of a.
		copyRows(rects[T]{dst.data, rows, dst.stride}, rects[T]{a, lda, rows}, k, m/rows, rows)
		if m%rows > 0 {
			widen(dst.data[m/rows*dst.stride:][:rows*k], a[m-m%rows:], lda, k, m%rows, rows)
		}
		return
	}
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
// Columns that the last panel has besides stay as they are: what is computed from them is not stored.
func packB[T Float](dst, b []T, ldb int, trans bool, k, n int) {
	_, cols := tile[T]()
	packBands(dst, b, ldb, trans, k, n, cols)
}

// packBands is packB for panels of any width.
func packBands[T Float](dst, b []T, ldb int, trans bool, k, n, width int) {
	for j := 0; j < n; j += width {
		d := dst[j*k:][:width*k]
		count := min(width, n-j)
		if trans {
			transposeRows(d, b[j*ldb:], ldb, k, count, width)
		} else {
			copyRows(rects[T]{d, 0, width}, rects[T]{b[j:], 0, ldb}, 1, k, count)
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
	transposeRows(dst, src, ld, k, count, width)
}

// transposeRows sets dst[p*width+i] = src[i*ld+p] for i < count; p < k.
func transposeRows[T Float](dst, src []T, ld, k, count, width int) {
	if count >= 4 {
		i := 0
		for ; i+16 <= count; i += 16 {
			transpose16(dst[i:], width, src[i*ld:], ld, k)
		}
		for ; i < count; i += 4 {
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
