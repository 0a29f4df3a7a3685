package kernels

//go:generate sh -c "cd _gen && go run ./winograd -out ../conv_winograd_amd64.s -stubs ../conv_winograd_stubs_amd64.go -pkg kernels"

// The transformations of F(4x4, 3x3): the 4 x 4 results of a 3 x 3 correlation g over a 6 x 6 tile d are
//
//	y = A'*((G*g*G') .* (B'*d*B))*A      (' transposes, .* multiplies elements)
//
// for the matrices of Toom and Cook with the points 0, a, -a, b, -b and infinity (Lavin and Gray, Fast
// Algorithms for Convolutional Neural Networks, 2015). The usual points 1 and 2 give five times the rounding
// error of a plain sum; these give 1.7 times (root mean square over 192 channels) and are exact in binary,
// as are all entries of A and B.
//
// The functions below work on eight lanes: eight tiles of a channel, or eight channels of a tile. In vector
// form element e = 6*row+column of all lanes is at [e*next, e*next+8). In place form lane l is a matrix with
// rows ld apart that starts at [at[l]].
const (
	pointA, pointB = 5.0 / 8, 3.0 / 2

	normZero = pointA * pointA * pointB * pointB
	normA    = 2 * pointA * pointA * (pointA*pointA - pointB*pointB)
	normB    = 2 * pointB * pointB * (pointB*pointB - pointA*pointA)
)

const lanes = 8

// conv3Input sets dst, in vector form, to B'*d*B for 6 x 6 matrices d in places of src.
func conv3Input[T Float](dst []T, next int, src []T, at *[lanes]int, ld int) {
	_ = dst[35*next+lanes-1]
	if conv3InputAsm(dst, next, src, at, ld) {
		return
	}
	for l, from := range at {
		scatterLane(dst[l:], next, sandwich(fromPlace(src[from:], ld, 6), 6, 6, inputRow), 6)
	}
}

// conv3Output sets 4 x 4 matrices in places of dst to A'*m*A + bias, for m in vector form in src.
func conv3Output[T Float](dst []T, at *[lanes]int, ld int, src []T, next int, bias T) {
	_ = src[35*next+lanes-1]
	if conv3OutputAsm(dst, at, ld, src, next, bias) {
		return
	}
	for l, to := range at {
		y := sandwich(gatherLane(src[l:], next, 6), 6, 4, outputRow)
		for i := range 4 {
			for j := range 4 {
				dst[to+i*ld+j] = y[i][j] + bias
			}
		}
	}
}

// conv3Gradient sets dst, in vector form, to A*d*A' for 4 x 4 matrices d in places of src.
func conv3Gradient[T Float](dst []T, next int, src []T, at *[lanes]int, ld int) {
	_ = dst[35*next+lanes-1]
	if conv3GradientAsm(dst, next, src, at, ld) {
		return
	}
	for l, from := range at {
		scatterLane(dst[l:], next, sandwich(fromPlace(src[from:], ld, 4), 4, 6, gradientRow), 6)
	}
}

// conv3Weights sets dst to G*g*G' for 3 x 3 matrices g, both in vector form.
func conv3Weights[T Float](dst []T, next int, src []T, nexts int) {
	_, _ = dst[35*next+lanes-1], src[8*nexts+lanes-1]
	if conv3WeightsAsm(dst, next, src, nexts) {
		return
	}
	for l := range lanes {
		scatterLane(dst[l:], next, sandwich(gatherLane(src[l:], nexts, 3), 3, 6, weightsRow), 6)
	}
}

// conv3GradWeights sets dst to G'*m*G for 6 x 6 matrices m, both in vector form.
func conv3GradWeights[T Float](dst []T, next int, src []T, nexts int) {
	_, _ = dst[8*next+lanes-1], src[35*nexts+lanes-1]
	if conv3GradWeightsAsm(dst, next, src, nexts) {
		return
	}
	for l := range lanes {
		scatterLane(dst[l:], next, sandwich(gatherLane(src[l:], nexts, 6), 6, 3, gradWeightsRow), 3)
	}
}

