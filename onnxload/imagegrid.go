package onnxload

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

func imageOperators() map[string]operator {
	return map[string]operator{
		"GridSample":          {inputs: 2, most: 2, graph: gridSample},
		"AffineGrid":          {inputs: 2, most: 2, graph: affineGrid},
		"Col2Im":              {inputs: 3, most: 3, graph: col2im},
		"CausalConvWithState": {inputs: 2, most: 4, graph: causalConv},
	}
}

// gridSample is GridSample: X (N, C, spatial...) and a grid (N, places..., axes). Modes were called bilinear and bicubic
// before opset 20.
func gridSample(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	grid, err := c.data(1)
	if err != nil {
		return err
	}
	var a ops.GridAttr
	if a.Mode, err = c.string("mode", "linear"); err != nil {
		return err
	}
	switch a.Mode {
	case "bilinear":
		a.Mode = "linear"
	case "bicubic":
		a.Mode = "cubic"
	}
	if a.Padding, err = c.string("padding_mode", "zeros"); err != nil {
		return err
	}
	if a.AlignCorners, err = c.bool("align_corners", false); err != nil {
		return err
	}
	y, err := ops.GridSample(x, grid, a)
	return c.set(0, y, err)
}

// affineGrid is AffineGrid: the places that theta (N, r, r+1) moves those of a regular grid to. The size (N, C, d1, ..., dr)
// must be known.
func affineGrid(c *nodeCtx) error {
	theta, err := c.data(0)
	if err != nil {
		return err
	}
	size, err := c.constInts(1)
	if err != nil {
		return err
	}
	corners, err := c.bool("align_corners", false)
	if err != nil {
		return err
	}
	rank := len(size) - 2
	if rank < 1 || !slices.Equal(theta.Shape(), []int{size[0], rank, rank + 1}) {
		return fmt.Errorf("theta of shape %v for a size of %v", theta.Shape(), size)
	}
	spatial := size[2:]
	if n, ok := elements(append(slices.Clone(spatial), rank+1), hostLimit); !ok || n == 0 {
		return fmt.Errorf("a grid of size %v", size)
	}
	places := product(spatial)
	h, err := c.b.newHost(elemFLOAT, []int{1, places, rank + 1})
	if err != nil {
		return err
	}
	for k := range places {
		h.f[k*(rank+1)+rank] = 1
		rest := k
		for d := rank - 1; d >= 0; d-- { // the last axis is the first coordinate
			n := spatial[d]
			i := float64(rest % n)
			rest /= n
			v := (2*i+1)/float64(n) - 1
			if corners {
				v = 0 // of the only element, whose corners are on both sides
				if n > 1 {
					v = 2*i/float64(n-1) - 1
				}
			}
			h.f[k*(rank+1)+rank-1-d] = v
		}
	}
	base, err := c.b.constNode(c.b.unique(shownName(c.n, c.index)+".grid"), h)
	if err != nil {
		return err
	}
	if theta, err = ops.Transpose(theta, []int{0, 2, 1}); err != nil {
		return err
	}
	y, err := ops.MatMul(base, theta)
	if err != nil {
		return err
	}
	y, err = ops.Reshape(y, append(append([]int{size[0]}, spatial...), rank))
	return c.set(0, y, err)
}

