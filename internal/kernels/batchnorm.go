package kernels

// Normalise sets y[i] = (x[i]-mean)*a + b. y and x may be the same slice. Subtracting first keeps the
// digits when the mean is large compared with the spread.
func Normalise[T Float](y, x []T, mean, a, b T) {
	y = y[:len(x)]
	for i := normaliseAsm(y, x, mean, a, b); i < len(x); i++ {
		v := x[i]
		y[i] = T((v-mean)*a) + b
	}
}

// NormaliseRow is Normalise for one element a channel.
func NormaliseRow[T Float](y, x, mean, a, b []T) {
	y, mean, a, b = y[:len(x)], mean[:len(x)], a[:len(x)], b[:len(x)]
	for i := normaliseRowAsm(y, x, mean, a, b); i < len(x); i++ {
		v := x[i]
		y[i] = T((v-mean[i])*a[i]) + b[i]
	}
}

// NormaliseGrad sets dx[i] = a*(dy[i] - b - (x[i]-mean)*c). dx may be the same slice as x or dy.
func NormaliseGrad[T Float](dx, x, dy []T, mean, a, b, c T) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	for i := normaliseGradAsm(dx, x, dy, mean, a, b, c); i < len(x); i++ {
		v := x[i]
		dx[i] = a * (dy[i] - b - T((v-mean)*c))
	}
}

// NormaliseGradRow is NormaliseGrad for one element a channel.
func NormaliseGradRow[T Float](dx, x, dy, mean, a, b, c []T) {
	dx, dy, mean = dx[:len(x)], dy[:len(x)], mean[:len(x)]
	a, b, c = a[:len(x)], b[:len(x)], c[:len(x)]
	for i := normaliseGradRowAsm(dx, x, dy, mean, a, b, c); i < len(x); i++ {
		v := x[i]
		dx[i] = a[i] * (dy[i] - b[i] - T((v-mean[i])*c[i]))
	}
}
