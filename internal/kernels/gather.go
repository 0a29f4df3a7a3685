package kernels

// In the loops of this file, x holds n rows of width elements, the table, and row j of y is the row of the
// table that index[j] names, counted from the end if negative. They return the place of the first index that
// is not in [-n, n), where they stop, or -1.

// Gather copies rows of the table x to y.
func Gather[T Elem](y, x []T, index []int64, n, width int) (bad int) {
	for j, i := range index {
		row, ok := rowOf(i, n)
		if !ok {
			return j
		}
		if width == 1 {
			y[j] = x[row]
			continue
		}
		copy(y[j*width:(j+1)*width], x[row*width:(row+1)*width])
	}
	return -1
}

// ScatterAdd adds, in the order of the index, columns [c0, c1) of the rows of dy to rows [r0, r1) of dx, which
// it sets to zero first.
func ScatterAdd[T Float](dx, dy []T, index []int64, n, width, r0, r1, c0, c1 int) (bad int) {
	if c0 == 0 && c1 == width {
		clear(dx[r0*width : r1*width])
	} else {
		for r := r0; r < r1; r++ {
			clear(dx[r*width+c0 : r*width+c1])
		}
	}
	for j, i := range index {
		row, ok := rowOf(i, n)
		if !ok {
			return j
		}
		if row < r0 || row >= r1 {
			continue
		}
		if c1-c0 == 1 {
			dx[row*width+c0] += dy[j*width+c0]
			continue
		}
		to := dx[row*width+c0 : row*width+c1]
		Add(to, to, dy[j*width+c0:j*width+c1])
	}
	return -1
}

// rowOf is the row that an index names.
func rowOf(i int64, n int) (row int, ok bool) {
	if i < 0 {
		i += int64(n)
	}
	return int(i), uint64(i) < uint64(n)
}
