package ops

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// CumSum returns the sums of the elements up to each along an axis (ONNX CumSum): without the element itself if
// exclusive, and from the end on if reverse. Any type; floats are accumulated in float64.
func CumSum(x *gorgonia.Node, axis int, exclusive, reverse bool) (*gorgonia.Node, error) {
	run := func(o *liner, _ []int64, first, last int, out *Buf, in []*Buf) {
		for l := first; l < last; l++ {
			i, _ := o.starts(l)
			switch o.dt {
			case tensor.Float64:
				cumLine(out.F64[i:], in[0].F64[i:], o.n, o.inner, exclusive, reverse, 0, func(a, v float64) float64 { return a + v })
			case tensor.Float32:
				cumLine(out.F32[i:], in[0].F32[i:], o.n, o.inner, exclusive, reverse, 0, func(a, v float64) float64 { return a + v })
			default:
				cumInts(out.I64[i:], in[0].I64[i:], o.n, o.inner, exclusive, reverse, 0, func(a, v int64) int64 { return a + v })
			}
		}
	}
	return newLiner("CumSum", axis, -1, x.Dtype(), run, func(_ gorgonia.Nodes, _, dy *gorgonia.Node) (*gorgonia.Node, error) {
		return CumSum(dy, axis, exclusive, !reverse)
	}, x)
}

// CumProd is CumSum for products (ONNX CumProd).
func CumProd(x *gorgonia.Node, axis int, exclusive, reverse bool) (*gorgonia.Node, error) {
	run := func(o *liner, _ []int64, first, last int, out *Buf, in []*Buf) {
		for l := first; l < last; l++ {
			i, _ := o.starts(l)
			switch o.dt {
			case tensor.Float64:
				cumLine(out.F64[i:], in[0].F64[i:], o.n, o.inner, exclusive, reverse, 1, func(a, v float64) float64 { return a * v })
			case tensor.Float32:
				cumLine(out.F32[i:], in[0].F32[i:], o.n, o.inner, exclusive, reverse, 1, func(a, v float64) float64 { return a * v })
			default:
				cumInts(out.I64[i:], in[0].I64[i:], o.n, o.inner, exclusive, reverse, 1, func(a, v int64) int64 { return a * v })
			}
		}
	}
	return newLiner("CumProd", axis, -1, x.Dtype(), run, func(in gorgonia.Nodes, _, dy *gorgonia.Node) (*gorgonia.Node, error) {
		return cumProdGrad(in[0], dy, axis, exclusive, reverse)
	}, x)
}

// cumLine and cumInts go through a line of n elements, step apart.
func cumLine[T kernels.Float](y, x []T, n, step int, exclusive, reverse bool, start float64, f func(a, v float64) float64) {
	acc := start
	for k := range n {
		at := k * step
		if reverse {
			at = (n - 1 - k) * step
		}
		v := float64(x[at])
		if exclusive {
			y[at] = T(acc)
			acc = f(acc, v)
			continue
		}
		acc = f(acc, v)
		y[at] = T(acc)
	}
}

func cumInts(y, x []int64, n, step int, exclusive, reverse bool, start int64, f func(a, v int64) int64) {
	acc := start
	for k := range n {
		at := k * step
		if reverse {
			at = (n - 1 - k) * step
		}
		v := x[at]
		if exclusive {
			y[at] = acc
			acc = f(acc, v)
			continue
		}
		acc = f(acc, v)
		y[at] = acc
	}
}

// cumProdGrad: with P the product before element i and S the sum of dy[j] times the product of the elements between i
// and j, which has a recursion from the end, dx[i] = P*S. Nothing is divided, so zeros do no harm.
func cumProdGrad(x, dy *gorgonia.Node, axis int, exclusive, reverse bool) (*gorgonia.Node, error) {
	run := func(o *liner, _ []int64, first, last int, out *Buf, in []*Buf) {
		for l := first; l < last; l++ {
			i, _ := o.starts(l)
			if o.dt == tensor.Float64 {
				cumProdGradLine(out.F64[i:], in[0].F64[i:], in[1].F64[i:], o.n, o.inner, exclusive, reverse)
			} else {
				cumProdGradLine(out.F32[i:], in[0].F32[i:], in[1].F32[i:], o.n, o.inner, exclusive, reverse)
			}
		}
	}
	return newLiner("CumProdGrad", axis, -1, x.Dtype(), run, nil, x, dy)
}

func cumProdGradLine[T kernels.Float](dx, x, dy []T, n, step int, exclusive, reverse bool) {
	at := func(k int) int {
		if reverse {
			k = n - 1 - k
		}
		return k * step
	}
	s := 0.0
	for k := n - 1; k >= 0; k-- {
		if exclusive {
			dx[at(k)] = T(s)
			s = float64(dy[at(k)]) + float64(x[at(k)])*s
			continue
		}
		if k < n-1 {
			s *= float64(x[at(k+1)])
		}
		s += float64(dy[at(k)])
		dx[at(k)] = T(s)
	}
	p := 1.0
	for k := range n {
		dx[at(k)] = T(float64(dx[at(k)]) * p)
		p *= float64(x[at(k)])
	}
}
