package kernels

import "github.com/onnx-entropy/onnx-entropy/internal/rng"

// The rarer forms of Entropy-SGD's updates; update.go has the common ones.

// EntropyInnerLate is EntropyInner with weight decay after the momentum:
//
//	g = grad[i] + Decay*p[i]
//	v[i] = Momentum*v[i] + g
//	p[i] = p[i] - LR*(g + Momentum*v[i] + late*p[i] - Gamma*(x[i]-p[i])) + Noise*xi
//	mu[i] = Keep*mu[i] + Alpha*p[i]
func EntropyInnerLate(p, mu, v, x, grad []float32, from int, late float32, c InnerStep) {
	var noise [256]float32
	for at := 0; at < len(grad); at += len(noise) {
		end := min(at+len(noise), len(grad))
		if c.Noise != 0 {
			c.Stream.Normals(noise[:end-at], from+at)
		}
		for i := at; i < end; i++ {
			q := p[i]
			g := grad[i] + float32(c.Decay*q)
			w := float32(c.Momentum*v[i]) + g
			v[i] = w
			step := g + float32(c.Momentum*w) + float32(late*q) - float32(c.Gamma*(x[i]-q))
			q = q - float32(c.LR*step) + float32(c.Noise*noise[i-at])
			p[i] = q
			mu[i] = float32(c.Keep*mu[i]) + float32(c.Alpha*q)
		}
	}
}

// EntropyInnerAdam is EntropyInnerLate with Adam in place of momentum; m and v are the moments and a holds the
// coefficients, of which Decay and Shrink are not used:
//
//	g = grad[i] + Decay*p[i]
//	p[i] = p[i] - adam(g) - LR*(late*p[i] - Gamma*(x[i]-p[i])) + Noise*xi
//	mu[i] = Keep*mu[i] + Alpha*p[i]
func EntropyInnerAdam(p, mu, m, v, x, grad []float32, from int, late float32, c InnerStep, a AdamStep) {
	var noise [256]float32
	for at := 0; at < len(grad); at += len(noise) {
		end := min(at+len(noise), len(grad))
		if c.Noise != 0 {
			c.Stream.Normals(noise[:end-at], from+at)
		}
		for i := at; i < end; i++ {
			q := p[i]
			step := a.move(&m[i], &v[i], grad[i]+float32(c.Decay*q))
			pull := float32(late*q) - float32(c.Gamma*(x[i]-q))
			q = q - step - float32(c.LR*pull) + float32(c.Noise*noise[i-at])
			p[i] = q
			mu[i] = float32(c.Keep*mu[i]) + float32(c.Alpha*q)
		}
	}
}

// OuterStep holds the coefficients of EntropyOuterGeneral.
type OuterStep struct {
	LR       float32 // eta
	Scale    float32 // of x - mu
	Decay    float32
	Momentum float32 // M
	Noise    float32 // sqrt(eta) eps; 0: no numbers are drawn
	Stream   rng.Stream
}

// EntropyOuterGeneral ends an outer step and prepares the next, as EntropyOuter, with
//
//	d = Scale*(x[i]-mu[i]) + Decay*x[i]
//	v[i] = Momentum*v[i] + d
//	x[i] = x[i] - LR*(d + Momentum*v[i]) + Noise*xi
//
// where xi is normal number from+i of the stream. v is empty if Momentum is 0.
func EntropyOuterGeneral(x, mu, p, inner, v []float32, from int, c OuterStep) {
	clear(inner)
	var noise [256]float32
	for at := 0; at < len(x); at += len(noise) {
		end := min(at+len(noise), len(x))
		if c.Noise != 0 {
			c.Stream.Normals(noise[:end-at], from+at)
		}
		for i := at; i < end; i++ {
			q := x[i]
			d := float32(c.Scale*(q-mu[i])) + float32(c.Decay*q)
			if len(v) != 0 {
				w := float32(c.Momentum*v[i]) + d
				v[i] = w
				d += float32(c.Momentum * w)
			}
			q = q - float32(c.LR*d) + float32(c.Noise*noise[i-at])
			x[i], p[i], mu[i] = q, q, q
		}
	}
}

// EntropyOuterAdam is EntropyOuterGeneral with Adam in place of momentum; m and v are the moments and a holds
// the coefficients, of which Decay and Shrink are not used.
func EntropyOuterAdam(x, mu, p, inner, m, v []float32, from int, c OuterStep, a AdamStep) {
	clear(inner)
	var noise [256]float32
	for at := 0; at < len(x); at += len(noise) {
		end := min(at+len(noise), len(x))
		if c.Noise != 0 {
			c.Stream.Normals(noise[:end-at], from+at)
		}
		for i := at; i < end; i++ {
			q := x[i]
			d := float32(c.Scale*(q-mu[i])) + float32(c.Decay*q)
			q = q - a.move(&m[i], &v[i], d) + float32(c.Noise*noise[i-at])
			x[i], p[i], mu[i] = q, q, q
		}
	}
}