type matrix[T Float] [6][6]T

// sandwich applies f to the n rows of an n x n matrix, then to the m columns of the result.
func sandwich[T Float](x matrix[T], n, m int, f func([6]T) [6]T) (y matrix[T]) {
	for i := range n {
		x[i] = f(x[i])
	}
	for j := range m {
		var column [6]T
		for i := range n {
			column[i] = x[i][j]
		}
		for i, v := range f(column) {
			y[i][j] = v
		}
	}
	return y
}

func fromPlace[T Float](src []T, ld, n int) (x matrix[T]) {
	for i := range n {
		copy(x[i][:n], src[i*ld:])
	}
	return x
}

func gatherLane[T Float](src []T, next, n int) (x matrix[T]) {
	for i := range n {
		for j := range n {
			x[i][j] = src[(i*n+j)*next]
		}
	}
	return x
}

func scatterLane[T Float](dst []T, next int, x matrix[T], n int) {
	for i := range n {
		for j := range n {
			dst[(i*n+j)*next] = x[i][j]
		}
	}
}

// inputRow is B'*d: element i holds the coefficients of the product of (x - p) over all points p but point i.
func inputRow[T Float](d [6]T) [6]T {
	const a, b, sum = pointA, pointB, pointA*pointA + pointB*pointB
	t1, t2 := d[4]-T(b*b*d[2]), T(a*d[3])-T(a*b*b*d[1])
	t3, t4 := d[4]-T(a*a*d[2]), T(b*d[3])-T(a*a*b*d[1])
	return [6]T{
		d[4] - T(sum*d[2]) + T(normZero*d[0]),
		t1 + t2, t1 - t2, t3 + t4, t3 - t4,
		d[5] - T(sum*d[3]) + T(normZero*d[1]),
	}
}

// outputRow is A'*m: element j holds the powers p^j of the points.
func outputRow[T Float](m [6]T) [6]T {
	const a, b = pointA, pointB
	p1, q1, p2, q2 := m[1]+m[2], m[1]-m[2], m[3]+m[4], m[3]-m[4]
	return [6]T{
		m[0] + p1 + p2,
		T(a*q1) + T(b*q2),
		T(a*a*p1) + T(b*b*p2),
		m[5] + T(a*a*a*q1) + T(b*b*b*q2),
	}
}

// gradientRow is A*d.
func gradientRow[T Float](d [6]T) [6]T {
	const a, b = pointA, pointB
	e, f := d[0]+T(a*a*d[2]), T(a*d[1])+T(a*a*a*d[3])
	g, h := d[0]+T(b*b*d[2]), T(b*d[1])+T(b*b*b*d[3])
	return [6]T{d[0], e + f, e - f, g + h, g - h, d[3]}
}

// weightsRow is G*g: element i holds the powers of point i over the product of its distances to the others.
func weightsRow[T Float](g [6]T) [6]T {
	const a, b = pointA, pointB
	e, f := T(1/normA*g[0])+T(a*a/normA*g[2]), T(a/normA*g[1])
	h, i := T(1/normB*g[0])+T(b*b/normB*g[2]), T(b/normB*g[1])
	return [6]T{T(1 / normZero * g[0]), e + f, e - f, h + i, h - i, g[2]}
}

// gradWeightsRow is G'*m.
func gradWeightsRow[T Float](m [6]T) [6]T {
	const a, b = pointA, pointB
	p1, q1, p2, q2 := m[1]+m[2], m[1]-m[2], m[3]+m[4], m[3]-m[4]
	return [6]T{
		T(1/normZero*m[0]) + T(1/normA*p1) + T(1/normB*p2),
		T(a/normA*q1) + T(b/normB*q2),
		m[5] + T(a*a/normA*p1) + T(b*b/normB*p2),
	}
}
