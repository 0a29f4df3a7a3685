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

// gather sets dst[(q-q0)*step] = x[k,q] for q in [q0, q1), where k = (channel of the group, row, column).
func gather[T Float](c *Conv, dst []T, step int, x []T, group, k, q0, q1 int) {
	channel := group*(c.C/c.Groups) + k/(c.KH*c.KW)
	dh := k/c.KW%c.KH*c.DilationH - c.PadTop
	dw := k%c.KW*c.DilationW - c.PadLeft
	first, end := c.inside(dw)
	n, i, j := q0/c.area(), q0%c.area()/c.OW, q0%c.OW
	at := 0
	for q := q0; q < q1; {
		stop := min(c.OW, j+q1-q)
		lo := min(max(first, j), stop)
		hi := max(min(end, stop), lo)
		h := i*c.StrideH + dh
		if h < 0 || h >= c.H {
			lo, hi = stop, stop
		}
		for ; j < lo; j++ {
			dst[at] = 0
			at += step
		}
		if hi > lo {
			base := ((n*c.C+channel)*c.H+h)*c.W + dw
			switch {
			case c.StrideW > 1:
				from := base + lo*c.StrideW
				for range hi - lo {
					dst[at] = x[from]
					at += step
					from += c.StrideW
				}
			case step > 1:
				for _, v := range x[base+lo : base+hi] {
					dst[at] = v
					at += step
				}
			case hi-lo < 16:
				d := dst[at:][:hi-lo]
				for i, v := range x[base+lo : base+hi][:len(d)] {
					d[i] = v
				}
				at += hi - lo
			default:
				copy(dst[at:], x[base+lo:base+hi])
				at += hi - lo
			}
			j = hi
		}
		for ; j < stop; j++ {
			dst[at] = 0
			at += step
		}
		q = q0 + at/step
		if j = 0; i+1 < c.OH {
			i++
		} else {
			i = 0
			n++
		}
	}
}

// scatter is the transpose of gather: it adds src[q-q0] to x[k,q].
func scatter[T Float](c *Conv, x, src []T, group, k, q0, q1 int) {
	channel := group*(c.C/c.Groups) + k/(c.KH*c.KW)
	dh := k/c.KW%c.KH*c.DilationH - c.PadTop
	dw := k%c.KW*c.DilationW - c.PadLeft
	first, end := c.inside(dw)
	n, i, j := q0/c.area(), q0%c.area()/c.OW, q0%c.OW
	for q := q0; q < q1; {
		stop := min(c.OW, j+q1-q)
		lo := min(max(first, j), stop)
		hi := max(min(end, stop), lo)
		if h := i*c.StrideH + dh; h >= 0 && h < c.H && hi > lo {
			base := ((n*c.C+channel)*c.H+h)*c.W + dw
			s := src[q-q0+lo-j:][:hi-lo]
			if c.StrideW == 1 {
				d := x[base+lo : base+hi][:len(s)]
				for i, v := range s {
					d[i] += v
				}
			} else {
				to := base + lo*c.StrideW
				for _, v := range s {
					x[to] += v
					to += c.StrideW
				}
			}
		}
		q += stop - j
		if j = 0; i+1 < c.OH {
			i++
		} else {
			i = 0
			n++
		}
	}
}

// inside returns the range of columns j of y with 0 <= j*StrideW+dw < W.
func (c *Conv) inside(dw int) (first, end int) {
	if dw < 0 {
		first = ceilDiv(-dw, c.StrideW)
	}
	if c.W > dw {
		end = ceilDiv(c.W-dw, c.StrideW)
	}
	return first, min(end, c.OW)
}

// oddLine rounds the length of a row up such that rows start in different sets of a cache, and that tiles
// of any level can be read to their full width.
func oddLine(n int) int { return roundUp(n, maxTileCols) + 16 }
