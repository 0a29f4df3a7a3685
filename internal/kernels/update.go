package kernels

import "github.com/onnx-entropy/onnx-entropy/internal/rng"

// The updates of the optimizers, each one pass over memory. They are for float32 alone: weights are kept
// in it, and the noise is made in it. Slices of one call have one length and do not overlap. Vector
// instructions do the same operations as the loops here, without fused multiply-add: the bits are the same.

// InnerStep holds the coefficients of EntropyInner, in the symbols of the Entropy-SGD paper.
type InnerStep struct {
	LR       float32 // eta'
	Gamma    float32
	Momentum float32 // m
	Decay    float32 // weight decay
	Alpha    float32
	Keep     float32 // 1-alpha
	Noise    float32 // sqrt(eta') eps; 0: no numbers are drawn
	Stream   rng.Stream
}

// EntropyInner is one Langevin step from the point p, given the gradient there. For each i
//
//	g = grad[i] + Decay*p[i]
//	v[i] = Momentum*v[i] + g
//	p[i] = p[i] - LR*(g + Momentum*v[i] - Gamma*(x[i]-p[i])) + Noise*xi
//	mu[i] = Keep*mu[i] + Alpha*p[i]
//
// where xi is normal number from+i of the stream. Sums are taken from the left.
func EntropyInner(p, mu, v, x, grad []float32, from int, c InnerStep) {
	// Vectors begin where four numbers of the stream do.
	if head := min(-from&3, len(grad)); head > 0 && c.Noise != 0 {
		innerGeneric(p[:head], mu[:head], v[:head], x[:head], grad[:head], from, &c)
		p, mu, v, x, grad = p[head:], mu[head:], v[head:], x[head:], grad[head:]
		from += head
	}
	done := innerAsm(p, mu, v, x, grad, from, &c)
	innerGeneric(p[done:], mu[done:], v[done:], x[done:], grad[done:], from+done, &c)
}

func innerGeneric(p, mu, v, x, grad []float32, from int, c *InnerStep) {
	var noise [256]float32 // in the first-level cache between its making and its use
	for len(grad) > 0 {
		n := min(len(grad), len(noise))
		if c.Noise != 0 {
			c.Stream.Normals(noise[:n], from)
		}
		innerBlock(p[:n], mu[:n], v[:n], x[:n], grad[:n], noise[:n], c)
		p, mu, v, x, grad = p[n:], mu[n:], v[n:], x[n:], grad[n:]
		from += n
	}
}

func innerBlock(p, mu, v, x, grad, noise []float32, c *InnerStep) {
	lr, gamma, m, decay := c.LR, c.Gamma, c.Momentum, c.Decay
	keep, alpha, amplitude := c.Keep, c.Alpha, c.Noise
	n := len(grad)
	p, mu, v, x, noise = p[:n], mu[:n], v[:n], x[:n], noise[:n]
	for i, g := range grad {
		q := p[i]
		g += float32(decay * q)
		w := float32(m*v[i]) + g
		v[i] = w
		step := g + float32(m*w) - float32(gamma*(x[i]-q))
		q = q - float32(lr*step) + float32(amplitude*noise[i])
		p[i] = q
		mu[i] = float32(keep*mu[i]) + float32(alpha*q)
	}
}

// EntropyOuter ends an outer step and prepares the next. For each i
//
//	d = x[i] - mu[i]
//	v[i] = momentum*v[i] + d
//	x[i] = x[i] - lr*(d + momentum*v[i])
//	p[i] = mu[i] = x[i], inner[i] = 0
//
// v is the momentum of the outer steps; it is empty if momentum is 0. inner is that of the inner steps.
func EntropyOuter(x, mu, p, inner, v []float32, lr, momentum float32) {
	done := outerAsm(x, mu, p, inner, v, lr, momentum)
	x, mu, p, inner = x[done:], mu[done:], p[done:], inner[done:]
	n := len(x)
	mu, p = mu[:n], p[:n]
	clear(inner[:n])
	if len(v) == 0 {
		for i, q := range x {
			q -= float32(lr * (q - mu[i]))
			x[i], p[i], mu[i] = q, q, q
		}
		return
	}
	v = v[done:][:n]
	for i, q := range x {
		d := q - mu[i]
		w := float32(momentum*v[i]) + d
		v[i] = w
		q -= float32(lr * (d + float32(momentum*w)))
		x[i], p[i], mu[i] = q, q, q
	}
}

// SGD is a step of gradient descent. For each i
//
//	g = grad[i] + decay*x[i]
//	v[i] = momentum*v[i] + g
//	x[i] = x[i] - lr*v[i]                   or, if nesterov,
//	x[i] = x[i] - lr*(g + momentum*v[i])
//
// v is empty if momentum is 0, and x[i] = x[i] - lr*g.
func SGD(x, v, grad []float32, lr, momentum, decay float32, nesterov bool) {
	done := sgdAsm(x, v, grad, lr, momentum, decay, nesterov)
	x, grad = x[done:], grad[done:]
	n := len(grad)
	x = x[:n]
	if len(v) == 0 {
		for i, g := range grad {
			g += float32(decay * x[i])
			x[i] -= float32(lr * g)
		}
		return
	}
	v = v[done:][:n]
	for i, g := range grad {
		g += float32(decay * x[i])
		w := float32(momentum*v[i]) + g
		v[i] = w
		if nesterov {
			w = g + float32(momentum*w)
		}
		x[i] -= float32(lr * w)
	}
}
