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

// NormaliseRows is Normalise for len(mean) columns of a number of rows that are ld elements apart, each column with numbers of
// its own, and Relu of that where relu is set.
func NormaliseRows[T Float](y, x []T, ld, rows int, mean, a, b []T, relu bool) {
	n := len(mean)
	if rows < 1 || n < 1 {
		return
	}
	y, x, a, b = y[:(rows-1)*ld+n], x[:(rows-1)*ld+n], a[:n], b[:n]
	done := normaliseRowsAsm(y, x, ld, rows, mean, a, b, relu)
	if done == n {
		return
	}
	for at := 0; at < len(x); at += ld {
		to, from := y[at:at+n], x[at:at+n]
		for i := done; i < n; i++ {
			v := from[i]
			v = T((v-mean[i])*a[i]) + b[i]
			if relu {
				v = max(v, 0)
			}
			to[i] = v
		}
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

// NormaliseGradRows is NormaliseGrad for len(mean) columns of a number of rows that are ld elements apart, each column with numbers
// of its own. Unless y is nil, dy is replaced by what RectifiedGrad gives of y, dy and scale. dx may be the same slice as x or dy.
func NormaliseGradRows[T Float](dx, x, dy, y []T, ld, rows int, mean, a, b, c []T, scale T) {
	n := len(mean)
	if rows < 1 || n < 1 {
		return
	}
	size := (rows-1)*ld + n
	dx, x, dy, a, b, c = dx[:size], x[:size], dy[:size], a[:n], b[:n], c[:n]
	if y != nil {
		y = y[:size]
	}
	done := normaliseGradRowsAsm(dx, x, dy, y, ld, rows, mean, a, b, c, scale)
	if done == n {
		return
	}
	for at := 0; at < size; at += ld {
		for i := done; i < n; i++ {
			v, g := x[at+i], dy[at+i]
			if y != nil {
				choice := [2]T{g * scale, 0}
				g = choice[bit(y[at+i] <= 0)]
			}
			dx[at+i] = a[i] * (g - b[i] - T((v-mean[i])*c[i]))
		}
	}
}
