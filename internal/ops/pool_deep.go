package ops

import "gorgonia.org/gorgonia"

// pooledDeep pools three and more spatial axes: first all but the outermost, layer by layer, then that one, its kernel
// being a column. A maximum and a mean over a box are those over its layers, and an element is in the padding or counts
// along each axis on its own; so the result is the same, and the first maximum too.
func pooledDeep(name string, x *gorgonia.Node, a PoolAttr) (*gorgonia.Node, error) {
	s := x.Shape()
	n, c, d := s[0], s[1], s[2]
	x, err := Reshape(x, append([]int{n, c * d}, s[3:]...))
	if err != nil {
		return nil, err
	}
	y, err := pooled(name, x, a.without(0))
	if err != nil {
		return nil, err
	}
	inner := append([]int(nil), y.Shape()[2:]...)
	if y, err = Reshape(y, []int{n, c, d, len0(inner)}); err != nil {
		return nil, err
	}
	if y, err = pooled(name, y, a.column()); err != nil {
		return nil, err
	}
	return Reshape(y, append([]int{n, c, y.Shape()[2]}, inner...))
}

// without returns the attributes of all spatial axes but one.
func (a PoolAttr) without(axis int) PoolAttr {
	rank := len(a.Kernel)
	drop := func(s []int, at ...int) []int {
		var out []int
		for i, v := range s {
			if i != at[0] && i != at[len(at)-1] {
				out = append(out, v)
			}
		}
		return out
	}
	a.Kernel, a.Strides, a.Dilations = drop(a.Kernel, axis), drop(a.Strides, axis), drop(a.Dilations, axis)
	a.Pads = drop(a.Pads, axis, rank+axis)
	return a
}

// column returns the attributes of the first spatial axis, followed by an axis of windows of one element.
func (a PoolAttr) column() PoolAttr {
	rank := len(a.Kernel)
	one := func(s []int) []int {
		if len(s) == 0 {
			return nil
		}
		return []int{s[0], 1}
	}
	a.Kernel, a.Strides, a.Dilations = one(a.Kernel), one(a.Strides), one(a.Dilations)
	if len(a.Pads) > 0 {
		a.Pads = []int{a.Pads[0], 0, a.Pads[rank], 0}
	}
	return a
}
