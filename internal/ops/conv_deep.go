package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
)

// maxLayers bounds the two-dimensional convolutions that one of more dimensions is made of.
const maxLayers = 1 << 12

// convDeep is Conv over three and more spatial axes: the sum, over the elements of the kernel along the first of
// them, of convolutions over the others. Each sees the layers of x that its element meets as samples:
//
//	y[n,m,i,...] = bias[m] + sum over u of conv(x[n, :, i*stride+u*dilation-pad, ...], w[:, :, u, ...])
func convDeep(x, w, bias *gorgonia.Node, a ConvAttr) (*gorgonia.Node, error) {
	sx, sw := x.Shape(), w.Shape()
	if err := noneEmpty("Conv", sx, sw); err != nil {
		return nil, err
	}
	s, err := newSpatial("Conv", sx[2:], sw[2:], a.Strides, a.Dilations, a.Pads, false)
	if err != nil {
		return nil, err
	}
	if layers := len0(sw[2 : len(sw)-2]); layers > maxLayers {
		return nil, fmt.Errorf("ops: Conv: w of shape %v has %d layers; at most %d are supported", sw, layers, maxLayers)
	}
	first := s[0]
	x, err = swapAxes(x, 1, 2) // (N, D, C, ...)
	if err != nil {
		return nil, err
	}
	pads := make([]int, 2*len(sx))
	pads[1], pads[len(sx)+1] = first.before, first.after
	if x, err = Pad(x, pads, 0, "constant"); err != nil {
		return nil, err
	}
	var y *gorgonia.Node
	for u := range first.kernel {
		xu, err := layersOf(x, u*first.dilation, first.stride, first.out)
		if err != nil {
			return nil, err
		}
		wu, err := kernelLayer(w, u)
		if err != nil {
			return nil, err
		}
		yu, err := Conv(xu, wu, bias, a.inner(len(s)))
		if err != nil {
			return nil, err
		}
		bias = nil // once is enough
		if y == nil {
			y = yu
		} else if y, err = Add(y, yu); err != nil {
			return nil, err
		}
	}
	if y, err = Reshape(y, append([]int{sx[0], first.out}, y.Shape()[1:]...)); err != nil {
		return nil, err
	}
	return swapAxes(y, 1, 2)
}

// inner returns the attributes without those of the first of rank spatial axes.
func (a ConvAttr) inner(rank int) ConvAttr {
	if len(a.Strides) > 0 {
		a.Strides = a.Strides[1:]
	}
	if len(a.Dilations) > 0 {
		a.Dilations = a.Dilations[1:]
	}
	if len(a.Pads) > 0 {
		a.Pads = append(append([]int(nil), a.Pads[1:rank]...), a.Pads[rank+1:]...)
	}
	return a
}

func swapAxes(x *gorgonia.Node, i, j int) (*gorgonia.Node, error) {
	perm := make([]int, len(x.Shape()))
	for k := range perm {
		perm[k] = k
	}
	perm[i], perm[j] = j, i
	return Transpose(x, perm)
}

// layersOf returns x[:, first + step*i] for i < n, x being (N, D, C, ...), as n layers of each of N samples: (N*n, C, ...).
func layersOf(x *gorgonia.Node, first, step, n int) (*gorgonia.Node, error) {
	sizes := append([]int(nil), x.Shape()...)
	starts, steps := make([]int, len(sizes)), make([]int, len(sizes))
	for k := range steps {
		steps[k] = 1
	}
	starts[1], steps[1], sizes[1] = first, step, n
	y, err := Slice(x, starts, steps, sizes)
	if err != nil {
		return nil, err
	}
	return Reshape(y, append([]int{sizes[0] * n}, sizes[2:]...))
}

// kernelLayer returns w[:, :, u].
func kernelLayer(w *gorgonia.Node, u int) (*gorgonia.Node, error) {
	sizes := append([]int(nil), w.Shape()...)
	starts := make([]int, len(sizes))
	starts[2], sizes[2] = u, 1
	y, err := Slice(w, starts, nil, sizes)
	if err != nil {
		return nil, err
	}
	return Reshape(y, append(sizes[:2:2], sizes[3:]...))
}
