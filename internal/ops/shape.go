package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Reshape returns x's elements in another shape, whose product must be the same.
func Reshape(x *gorgonia.Node, shape []int) (*gorgonia.Node, error) {
	if err := needSizes("Reshape", shape); err != nil {
		return nil, err
	}
	if len0(shape) != len0(x.Shape()) {
		return nil, fmt.Errorf("ops: Reshape: shape %v has %d elements, %v would have %d", x.Shape(), len0(x.Shape()), tensor.Shape(shape), len0(shape))
	}
	if sameShape(shape, x.Shape()) {
		return x, nil
	}
	return viewOf(x, 0, shape)
}

// Transpose returns y with y's axis i being x's axis perm[i] (ONNX Transpose); nil reverses the axes.
func Transpose(x *gorgonia.Node, perm []int) (*gorgonia.Node, error) {
	shape := x.Shape()
	if perm == nil {
		for i := range shape {
			perm = append(perm, len(shape)-1-i)
		}
	}
	if len(perm) != len(shape) {
		return nil, fmt.Errorf("ops: Transpose: perm %v does not fit shape %v", perm, shape)
	}
	out := make(tensor.Shape, len(perm))
	seen := make([]bool, len(perm))
	for i, p := range perm {
		if p < 0 || p >= len(perm) || seen[p] {
			return nil, fmt.Errorf("ops: Transpose: perm %v is not a permutation of 0 to %d", perm, len(perm)-1)
		}
		seen[p] = true
		out[i] = shape[p]
	}
	from, to := strides(shape), strides(out)
	dims := make([]dim, len(perm))
	for i, p := range perm {
		dims[i] = dim{out[i], from[p], to[i]}
	}
	y, err := box("Transpose", x, out, 0, 0, dims, 0)
	if err == nil {
		if o, ok := y.Op().(*region); ok {
			o.perm = perm
		}
	}
	return y, err
}

// Slice returns sizes[k] elements along each axis k: those at starts[k], starts[k]+steps[k], ... Steps may be
// negative; nil means 1. All must be inside x.
func Slice(x *gorgonia.Node, starts, steps, sizes []int) (*gorgonia.Node, error) {
	shape := x.Shape()
	if steps == nil {
		for range shape {
			steps = append(steps, 1)
		}
	}
	if len(starts) != len(shape) || len(steps) != len(shape) || len(sizes) != len(shape) {
		return nil, fmt.Errorf("ops: Slice: %d starts, %d steps and %d sizes for shape %v; one an axis is needed", len(starts), len(steps), len(sizes), shape)
	}
	if err := needSizes("Slice", sizes); err != nil {
		return nil, err
	}
	st, to := strides(shape), strides(sizes)
	from := 0
	dims := make([]dim, len(shape))
	for k, n := range sizes {
		if n > 0 {
			if end := starts[k] + (n-1)*steps[k]; min(starts[k], end) < 0 || max(starts[k], end) >= shape[k] {
				return nil, fmt.Errorf("ops: Slice: axis %d: elements %d to %d by %d are outside of shape %v", k, starts[k], end, steps[k], shape)
			}
			if steps[k] == 0 && n > 1 {
				return nil, fmt.Errorf("ops: Slice: axis %d has a step of 0", k)
			}
			from += starts[k] * st[k]
		}
		dims[k] = dim{n, steps[k] * st[k], to[k]}
	}
	if len0(sizes) == 0 {
		from = 0
	}
	return box("Slice", x, sizes, from, 0, dims, 0)
}

