package kernels

// Sums are sums over many elements in float64, in several running sums that do not wait for each other: element i
// of a call goes to that of number i modulo their count. Total adds the second half of them to the first, until one is
// left. The zero value is empty.
type Sums [16]float64

// Total is the sum that AddSum made.
func (s *Sums) Total() float64 { return fold(s[:]) }

// Totals are the two sums that AddMoments or AddDotCentred made.
func (s *Sums) Totals() (a, b float64) { return fold(s[:8]), fold(s[8:]) }

// fold adds up running sums.
func fold(s []float64) float64 {
	var left [16]float64
	n := copy(left[:], s)
	for w := n / 2; w > 0; w /= 2 {
		for i := range w {
			left[i] += left[i+w]
		}
	}
	return left[0]
}

// AddSum adds x, to 16 running sums.
func AddSum[T Float](s *Sums, x []T) {
	for i, v := range x[sumAsm(x, s):] {
		s[i%16] += float64(v)
	}
}

// AddMoments adds x[i]-k to the first sum and its square to the second, of 8 running sums each.
func AddMoments[T Float](s *Sums, x []T, k float64) {
	for i, v := range x[momentsAsm(x, k, s):] {
		a := float64(v) - k
		s[i%8] += a
		s[8+i%8] += float64(a * a)
	}
}

// AddDotCentred adds dy[i] to the first sum and dy[i]*(x[i]-mean) to the second, of 8 running sums each.
func AddDotCentred[T Float](s *Sums, x, dy []T, mean T) {
	dy = dy[:len(x)]
	m := float64(mean)
	done := dotCentredAsm(x, dy, m, s)
	for i, v := range x[done:] {
		g := float64(dy[done+i])
		s[i%8] += g
		s[8+i%8] += float64(g * (float64(v) - m))
	}
}

// Sum returns the sum of x.
func Sum[T Float](x []T) float64 {
	var s Sums
	AddSum(&s, x)
	return s.Total()
}

// Moments returns the sum of x[i]-k and of its square.
func Moments[T Float](x []T, k float64) (sum, square float64) {
	var s Sums
	AddMoments(&s, x, k)
	return s.Totals()
}

// DotCentred returns the sum of dy[i] and of dy[i]*(x[i]-mean).
func DotCentred[T Float](x, dy []T, mean T) (sum, dot float64) {
	var s Sums
	AddDotCentred(&s, x, dy, mean)
	return s.Totals()
}

// SumStrided returns the sum of n elements of x that are stride apart, in float64, in order.
func SumStrided[T Float](x []T, n, stride int) float64 {
	var s float64
	for i := range n {
		s += float64(x[i*stride])
	}
	return s
}

// Tile is the number of columns that a kernel over columns handles at once, with its sums on the stack.
const Tile = 64

// SumRows adds x[i] to sum[i] for n, at most Tile, columns of a number of rows that are ld elements apart.
func SumRows[T Float](sum *[Tile]float64, x []T, ld, rows, n int) {
	if n = min(n, Tile); rows < 1 || n < 1 {
		return
	}
	x = x[:(rows-1)*ld+n]
	done := sumRowsAsm(sum, x, ld, rows, n)
	for r := range rows {
		for i, v := range x[r*ld:][done:n] {
			sum[done+i] += float64(v)
		}
	}
}

// MomentsRows adds x[i]-k[i] to sum[i] and its square to square[i], for len(k), at most Tile, columns of a number of
// rows that are ld elements apart.
func MomentsRows[T Float](sum, square *[Tile]float64, x []T, ld, rows int, k []T) {
	if rows < 1 || len(k) == 0 {
		return
	}
	k, x = k[:min(len(k), Tile)], x[:(rows-1)*ld+len(k)]
	done := momentsRowsAsm(sum, square, x, ld, rows, k)
	for n := range rows {
		row := x[n*ld:][:len(k)]
		for i := done; i < len(k); i++ {
			a := float64(row[i]) - float64(k[i])
			sum[i] += a
			square[i] += float64(a * a)
		}
	}
}

// DotCentredRows adds dy[i] to sum[i] and dy[i]*(x[i]-mean[i]) to dot[i], for len(mean), at most Tile, columns of a number
// of rows that are ld elements apart.
func DotCentredRows[T Float](sum, dot *[Tile]float64, x, dy []T, ld, rows int, mean []T) {
	if rows < 1 || len(mean) == 0 {
		return
	}
	mean = mean[:min(len(mean), Tile)]
	x, dy = x[:(rows-1)*ld+len(mean)], dy[:(rows-1)*ld+len(mean)]
	done := dotCentredRowsAsm(sum, dot, x, dy, ld, rows, mean)
	for n := range rows {
		dotCentredRow(sum, dot, x[n*ld:], dy[n*ld:], done, mean)
	}
}

// dotCentredRow is DotCentredRows of one row, from a column on.
func dotCentredRow[T Float](sum, dot *[Tile]float64, x, dy []T, from int, mean []T) {
	x, dy = x[:len(mean)], dy[:len(mean)]
	for i := from; i < len(mean); i++ {
		g := float64(dy[i])
		sum[i] += g
		dot[i] += float64(g * (float64(x[i]) - float64(mean[i])))
	}
}

// DotRectifiedRows is DotCentredRows of what RectifiedGrad gives of y and dy.
func DotRectifiedRows[T Float](sum, dot *[Tile]float64, x, dy, y []T, ld, rows int, mean []T, scale T) {
	if rows < 1 || len(mean) == 0 {
		return
	}
	mean = mean[:min(len(mean), Tile)]
	size := (rows-1)*ld + len(mean)
	x, dy, y = x[:size], dy[:size], y[:size]
	done := dotRectifiedRowsAsm(sum, dot, x, dy, y, ld, rows, mean, scale)
	if done == len(mean) {
		return
	}
	var grad [Tile]T
	for n := range rows {
		RectifiedGrad(grad[done:len(mean)], y[n*ld+done:][:len(mean)-done], dy[n*ld+done:], scale)
		dotCentredRow(sum, dot, x[n*ld:], grad[:], done, mean)
	}
}
