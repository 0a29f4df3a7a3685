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

// apart returns k if windows are k x k, side by side, inside the plane, and k is 2 or 3; else 0.
func (p *Pool) apart() int {
	k := p.KH
	if k != 2 && k != 3 || p.KW != k || p.StrideH != k || p.StrideW != k || p.DilationH != 1 || p.DilationW != 1 ||
		p.PadTop != 0 || p.PadLeft != 0 || k*p.OH > p.H || k*p.OW > p.W {
		return 0
	}
	return k
}

// MaxPool sets y to the largest element of each window: NaN if there is one, -Inf if the window is empty.
func MaxPool[T Float](p *Pool, y, x []T) {
	if slidePool(p, slideMax, T(math.Inf(-1)), y, x) {
		return
	}
	for ; len(x) > 0; x, y = x[p.H*p.W:], y[p.OH*p.OW:] {
		for i := range p.OH {
			for j := range p.OW {
				y[i*p.OW+j] = maximum(p.window(i, j), x, p.W)
			}
		}
	}
}

// FirstOfWindows sets y to the first element of each window. Where y is NaN or infinite before, it stays, and where the
// window is empty.
func FirstOfWindows[T Float](p *Pool, y, x []T) {
	for i := range p.OH {
		for j := range p.OW {
			if w, v := p.window(i, j), y[i*p.OW+j]; v-v == 0 && w.h0 < w.h1 && w.w0 < w.w1 {
				y[i*p.OW+j] = x[w.h0*p.W+w.w0]
			}
		}
	}
}

// MaxPoolGrad sets dx to the gradient of MaxPool, whose result was y: each window gives its dy to its first
// maximum in row-major order or, if it holds NaN, to its last NaN, as PyTorch does.
func MaxPoolGrad[T Float](p *Pool, dx, dy, x, y []T) {
	clear(dx)
	apart := p.apart()
	if apart > 0 && maxGradAsm(p, apart, dx, dy, x, y) {
		return
	}
	for ; len(x) > 0; x, dx, y, dy = x[p.H*p.W:], dx[p.H*p.W:], y[p.OH*p.OW:], dy[p.OH*p.OW:] {
		maxGradRows(p, apart, dx, dy, x, y, 0, p.OH)
	}
}

// maxGradRows is MaxPoolGrad of rows [i0, i1) of one plane, where dx is zero.
func maxGradRows[T Float](p *Pool, apart int, dx, dy, x, y []T, i0, i1 int) {
	for i := i0; i < i1; i++ {
		m, g := y[i*p.OW:][:p.OW], dy[i*p.OW:][:p.OW]
		switch apart {
		case 2:
			max2x2Grad(dx[2*i*p.W:], g, x[2*i*p.W:], m, p.W)
		case 3:
			max3x3Grad(dx[3*i*p.W:], g, x[3*i*p.W:], m, p.W)
		default:
			j0, j1 := p.whole3x3(i)
			maxGradWindows(p, dx, g, x, m, i, 0, j0)
			if j0 < j1 {
				at, from := (i*p.StrideH-p.PadTop)*p.W+j0*p.StrideW-p.PadLeft, i*p.OW+j0
				if !overlapping3x3GradAsm(dx[at:], dy[from:], x[at:], y[from:], p.W, p.StrideW, j1-j0) {
					overlapping3x3Grad(dx[at:], g[j0:j1], x[at:], m[j0:j1], p.W, p.StrideW)
				}
			}
			maxGradWindows(p, dx, g, x, m, i, j1, p.OW)
		}
	}
}

// maxGradWindows is MaxPoolGrad of windows [j0, j1) of row i, of which g is dy and m the result.
func maxGradWindows[T Float](p *Pool, dx, g, x, m []T, i, j0, j1 int) {
	for j := j0; j < j1; j++ {
		if at := find(p.window(i, j), x, p.W, m[j]); at >= 0 {
			dx[at] += g[j]
		}
	}
}

// whole3x3 returns which windows [j0, j1) of row i have 3 x 3 neighbouring elements, all of them inside the plane.
func (p *Pool) whole3x3(i int) (j0, j1 int) {
	top := i*p.StrideH - p.PadTop
	if p.KH != 3 || p.KW != 3 || p.DilationH != 1 || p.DilationW != 1 || top < 0 || top+3 > p.H || p.W+p.PadLeft < 3 {
		return 0, 0
	}
	j0, j1 = ceilDiv(p.PadLeft, p.StrideW), min((p.W+p.PadLeft-3)/p.StrideW+1, p.OW)
	if j0 >= j1 {
		return 0, 0
	}
	return j0, j1
}

// The searches go backwards with conditional moves: where the maximum of random values is can't be
// predicted, so that a jump would cost more than all comparisons.

func max2x2Grad[T Float](dx, dy, x, y []T, w int) {
	r0, r1 := x[:2*len(y)], x[w:][:2*len(y)]
	for j, m := range y {
		a, b := (*[2]T)(r0[2*j:]), (*[2]T)(r1[2*j:])
		at := w + 1
		if b[0] == m {
			at = w
		}
		if a[1] == m {
			at = 1
		}
		if a[0] == m {
			at = 0
		}
		if m != m {
			at = find(window{0, 2, 1, 2 * j, 2*j + 2, 1}, x, w, m) - 2*j
		}
		dx[2*j+at] = dy[j]
	}
}

func max3x3Grad[T Float](dx, dy, x, y []T, w int) {
	r0, r1, r2 := x[:3*len(y)], x[w:][:3*len(y)], x[2*w:][:3*len(y)]
	for j, m := range y {
		at := find3x3((*[3]T)(r0[3*j:]), (*[3]T)(r1[3*j:]), (*[3]T)(r2[3*j:]), m, w)
		dx[3*j+at] = dy[j]
	}
}

// overlapping3x3Grad is max3x3Grad of windows that are stride apart: an element may be the maximum of several.
func overlapping3x3Grad[T Float](dx, dy, x, y []T, w, stride int) {
	n := (len(y)-1)*stride + 3
	r0, r1, r2 := x[:n], x[w:][:n], x[2*w:][:n]
	for j, m := range y {
		l := j * stride
		at := find3x3((*[3]T)(r0[l:]), (*[3]T)(r1[l:]), (*[3]T)(r2[l:]), m, w)
		dx[l+at] += dy[j]
	}
}

// find3x3 is find in the rows a, b and c of a window, which are w apart: the index from a[0].
func find3x3[T Float](a, b, c *[3]T, m T, w int) int {
	at := 2*w + 2
	if c[1] == m {
		at = 2*w + 1
	}
	if c[0] == m {
		at = 2 * w
	}
	if b[2] == m {
		at = w + 2
	}
	if b[1] == m {
		at = w + 1
	}
	if b[0] == m {
		at = w
	}
	if a[2] == m {
		at = 2
	}
	if a[1] == m {
		at = 1
	}
	if a[0] == m {
		at = 0
	}
	if m != m {
		for i, row := range [...]*[3]T{a, b, c} {
			for j, v := range row {
				if v != v {
					at = i*w + j
				}
			}
		}
	}
	return at
}

// steps is the number of positions from, from+step, ... below to.
func steps(from, to, step int) int {
	if step == 1 || to <= from {
		return max(to-from, 0)
	}
	return ceilDiv(to-from, step)
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
		first += steps(first, 0, dilation) * dilation
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
