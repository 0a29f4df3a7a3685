package kernels

// Sums over a row are accumulated in float64, in several running sums that do not wait for each other: element i
// goes to that of number i modulo their count. At the end the second half of them is added to the first, until
// one is left.

// fold adds up running sums.
func fold(s []float64) float64 {
	for w := len(s) / 2; w > 0; w /= 2 {
		for i := range w {
			s[i] += s[i+w]
		}
	}
	return s[0]
}

// Sum returns the sum of x, accumulated in float64 in 16 running sums.
func Sum[T Float](x []T) float64 {
	var s [16]float64
	for i, v := range x[sumAsm(x, &s):] {
		s[i%16] += float64(v)
	}
	return fold(s[:])
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
	done := addRowAsm(acc, x)
	for i, v := range x[done:] {
		acc[done+i] += float64(v)
	}
}

// Moments returns the sum of x[i]-k and of its square, accumulated in float64 in 8 running sums each.
func Moments[T Float](x []T, k float64) (sum, square float64) {
	var s [16]float64
	for i, v := range x[momentsAsm(x, k, &s):] {
		a := float64(v) - k
		s[i%8] += a
		s[8+i%8] += float64(a * a)
	}
	return fold(s[:8]), fold(s[8:])
}

// DotCentred returns the sum of dy[i] and of dy[i]*(x[i]-mean), accumulated in float64 in 8 running sums each.
func DotCentred[T Float](x, dy []T, mean T) (sum, dot float64) {
	var s [16]float64
	dy = dy[:len(x)]
	m := float64(mean)
	done := dotCentredAsm(x, dy, m, &s)
	for i, v := range x[done:] {
		g := float64(dy[done+i])
		s[i%8] += g
		s[8+i%8] += float64(g * (float64(v) - m))
	}
	return fold(s[:8]), fold(s[8:])
}

// MomentsRow adds x[i]-k[i] to sum[i] and its square to square[i], for at most Tile columns.
func MomentsRow[T Float](sum, square *[Tile]float64, x, k []T) {
	if len(x) > Tile {
		x = x[:Tile]
	}
	k = k[:len(x)]
	for i := momentsRowAsm(sum, square, x, k); i < len(x); i++ {
		a := float64(x[i]) - float64(k[i])
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
	for i := dotCentredRowAsm(sum, dot, x, dy, mean); i < len(x); i++ {
		g := float64(dy[i])
		sum[i] += g
		dot[i] += float64(g * (float64(x[i]) - float64(mean[i])))
	}
}
