package kernels

import "math"

// Pool is a pooling of fixed sizes over planes (one for each sample and channel) of H x W elements, which
// are padded by PadTop rows and so on. Window (i,j) holds the elements (i*StrideH+u*DilationH-PadTop,
// j*StrideW+v*DilationW-PadLeft), u < KH, v < KW, that are inside the plane. x is (planes,H,W), y
// (planes,OH,OW). All functions work on whole planes: the slices hold the same number of them.
type Pool struct {
	H, W, KH, KW, OH, OW int
	StrideH, StrideW     int
	DilationH, DilationW int
	PadTop, PadLeft      int
	PadBottom, PadRight  int
	// CountPad makes an average divide by the elements of the window inside the padded plane, not only by
	// those inside the plane.
	CountPad bool
}

// pairs tells whether windows are 2 x 2, side by side, inside the plane.
func (p *Pool) pairs() bool {
	return p.KH == 2 && p.KW == 2 && p.StrideH == 2 && p.StrideW == 2 && p.DilationH == 1 && p.DilationW == 1 &&
		p.PadTop == 0 && p.PadLeft == 0 && 2*p.OH <= p.H && 2*p.OW <= p.W
}

// MaxPool sets y to the largest element of each window: NaN if there is one, -Inf if the window is empty.
func MaxPool[T Float](p *Pool, y, x []T) {
	for len(x) > 0 {
		if p.pairs() {
			maxPairs(p, y[:p.OH*p.OW], x[:p.H*p.W])
		} else {
			for i := range p.OH {
				for j := range p.OW {
					y[i*p.OW+j] = maximum(p.window(i, j), x, p.W)
				}
			}
		}
		x, y = x[p.H*p.W:], y[p.OH*p.OW:]
	}
}

func maxPairs[T Float](p *Pool, y, x []T) {
	for i := range p.OH {
		out := y[i*p.OW:][:p.OW]
		r0, r1 := x[2*i*p.W:][:2*p.OW], x[(2*i+1)*p.W:][:2*p.OW]
		for j := range out {
			a, b := r0[2*j:][:2], r1[2*j:][:2]
			out[j] = max(a[0], a[1], b[0], b[1])
		}
	}
}

// MaxPoolGrad sets dx to the gradient of MaxPool: each window gives its dy to its first maximum in
// row-major order or, if it holds NaN, to its last NaN, as PyTorch does.
func MaxPoolGrad[T Float](p *Pool, dx, dy, x []T) {
	clear(dx)
	for len(x) > 0 {
		if p.pairs() {
			maxPairsGrad(p, dx[:p.H*p.W], dy[:p.OH*p.OW], x[:p.H*p.W])
		} else {
			for i := range p.OH {
				for j := range p.OW {
					w := p.window(i, j)
					if at := find(w, x, p.W, maximum(w, x, p.W)); at >= 0 {
						dx[at] += dy[i*p.OW+j]
					}
				}
			}
		}
		x, dx, dy = x[p.H*p.W:], dx[p.H*p.W:], dy[p.OH*p.OW:]
	}
}

func maxPairsGrad[T Float](p *Pool, dx, dy, x []T) {
	for i := range p.OH {
		g := dy[i*p.OW:][:p.OW]
		r0, r1 := x[2*i*p.W:][:2*p.OW], x[(2*i+1)*p.W:][:2*p.OW]
		d := dx[2*i*p.W:]
		for j, v := range g {
			a, b := r0[2*j:][:2], r1[2*j:][:2]
			m := max(a[0], a[1], b[0], b[1])
			// Conditional moves: which of random values is the largest can't be predicted.
			at := p.W + 1
			if b[0] == m {
				at = p.W
			}
			if a[1] == m {
				at = 1
			}
			if a[0] == m {
				at = 0
			}
			if m != m {
				at = lastNaN(a, b, p.W)
			}
			d[2*j+at] = v
		}
	}
}