// Expand returns x repeated to the given shape, which must be what x's shape broadcasts to.
func Expand(x *gorgonia.Node, shape []int) (*gorgonia.Node, error) {
	if err := needSizes("Expand", shape); err != nil {
		return nil, err
	}
	if sameShape(shape, x.Shape()) {
		return x, nil
	}
	if b, err := broadcast(x.Shape(), shape); err != nil {
		return nil, fmt.Errorf("ops: Expand: %w", err)
	} else if !sameShape(b, shape) {
		return nil, fmt.Errorf("ops: Expand: shape %v does not fit into %v", x.Shape(), tensor.Shape(shape))
	}
	if len0(shape) == len0(x.Shape()) {
		return Reshape(x, shape)
	}
	from, to := broadcastStrides(x.Shape(), shape), strides(shape)
	dims := make([]dim, len(shape))
	for i, n := range shape {
		dims[i] = dim{n, from[i], to[i]}
	}
	whole := x.Shape()
	return newRegion("Expand", x, shape, 0, 0, dims, 0, func(dy *gorgonia.Node) (*gorgonia.Node, error) {
		return sumTo(dy, whole)
	})
}

// Pad adds pads[k] elements before and pads[rank+k] after axis k (ONNX Pad); negative numbers remove
// elements. The new elements are value (mode "constant"), the mirrored inside without its border
// ("reflect"), the nearest element ("edge"), or the tensor again ("wrap"); only constant mode may remove.
func Pad(x *gorgonia.Node, pads []int, value float64, mode string) (*gorgonia.Node, error) {
	shape := x.Shape()
	rank := len(shape)
	if len(pads) != 2*rank {
		return nil, fmt.Errorf("ops: Pad: %d pads for shape %v; %d are needed", len(pads), shape, 2*rank)
	}
	switch mode {
	case "constant", "":
		return padConstant(x, pads, value)
	case "reflect", "edge", "wrap":
	default:
		return nil, fmt.Errorf("ops: Pad: mode %q is unknown; constant, reflect, edge and wrap are known", mode)
	}
	for k := range rank {
		before, after := pads[k], pads[rank+k]
		if before == 0 && after == 0 {
			continue
		}
		n := shape[k]
		most := n - 1 // a mirror has no more
		if mode != "reflect" && n > 0 {
			most = math.MaxInt
		}
		if before < 0 || after < 0 || before > most || after > most {
			return nil, fmt.Errorf("ops: Pad: mode %s cannot add %d and %d elements to axis %d of shape %v", mode, before, after, k, shape)
		}
		index := make([]int, before+n+after)
		for i := range index {
			j := i - before
			switch mode {
			case "edge":
				j = max(0, min(j, n-1))
			case "wrap":
				j = ((j % n) + n) % n
			default:
				if j = abs(j); j >= n {
					j = 2*(n-1) - j
				}
			}
			index[i] = j
		}
		var err error
		if x, err = Take(x, k, index); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func padConstant(x *gorgonia.Node, pads []int, value float64) (*gorgonia.Node, error) {
	shape := x.Shape()
	rank := len(shape)
	out := make(tensor.Shape, rank)
	for k, n := range shape {
		if out[k] = n + pads[k] + pads[rank+k]; out[k] < 0 {
			return nil, fmt.Errorf("ops: Pad: pads %d and %d remove more than axis %d of shape %v has", pads[k], pads[rank+k], k, shape)
		}
	}
	if sameShape(out, shape) && allZero(pads) {
		return x, nil
	}
	from, to := 0, 0
	sx, sy := strides(shape), strides(out)
	dims := make([]dim, rank)
	for k, n := range shape {
		first, last := max(0, -pads[k]), min(n, n+pads[rank+k]) // what remains of x
		dims[k] = dim{max(0, last-first), sx[k], sy[k]}
		from += first * sx[k]
		to += (first + pads[k]) * sy[k]
	}
	return box("Pad", x, out, from, to, dims, value)
}

func allZero(v []int) bool {
	for _, x := range v {
		if x != 0 {
			return false
		}
	}
	return true
}

// needSizes returns an error unless all sizes are 0 or more and their product fits an int.
func needSizes(name string, shape []int) error {
	n := 1
	for _, d := range shape {
		if d < 0 {
			return fmt.Errorf("ops: %s: shape %v has a negative size", name, tensor.Shape(shape))
		}
		if d > 0 && n > math.MaxInt/8/d {
			return fmt.Errorf("ops: %s: shape %v is too large", name, tensor.Shape(shape))
		}
		n *= max(d, 1)
	}
	return nil
}
