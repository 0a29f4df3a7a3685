package ops

import "gorgonia.org/gorgonia"

// FoldNorm returns BatchNorm(x, ...) where x is a convolution, as one with other weights and another bias:
//
//	w' = w*a,  bias' = (bias-mean)*a + shift,  a = scale/sqrt(variance+eps).
//
// It pays where nobody else reads x and the weights stay for several runs. ok is false where x is something else.
func FoldNorm(x, scale, shift, mean, variance *gorgonia.Node, eps float64) (y *gorgonia.Node, ok bool, err error) {
	o, is := x.Op().(*conv)
	if !is {
		return nil, false, nil
	}
	if err := checkNorm(x, eps, scale, shift, mean, variance); err != nil {
		return nil, true, err
	}
	in := childrenOf(x)
	zero, err := zerosLike(scale)
	if err != nil {
		return nil, true, err
	}
	bias := zero
	if len(in) == 3 {
		bias = in[2]
	}
	w, err := byChannel(in[1], scale, zero, zero, variance, eps)
	if err != nil {
		return nil, true, err
	}
	if bias, err = byChannel(bias, scale, shift, mean, variance, eps); err != nil {
		return nil, true, err
	}
	y, err = apply(&conv{base{name: "Conv", out: o.out.Clone()}, o.c}, in[0], w, bias)
	return y, true, err
}

// byChannel is BatchNorm along the first axis.
func byChannel(x, scale, shift, mean, variance *gorgonia.Node, eps float64) (*gorgonia.Node, error) {
	rows := x.Shape()[0]
	y, err := Reshape(x, []int{1, rows, len0(x.Shape()) / rows})
	if err != nil {
		return nil, err
	}
	if y, err = BatchNorm(y, scale, shift, mean, variance, eps); err != nil {
		return nil, err
	}
	return Reshape(y, x.Shape())
}