func lastNaN[T Float](a, b []T, w int) int {
	switch {
	case b[1] != b[1]:
		return w + 1
	case b[0] != b[0]:
		return w
	case a[1] != a[1]:
		return 1
	}
	return 0
}

// AveragePool sets y to the mean of each window, or 0 if it is empty.
func AveragePool[T Float](p *Pool, y, x []T) {
	for len(x) > 0 {
		for i := range p.OH {
			for j := range p.OW {
				w := p.window(i, j)
				var sum float64
				for h := w.h0; h < w.h1; h += w.dh {
					for l := w.w0; l < w.w1; l += w.dw {
						sum += float64(x[h*p.W+l])
					}
				}
				if n := p.count(w, i, j); n > 0 {
					sum /= float64(n)
				}
				y[i*p.OW+j] = T(sum)
			}
		}
		x, y = x[p.H*p.W:], y[p.OH*p.OW:]
	}
}

// AveragePoolGrad sets dx to the gradient of AveragePool.
func AveragePoolGrad[T Float](p *Pool, dx, dy []T) {
	clear(dx)
	for len(dx) > 0 {
		for i := range p.OH {
			for j := range p.OW {
				w := p.window(i, j)
				n := p.count(w, i, j)
				if n == 0 {
					continue
				}
				g := dy[i*p.OW+j] / T(n)
				for h := w.h0; h < w.h1; h += w.dh {
					for l := w.w0; l < w.w1; l += w.dw {
						dx[h*p.W+l] += g
					}
				}
			}
		}
		dx, dy = dx[p.H*p.W:], dy[p.OH*p.OW:]
	}
}

// count is what the sum of window (i,j) is divided by.
func (p *Pool) count(w window, i, j int) int {
	if !p.CountPad {
		return ceilDiv(max(w.h1-w.h0, 0), w.dh) * ceilDiv(max(w.w1-w.w0, 0), w.dw)
	}
	taps := func(first, kernel, dilation, end int) int {
		return min(kernel, ceilDiv(max(end-first, 0), dilation))
	}
	return taps(i*p.StrideH-p.PadTop, p.KH, p.DilationH, p.H+p.PadBottom) *
		taps(j*p.StrideW-p.PadLeft, p.KW, p.DilationW, p.W+p.PadRight)
}

// A window is a set of elements of a plane: rows h0, h0+dh, ... below h1, and columns alike.
type window struct{ h0, h1, dh, w0, w1, dw int }

func (p *Pool) window(i, j int) window {
	h0, h1 := clip(i*p.StrideH-p.PadTop, p.KH, p.DilationH, p.H)
	w0, w1 := clip(j*p.StrideW-p.PadLeft, p.KW, p.DilationW, p.W)
	return window{h0, h1, p.DilationH, w0, w1, p.DilationW}
}

// clip returns the first of the positions first + u*dilation, u < kernel, that is not negative, and a
// bound above the last one inside size.
func clip(first, kernel, dilation, size int) (from, to int) {
	to = min(first+(kernel-1)*dilation+1, size)
	if first < 0 {
		first += ceilDiv(-first, dilation) * dilation
	}
	return first, to
}

// maximum is the largest element of the window in a plane of the given width.
func maximum[T Float](w window, x []T, width int) T {
	m := T(math.Inf(-1))
	for h := w.h0; h < w.h1; h += w.dh {
		for l := w.w0; l < w.w1; l += w.dw {
			m = max(m, x[h*width+l])
		}
	}
	return m
}

// find returns the index of the first element that is m or, if m is NaN, of the last NaN; -1 if the window
// is empty.
func find[T Float](w window, x []T, width int, m T) int {
	at := -1
	for h := w.h0; h < w.h1; h += w.dh {
		for l := w.w0; l < w.w1; l += w.dw {
			v := x[h*width+l]
			if m != m && v != v {
				at = h*width + l
			}
			if v == m && at < 0 {
				at = h*width + l
			}
		}
	}
	return at
}
