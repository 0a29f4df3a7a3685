package onnxload

import (
	"fmt"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// convTranspose is ConvTranspose: X (N, C, spatial...), W (C, M/group, kernel...), optional B (M).
func convTranspose(c *nodeCtx) error {
	x, w, kernel, err := c.convInputs()
	if err != nil {
		return err
	}
	a, extra, err := c.spread(x.Shape()[2:], kernel)
	if err != nil {
		return err
	}
	bias, err := c.convWeights(w, 2)
	if err != nil {
		return err
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
