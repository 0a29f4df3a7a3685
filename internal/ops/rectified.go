package ops

import (
	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// NormRelu returns Relu(z) where z is BatchNorm(x), BatchNormTrain included, with both in one pass over memory, to the bit
// what they are one after the other. It pays where nobody else reads z. ok is false where z is something else.
func NormRelu(z *gorgonia.Node) (y *gorgonia.Node, ok bool, err error) {
	o, is := z.Op().(*normalise)
	if !is || o.relu {
		return nil, false, nil
	}
	y, err = o.followed("Relu", childrenOf(z), rectified{relu: true})
	return y, true, err
}

// NormReluDropout returns Dropout(z, ratio, number) where z is a NormRelu, as that does.
func NormReluDropout(z *gorgonia.Node, ratio float64, number uint32) (y *gorgonia.Node, ok bool, err error) {
	o, is := z.Op().(*normalise)
	if !is || !o.relu || o.drop != nil || ratio == 0 {
		return nil, false, nil
	}
	drop, err := newDropout(z, ratio, number)
	if err == nil {
		y, err = o.followed("Dropout", childrenOf(z), rectified{relu: true, drop: drop})
	}
	return y, true, err
}

// followed returns what o gives of its operands with the rest r, named after o and what r has more.
func (o *normalise) followed(name string, operands []*gorgonia.Node, r rectified) (*gorgonia.Node, error) {
	return apply(&normalise{base{name: o.name + name, out: o.out, fixed: o.fixed}, o.channels, o.eps, o.train, r}, operands...)
}

// rectified is what happens to the elements of a result before they leave a cache: Relu if relu is set, and Dropout
// then if drop is. Their common derivative follows from the result y alone: it is 0 where y is, since a kept element was
// multiplied by at least 1, and the factor of Dropout elsewhere.
type rectified struct {
	relu bool
	drop *dropout
}

// inCache is the number of elements that stay in a first-level cache while several loops go over them.
const inCache = 1 << 11

// dropOf returns the dropout of an evaluation, if r has one.
func (r *rectified) dropOf(env *Env) (d kernels.Drop) {
	if r.drop != nil {
		d = r.drop.of(env)
	}
	return d
}

// finish applies r, whose dropOf is given, to the elements [from, to) of y.
func finish[T kernels.Float](r *rectified, d *kernels.Drop, y []T, from, to int) {
	if y = y[from:to]; r.relu {
		kernels.Relu(y, y)
	}
	if r.drop != nil {
		kernels.Dropout(d, y, y, from)
	}
}

// worker is how many elements of memory a worker needs for gradient.
func (r *rectified) worker() int {
	if r.relu {
		return inCache
	}
	return 0
}

// dropScale is what elements of the derivative are multiplied by where they are not 0.
func (r *rectified) dropScale() float64 {
	if r.drop != nil {
		return r.drop.scale()
	}
	return 1
}

// gradient returns n elements, from the given one on, of the derivative by what r was applied to: those of dy themselves or,
// of memory for so many, g. The operands are dy and, unless nothing is rectified, y.
func gradient[T kernels.Float](r *rectified, dyAndY []*Buf, g []T, from, n int) []T {
	dy := floats[T](dyAndY[0])[from : from+n]
	if !r.relu {
		return dy
	}
	kernels.RectifiedGrad(g, floats[T](dyAndY[1])[from:from+n], dy, T(r.dropScale()))
	return g[:n]
}
