package kernels

// The loops of this file take slices of one length. The output may be the same slice as any input.

// Add sets y[i] = a[i] + b[i].
func Add[T Float](y, a, b []T) {
	y, b = y[:len(a)], b[:len(a)]
	for i := binaryAsm(opAdd, y, a, b); i < len(a); i++ {
		v := a[i]
		y[i] = v + b[i]
	}
}

// AddScalar sets y[i] = a[i] + s.
func AddScalar[T Float](y, a []T, s T) {
	y = y[:len(a)]
	for i := scalarAsm(opAdd, y, a, s); i < len(a); i++ {
		v := a[i]
		y[i] = v + s
	}
}

// ScalarAdd sets y[i] = s + b[i].
func ScalarAdd[T Float](y []T, s T, b []T) { AddScalar(y, b, s) }

// Sub sets y[i] = a[i] - b[i].
func Sub[T Float](y, a, b []T) {
	y, b = y[:len(a)], b[:len(a)]
	for i := binaryAsm(opSub, y, a, b); i < len(a); i++ {
		v := a[i]
		y[i] = v - b[i]
	}
}

// SubScalar sets y[i] = a[i] - s.
func SubScalar[T Float](y, a []T, s T) {
	y = y[:len(a)]
	for i := scalarAsm(opSub, y, a, s); i < len(a); i++ {
		v := a[i]
		y[i] = v - s
	}
}

// ScalarSub sets y[i] = s - b[i].
func ScalarSub[T Float](y []T, s T, b []T) {
	y = y[:len(b)]
	for i := scalarAsm(opReverseSub, y, b, s); i < len(b); i++ {
		v := b[i]
		y[i] = s - v
	}
}

// Mul sets y[i] = a[i] * b[i].
func Mul[T Float](y, a, b []T) {
	y, b = y[:len(a)], b[:len(a)]
	for i := binaryAsm(opMul, y, a, b); i < len(a); i++ {
		v := a[i]
		y[i] = v * b[i]
	}
}

// MulScalar sets y[i] = a[i] * s.
func MulScalar[T Float](y, a []T, s T) {
	y = y[:len(a)]
	for i := scalarAsm(opMul, y, a, s); i < len(a); i++ {
		v := a[i]
		y[i] = v * s
	}
}

// ScalarMul sets y[i] = s * b[i].
func ScalarMul[T Float](y []T, s T, b []T) { MulScalar(y, b, s) }

// Div sets y[i] = a[i] / b[i].
func Div[T Float](y, a, b []T) {
	y, b = y[:len(a)], b[:len(a)]
	for i := binaryAsm(opDiv, y, a, b); i < len(a); i++ {
		v := a[i]
		y[i] = v / b[i]
	}
}

// DivScalar sets y[i] = a[i] / s.
func DivScalar[T Float](y, a []T, s T) {
	y = y[:len(a)]
	for i := scalarAsm(opDiv, y, a, s); i < len(a); i++ {
		v := a[i]
		y[i] = v / s
	}
}

// ScalarDiv sets y[i] = s / b[i].
func ScalarDiv[T Float](y []T, s T, b []T) {
	y = y[:len(b)]
	for i := scalarAsm(opReverseDiv, y, b, s); i < len(b); i++ {
		v := b[i]
		y[i] = s / v
	}
}
