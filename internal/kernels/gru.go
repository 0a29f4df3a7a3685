package kernels

// GRUCell sets h[j] = (1-z[j])*n[j] + z[j]*hPrev[j].
func GRUCell[T Float](h, z, n, hPrev []T) {
	z, n, hPrev = z[:len(h)], n[:len(h)], hPrev[:len(h)]
	for j := gruCellAsm(h, z, n, hPrev); j < len(h); j++ {
		h[j] = T((1-z[j])*n[j]) + T(z[j]*hPrev[j])
	}
}

// MulAdd sets y[j] += a[j]*b[j].
func MulAdd[T Float](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for j := mulAddAsm(y, a, b); j < len(y); j++ {
		y[j] += T(a[j] * b[j])
	}
}

// GRUCellGrad is the derivative of h = (1-z)*n + z*hPrev, n = tanh(...). dh is that by h, and becomes the part
// of that by hPrev that goes through z.
func GRUCellGrad[T Float](dZ, dN, dh, z, n, hPrev []T) {
	dZ, dN, z, n, hPrev = dZ[:len(dh)], dN[:len(dh)], z[:len(dh)], n[:len(dh)], hPrev[:len(dh)]
	for j := gruCellGradAsm(dZ, dN, dh, z, n, hPrev); j < len(dh); j++ {
		d, vz, vn := dh[j], z[j], n[j]
		dZ[j] = d * (hPrev[j] - vn) * T(vz*(1-vz))
		dN[j] = d * (1 - vz) * (1 - T(vn*vn))
		dh[j] = d * vz
	}
}

// GRUResetGrad is the derivative of a product r*q with d by it, r = sigmoid(...): dR by the gate's argument,
// and dq = d*r by q, which may be d.
func GRUResetGrad[T Float](dR, dq, d, r, q []T) {
	dR, dq, r, q = dR[:len(d)], dq[:len(d)], r[:len(d)], q[:len(d)]
	for j := gruResetGradAsm(dR, dq, d, r, q); j < len(d); j++ {
		v := d[j]
		dR[j] = v * q[j] * T(r[j]*(1-r[j]))
		dq[j] = v * r[j]
	}
}
