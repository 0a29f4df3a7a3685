package onnxload

import (
	"fmt"
	"math"
	"slices"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

func resizeOperators() map[string]operator {
	return map[string]operator{
		"Resize":   {inputs: 1, most: 4, graph: resize},
		"Upsample": {inputs: 1, most: 2, graph: resize},
	}
}

// A resizing is how one axis is resized: from n elements to m, by a scale that need not be m/n.
type resizing struct {
	mode, coordinates, nearest string
	cubic                      float64 // coefficient a
	exclude, antialias         bool
	extrapolation              float64
	n, m                       int
	scale                      float64
	sized                      bool    // the scale is m/n
	start, end                 float64 // region, for tf_crop_and_resize
}

// resize is Resize and its predecessor Upsample. Every mode is a weighted sum along one axis after the other.
func resize(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	r, err := c.resizeAttrs()
	if err != nil {
		return err
	}
	shape := []int(x.Shape())
	perAxis, err := c.resizeAxes(r, shape)
	if err != nil {
		return err
	}
	out := slices.Clone(shape)
	for a, r := range perAxis {
		if out[a] = r.m; r.m < 1 {
			return unsupportedf("nothing is left of an input of shape %v", shape)
		}
	}
	if _, ok := elements(out, c.b.opts.MaxElements); !ok {
		return fmt.Errorf("its output of shape %v has more than %d elements", out, c.b.opts.MaxElements)
	}
	for a, r := range perAxis {
		if r.identity() {
			continue
		}
		if err := c.b.spend([]int{r.m}, r.bytes()); err != nil {
			return err
		}
		rows, add, err := r.taps()
		if err != nil {
			return err
		}
		// An axis that grows last keeps the intermediate tensors within the size of the output times the shrinking.
		if x, err = ops.Resample(x, a, rows, add); err != nil {
			return err
		}
		if _, ok := elements(x.Shape(), c.b.opts.MaxElements); !ok {
			return fmt.Errorf("on the way to shape %v it has a tensor of shape %v, of more than %d elements", out, x.Shape(), c.b.opts.MaxElements)
		}
	}
	return c.set(0, x, nil)
}

func (c *nodeCtx) resizeAttrs() (r resizing, err error) {
	if r.mode, err = c.string("mode", "nearest"); err != nil {
		return
	}
	if r.mode == "bilinear" {
		r.mode = "linear" // opset 1
	}
	r.coordinates, r.nearest, r.scale = "asymmetric", "floor", 1
	if c.n.GetOpType() == "Upsample" || c.opset < 11 {
		r.nearest = "floor or ceil" // as ONNX 1.5's test cases have it
		if r.mode != "nearest" && r.mode != "linear" {
			err = unsupportedf("mode %q; nearest and linear are supported", r.mode)
		}
		return
	}
	if r.mode != "nearest" && r.mode != "linear" && r.mode != "cubic" {
		return r, unsupportedf("mode %q; nearest, linear and cubic are supported", r.mode)
	}
	if r.coordinates, err = c.string("coordinate_transformation_mode", "half_pixel"); err != nil {
		return
	}
	if r.nearest, err = c.string("nearest_mode", "round_prefer_floor"); err != nil {
		return
	}
	if r.cubic, err = c.float("cubic_coeff_a", -0.75); err != nil {
		return
	}
	if r.extrapolation, err = c.float("extrapolation_value", 0); err != nil {
		return
	}
	if r.exclude, err = c.bool("exclude_outside", false); err != nil {
		return
	}
	r.antialias, err = c.bool("antialias", false)
	return
}

// resizeAxes reads scales, sizes and the region, and returns how each axis is resized.
func (c *nodeCtx) resizeAxes(r resizing, shape []int) ([]resizing, error) {
	list := make([]int, len(shape))
	for a := range list {
		list[a] = a
	}
	if which, err := c.ints("axes"); err != nil {
		return nil, err
	} else if which != nil {
		if list, err = axes(which, len(shape)); err != nil {
			return nil, err
		}
	}
	perAxis := make([]resizing, len(shape))
	for a, n := range shape {
		perAxis[a] = r
		perAxis[a].n, perAxis[a].m, perAxis[a].end = n, n, 1
	}
	scales, sizes, region, err := c.resizeInputs()
	if err != nil {
		return nil, err
	}
	if r.coordinates == "tf_crop_and_resize" {
		if len(region) != 2*len(list) {
			return nil, fmt.Errorf("its region has %d numbers; %d axes need %d", len(region), len(list), 2*len(list))
		}
		for k, a := range list {
			perAxis[a].start, perAxis[a].end = region[k], region[len(list)+k]
		}
	}
	if len(sizes) > 0 {
		return perAxis, c.resizeSizes(perAxis, list, sizes)
	}
	if len(scales) != len(list) {
		return nil, fmt.Errorf("it has %d scales and %d sizes for %d axes", len(scales), len(sizes), len(list))
	}
	for k, a := range list {
		s := scales[k]
		// Scales are float32 in the file; a product with a size is too, so that 0.6*5 is 3 as elsewhere.
		m := math.Floor(float64(float32(s) * float32(shape[a])))
		if !(s > 0) || !(m <= 1<<31) {
			return nil, fmt.Errorf("it scales axis %d of shape %v by %v", a, shape, s)
		}
		perAxis[a].scale, perAxis[a].m = s, int(m)
	}
	return perAxis, nil
}

func (c *nodeCtx) resizeInputs() (scales []float64, sizes []int, region []float64, err error) {
	floats := func(i int) ([]float64, error) {
		h, err := c.constant(i)
		if err != nil || h.size() == 0 {
			return nil, err
		}
		if h.f == nil {
			return nil, fmt.Errorf("its input %d holds integers", i)
		}
		return h.f, nil
	}
	at := 2 // of scales
	switch {
	case c.n.GetOpType() == "Upsample" && c.opset < 9:
		a, err := c.attrFloats("scales")
		return a, nil, nil, err
	case c.n.GetOpType() == "Upsample" || c.opset < 11:
		at = 1
	case c.has(1):
		if region, err = floats(1); err != nil {
			return
		}
	}
	if c.has(at) {
		if scales, err = floats(at); err != nil {
			return
		}
	}
	if at == 2 && c.has(3) {
		sizes, err = c.constInts(3)
	}
	return
}

func (c *nodeCtx) attrFloats(name string) ([]float64, error) {
	a := c.attr(name)
	if a == nil {
		return nil, fmt.Errorf("it has no %s", name)
	}
	var x []float64
	for _, v := range a.Floats {
		x = append(x, float64(v))
	}
	return x, nil
}

// resizeSizes sets sizes and scales from the sizes that are asked for, which are bounds if the aspect ratio is kept.
func (c *nodeCtx) resizeSizes(perAxis []resizing, list, sizes []int) error {
	if len(sizes) != len(list) {
		return fmt.Errorf("it has %d sizes for %d axes", len(sizes), len(list))
	}
	policy, err := c.string("keep_aspect_ratio_policy", "stretch")
	if err != nil {
		return err
	}
	common := math.NaN()
	for k, a := range list {
		if sizes[k] < 0 || sizes[k] > 1<<31 {
			return fmt.Errorf("its sizes are %v", sizes)
		}
		s := float64(sizes[k]) / float64(perAxis[a].n)
		perAxis[a].m, perAxis[a].scale, perAxis[a].sized = sizes[k], s, true
		switch {
		case policy == "not_larger" && !(s >= common), policy == "not_smaller" && !(s <= common):
			common = s
		}
	}
	switch policy {
	case "stretch":
		return nil
	case "not_larger", "not_smaller":
	default:
		return unsupportedf("keep_aspect_ratio_policy %q; stretch, not_larger and not_smaller are known", policy)
	}
	for _, a := range list {
		r := &perAxis[a]
		r.scale, r.sized, r.m = common, false, int(math.Floor(common*float64(r.n)+0.5))
	}
	return nil
}

func (r *resizing) identity() bool {
	return r.m == r.n && r.scale == 1 && (r.coordinates != "tf_crop_and_resize" || r.start == 0 && r.end == 1) && r.coordinates != "tf_half_pixel_for_nn"
}

// bytes is about what the weighted sums of the axis take, and those of the derivative: a long axis of one number a place takes more for
// them than for its numbers.
func (r *resizing) bytes() int64 {
	reach := map[string]float64{"nearest": 0, "linear": 1, "cubic": 2}[r.mode]
	if r.antialias {
		reach /= min(r.scale, 1)
	}
	taps := 2*min(reach, 1<<20) + 1
	return 2*int64(r.m)*(32+32*int64(taps)) + 32*int64(r.n)
}

// taps returns the weighted sums of the axis, and what is added to each: the value outside of the region.
func (r *resizing) taps() (rows [][]ops.Tap, add []float64, err error) {
	for i := range r.m {
		x, err := r.position(i)
		if err != nil {
			return nil, nil, err
		}
		if r.coordinates == "tf_crop_and_resize" && (x < 0 || x > float64(r.n-1)) {
			if add == nil {
				add = make([]float64, r.m)
			}
			add[i] = r.extrapolation
			rows = append(rows, nil)
			continue
		}
		row, err := r.weights(x)
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, row)
	}
	return rows, add, nil
}

