package kernels

// RNNGrad sets da[j] to the derivative by the argument of h[j] = tanh(...), or relu(...) with relu, where dh is
// that by h.
func RNNGrad[T Float](da, h, dh []T, relu bool) {
	if relu {
		ReluGrad(da, h, dh)
	} else {
		TanhGrad(da, h, dh)
	}
}
