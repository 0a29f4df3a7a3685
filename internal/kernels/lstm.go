package kernels

// The loops of lstm.go and gru.go take one row of a batch: slices of one length, an element a hidden unit.
// i, o, f, g, z, r, n are values of gates, after their activation; dI etc. are derivatives by the gates'
// arguments, before it.

// LSTMCell sets c[j] = f[j]*cPrev[j] + i[j]*g[j].
func LSTMCell[T Float](c, cPrev, i, f, g []T) {
	cPrev, i, f, g = cPrev[:len(c)], i[:len(c)], f[:len(c)], g[:len(c)]
	for j := range c {
		c[j] = T(f[j]*cPrev[j]) + T(i[j]*g[j])
	}
}

// LSTMCellGrad is the derivative of h = o*tanh(c), c = f*cPrev + i*g. dh is that by h; dc is that by c from the
// step after, and becomes that by cPrev. tanhC is tanh(c).
func LSTMCellGrad[T Float](dI, dO, dF, dG, dc, dh, i, o, f, g, tanhC, cPrev []T) {
	m := len(dc)
	dI, dO, dF, dG, dh = dI[:m], dO[:m], dF[:m], dG[:m], dh[:m]
	i, o, f, g, tanhC, cPrev = i[:m], o[:m], f[:m], g[:m], tanhC[:m], cPrev[:m]
	for j := range dc {
		t, vi, vo, vf, vg := tanhC[j], i[j], o[j], f[j], g[j]
		d := dc[j] + T(dh[j]*vo)*(1-T(t*t))
		dO[j] = dh[j] * t * T(vo*(1-vo))
		dI[j] = d * vg * T(vi*(1-vi))
		dF[j] = d * cPrev[j] * T(vf*(1-vf))
		dG[j] = d * vi * (1 - T(vg*vg))
		dc[j] = d * vf
	}
}
