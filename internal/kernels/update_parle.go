package kernels

// ParleStep holds the coefficients of ParleInner.
type ParleStep struct {
	LR       float32 // eta'
	Gamma    float32
	Momentum float32 // m
	Decay    float32
	Alpha    float32
	Keep     float32 // 1-alpha
}

// ParleInner is an inner step of a replica. For each i
//
//	g = grad[i] + Decay*y[i] + Gamma*(y[i]-x[i])
//	v[i] = Momentum*v[i] + g
//	y[i] = y[i] - LR*(g + Momentum*v[i])
//	z[i] = Keep*z[i] + Alpha*y[i]
//
// v is empty if Momentum is 0.
func ParleInner(y, z, v, x, grad []float32, c ParleStep) {
	if len(v) != 0 {
		done := parleAsm(y, z, v, x, grad, &c)
		y, z, v, x, grad = y[done:], z[done:], v[done:], x[done:], grad[done:]
	}
	momentum := len(v) != 0
	n := len(grad)
	y, z, x = y[:n], z[:n], x[:n]
	for i, g := range grad {
		q := y[i]
		g = g + float32(c.Decay*q) + float32(c.Gamma*(q-x[i]))
		if momentum {
			w := float32(c.Momentum*v[i]) + g
			v[i] = w
			g += float32(c.Momentum * w)
		}
		q -= float32(c.LR * g)
		y[i] = q
		z[i] = float32(c.Keep*z[i]) + float32(c.Alpha*q)
	}
}

// ParleOuter ends an outer step of a replica and prepares the next. For each i
//
//	d = (x[i]-z[i]) + rho*(x[i]-mean[i])
//	v[i] = momentum*v[i] + d
//	x[i] = x[i] - lr*(d + momentum*v[i])
//	y[i] = z[i] = x[i]
//
// v is empty if momentum is 0.
func ParleOuter(x, y, z, v, mean []float32, lr, rho, momentum float32) {
	n := len(x)
	y, z, mean = y[:n], z[:n], mean[:n]
	for i, q := range x {
		d := (q - z[i]) + float32(rho*(q-mean[i]))
		if len(v) != 0 {
			w := float32(momentum*v[i]) + d
			v[i] = w
			d += float32(momentum * w)
		}
		q -= float32(lr * d)
		x[i], y[i], z[i] = q, q, q
	}
}
