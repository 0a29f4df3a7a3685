package onnxload

import (
	"cmp"
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

func visionOperators() map[string]operator {
	return map[string]operator{
		"RoiAlign":          {inputs: 3, most: 3, graph: roiAlign},
		"DeformConv":        {inputs: 3, most: 5, graph: deformConv},
		"NonMaxSuppression": {inputs: 2, most: 5, host: hostNonMaxSuppression},
	}
}

// roiAlign is RoiAlign: X (N, C, H, W), regions (R, 4), the sample of each (R). Before opset 16 coordinates are those of centres.
func roiAlign(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	regions, err := c.data(1)
	if err != nil {
		return err
	}
	batch, err := c.integers(2)
	if err != nil {
		return err
	}
	var a ops.RoiAttr
	mode, err := c.string("mode", "avg")
	if err != nil {
		return err
	}
	switch mode {
	case "avg":
	case "max":
		a.Max = true
	default:
		return unsupportedf("mode %q; avg and max are known", mode)
	}
	coordinates := "output_half_pixel"
	if c.opset >= 16 {
		if coordinates, err = c.string("coordinate_transformation_mode", "half_pixel"); err != nil {
			return err
		}
	}
	switch coordinates {
	case "output_half_pixel":
	case "half_pixel":
		a.HalfPixel = true
	default:
		return unsupportedf("coordinate_transformation_mode %q; half_pixel and output_half_pixel are known", coordinates)
	}
	for _, v := range []struct {
		name string
		at   *int
		def  int
	}{{"output_height", &a.Height, 1}, {"output_width", &a.Width, 1}, {"sampling_ratio", &a.Samples, 0}} {
		if *v.at, err = c.int(v.name, v.def); err != nil {
			return err
		}
	}
	if a.Scale, err = c.float("spatial_scale", 1); err != nil {
		return err
	}
	y, err := ops.RoiAlign(x, regions, batch, a)
	return c.set(0, y, err)
}

// deformConv is DeformConv: X (N, C, spatial...), W (M, C/group, kernel...), offset, optional B (M), optional mask.
func deformConv(c *nodeCtx) error {
	x, w, kernel, err := c.convInputs()
	if err != nil {
		return err
	}
	offset, err := c.data(2)
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
	groups, err := c.int("offset_group", 1)
	if err != nil {
		return err
	}
	bias, err := c.convWeights(w, 3)
	if err != nil {
		return err
	}
	var mask *gorgonia.Node
	if c.has(4) {
		if mask, err = c.data(4); err != nil {
			return err
		}
	}
	// Each place has a column of everything that the kernel sees.
	if s := offset.Shape(); len(s) == x.Dims() {
		columns := append([]int{x.Shape()[0], x.Shape()[1], product(kernel)}, s[2:]...)
		if _, ok := elements(columns, c.b.opts.MaxElements); !ok {
			return fmt.Errorf("its columns of shape %v have more than %d elements", columns, c.b.opts.MaxElements)
		}
	}
	y, err := ops.DeformConv(x, w, offset, bias, mask, groups, a)
	return c.set(0, y, err)
}

// hostNonMaxSuppression is NonMaxSuppression: boxes (N, B, 4), scores (N, C, B), and optional limits. Its result has a row, the sample,
// the class and the box, for every box that is kept.
func hostNonMaxSuppression(c *nodeCtx) (*host, error) {
	boxes, err := c.constant(0)
	if err != nil {
		return nil, err
	}
	scores, err := c.constant(1)
	if err != nil {
		return nil, err
	}
	if len(boxes.shape) != 3 || len(scores.shape) != 3 || boxes.shape[2] != 4 || boxes.shape[0] != scores.shape[0] || boxes.shape[1] != scores.shape[2] ||
		boxes.f == nil || scores.f == nil {
		return nil, fmt.Errorf("boxes of shape %v and scores of shape %v; floats of (N, B, 4) and (N, C, B) are needed", boxes.shape, scores.shape)
	}
	centred, err := c.bool("center_point_box", false)
	if err != nil {
		return nil, err
	}
	most, overlap, least := 0.0, 0.0, 0.0
	for i, v := range []*float64{&most, &overlap, &least} {
		if c.has(2 + i) {
			if *v, err = c.scalar(2 + i); err != nil {
				return nil, err
			}
		}
	}
	var kept []int64
	work := 0
	count, classes := boxes.shape[1], scores.shape[1]
	for n := range boxes.shape[0] {
		for class := range classes {
			score := scores.f[(n*classes+class)*count:][:count]
			order := make([]int, 0, count)
			for k := range count {
				if !c.has(4) || score[k] > least {
					order = append(order, k)
				}
			}
			slices.SortStableFunc(order, func(j, k int) int { return cmp.Compare(score[k], score[j]) })
			var chosen []box
			for _, k := range order {
				if float64(len(chosen)) >= most {
					break
				}
				if work += len(chosen); work > hostLimit {
					return nil, fmt.Errorf("more than %d pairs of boxes to be compared", hostLimit)
				}
				b := newBox(boxes.f[(n*count+k)*4:], centred)
				if !slices.ContainsFunc(chosen, func(o box) bool { return b.overlap(o) > overlap }) {
					chosen = append(chosen, b)
					kept = append(kept, int64(n), int64(class), int64(k))
				}
			}
		}
	}
	y, err := c.b.newHost(elemINT64, []int{len(kept) / 3, 3})
	if err == nil {
		copy(y.i, kept)
	}
	return y, err
}

// A box is a rectangle.
type box struct{ x0, y0, x1, y1 float64 }

// newBox reads y, x of two opposite corners, or x, y of the centre, the width and the height.
func newBox(v []float64, centred bool) box {
	if centred {
		return box{v[0] - v[2]/2, v[1] - v[3]/2, v[0] + v[2]/2, v[1] + v[3]/2}
	}
	return box{min(v[1], v[3]), min(v[0], v[2]), max(v[1], v[3]), max(v[0], v[2])}
}

func (b box) area() float64 { return max(0, b.x1-b.x0) * max(0, b.y1-b.y0) }

// overlap is the area of what b and o share as a part of what they cover together. It is rounded as the thresholds of a file are, so that
// two thirds are not more than two thirds.
func (b box) overlap(o box) float64 {
	both := box{max(b.x0, o.x0), max(b.y0, o.y0), min(b.x1, o.x1), min(b.y1, o.y1)}.area()
	if both == 0 {
		return 0
	}
	return float64(float32(both / (b.area() + o.area() - both)))
}
