package kernels

// Relu sets y[i] = x[i] if x[i] > 0 or is NaN, else 0. y and x may be the same slice.
func Relu[T Float](y, x []T) {
	for i, v := range x {
		if v <= 0 {
			v = 0
		}
		y[i] = v
	}
}
