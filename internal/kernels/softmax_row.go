package kernels

import "math"

// The loops of softmax.go and loss.go on one contiguous row, by exponentials of many elements at once. For
// float32 the exponentials are those of Exp; sums stay float64.

// isRow tells whether a loop over columns works on one contiguous row of float32.
func isRow[T Float](n, stride, columns int) bool {
	return isFloat32[T]() && columns == 1 && (stride == 1 || n == 1)
}

// rowMax returns the largest element; NaN is left to the sum that follows.
func rowMax[T Float](x []T) T {
	top, done := maxAsm(x)
	if done == 0 {
		top = T(math.Inf(-1))
	}
	for _, v := range x[done:] {
		if v > top {
			top = v
		}
	}
	return top
}

// expRow sets y to exp(x - max(x)) and returns the sum of y.
func expRow[T Float](y, x []T) float64 {
	SubScalar(y, x, rowMax(x))
	Exp(y, y)
	return Sum(y)
}

// sumExpRow returns the sum of exp(x - top).
func sumExpRow[T Float](x []T, top T) (sum float64) {
	var y [256]T
	for len(x) > 0 {
		n := min(len(x), len(y))
		SubScalar(y[:n], x[:n], top)
		Exp(y[:n], y[:n])
		sum += Sum(y[:n])
		x = x[n:]
	}
	return sum
}

func softmaxRow[T Float](y, x []T) {
	sum := expRow(y, x)
	DivScalar(y, y, T(sum))
}

func logSoftmaxRow[T Float](y, x []T) {
	top := rowMax(x)
	sum := T(math.Log(sumExpRow(x, top)))
	SubScalar(y, x, top)
	SubScalar(y, y, sum)
}

func crossEntropyRow[T Float](x []T, label int64) float64 {
	top := rowMax(x)
	return math.Log(sumExpRow(x, top)) + (float64(top) - float64(x[label]))
}

func crossEntropyGradRow[T Float](dx, x []T, label int64, g float64) {
	sum := expRow(dx, x)
	p := float64(dx[label]) / sum
	MulScalar(dx, dx, T(g/sum))
	dx[label] = T((p - 1) * g)
}
