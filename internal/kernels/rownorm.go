package kernels

import "math"

// RowStats returns what a row is normalised with: its mean and 1/sqrt(variance + eps), or, if it is not centred, 0 and
// 1/sqrt(mean of squares + eps). Sums are accumulated in float64 from the distances to the first element, so that a
// large mean costs no digits.
func RowStats[T Float](x []T, centred bool, eps float64) (mean, scale float64) {
	n := float64(len(x))
	if !centred {
		_, square := Moments(x, 0)
		return 0, 1 / math.Sqrt(square/n+eps)
	}
	first := float64(x[0])
	sum, square := Moments(x, first)
	delta := sum / n
	return first + delta, 1 / math.Sqrt(max(0, square-float64(delta*sum))/n+eps)
}

// NormaliseScaled sets y[i] = (x[i]-mean)*a*scale[i] + bias[i]; bias nil is 0. y and x may be the same slice.
func NormaliseScaled[T Float](y, x []T, mean, a T, scale, bias []T) {
	y, scale = y[:len(x)], scale[:len(x)]
	if bias == nil {
		for i, v := range x {
			y[i] = T(T((v-mean)*a) * scale[i])
		}
		return
	}
	bias = bias[:len(x)]
	for i, v := range x {
		y[i] = T(T((v-mean)*a)*scale[i]) + bias[i]
	}
}

// NormaliseScaledSums returns the sums of g = dy*scale and of g*(x-mean), and adds dy*(x-mean)*a to dscale and dy to
// dbias.
func NormaliseScaledSums[T Float](x, dy, scale []T, mean, a T, dscale, dbias []T) (sum, dot float64) {
	dy, scale, dscale, dbias = dy[:len(x)], scale[:len(x)], dscale[:len(x)], dbias[:len(x)]
	for i, v := range x {
		d := dy[i]
		centred := v - mean
		g := float64(T(d * scale[i]))
		sum += g
		dot += float64(g * float64(centred))
		dscale[i] += T(d * T(centred*a))
		dbias[i] += d
	}
	return sum, dot
}

// NormaliseScaledGrad sets dx[i] = a*(dy[i]*scale[i] - b - (x[i]-mean)*c). dx may be the same slice as x or dy.
func NormaliseScaledGrad[T Float](dx, x, dy, scale []T, mean, a, b, c T) {
	dx, dy, scale = dx[:len(x)], dy[:len(x)], scale[:len(x)]
	for i, v := range x {
		dx[i] = a * (T(dy[i]*scale[i]) - b - T((v-mean)*c))
	}
}
