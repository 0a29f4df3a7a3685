package kernels

// A frame is what the windows of a box see of some channels of x, padding filled in: the element under tap
// (c,u,v) at position (n,i,j), all counted from the first of the frame, is at
//
//	n*sample + c*plane + i*rowI + u*rowU + j*colJ + v*colV.
//
// Positions lie side by side, colJ = 1, or taps do, colV = 1. Without padding x itself may be the frame.
// Else it is a copy, in which windows share elements as they do in x; only where that would leave holes, or
// tear apart what has to lie side by side, every window has rows or columns of its own.
type frame struct {
	c *Conv
	box
	rowI, rowU, colJ, colV int
	plane, sample          int
	inPlace                bool
	h, w                   int // of a copied plane
	ownRows                bool
	// A copied row is so many runs of elements of x: their length, the distance in x of their elements, and of runs.
	runs, length, step, runStep int
}

// frame lays out a frame of so many channels.
func (c *Conv) frame(b box, channels int, byTaps bool) frame {
	f := frame{c: c, box: b}
	heightX, widthX := span(b.rows(), c.StrideH, c.KH, c.DilationH), span(b.cols(), c.StrideW, c.KW, c.DilationW)
	top, left := f.row(0), f.col()
	if top < 0 || left < 0 || top+heightX > c.H || left+widthX > c.W || !byTaps && c.StrideW != 1 || byTaps && c.DilationW != 1 {
		return c.copiedFrame(b, channels, byTaps)
	}
	f.inPlace = true
	f.rowI, f.rowU, f.colJ, f.colV = c.StrideH*c.W, c.DilationH*c.W, c.StrideW, c.DilationW
	f.plane = c.H * c.W
	f.sample = c.C * f.plane
	return f
}

// copiedFrame is frame for a copy.
func (c *Conv) copiedFrame(b box, channels int, byTaps bool) frame {
	f := frame{c: c, box: b}
	heightX, widthX := span(b.rows(), c.StrideH, c.KH, c.DilationH), span(b.cols(), c.StrideW, c.KW, c.DilationW)
	sideBySide := !byTaps && c.StrideW == 1 || byTaps && c.DilationW == 1
	switch {
	case sideBySide && widthX <= b.cols()*c.KW:
		f.colJ, f.colV = c.StrideW, c.DilationW
		f.runs, f.length, f.step = 1, widthX, 1
	case byTaps:
		f.colJ, f.colV = c.KW, 1
		f.runs, f.length, f.step, f.runStep = b.cols(), c.KW, c.DilationW, c.StrideW
	default:
		f.colJ, f.colV = 1, b.cols()
		f.runs, f.length, f.step, f.runStep = c.KW, b.cols(), c.StrideW, c.DilationW
	}
	f.w = f.runs * f.length
	f.h, f.rowI, f.rowU = heightX, c.StrideH*f.w, c.DilationH*f.w
	if heightX > b.rows()*c.KH {
		f.ownRows = true
		f.h, f.rowI, f.rowU = b.rows()*c.KH, c.KH*f.w, f.w
	}
	f.plane = f.h * f.w
	f.sample = channels * f.plane
	return f
}

// span is the number of elements from the first to the last under so many windows.
func span(windows, stride, kernel, dilation int) int {
	return (windows-1)*stride + (kernel-1)*dilation + 1
}

// row returns the row of x that row r of the frame is, col the column that the first one is.
func (f *frame) row(r int) int {
	if f.ownRows {
		return (f.i0+r/f.c.KH)*f.c.StrideH + r%f.c.KH*f.c.DilationH - f.c.PadTop
	}
	return f.i0*f.c.StrideH + r - f.c.PadTop
}

func (f *frame) col() int { return f.j0*f.c.StrideW - f.c.PadLeft }

// frameRoom is the number of elements that the copied frame of any box needs.
func (c *Conv) frameRoom(g *boxes, channels int, byTaps bool) int {
	f := c.copiedFrame(g.box(0), channels, byTaps)
	return (f.n1-f.n0)*f.sample + maxPiece
}

// base returns where channel ch of the first sample begins in x, in place.
func (f *frame) base(ch int) int {
	return ((f.n0*f.c.C+ch)*f.c.H+f.row(0))*f.c.W + f.col()
}

