package ops

import "fmt"

// A dim is one loop of a nest over two operands: n steps, each of a elements in one and b in the other.
type dim struct{ n, a, b int }

// maxDims is how many loops a nest may have once neighbours are merged.
const maxDims = 12

// collapse drops loops of one step and merges neighbours that one loop can stand for. The order of the
// elements stays. The result has at least one loop, and steps of 0 elements only in a loop of its own.
func collapse(dims []dim) ([]dim, error) {
	var out []dim
	for _, d := range dims {
		if d.n == 1 {
			continue
		}
		if k := len(out) - 1; k >= 0 && out[k].a == d.n*d.a && out[k].b == d.n*d.b {
			out[k] = dim{out[k].n * d.n, d.a, d.b}
			continue
		}
		out = append(out, d)
	}
	if len(out) == 0 {
		out = []dim{{1, 1, 1}}
	}
	if len(out) > maxDims {
		return nil, fmt.Errorf("%d dimensions that cannot be merged, at most %d are known", len(out), maxDims)
	}
	return out, nil
}

// steps is the number of innermost steps of a nest.
func steps(dims []dim) int {
	n := 1
	for _, d := range dims {
		n *= d.n
	}
	return n
}

// A cursor is a place in a nest of loops, with the offsets into both operands.
type cursor struct {
	at   [maxDims]int
	a, b int
}

// seek moves to step k in row-major order. No loop may be empty.
func (c *cursor) seek(dims []dim, k int) {
	c.a, c.b = 0, 0
	for i := len(dims) - 1; i >= 0; i-- {
		d := &dims[i]
		c.at[i] = k % d.n
		k /= d.n
		c.a += c.at[i] * d.a
		c.b += c.at[i] * d.b
	}
}

// next moves one step on; after the last it is at the first again.
func (c *cursor) next(dims []dim) {
	for i := len(dims) - 1; i >= 0; i-- {
		d := &dims[i]
		c.at[i]++
		c.a += d.a
		c.b += d.b
		if c.at[i] < d.n {
			return
		}
		c.at[i] = 0
		c.a -= d.n * d.a
		c.b -= d.n * d.b
	}
}

// strides returns the strides of a dense row-major tensor.
func strides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}

// broadcastStrides returns the strides that read an operand of the given shape as if it were broadcast to out: 0
// along the axes that it lacks or has one element of. The shapes must fit.
func broadcastStrides(shape, out []int) []int {
	own := strides(shape)
	s := make([]int, len(out))
	lack := len(out) - len(shape)
	for i, n := range shape {
		if n != 1 || out[lack+i] == 1 {
			s[lack+i] = own[i]
		}
	}
	return s
}

// broadcast returns the shape that a and b have together by NumPy's rule: aligned at the last axis, an
// axis of one element, or a missing one, takes the other's size.
func broadcast(a, b []int) ([]int, error) {
	out := make([]int, max(len(a), len(b)))
	for i := range out {
		x, y := 1, 1
		if k := i - len(out) + len(a); k >= 0 {
			x = a[k]
		}
		if k := i - len(out) + len(b); k >= 0 {
			y = b[k]
		}
		switch {
		case x == y, y == 1:
			out[i] = x
		case x == 1:
			out[i] = y
		default:
			return nil, fmt.Errorf("shapes %v and %v do not broadcast: aligned at the last axis, %d meets %d", a, b, x, y)
		}
	}
	return out, nil
}

// axisOf turns an axis that may count from the end into one in [0, rank).
func axisOf(axis, rank int) (int, error) {
	if axis < -rank || axis >= rank {
		return 0, fmt.Errorf("axis %d is outside a tensor of %d dimensions", axis, rank)
	}
	if axis < 0 {
		axis += rank
	}
	return axis, nil
}