// col2im is Col2Im: it adds up columns of blocks, (N, C*block, places), where they lie in images (N, C, spatial...). That is a
// transposed convolution in which each element of a block is a channel whose kernel is 1 at its place.
func col2im(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	image, err := c.constInts(1)
	if err != nil {
		return err
	}
	block, err := c.constInts(2)
	if err != nil {
		return err
	}
	rank := len(image)
	for _, l := range [][]int{image, block} {
		if n, ok := elements(l, c.b.opts.MaxElements); !ok || n == 0 || rank == 0 || len(l) != rank {
			return fmt.Errorf("images of %v and blocks of %v", image, block)
		}
	}
	a := ops.ConvAttr{}
	if a.Strides, err = c.sizes("strides", rank, 1, 1); err != nil {
		return err
	}
	if a.Dilations, err = c.sizes("dilations", rank, 1, 1); err != nil {
		return err
	}
	if a.Pads, err = c.sizes("pads", 2*rank, 0, 0); err != nil {
		return err
	}
	size := product(block)
	if x.Dims() != 3 || x.Shape()[1]%size != 0 {
		return fmt.Errorf("an input of shape %v with blocks of %v", x.Shape(), block)
	}
	a.Group = x.Shape()[1] / size
	places, extra := make([]int, rank), make([]int, rank)
	for d := range rank {
		room := image[d] + a.Pads[d] + a.Pads[rank+d] - (block[d]-1)*a.Dilations[d] - 1
		if room < 0 {
			return fmt.Errorf("blocks of %v do not fit into images of %v", block, image)
		}
		places[d], extra[d] = room/a.Strides[d]+1, room%a.Strides[d]
	}
	if product(places) != x.Shape()[2] {
		return fmt.Errorf("an input of shape %v; there are %v places for blocks", x.Shape(), places)
	}
	channels := x.Shape()[1]
	if x, err = ops.Reshape(x, append([]int{x.Shape()[0], channels}, places...)); err != nil {
		return err
	}
	h, err := c.b.newHost(elemFLOAT, append([]int{channels, 1}, block...))
	if err != nil {
		return err
	}
	for k := range channels {
		h.f[k*size+k%size] = 1
	}
	w, err := c.b.constNode(c.b.unique(shownName(c.n, c.index)+".places"), h)
	if err != nil {
		return err
	}
	y, err := ops.ConvTranspose(x, w, nil, a, extra)
	return c.set(0, y, err)
}

// causalConv is CausalConvWithState: a convolution of each channel of X (N, C, L) on its own that looks back, with the last k-1
// elements of earlier runs before it, and what to keep for the next.
func causalConv(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	w, err := c.weight(1, role{})
	if err != nil {
		return err
	}
	if x.Dims() != 3 || w.Dims() != 3 || w.Shape()[0] != x.Shape()[1] || w.Shape()[1] != 1 {
		return fmt.Errorf("an input of shape %v and weights of %v; (N, C, L) and (C, 1, k) are needed", x.Shape(), w.Shape())
	}
	k := w.Shape()[2]
	c.setRole(1, role{kind: roleWeight, fanIn: k})
	var bias *gorgonia.Node
	if c.has(2) {
		if bias, err = c.weight(2, role{kind: roleBias, fanIn: k}); err != nil {
			return err
		}
	}
	if c.has(3) && k > 1 {
		past, err := c.data(3)
		if err != nil {
			return err
		}
		if !slices.Equal(past.Shape(), []int{x.Shape()[0], x.Shape()[1], k - 1}) {
			return fmt.Errorf("a past state of shape %v for a kernel of %d", past.Shape(), k)
		}
		x, err = ops.Concat(2, past, x)
		if err != nil {
			return err
		}
	} else if x, err = ops.Pad(x, []int{0, 0, k - 1, 0, 0, 0}, 0, "constant"); err != nil {
		return err
	}
	if len(c.out) > 1 && c.out[1] != nil {
		s := x.Shape()
		size := []int{s[0], s[1], k - 1}
		var state *gorgonia.Node
		if k == 1 {
			state, err = ops.Nothing(x, size)
		} else {
			state, err = ops.Slice(x, []int{0, 0, s[2] - k + 1}, nil, size)
		}
		if err != nil {
			return err
		}
		if err := c.set(1, state, nil); err != nil {
			return err
		}
	}
	y, err := ops.Conv(x, w, bias, ops.ConvAttr{Group: w.Shape()[0]})
	if err != nil {
		return err
	}
	activation, err := c.string("activation", "none")
	if err != nil {
		return err
	}
	switch activation {
	case "none", "":
	case "silu", "swish":
		gate, err := ops.Sigmoid(y)
		if err != nil {
			return err
		}
		if y, err = ops.Mul(y, gate); err != nil {
			return err
		}
	default:
		return unsupportedf("activation %q", activation)
	}
	return c.set(0, y, nil)
}