// position returns where element i of the result lies in the input. If sizes are given, places on or between elements are met exactly. If
// scales are, the mode nearest computes in float32: a scale such as 1.2 leads almost to an element, so the rounding decides, and PyTorch
// and onnxruntime round so.
func (r *resizing) position(i int) (float64, error) {
	if r.sized {
		n, m, i := float64(r.n), float64(r.m), float64(i) // below 2^53 all steps but the division are exact
		switch r.coordinates {
		case "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel":
			if r.m == 1 && r.coordinates == "pytorch_half_pixel" {
				return 0, nil
			}
			return ((2*i+1)*n - m) / (2 * m), nil
		case "align_corners":
			return i * (n - 1) / max(m-1, 1), nil
		case "asymmetric":
			return i * n / m, nil
		}
	}
	if r.mode == "nearest" {
		x, err := positionOf(r, float32(i))
		return float64(x), err
	}
	return positionOf(r, float64(i))
}

func positionOf[T float32 | float64](r *resizing, i T) (T, error) {
	n, m, scale := T(r.n), T(r.m), T(r.scale)
	switch r.coordinates {
	case "half_pixel":
		return (i+0.5)/scale - 0.5, nil
	case "half_pixel_symmetric":
		return T(n/2*(1-m/T(scale*n))) + (i+0.5)/scale - 0.5, nil
	case "pytorch_half_pixel":
		if r.m > 1 {
			return (i+0.5)/scale - 0.5, nil
		}
		return 0, nil
	case "align_corners":
		if length := T(scale * n); length != 1 {
			return i * (n - 1) / (length - 1), nil
		}
		return 0, nil
	case "asymmetric":
		return i / scale, nil
	case "tf_half_pixel_for_nn":
		return (i + 0.5) / scale, nil
	case "tf_crop_and_resize":
		start, end := T(r.start), T(r.end)
		if r.m > 1 {
			return T(start*(n-1)) + i*(end-start)*(n-1)/(m-1), nil
		}
		return 0.5 * (start + end) * (n - 1), nil
	}
	return 0, unsupportedf("coordinate_transformation_mode %q", r.coordinates)
}

