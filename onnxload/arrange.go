package onnxload

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// split is Split: pieces of its input along an axis. Their sizes are an attribute before opset 13 and then an input;
// without them the pieces are equal, from opset 18 with a smaller last one.
func split(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	a, err := c.int("axis", 0)
	if err != nil {
		return err
	}
	if a, err = axis(a, x.Dims(), x.Dims()); err != nil {
		return err
	}
	n := x.Shape()[a]
	sizes, err := c.pieces(n)
	if err != nil {
		return err
	}
	total := 0
	for _, s := range sizes {
		if s < 0 || s > n {
			return fmt.Errorf("pieces of %v of an axis of %d", sizes, n)
		}
		total += s
	}
	if total != n || len(sizes) != len(c.out) {
		return fmt.Errorf("pieces of %v for %d outputs, of an axis of %d", sizes, len(c.out), n)
	}
	starts := make([]int, x.Dims())
	for k, s := range sizes {
		if c.out[k] != nil {
			shape := slices.Clone([]int(x.Shape()))
			shape[a] = s
			if s == 0 && c.scratch == nil {
				return unsupportedf("piece %d has no elements", k)
			}
			y, err := ops.Slice(x, starts, nil, shape)
			if err := c.set(k, y, err); err != nil {
				return err
			}
		}
		starts[a] += s
	}
	return nil
}

func (c *nodeCtx) pieces(n int) ([]int, error) {
	if c.opset < 13 {
		if sizes, err := c.ints("split"); sizes != nil || err != nil {
			return sizes, err
		}
	}
	if c.has(1) {
		return c.constInts(1)
	}
	number := len(c.out)
	if c.opset >= 18 {
		m, err := c.int("num_outputs", number)
		if err != nil {
			return nil, err
		}
		if m != number {
			return nil, fmt.Errorf("num_outputs is %d, and it has %d outputs", m, number)
		}
	} else if n%number != 0 {
		return nil, fmt.Errorf("an axis of %d cannot be cut into %d equal pieces", n, number)
	}
	each := (n + number - 1) / number
	sizes := make([]int, number)
	for k := range sizes {
		sizes[k] = max(0, min(each, n-k*each))
	}
	return sizes, nil
}

// tile is Tile: its input repeated along every axis.
func tile(c *nodeCtx) error {
	x, err := c.any(0)
	if err != nil {
		return err
	}
	rank := x.Dims()
	repeats, err := c.constInts(1)
	if err != nil {
		return err
	}
	if c.opset < 6 {
		// Input 1 is the number, and input 2 the axis.
		at, err := c.constInts(2)
		if err != nil {
			return err
		}
		if len(repeats) != 1 || len(at) != 1 || at[0] < 0 || at[0] >= rank {
			return fmt.Errorf("repeats %v along axis %v of an input of %d dimensions", repeats, at, rank)
		}
		n := repeats[0]
		repeats = slices.Repeat([]int{1}, rank)
		repeats[at[0]] = n
	}
	if len(repeats) != rank {
		return fmt.Errorf("%d repeats for an input of %d dimensions", len(repeats), rank)
	}
	apart, wide, out := []int{}, []int{}, []int{}
	for k, n := range x.Shape() {
		if repeats[k] < 0 || repeats[k] > 1<<31 {
			return fmt.Errorf("repeats %v", repeats)
		}
		apart = append(apart, 1, n)
		wide = append(wide, repeats[k], n)
		out = append(out, repeats[k]*n)
	}
	if n, ok := elements(out, c.b.opts.MaxElements); !ok || n == 0 && c.scratch == nil {
		return fmt.Errorf("its output of shape %v has no or more than %d elements", out, c.b.opts.MaxElements)
	}
	y, err := ops.Reshape(x, apart)
	if err == nil {
		y, err = ops.Expand(y, wide)
	}
	if err == nil {
		y, err = ops.Reshape(y, out)
	}
	return c.set(0, y, err)
}

