package onnxload

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// conv is Conv: X (N, C, spatial...), W (M, C/group, kernel...), optional B (M).
func conv(c *nodeCtx) error {
	x, w, kernel, err := c.convInputs()
	if err != nil {
		return err
	}
	var a ops.ConvAttr
	if a.Strides, a.Dilations, a.Pads, err = c.window(x.Shape()[2:], kernel); err != nil {
		return err
	}
	if a.Group, err = c.groups(); err != nil {
		return err
	}
	bias, err := c.convWeights(w, 2)
	if err != nil {
		return err
	}
	y, err := ops.Conv(x, w, bias, a)
	return c.set(0, y, err)
}

// convInputs returns what all convolutions have: X (N, C, spatial...), the weights W, whose axes from 2 on are the kernel's, and its sizes.
func (c *nodeCtx) convInputs() (x, w *gorgonia.Node, kernel []int, err error) {
	if x, err = c.data(0); err != nil {
		return
	}
	if w, err = c.weight(1, role{}); err != nil {
		return
	}
	rank := x.Dims() - 2
	if rank < 1 || w.Dims() != x.Dims() {
		err = fmt.Errorf("its weights of shape %v do not fit an input of shape %v", w.Shape(), x.Shape())
		return
	}
	kernel = w.Shape()[2:]
	k, err := c.sizes("kernel_shape", rank, 0, 1)
	if err == nil && c.attr("kernel_shape") != nil && !slices.Equal(k, kernel) {
		err = fmt.Errorf("its kernel_shape %v differs from its weights of shape %v", k, w.Shape())
	}
	return x, w, kernel, err
}

// convWeights gives the weights of a convolution their role. It returns the bias, which is input i, or nil.
func (c *nodeCtx) convWeights(w *gorgonia.Node, i int) (bias *gorgonia.Node, err error) {
	fanIn := w.Shape()[1:].TotalSize() // of the kernel and the input channels of a group, as PyTorch counts for both directions
	c.setRole(1, role{kind: roleWeight, fanIn: fanIn})
	if !c.has(i) {
		return nil, nil
	}
	return c.weight(i, role{kind: roleBias, fanIn: fanIn})
}

// window reads strides, dilations and pads of an operator that moves a window of the given kernel over the
// given spatial dimensions. auto_pad is resolved to pads.
func (c *nodeCtx) window(spatial, kernel []int) (strides, dilations, pads []int, err error) {
	rank := len(spatial)
	if strides, err = c.sizes("strides", rank, 1, 1); err != nil {
		return
	}
	if dilations, err = c.sizes("dilations", rank, 1, 1); err != nil {
		return
	}
	auto, err := c.string("auto_pad", "NOTSET")
	if err != nil {
		return
	}
	switch auto {
	case "NOTSET", "":
		pads, err = c.sizes("pads", 2*rank, 0, 0)
	case "VALID":
		pads = make([]int, 2*rank)
	case "SAME_UPPER", "SAME_LOWER":
		pads = make([]int, 2*rank)
		for d := range rank {
			// As many positions as strides begin inside the input; an odd pad goes to the end or the beginning.
			out := (spatial[d] + strides[d] - 1) / strides[d]
			total := max(0, (out-1)*strides[d]+(kernel[d]-1)*dilations[d]+1-spatial[d])
			pads[d], pads[rank+d] = total/2, total-total/2
			if auto == "SAME_LOWER" {
				pads[d], pads[rank+d] = pads[rank+d], pads[d]
			}
		}
	default:
		err = unsupportedf("auto_pad %q is unknown; it must be NOTSET, SAME_UPPER, SAME_LOWER or VALID", auto)
	}
	return
}