// weights returns the taps around a position. A tap outside stands for the element at the border, or, if exclude is set, has
// no weight.
func (r *resizing) weights(x float64) ([]ops.Tap, error) {
	if r.mode == "nearest" {
		k, err := r.nearestOf(x)
		return []ops.Tap{{Index: r.clamp(k), Weight: 1}}, err
	}
	reach, kernel := 1.0, func(d float64) float64 { return max(0, 1-math.Abs(d)) }
	if r.mode == "cubic" {
		reach, kernel = 2, r.keys
	}
	scale := 1.0
	if r.antialias {
		scale = min(r.scale, 1)
	}
	if reach /= scale; !(reach < 1<<20) {
		return nil, unsupportedf("antialiasing over %g elements", reach)
	}
	var row []ops.Tap
	sum := 0.0
	base := math.Floor(x)
	for k := base + math.Floor(-reach) + 1; k < base+math.Ceil(reach)+1; k++ {
		w := kernel((k - x) * scale)
		if r.exclude && (k < 0 || k > float64(r.n-1)) {
			w = 0
		}
		if w == 0 {
			continue
		}
		sum += w
		i := r.clamp(k)
		if at := len(row) - 1; at >= 0 && row[at].Index == i {
			row[at].Weight += w
		} else {
			row = append(row, ops.Tap{Index: i, Weight: w})
		}
	}
	if r.exclude || r.antialias {
		for i := range row {
			row[i].Weight /= sum
		}
	}
	return row, nil
}

func (r *resizing) clamp(k float64) int { return int(min(max(k, 0), float64(r.n-1))) }

func (r *resizing) nearestOf(x float64) (float64, error) {
	switch r.nearest {
	case "round_prefer_floor":
		return math.Ceil(x - 0.5), nil
	case "round_prefer_ceil":
		return math.Floor(x + 0.5), nil
	case "floor":
		return math.Floor(x), nil
	case "ceil":
		return math.Ceil(x), nil
	case "floor or ceil":
		if r.scale < 1 {
			return math.Ceil(x), nil
		}
		return math.Floor(x), nil
	}
	return 0, unsupportedf("nearest_mode %q", r.nearest)
}

// keys is the cubic convolution kernel with coefficient a (Keys 1981, equation 4).
func (r *resizing) keys(d float64) float64 {
	a := r.cubic
	d = math.Abs(d)
	switch {
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return ((a*d-5*a)*d+8*a)*d - 4*a
	}
	return 0
}
