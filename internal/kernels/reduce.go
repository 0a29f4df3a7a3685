package kernels

// Sum returns the sum of x, accumulated in float64: four running sums over the elements i mod 4, which do
// not wait for each other, then their sum.
func Sum[T Float](x []T) float64 {
	var s0, s1, s2, s3 float64
	for ; len(x) >= 4; x = x[4:] {
		s0 += float64(x[0])
		s1 += float64(x[1])
		s2 += float64(x[2])
		s3 += float64(x[3])
	}
	for _, v := range x {
		s0 += float64(v)
	}
	return (s0 + s1) + (s2 + s3)
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

// AddRow adds x, of at most Tile elements, to acc.
func AddRow[T Float](acc *[Tile]float64, x []T) {
	if len(x) > Tile {
		x = x[:Tile]
	}
	for i, v := range x {
		acc[i] += float64(v)
	}
}

// Moments returns the sum of x[i]-k and of its square, accumulated in float64 in two interleaved sums.
func Moments[T Float](x []T, k float64) (sum, square float64) {
	var s0, s1, q0, q1 float64
	for ; len(x) >= 2; x = x[2:] {
		a, b := float64(x[0])-k, float64(x[1])-k
		s0 += a
		s1 += b
		q0 += float64(a * a)
		q1 += float64(b * b)
	}
	if len(x) > 0 {
		a := float64(x[0]) - k
		s0 += a
		q0 += float64(a * a)
	}
	return s0 + s1, q0 + q1
}

// DotCentred returns the sum of dy[i] and of dy[i]*(x[i]-mean), accumulated in float64 in two interleaved
// sums.
func DotCentred[T Float](x, dy []T, mean T) (sum, dot float64) {
	var s0, s1, d0, d1 float64
	m := float64(mean)
	dy = dy[:len(x)]
	for ; len(x) >= 2 && len(dy) >= 2; x, dy = x[2:], dy[2:] {
		g0, g1 := float64(dy[0]), float64(dy[1])
		s0 += g0
		s1 += g1
		d0 += float64(g0 * (float64(x[0]) - m))
		d1 += float64(g1 * (float64(x[1]) - m))
	}
	if len(x) > 0 && len(dy) > 0 {
		g := float64(dy[0])
		s0 += g
		d0 += float64(g * (float64(x[0]) - m))
	}
	return s0 + s1, d0 + d1
}

// MomentsRow adds x[i]-k[i] to sum[i] and its square to square[i], for at most Tile columns.
func MomentsRow[T Float](sum, square *[Tile]float64, x, k []T) {
	if len(x) > Tile {
		x = x[:Tile]
	}
	k = k[:len(x)]
	for i, v := range x {
		a := float64(v) - float64(k[i])
		sum[i] += a
		square[i] += float64(a * a)
	}
}

// DotCentredRow adds dy[i] to sum[i] and dy[i]*(x[i]-mean[i]) to dot[i], for at most Tile columns.
func DotCentredRow[T Float](sum, dot *[Tile]float64, x, dy, mean []T) {
	if len(x) > Tile {
		x = x[:Tile]
	}
	dy, mean = dy[:len(x)], mean[:len(x)]
	for i, v := range x {
		g := float64(dy[i])
		sum[i] += g
		dot[i] += float64(g * (float64(v) - float64(mean[i])))
	}
}
