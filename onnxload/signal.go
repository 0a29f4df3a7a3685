package onnxload

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

func signalOperators() map[string]operator {
	return map[string]operator{
		"HannWindow":      {inputs: 1, most: 1, host: window(0.5, 0.5, 0)},
		"HammingWindow":   {inputs: 1, most: 1, host: window(25./46, 21./46, 0)},
		"BlackmanWindow":  {inputs: 1, most: 1, host: window(0.42, 0.5, 0.08)},
		"MelWeightMatrix": {inputs: 5, most: 5, host: melWeights},
		"DFT":             {inputs: 1, most: 3, graph: dft, fold: true},
		"STFT":            {inputs: 2, most: 4, graph: stft, fold: true},
	}
}

// window is one of the windows a0 - a1 cos(2 pi k/n) + a2 cos(4 pi k/n), k from 0; n is the length, or for a symmetric window
// one less. (HannWindow, HammingWindow and BlackmanWindow, opset 17)
func window(a0, a1, a2 float64) func(*nodeCtx) (*host, error) {
	return func(c *nodeCtx) (*host, error) {
		size, err := c.length(0)
		if err != nil {
			return nil, err
		}
		periodic, err := c.bool("periodic", true)
		if err != nil {
			return nil, err
		}
		y, err := c.floatHost("output_datatype", []int{size})
		if err != nil {
			return nil, err
		}
		n := float64(size)
		if !periodic {
			n = max(n-1, 1)
		}
		for k := range y.f {
			p := 2 * math.Pi * float64(k) / n
			y.f[k] = round(y.elem, a0-a1*math.Cos(p)+a2*math.Cos(2*p))
		}
		return y, nil
	}
}

// length is input i, which must be one number that is not negative and not beyond all measure.
func (c *nodeCtx) length(i int) (int, error) {
	x, err := c.scalar(i)
	if err != nil {
		return 0, err
	}
	if n := int(x); x >= 0 && x < hostLimit && float64(n) == x {
		return n, nil
	}
	return 0, fmt.Errorf("its input %d is %g, which is no length", i, x)
}

// floatHost makes a constant of the type that an attribute names, by default float32.
func (c *nodeCtx) floatHost(attribute string, shape []int) (*host, error) {
	elem, err := c.int(attribute, int(elemFLOAT))
	if err != nil {
		return nil, err
	}
	if !onnxpb.IsFloat(int32(elem)) {
		return nil, unsupportedf("results of type %s", onnxpb.TypeName(int32(elem)))
	}
	return c.b.newHost(int32(elem), shape)
}

// melWeights is MelWeightMatrix (opset 17): the triangles that sum the bins of a spectrum to bands which are equally wide in
// mel, 2595 log10(1 + f/700). The edges of the triangles are rounded down to bins.
func melWeights(c *nodeCtx) (*host, error) {
	bands, err := c.length(0)
	if err != nil {
		return nil, err
	}
	length, err := c.length(1)
	if err != nil {
		return nil, err
	}
	var v [3]float64 // sample rate, lowest and highest frequency in hertz
	for i := range v {
		if v[i], err = c.scalar(2 + i); err != nil {
			return nil, err
		}
	}
	if !(v[0] > 0 && v[1] >= 0 && v[2] >= v[1] && v[2] <= v[0]) {
		return nil, fmt.Errorf("bands from %g to %g Hz at %g samples a second", v[1], v[2], v[0])
	}
	bins := length/2 + 1
	y, err := c.floatHost("output_datatype", []int{bins, bands})
	if err != nil {
		return nil, err
	}
	mel := func(f float64) float64 { return 2595 * math.Log10(1+f/700) }
	step := (mel(v[2]) - mel(v[1])) / float64(bands+2)
	edge := func(k int) int {
		f := 700 * (math.Pow(10, (mel(v[1])+step*float64(k))/2595) - 1)
		return int(float64(length+1) * f / v[0])
	}
	for b := range bands {
		low, top, high := edge(b), edge(b+1), edge(b+2)
		for k := max(low, 0); k < min(high, bins); k++ {
			w := 1.0
			switch {
			case k < top:
				w = float64(k-low) / float64(top-low)
			case high > top:
				w = float64(high-k) / float64(high-top)
			}
			y.f[k*bands+b] = round(y.elem, w)
		}
		if top < bins {
			y.f[top*bands+b] = 1
		}
	}
	return y, nil
}

// dft is DFT: a product with the matrix of the transform, along one axis. Complex numbers are pairs in the last dimension.
func dft(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	rank := x.Dims()
	if rank < 2 {
		return fmt.Errorf("a signal of shape %v, which has no dimension for complex numbers", x.Shape())
	}
	a := -2
	if c.opset < 20 {
		a, err = c.int("axis", 1)
	} else if c.has(2) {
		var list []int
		if list, err = c.constInts(2); err == nil && len(list) != 1 {
			err = fmt.Errorf("its input 2 is no axis")
		}
		if err == nil {
			a = list[0]
		}
	}
	if err != nil {
		return err
	}
	if a, err = axis(a, rank, rank-1); err != nil {
		return err
	}
	inverse, err := c.bool("inverse", false)
	if err != nil {
		return err
	}
	onesided, err := c.bool("onesided", false)
	if err != nil {
		return err
	}
	n := x.Shape()[a]
	if inverse && onesided {
		n = 2 * (n - 1)
	}
	if c.has(1) {
		if n, err = c.length(1); err != nil {
			return err
		}
	}
	y, err := c.transform(x, a, n, inverse, onesided)
	return c.set(0, y, err)
}