// loadFrame returns the frame of channels [ch, ch+channels) of x, in dst if it is a copy.
func loadFrame[T Float](f *frame, dst, x []T, ch, channels int) []T {
	if f.inPlace {
		return x[f.base(ch):]
	}
	clear(dst[:(f.n1-f.n0)*f.sample])
	eachRun(f, x, dst, ch, channels, func(x, frame rects[T], count, rows, cols int) { copyRows(frame, x, count, rows, cols) },
		func(x []T, ldx, step int, lines []T, ld, rows, cols int) {
			takeRows(lines, ld, x, ldx, step, rows, cols)
		})
	return dst
}

// storeFrame is the transpose of loadFrame: it adds the frame to channels of dx, unless dx is the frame.
func storeFrame[T Float](f *frame, dx, src []T, ch, channels int) {
	if f.inPlace {
		return
	}
	eachRun(f, dx, src, ch, channels, func(dx, frame rects[T], count, rows, cols int) { addRows(dx, frame, count, rows, cols) },
		func(dx []T, ldx, step int, lines []T, ld, rows, cols int) {
			addToRows(dx, ldx, lines, ld, step, rows, cols)
		})
}

// eachRun pairs the elements of channels of x with those of the frame that are not padding: as rectangles, or as
// lines one below the other whose elements are step apart in x.
func eachRun[T Float](f *frame, x, frame []T, ch, channels int, rectangles func(x, frame rects[T], count, rows, cols int), lines func(x []T, ldx, step int, frame []T, ld, rows, cols int)) {
	c := f.c
	r0, r1 := 0, f.h
	if !f.ownRows {
		r0, r1 = max(-f.row(0), 0), min(f.h, c.H-f.row(0))
	}
	if r0 >= r1 {
		return
	}
	if !f.ownRows && f.runs == 1 && f.step == 1 {
		top, left := f.row(0), f.col()
		s0, s1 := max(-left, 0), min(f.w, c.W-left)
		if s0 >= s1 {
			return
		}
		for k := range channels {
			rectangles(rects[T]{x[((f.n0*c.C+ch+k)*c.H+top+r0)*c.W+left+s0:], c.C * c.H * c.W, c.W},
				rects[T]{frame[k*f.plane+r0*f.w+s0:], f.sample, f.w}, f.n1-f.n0, r1-r0, s1-s0)
		}
		return
	}
	for n := range f.n1 - f.n0 {
		for k := range channels {
			for r, rows := r0, r1-r0; r < r1; r += rows {
				row := f.row(r)
				if f.ownRows {
					if rows = 1; row < 0 || row >= c.H {
						continue
					}
				}
				from := x[(((f.n0+n)*c.C+ch+k)*c.H+row)*c.W:]
				to := frame[n*f.sample+k*f.plane+r*f.w:]
				for run := range f.runs {
					first := f.col() + run*f.runStep
					if s0, s1 := inside(first, f.step, c.W, f.length); s0 < s1 {
						lines(from[first+s0*f.step:], c.W, f.step, to[run*f.length+s0:], f.w, rows, s1-s0)
					}
				}
			}
		}
	}
}

// inside returns the range of i < count with 0 <= first+i*step < size.
func inside(first, step, size, count int) (from, to int) {
	if first < 0 {
		from = ceilDiv(-first, step)
	}
	if size > first {
		to = ceilDiv(size-first, step)
	}
	return min(from, count), min(to, count)
}

// taps sets at[i] to where tap k0+i lies, from the frame's first channel on.
func (f *frame) taps(at []int, k0 int) {
	c := f.c
	u, v := k0/c.KW%c.KH, k0%c.KW
	channel := k0 / (c.KH * c.KW) * f.plane
	for i := range at {
		at[i] = channel + u*f.rowU + v*f.colV
		if v++; v == c.KW {
			v = 0
			if u++; u == c.KH {
				u = 0
				channel += f.plane
			}
		}
	}
}

// positions sets at[i] to where position q0+i of the box lies.
func (f *frame) positions(at []int, q0 int) {
	n, i, j := q0/f.area(), q0/f.cols()%f.rows(), q0%f.cols()
	for k := range at {
		at[k] = n*f.sample + i*f.rowI + j*f.colJ
		if j++; j == f.cols() {
			j = 0
			if i++; i == f.rows() {
				i = 0
				n++
			}
		}
	}
}
