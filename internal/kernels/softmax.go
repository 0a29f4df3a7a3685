package kernels

import "math"

// The loops of this file work on columns: x[i*stride+j] is element i of column j, for i < n and
// j < columns <= Tile. A contiguous row is one column of stride 1. The output may be the same slice as any
// input. Exponentials are of differences to the maximum, so they do not overflow; sums are float64.

// Softmax sets column j of y to exp(x)/sum(exp(x)).
func Softmax[T Float](y, x []T, n, stride, columns int) {
	if isRow[T](n, stride, columns) {
		softmaxRow(y[:n], x[:n])
		return
	}
	var top, sum [Tile]float64
	columnMax(&top, x, n, stride, columns)
	for i := range n {
		o := i * stride
		for j := range columns {
			e := math.Exp(float64(x[o+j]) - top[j])
			sum[j] += e
			y[o+j] = T(e)
		}
	}
	for i := range n {
		o := i * stride
		for j := range columns {
			y[o+j] = T(float64(y[o+j]) / sum[j])
		}
	}
}

// SoftmaxGrad sets dx = y*(dy - sum(dy*y)), the sum over each column.
func SoftmaxGrad[T Float](dx, y, dy []T, n, stride, columns int) {
	var dot [Tile]float64
	for i := range n {
		o := i * stride
		for j := range columns {
			dot[j] += float64(float64(dy[o+j]) * float64(y[o+j]))
		}
	}
	for i := range n {
		o := i * stride
		for j := range columns {
			dx[o+j] = T(float64(y[o+j]) * (float64(dy[o+j]) - dot[j]))
		}
	}
}

// LogSoftmax sets column j of y to x - log(sum(exp(x))).
func LogSoftmax[T Float](y, x []T, n, stride, columns int) {
	if isRow[T](n, stride, columns) {
		logSoftmaxRow(y[:n], x[:n])
		return
	}
	var top, sum [Tile]float64
	columnMax(&top, x, n, stride, columns)
	logSumExp(&sum, &top, x, n, stride, columns)
	for i := range n {
		o := i * stride
		for j := range columns {
			y[o+j] = T(float64(x[o+j]) - top[j] - sum[j])
		}
	}
}

// LogSoftmaxGrad sets dx = dy - exp(y)*sum(dy), the sum over each column.
func LogSoftmaxGrad[T Float](dx, y, dy []T, n, stride, columns int) {
	var sum [Tile]float64
	for i := range n {
		o := i * stride
		for j := range columns {
			sum[j] += float64(dy[o+j])
		}
	}
	for i := range n {
		o := i * stride
		for j := range columns {
			dx[o+j] = T(float64(dy[o+j]) - float64(math.Exp(float64(y[o+j]))*sum[j]))
		}
	}
}

// columnMax sets top[j] to the largest element of column j; NaN is left to the sum that follows.
func columnMax[T Float](top *[Tile]float64, x []T, n, stride, columns int) {
	for j := range columns {
		top[j] = math.Inf(-1)
	}
	for i := range n {
		o := i * stride
		for j := range columns {
			if v := float64(x[o+j]); v > top[j] {
				top[j] = v
			}
		}
	}
}

// logSumExp sets sum[j] to log(sum(exp(x - top[j]))).
func logSumExp[T Float](sum, top *[Tile]float64, x []T, n, stride, columns int) {
	for i := range n {
		o := i * stride
		for j := range columns {
			sum[j] += math.Exp(float64(x[o+j]) - top[j])
		}
	}
	for j := range columns {
		sum[j] = math.Log(sum[j])
	}
}