// transform is the discrete Fourier transform of length n along an axis. One-sided, it gives n/2+1 bins of real numbers, and its
// inverse takes as many and gives real numbers.
func (c *nodeCtx) transform(x *gorgonia.Node, a, n int, inverse, onesided bool) (*gorgonia.Node, error) {
	shape := slices.Clone([]int(x.Shape()))
	last := len(shape) - 1
	parts := shape[last]
	if parts != 1 && parts != 2 {
		return nil, fmt.Errorf("a signal of shape %v; its last dimension must be 1 (real) or 2 (complex)", shape)
	}
	if n < 1 {
		return nil, fmt.Errorf("a transform of length %d", n)
	}
	if onesided && parts != 1+int(boolInt(inverse)) {
		return nil, fmt.Errorf("a one-sided transform of a signal of shape %v", shape)
	}
	from, to, results := min(shape[a], n), n, 2
	switch {
	case onesided && inverse:
		from, results = min(shape[a], n/2+1), 1
	case onesided:
		to = n/2 + 1
	}
	// The matrix has a row for each part of each number that goes in, and a column for each that comes out. Numbers beyond
	// those that there are count as 0.
	h, err := c.b.newHost(elemDOUBLE, []int{from * parts, to * results})
	if err != nil {
		return nil, err
	}
	for j := range from {
		for k := range to {
			s, co := math.Sincos(2 * math.Pi * float64(j*k%n) / float64(n))
			if !inverse {
				s = -s
			}
			weight := 1.0
			if inverse {
				weight /= float64(n)
			}
			if inverse && onesided && j > 0 && 2*j != n {
				weight *= 2 // stands for its mirror image too
			}
			s, co = s*weight, co*weight
			for p := range parts {
				re, im := co, s
				if p == 1 { // i times as much
					re, im = -s, co
				}
				row := h.f[(j*parts+p)*to*results+k*results:]
				row[0] = re
				if results == 2 {
					row[1] = im
				}
			}
		}
	}
	m, err := c.known(h)
	if err != nil {
		return nil, err
	}
	// The axis goes next to the pairs, and both become one dimension.
	perm, back := moved(len(shape), a, last-1), moved(len(shape), last-1, a)
	starts, steps, sizes := make([]int, len(shape)), slices.Repeat([]int{1}, len(shape)), slices.Clone(shape)
	sizes[a] = from
	if x, err = ops.Slice(x, starts, steps, sizes); err != nil {
		return nil, err
	}
	if x, err = ops.Transpose(x, perm); err != nil {
		return nil, err
	}
	outer := []int(x.Shape())[:last-1]
	if x, err = ops.Reshape(x, []int{product(outer), from * parts}); err != nil {
		return nil, err
	}
	if x, err = ops.MatMul(x, m); err != nil {
		return nil, err
	}
	if x, err = ops.Reshape(x, append(slices.Clone(outer), to, results)); err != nil {
		return nil, err
	}
	return ops.Transpose(x, back)
}

// moved is the permutation that takes an axis from one place to another and keeps the order of the rest.
func moved(rank, from, to int) []int {
	perm := make([]int, 0, rank)
	for d := range rank {
		if d != from {
			perm = append(perm, d)
		}
	}
	return slices.Insert(perm, to, from)
}

// stft is STFT (opset 17): the transforms of pieces of a signal (N, length, 1 or 2), each multiplied by a window.
func stft(c *nodeCtx) error {
	x, err := c.data(0)
	if err != nil {
		return err
	}
	if x.Dims() != 3 {
		return fmt.Errorf("a signal of shape %v; it must be of three dimensions", x.Shape())
	}
	step, err := c.length(1)
	if err != nil {
		return err
	}
	batch, length, parts := x.Shape()[0], x.Shape()[1], x.Shape()[2]
	n := length
	var w *gorgonia.Node
	if c.has(2) {
		if w, err = c.data(2); err != nil {
			return err
		}
		if w.Dims() != 1 {
			return fmt.Errorf("a window of shape %v", w.Shape())
		}
		n = w.Shape()[0]
	}
	if c.has(3) {
		if n, err = c.length(3); err != nil {
			return err
		}
	}
	if step < 1 || n < 1 || n > length || w != nil && w.Shape()[0] != n {
		return fmt.Errorf("frames of %d numbers, in steps of %d, from a signal of %d", n, step, length)
	}
	onesided, err := c.bool("onesided", true)
	if err != nil {
		return err
	}
	frames := (length-n)/step + 1
	if _, ok := elements([]int{batch, frames, n, parts}, c.b.opts.MaxElements); !ok {
		return fmt.Errorf("%d frames of %d numbers are more than %d", frames, n, c.b.opts.MaxElements)
	}
	index := make([]int, 0, frames*n)
	for f := range frames {
		for k := range n {
			index = append(index, f*step+k)
		}
	}
	if x, err = ops.Take(x, 1, index); err != nil {
		return err
	}
	if x, err = ops.Reshape(x, []int{batch, frames, n, parts}); err != nil {
		return err
	}
	if w != nil {
		if w, err = ops.Reshape(w, []int{n, 1}); err != nil {
			return err
		}
		if x, err = ops.Mul(x, w); err != nil {
			return err
		}
	}
	y, err := c.transform(x, 2, n, false, onesided)
	return c.set(0, y, err)
}
