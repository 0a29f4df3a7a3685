package kernels

import "math"

// AdamStep holds the coefficients of Adam.
type AdamStep struct {
	LR           float32 // the rate over 1-Beta1^t
	Root         float32 // 1/sqrt(1-Beta2^t)
	Beta1, Beta2 float32
	New1, New2   float32 // 1-Beta1, 1-Beta2
	Epsilon      float32
	Decay        float32 // added to the gradient, times the weight
	Shrink       float32 // multiplies the weight first: 1 without decoupled decay
}

// Adam is a step of Adam. For each i
//
//	g = grad[i] + Decay*x[i]
//	m[i] = Beta1*m[i] + New1*g
//	v[i] = Beta2*v[i] + (New2*g)*g
//	x[i] = Shrink*x[i] - LR*m[i]/(Root*sqrt(v[i]) + Epsilon)
func Adam(x, m, v, grad []float32, c AdamStep) {
	done := adamAsm(x, m, v, grad, &c)
	x, m, v, grad = x[done:], m[done:], v[done:], grad[done:]
	n := len(grad)
	x, m, v = x[:n], m[:n], v[:n]
	for i, g := range grad {
		q := x[i]
		g += float32(c.Decay * q)
		x[i] = float32(c.Shrink*q) - c.move(&m[i], &v[i], g)
	}
}

// move updates the moments with g and returns the step.
func (c *AdamStep) move(m, v *float32, g float32) float32 {
	first := float32(c.Beta1**m) + float32(c.New1*g)
	second := float32(c.Beta2**v) + float32(float32(c.New2*g)*g)
	*m, *v = first, second
	root := float32(math.Sqrt(float64(second)))
	return float32(c.LR*first) / (float32(c.Root*root) + c.Epsilon)
}
