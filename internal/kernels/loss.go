package kernels

import "math"

// In the loops of this file, as in softmax.go, x[i*stride+j] is the score of class i at position j, for
// i < n and j < columns <= Tile; labels[j] is in [0, n).

// CrossEntropy returns the sum over positions of log(sum(exp(x))) - x[label].
func CrossEntropy[T Float](x []T, labels []int64, n, stride, columns int) float64 {
	if isRow[T](n, stride, columns) {
		return crossEntropyRow(x[:n], labels[0])
	}
	var top, sum [Tile]float64
	columnMax(&top, x, n, stride, columns)
	logSumExp(&sum, &top, x, n, stride, columns)
	var loss float64
	for j := range columns {
		loss += sum[j] + (top[j] - float64(x[int(labels[j])*stride+j]))
	}
	return loss
}

// CrossEntropyGrad sets dx = (softmax(x) - onehot(label))*g. dx and x may be the same slice.
func CrossEntropyGrad[T Float](dx, x []T, labels []int64, n, stride, columns int, g float64) {
	if isRow[T](n, stride, columns) {
		crossEntropyGradRow(dx[:n], x[:n], labels[0], g)
		return
	}
	var top, sum [Tile]float64
	columnMax(&top, x, n, stride, columns)
	logSumExp(&sum, &top, x, n, stride, columns)
	for i := range n {
		o := i * stride
		for j := range columns {
			p := math.Exp(float64(x[o+j]) - top[j] - sum[j])
			if int64(i) == labels[j] {
				p--
			}
			dx[o+j] = T(p * g)
		}
	}
}

// LabelExcess returns the sum over positions of x[label] - mean(x), the mean over classes: what label smoothing
// adds to a loss, times its strength.
func LabelExcess[T Float](x []T, labels []int64, n, stride, columns int) float64 {
	var sum float64
	for j := range columns {
		var mean float64
		for i := range n {
			mean += float64(x[i*stride+j])
		}
		sum += float64(x[int(labels[j])*stride+j]) - mean/float64(n)
	}
	return sum
}

// LabelExcessGrad adds (onehot(label) - 1/n)*g to dx.
func LabelExcessGrad[T Float](dx []T, labels []int64, n, stride, columns int, g float64) {
	all := T(g / float64(n))
	for i := range n {
		for j := range columns {
			dx[i*stride+j] -= all
		}
	}
	for j := range columns {
		dx[int(labels[j])*stride+j] += T(g)
	}
}

// SquaredError returns the sum of (y[i]-t[i])^2.
func SquaredError[T Float](y, t []T) float64 {
	var s float64
	t = t[:len(y)]
	for i, v := range y {
		d := float64(v) - float64(t[i])
		s += float64(d * d)
	}
	return s
}

// SquaredErrorGrad sets dx[i] = (y[i]-t[i])*g. dx may be the same slice as y or t.
func SquaredErrorGrad[T Float](dx, y, t []T, g float64) {
	dx, t = dx[:len(y)], t[:len(y)]
	for i, v := range y {
		dx[i] = T((float64(v) - float64(t[i])) * g)
	}
}

// LogisticError returns the sum of log(1+exp(x[i])) - t[i]*x[i], which is the cross-entropy of the target t[i], from 0 to 1,
// and the probability sigmoid(x[i]).
func LogisticError[T Float](x, t []T) float64 {
	var s float64
	t = t[:len(x)]
	for i, v := range x {
		f := float64(v)
		s += max(f, 0) - float64(f*float64(t[i])) + math.Log1p(math.Exp(-math.Abs(f)))
	}
	return s
}

// LogisticErrorGrad sets dx[i] = (sigmoid(x[i])-t[i])*g. dx may be the same slice as x.
func LogisticErrorGrad[T Float](dx, x, t []T, g float64) {
	dx, t = dx[:len(x)], t[:len(x)]
	for i, v := range x {
		dx[i] = T((sigmoid(float64(v)) - float64(t[i])) * g)
	}
}
