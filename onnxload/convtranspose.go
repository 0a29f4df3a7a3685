package onnxload

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// convTranspose is ConvTranspose: X (N, C, spatial...), W (C, M/group, kernel...), optional B (M).
func convTranspose(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	w, err := c.weight(1, role{})
	if err != nil {
		return err
	}
	rank := x.Dims() - 2
	if rank < 1 || w.Dims() != x.Dims() {
		return fmt.Errorf("its weights of shape %v do not fit an input of shape %v", w.Shape(), x.Shape())
	}
	kernel := []int(w.Shape()[2:])
	if k, err := c.sizes("kernel_shape", rank, 0, 1); err != nil {
		return err
	} else if c.attr("kernel_shape") != nil && !slices.Equal(k, kernel) {
		return fmt.Errorf("its kernel_shape %v differs from its weights of shape %v", k, w.Shape())
	}
	a, extra, err := c.spread(x.Shape()[2:], kernel)
	if err != nil {
		return err
	}
	// Each output sums over the kernel and the input channels of its group, as PyTorch's initialisation counts.
	fanIn := w.Shape()[1:].TotalSize()
	c.setRole(1, role{kind: roleWeight, fanIn: fanIn})
	var bias *gorgonia.Node
	if c.has(2) {
		if bias, err = c.weight(2, role{kind: roleBias, fanIn: fanIn}); err != nil {
			return err
		}
	}
	y, err := ops.ConvTranspose(x, w, bias, a, extra)
	return c.set(0, y, err)
}

// spread reads the attributes of a transposed convolution. output_shape and auto_pad become pads, which are negative
// where the output is larger than what the kernel reaches.
func (c *nodeCtx) spread(spatial, kernel []int) (a ops.ConvAttr, extra []int, err error) {
	rank := len(spatial)
	if a.Strides, err = c.sizes("strides", rank, 1, 1); err != nil {
		return
	}
	if a.Dilations, err = c.sizes("dilations", rank, 1, 1); err != nil {
		return
	}
	if extra, err = c.sizes("output_padding", rank, 0, 0); err != nil {
		return
	}
	if a.Group, err = c.groups(); err != nil {
		return
	}
	auto, err := c.string("auto_pad", "NOTSET")
	if err != nil {
		return
	}
	var want []int
	switch auto {
	case "NOTSET", "":
		a.Pads, err = c.sizes("pads", 2*rank, 0, 0)
	case "VALID":
		a.Pads = make([]int, 2*rank)
	case "SAME_UPPER", "SAME_LOWER":
		want = make([]int, rank)
		for d := range rank {
			want[d] = spatial[d] * a.Strides[d]
		}
	default:
		err = unsupportedf("auto_pad %q is unknown; it must be NOTSET, SAME_UPPER, SAME_LOWER or VALID", auto)
	}
	if err != nil {
		return
	}
	if c.attr("output_shape") != nil {
		if want, err = c.ints("output_shape"); err != nil {
			return
		}
		if len(want) == rank+2 { // older exporters counted the batch and the channels
			want = want[2:]
		}
		if len(want) != rank {
			return a, nil, fmt.Errorf("its output_shape %v is not for %d spatial dimensions", want, rank)
		}
	}
	if want == nil {
		return
	}
	a.Pads = make([]int, 2*rank)
	for d := range rank {
		if want[d] < 1 || want[d] > 1<<31 {
			return a, nil, fmt.Errorf("its output_shape is %v", want)
		}
		total := a.Strides[d]*(spatial[d]-1) + extra[d] + (kernel[d]-1)*a.Dilations[d] + 1 - want[d]
		half := max(total, 0) / 2
		before, after := total-half, half
		if auto == "SAME_UPPER" || total < 0 {
			before, after = half, total-half
		}
		a.Pads[d], a.Pads[rank+d] = before, after
	}
	return
}
