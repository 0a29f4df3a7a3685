package kernels

// The loops of lstm.go and gru.go take one row of a batch: slices of one length, an element a hidden unit.
// i, o, f, g, z, r, n are values of gates, after their activation; dI etc. are derivatives by the gates'
// arguments, before it.

// LSTMStep is a step of an LSTM with the usual activations for len(c) units, in one pass: gates holds products
// and becomes the values of the gates i, o, f and g, which lie stride elements apart, as do those of bias;
//
//	i, o, f = sigmoid(gates + bias)   g = tanh(gates + bias)   c = f*before + i*g   h = o*tanh(c)
//
// and tanhC becomes tanh(c).
func LSTMStep[T Float](gates, bias []T, stride int, before, c, tanhC, h []T) {
	done := lstmStepAsm(gates, bias, stride, before, c, tanhC, h)
	if done == len(c) {
		return
	}
	var gate [4][]T
	for k := range gate {
		g := gates[k*stride+done : k*stride+len(c)]
		Add(g, g, bias[k*stride+done:k*stride+len(c)])
		if k < 3 {
			Sigmoid(g, g)
		} else {
			Tanh(g, g)
		}
		gate[k] = g
	}
	before, c, tanhC, h = before[done:len(c)], c[done:], tanhC[done:len(c)], h[done:len(c)]
	LSTMCell(c, before, gate[0], gate[2], gate[3])
	Tanh(tanhC, c)
	Mul(h, gate[1], tanhC)
}

// LSTMCell sets c[j] = f[j]*cPrev[j] + i[j]*g[j].
func LSTMCell[T Float](c, cPrev, i, f, g []T) {
	cPrev, i, f, g = cPrev[:len(c)], i[:len(c)], f[:len(c)], g[:len(c)]
	for j := range c {
		c[j] = T(f[j]*cPrev[j]) + T(i[j]*g[j])
	}
}

// LSTMGrad is the derivative of LSTMStep, with its gates. dh is that by h; dc is that by c from the step after,
// and becomes that by before. da becomes that by the gates' arguments, in the order of gates.
func LSTMGrad[T Float](da, gates []T, stride int, dc, dh, tanhC, before []T) {
	m := len(dc)
	dh, tanhC, before = dh[:m], tanhC[:m], before[:m]
	i, o, f, g := gates[:m], gates[stride:][:m], gates[2*stride:][:m], gates[3*stride:][:m]
	dI, dO, dF, dG := da[:m], da[stride:][:m], da[2*stride:][:m], da[3*stride:][:m]
	for j := lstmGradAsm(da, gates, stride, dc, dh, tanhC, before); j < m; j++ {
		t, vi, vo, vf, vg := tanhC[j], i[j], o[j], f[j], g[j]
		d := T(T(dh[j]*vo)*(1-T(t*t))) + dc[j]
		dO[j] = T(dh[j]*t) * T(vo*(1-vo))
		dI[j] = T(d*vg) * T(vi*(1-vi))
		dF[j] = T(d*before[j]) * T(vf*(1-vf))
		dG[j] = T(d*vi) * (1 - T(vg*vg))
		dc[j] = d * vf
	}
}
