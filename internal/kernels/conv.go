package kernels

// Conv is a two-dimensional convolution of fixed sizes, as neural networks have it (a correlation):
//
//	y[n,m,i,j] = bias[m] + sum over c,u,v of w[m,c,u,v] * x[n, g*C/Groups+c, i*StrideH+u*DilationH-PadTop, j*StrideW+v*DilationW-PadLeft]
//
// where g = m/(M/Groups) is the group of m, c < C/Groups, and x is 0 outside. x is (N,C,H,W), w
// (M,C/Groups,KH,KW), y (N,M,OH,OW), all dense, no size 0. Padding below and to the right is in OH and OW.
//
// It is a matrix product over a matrix that is never held whole: its rows, the taps k = (c,u,v), meet its
// columns, the positions q = (n,i,j), in x[k,q]. Parts are blocks of positions, cut by the sizes alone.
type Conv struct {
	N, C, H, W           int
	M, KH, KW            int
	OH, OW               int
	StrideH, StrideW     int
	DilationH, DilationW int
	PadTop, PadLeft      int
	Groups               int
}

const (
	// colsBlock is about the size of a block of x[k,q]: 256 KiB of float32, half of a second-level cache.
	colsBlock    = 1 << 16
	maxPositions = 1024
	minPositions = 32
)

// taps is the number of products in an element of y.
func (c *Conv) taps() int { return c.C / c.Groups * c.KH * c.KW }

// area is the number of positions in one sample.
func (c *Conv) area() int { return c.OH * c.OW }

// blocks returns how positions are cut: into whole samples, so many together, or a sample into blocks of
// so many positions.
func (c *Conv) blocks() (samples, positions int) {
	n := min(colsBlock/c.taps(), maxPositions, ceilDiv(c.Groups*c.N*c.area(), enoughParts))
	n = max(n/minPositions, 1) * minPositions
	if c.area() > n {
		return 1, n
	}
	return min(n/c.area(), c.N), c.area()
}

// A run is a rectangle of positions in one sample or, if it is all of them, in several: rows [i, i+rows) and
// columns [j, j+cols), seen by one tap. The part where x[k,q] is inside the image, rows [top, bottom) and
// columns [left, right), starts at x[at], or is empty.
type run struct {
	samples                  int
	i, rows, j, cols         int
	top, bottom, left, right int
	at                       int
}

// A tap is one row of x[k,q] on the way through positions.
type tap struct {
	c                        *Conv
	channel, dh, dw          int
	top, bottom, left, right int // positions whose element is inside the image
	n, i, j                  int // the next position
}

func (c *Conv) tap(group, k, q int) tap {
	t := tap{c: c, channel: group*(c.C/c.Groups) + k/(c.KH*c.KW)}
	t.dh = k/c.KW%c.KH*c.DilationH - c.PadTop
	t.dw = k%c.KW*c.DilationW - c.PadLeft
	t.top, t.bottom = inside(t.dh, c.StrideH, c.H, c.OH)
	t.left, t.right = inside(t.dw, c.StrideW, c.W, c.OW)
	t.n, t.i, t.j = q/c.area(), q%c.area()/c.OW, q%c.OW
	return t
}

// inside returns the range of i < out with 0 <= i*stride+d < size.
func inside(d, stride, size, out int) (first, end int) {
	if d < 0 {
		first = ceilDiv(-d, stride)
	}
	if size > d {
		end = ceilDiv(size-d, stride)
	}
	return min(first, out), min(end, out)
}

// next returns the rectangle that starts at the next position, with at most left positions, and goes on.
func (t *tap) next(left int) run {
	c := t.c
	r := run{samples: 1, i: t.i, rows: 1, j: t.j, cols: min(c.OW-t.j, left)}
	if t.j == 0 && left >= c.OW {
		r.rows = min(c.OH-t.i, left/c.OW)
		if r.rows == c.OH {
			r.samples = left / c.area()
		}
	}
	r.top, r.bottom = min(max(t.top, r.i), r.i+r.rows), min(t.bottom, r.i+r.rows)
	r.left, r.right = min(max(t.left, r.j), r.j+r.cols), min(t.right, r.j+r.cols)
	if r.bottom <= r.top || r.right <= r.left {
		r.bottom, r.right = r.top, r.left
	}
	r.at = ((t.n*c.C+t.channel)*c.H+r.top*c.StrideH+t.dh)*c.W + r.left*c.StrideW + t.dw
	if t.j += r.cols; t.j == c.OW {
		t.j = 0
		t.i += r.rows
	}
	if t.i == c.OH {
		t.i = 0
		t.n += r.samples
	}
	return r
}

// gather sets dst[q-q0] = x[k,q] for q in [q0, q1), where k = (channel of the group, row, column).
func gather[T Float](c *Conv, dst, x []T, group, k, q0, q1 int) {
	t := c.tap(group, k, q0)
	for dst = dst[:q1-q0]; len(dst) > 0; {
		r := t.next(len(dst))
		area := r.rows * r.cols
		d := dst[:r.samples*area]
		dst = dst[len(d):]
		if r.bottom-r.top < r.rows || r.right-r.left < r.cols {
			clear(d)
		}
		if r.bottom == r.top {
			continue
		}
		d = d[(r.top-r.i)*r.cols+r.left-r.j:]
		rows, cols := r.bottom-r.top, r.right-r.left
		if c.StrideW == 1 {
			copyRows(rects[T]{d, area, r.cols}, rects[T]{x[r.at:], c.C * c.H * c.W, c.StrideH * c.W}, r.samples, rows, cols)
			continue
		}
		for n := range r.samples {
			for i := range rows {
				from := r.at + (n*c.C*c.H+i*c.StrideH)*c.W
				row := d[n*area+i*r.cols:][:cols]
				for j := range row {
					row[j] = x[from]
					from += c.StrideW
				}
			}
		}
	}
}

// scatter is the transpose of gather: it adds src[q-q0] to x[k,q].
func scatter[T Float](c *Conv, x, src []T, group, k, q0, q1 int) {
	t := c.tap(group, k, q0)
	for src = src[:q1-q0]; len(src) > 0; {
		r := t.next(len(src))
		area := r.rows * r.cols
		s := src[:r.samples*area]
		src = src[len(s):]
		if r.bottom == r.top {
			continue
		}
		s = s[(r.top-r.i)*r.cols+r.left-r.j:]
		rows, cols := r.bottom-r.top, r.right-r.left
		if c.StrideW == 1 {
			addRows(rects[T]{x[r.at:], c.C * c.H * c.W, c.StrideH * c.W}, rects[T]{s, area, r.cols}, r.samples, rows, cols)
			continue
		}
		for n := range r.samples {
			for i := range rows {
				to := r.at + (n*c.C*c.H+i*c.StrideH)*c.W
				for _, v := range s[n*area+i*r.cols:][:cols] {
					x[to] += v
					to += c.StrideW
				}
			}
		}
	}
}

// oddLine rounds the length of a row up such that rows start in different sets of a cache, and that tiles
// of any level can be read to their full width.
func oddLine(n int) int { return roundUp(n, maxTileCols) + 16 }
