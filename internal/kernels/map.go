package kernels

// Map sets y[i] = f(x[i]), computed in float64 and rounded once. The slices may be the same.
func Map[T Float](y, x []T, f func(float64) float64) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] = T(f(float64(v)))
	}
}

// MapGrad sets dx[i] = dy[i]*d(x[i]), the factor rounded to T first. The slices may be the same.
func MapGrad[T Float](dx, x, dy []T, d func(float64) float64) {
	dx, dy = dx[:len(x)], dy[:len(x)]
	for i, v := range x {
		dx[i] = dy[i] * T(d(float64(v)))
	}
}