// depthToSpace is DepthToSpace: blocks of channels become blocks of pixels.
func depthToSpace(c *nodeCtx) error {
	mode, err := c.string("mode", "DCR")
	if err != nil {
		return err
	}
	x, b, err := c.blocks()
	if err != nil {
		return err
	}
	n, ch, h, w := x.Shape()[0], x.Shape()[1], x.Shape()[2], x.Shape()[3]
	if ch%(b*b) != 0 {
		return fmt.Errorf("%d channels cannot be cut into blocks of %dx%d", ch, b, b)
	}
	split, perm := []int{n, b, b, ch / (b * b), h, w}, []int{0, 3, 4, 1, 5, 2}
	if mode == "CRD" {
		split, perm = []int{n, ch / (b * b), b, b, h, w}, []int{0, 1, 4, 2, 5, 3}
	} else if mode != "DCR" {
		return fmt.Errorf("its attribute \"mode\" is %q; DCR and CRD are known", mode)
	}
	y, err := rearranged(x, split, perm, []int{n, ch / (b * b), h * b, w * b})
	return c.set(0, y, err)
}

// spaceToDepth is SpaceToDepth: blocks of pixels become channels; mode CRD from opset 28 on keeps those of a channel together.
func spaceToDepth(c *nodeCtx) error {
	mode, err := c.string("mode", "DCR")
	if err != nil {
		return err
	}
	x, b, err := c.blocks()
	if err != nil {
		return err
	}
	n, ch, h, w := x.Shape()[0], x.Shape()[1], x.Shape()[2], x.Shape()[3]
	if h%b != 0 || w%b != 0 {
		return fmt.Errorf("%dx%d pixels cannot be cut into blocks of %dx%d", h, w, b, b)
	}
	perm := []int{0, 3, 5, 1, 2, 4}
	if mode == "CRD" {
		perm = []int{0, 1, 3, 5, 2, 4}
	} else if mode != "DCR" {
		return fmt.Errorf("its attribute \"mode\" is %q; DCR and CRD are known", mode)
	}
	y, err := rearranged(x, []int{n, ch, h / b, b, w / b, b}, perm, []int{n, ch * b * b, h / b, w / b})
	return c.set(0, y, err)
}

// blocks reads the input and the block size of the two.
func (c *nodeCtx) blocks() (*gorgonia.Node, int, error) {
	x, err := c.any(0)
	if err != nil {
		return nil, 0, err
	}
	b, err := c.int("blocksize", 0)
	if err != nil {
		return nil, 0, err
	}
	if x.Dims() != 4 || b < 1 || b > 1<<15 {
		return nil, 0, fmt.Errorf("blocks of size %d in an input of shape %v; images of 4 dimensions are wanted", b, x.Shape())
	}
	return x, b, nil
}

func rearranged(x *gorgonia.Node, apart, perm, to []int) (*gorgonia.Node, error) {
	y, err := ops.Reshape(x, apart)
	if err == nil {
		y, err = ops.Transpose(y, perm)
	}
	if err == nil {
		y, err = ops.Reshape(y, to)
	}
	return y, err
}

// hostEyeLike is EyeLike: ones on a diagonal of a matrix of the input's shape.
func hostEyeLike(c *nodeCtx) (*host, error) {
	shape, err := c.in[0].dims()
	if err != nil {
		return nil, err
	}
	if len(shape) != 2 {
		return nil, fmt.Errorf("an input of shape %v, which is no matrix", shape)
	}
	elem, err := c.int("dtype", int(c.elemOf(0)))
	if err != nil {
		return nil, err
	}
	k, err := c.int("k", 0)
	if err != nil {
		return nil, err
	}
	if !onnxpb.IsFloat(int32(elem)) && !onnxpb.IsInt(int32(elem)) {
		return nil, unsupportedf("a matrix of %s", onnxpb.TypeName(int32(elem)))
	}
	y, err := c.b.newHost(int32(elem), shape)
	if err != nil {
		return nil, err
	}
	for r := range shape[0] {
		switch at := r*shape[1] + r + k; {
		case r+k < 0 || r+k >= shape[1]:
		case y.f != nil:
			y.f[at] = 1
		default:
			y.i[at] = 1
		}
	}
	return y, nil
}
