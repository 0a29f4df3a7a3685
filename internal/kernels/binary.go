package kernels

// The loops of this file take slices of one length. The output may be the same slice as any input.

// Add sets y[i] = a[i] + b[i].
func Add[T Float](y, a, b []T) {
	y, b = y[:len(a)], b[:len(a)]
	for i, v := range a {
		y[i] = v + b[i]
	}
}

// AddScalar sets y[i] = a[i] + s.
func AddScalar[T Float](y, a []T, s T) {
	y = y[:len(a)]
	for i, v := range a {
		y[i] = v + s
	}
}

// ScalarAdd sets y[i] = s + b[i].
func ScalarAdd[T Float](y []T, s T, b []T) { AddScalar(y, b, s) }

// Sub sets y[i] = a[i] - b[i].
func Sub[T Float](y, a, b []T) {
	y, b = y[:len(a)], b[:len(a)]
	for i, v := range a {
		y[i] = v - b[i]
	}
}

// SubScalar sets y[i] = a[i] - s.
func SubScalar[T Float](y, a []T, s T) {
	y = y[:len(a)]
	for i, v := range a {
		y[i] = v - s
	}
}

// ScalarSub sets y[i] = s - b[i].
func ScalarSub[T Float](y []T, s T, b []T) {
	y = y[:len(b)]
	for i, v := range b {
		y[i] = s - v
	}
}

// Mul sets y[i] = a[i] * b[i].
func Mul[T Float](y, a, b []T) {
	y, b = y[:len(a)], b[:len(a)]
	for i, v := range a {
		y[i] = v * b[i]
	}
}

// MulScalar sets y[i] = a[i] * s.
func MulScalar[T Float](y, a []T, s T) {
	y = y[:len(a)]
	for i, v := range a {
		y[i] = v * s
	}
}

// ScalarMul sets y[i] = s * b[i].
func ScalarMul[T Float](y []T, s T, b []T) { MulScalar(y, b, s) }

// Div sets y[i] = a[i] / b[i].
func Div[T Float](y, a, b []T) {
	y, b = y[:len(a)], b[:len(a)]
	for i, v := range a {
		y[i] = v / b[i]
	}
}

// DivScalar sets y[i] = a[i] / s.
func DivScalar[T Float](y, a []T, s T) {
	y = y[:len(a)]
	for i, v := range a {
		y[i] = v / s
	}
}

// ScalarDiv sets y[i] = s / b[i].
func ScalarDiv[T Float](y []T, s T, b []T) {
	y = y[:len(b)]
	for i, v := range b {
		y[i] = s / v
	}
}
