package kernels

//go:generate sh -c "cd _gen && go run ./direct -out ../conv_direct_amd64.s -stubs ../conv_direct_stubs_amd64.go -pkg kernels"

const (
	// directTaps and directChannels are the most taps and channels of y, in a group, that are computed directly.
	directTaps, directChannels = 64, 32
	// directPositions is about the number of elements in a frame: half of a first-level cache of float32.
	directPositions = 4096
	lanesOfSums     = 8
)

// direct tells whether a convolution has so few channels that matrices would cost more than their product. Then rows
// of y are sums of rows of a frame times a weight; each of these stays in registers.
func (c *Conv) direct() bool {
	m := c.M / c.Groups
	return c.taps() <= directTaps && m <= directChannels && (c.OW >= 16 || m <= 4)
}

// directX returns the data gradient as a convolution of dy with the weights turned round, if that is computed directly.
func (c *Conv) directX() (t Conv, ok bool) {
	if c.StrideH != 1 || c.StrideW != 1 {
		return t, false
	}
	t = Conv{
		N: c.N, C: c.M, H: c.OH, W: c.OW, M: c.C, KH: c.KH, KW: c.KW, OH: c.H, OW: c.W,
		StrideH: 1, StrideW: 1, DilationH: c.DilationH, DilationW: c.DilationW,
		PadTop: (c.KH-1)*c.DilationH - c.PadTop, PadLeft: (c.KW-1)*c.DilationW - c.PadLeft, Groups: c.Groups,
	}
	return t, t.direct()
}

func (c *Conv) directGrid(n0, n1 int) boxes {
	return c.boxes(n0, n1, max(directPositions/(c.C/c.Groups), 256))
}

func (c *Conv) directPhases() []int {
	g := c.directGrid(0, c.N)
	return []int{c.Groups * g.count()}
}

// directScratch is the room of a worker: a frame, the weights, rows of less than a vector.
func (c *Conv) directScratch() int {
	g := c.directGrid(0, c.N)
	b := g.box(0)
	room := 4 * 8 * b.rows()
	if f := c.copiedFrame(b, 1, false); c.stacked(&f) {
		room = max(room, f.stackRows()*f.stackCols())
	}
	return c.frameRoom(&g, c.C/c.Groups, false) + c.M/c.Groups*(c.taps()+1) + room
}

// stacked tells whether the samples of a frame of one channel, for one channel of y, are computed as one tall image: then the
// rows between two of them, under the padding, are computed too, which is less work than to begin anew for a few rows.
func (c *Conv) stacked(f *frame) bool {
	return f.n1-f.n0 > 1 && !f.inPlace && c.M == c.Groups && c.C == c.Groups && c.StrideH == 1 && !f.ownRows
}

// stackRows and stackCols are the size of that image.
func (f *frame) stackRows() int { return (f.n1-f.n0-1)*f.h + f.rows() }
func (f *frame) stackCols() int { return max(f.cols(), 8) }

// directPart computes the results of one box of one group; at returns the index of a weight.
func directPart[T Float](c *Conv, part int, y, x, w, bias, worker []T, at func(group, out, in, tap int) int) {
	g := c.directGrid(0, c.N)
	group, b := part%c.Groups, g.box(part/c.Groups)
	m, channels, window := c.M/c.Groups, c.C/c.Groups, c.KH*c.KW
	room := c.frameRoom(&g, channels, false)
	f := c.frame(b, channels, false)
	src := loadFrame(&f, worker, x, group*channels, channels)
	weights, narrow := worker[room:], worker[room+m*(c.taps()+1):]
	var room1 [directTaps]int
	taps := room1[:c.taps()]
	f.taps(taps, 0)
	for m0, r := 0, 0; m0 < m; m0 += r {
		if r = min(4, m-m0); r == 3 {
			r = 2
		}
		// The bias comes first.
		for i := range r {
			weights[i] = 0
			if bias != nil {
				weights[i] = bias[group*m+m0+i]
			}
			for in := range channels {
				for t := range window {
					weights[(1+in*window+t)*r+i] = w[at(group, m0+i, in, t)]
				}
			}
		}
		if c.stacked(&f) {
			ld := f.stackCols()
			direct(narrow, 0, ld, src, f.rowI, taps, weights, 1, f.stackRows(), ld, nil)
			copyRows(rects[T]{y[(b.n0*c.M+group)*c.area():], c.M * c.area(), c.OW}, rects[T]{narrow, f.h * ld, ld}, b.n1-b.n0, b.rows(), b.cols())
			continue
		}
		for n := range b.n1 - b.n0 {
			dst := y[((b.n0+n)*c.M+group*m+m0)*c.area()+b.i0*c.OW+b.j0:]
			direct(dst, c.area(), c.OW, src[n*f.sample:], f.rowI, taps, weights, r, b.rows(), b.cols(), narrow)
		}
	}
}

// direct sets dst[m*stepM + i*ldy + j] = w[m] + the sum over k of w[(k+1)*r+m] * src[taps[k] + i*lds + j], for m < r,
// i < rows and j < cols, where r is 1, 2 or 4. narrow has room for r*rows*8 elements.
func direct[T Float](dst []T, stepM, ldy int, src []T, lds int, taps []int, w []T, r, rows, cols int, narrow []T) {
	if directAsm(dst, stepM, ldy, src, lds, taps, w, r, rows, cols, narrow) {
		return
	}
	for m := range r {
		for i := range rows {
			y := dst[m*stepM+i*ldy:][:cols]
			Fill(y, w[m])
			for k, at := range taps {
				v := w[(k+1)*r+m]
				x := src[at+i*lds:][:len(y)]
				for j := range y {
					y[j] += T(v * x[j])
				}
			}
		}
	}
}

// directSpread tells whether the data gradient of a strided convolution is computed directly: rows of dy, each times
// a weight, are added to those of a frame.
func (c *Conv) directSpread() bool {
	return c.direct() && (c.StrideH != 1 || c.StrideW != 1) && c.M/c.Groups*c.C/c.Groups <= 16
}

func (c *Conv) spreadPhases() []int {
	g := c.directGrid(0, c.N)
	return []int{c.Groups * ceilDiv(c.N, g.samples)}
}

func (c *Conv) spreadScratch() int {
	g := c.directGrid(0, c.N)
	return c.frameRoom(&g, c.C/c.Groups, false)
}

// spreadPart computes dx of some samples of one group.
func spreadPart[T Float](c *Conv, part int, dx, dy, w, worker []T) {
	g := c.directGrid(0, c.N)
	group, first := part%c.Groups, part/c.Groups*g.perSample()
	m, channels := c.M/c.Groups, c.C/c.Groups
	var room [directTaps]int
	taps := room[:c.taps()]
	for i := range g.perSample() {
		b := g.box(first + i)
		for n := b.n0; n < b.n1 && i == 0; n++ {
			clear(dx[(n*c.C+group*channels)*c.H*c.W:][:channels*c.H*c.W])
		}
		f := c.copiedFrame(b, channels, false)
		clear(worker[:(b.n1-b.n0)*f.sample])
		f.taps(taps, 0)
		for n := range b.n1 - b.n0 {
			for out := range m {
				from := dy[((b.n0+n)*c.M+group*m+out)*c.area()+b.i0*c.OW+b.j0:]
				for k, at := range taps {
					addScaled(worker[n*f.sample+at:], f.rowI, from, c.OW, w[(group*m+out)*len(taps)+k], b.rows(), b.cols())
				}
			}
		}
		storeFrame(&f, dx, worker, group*channels, channels)
	}
}

// addScaled adds w*src[i*lds+j] to dst[i*ldd+j], for i < rows and j < cols. dst has seven elements more than it needs.
func addScaled[T Float](dst []T, ldd int, src []T, lds int, w T, rows, cols int) {
	if addScaledAsm(dst, ldd, src, lds, w, rows, cols) {
		return
	}
	for i := range rows {
		d := dst[i*ldd:][:cols]
		for j, v := range src[i*lds:][:len(d)] {
			d[j] += T(v * w)
		}
	}
}

// directGradW sets the weights' gradient of one group to the sum over samples [n0, n1). dw holds the group's.
func directGradW[T Float](c *Conv, group, n0, n1 int, dw, dy, x, worker []T) {
	g := c.directGrid(n0, n1)
	m, channels := c.M/c.Groups, c.C/c.Groups
	room := c.frameRoom(&g, channels, false)
	sums := worker[room:][:m*c.taps()*lanesOfSums]
	clear(sums)
	var room1 [directTaps]int
	taps := room1[:c.taps()]
	for i := range g.count() {
		b := g.box(i)
		f := c.frame(b, channels, false)
		src := loadFrame(&f, worker, x, group*channels, channels)
		f.taps(taps, 0)
		for n := b.n0; n < b.n1; n++ {
			from := dy[(n*c.M+group*m)*c.area()+b.i0*c.OW+b.j0:]
			eachTile(m, len(taps), func(m0, r, k0, t, at int) {
				correlate(sums[at*lanesOfSums:], from[m0*c.area():], c.area(), c.OW, src[(n-b.n0)*f.sample:], f.rowI, taps[k0:k0+t], r, b.rows(), b.cols())
			})
		}
	}
	eachTile(m, len(taps), func(m0, r, k0, t, at int) {
		for i := range r {
			for k := range t {
				s := sums[(at+i*t+k)*lanesOfSums:][:lanesOfSums]
				dw[(m0+i)*len(taps)+k0+k] = (s[0] + s[4]) + (s[1] + s[5]) + ((s[2] + s[6]) + (s[3] + s[7]))
			}
		}
	})
}

// eachTile cuts sums of m channels and so many taps into tiles of r = 1 or 2 channels and t <= 5 taps; at counts the sums
// before the tile.
func eachTile(m, taps int, f func(m0, r, k0, t, at int)) {
	at := 0
	for m0 := 0; m0 < m; m0 += 2 {
		r := min(2, m-m0)
		for k0 := 0; k0 < taps; k0 += 5 {
			t := min(5, taps-k0)
			f(m0, r, k0, t, at)
			at += r * t
		}
	}
}

// correlate adds dy[m*stepM + i*ldy + j] * src[taps[k] + i*lds + j] to sums[(m*len(taps)+k)*8 + j%8], for m < r, i < rows
// and j < cols, where r is 1 or 2 and there are at most five taps.
func correlate[T Float](sums, dy []T, stepM, ldy int, src []T, lds int, taps []int, r, rows, cols int) {
	if correlateAsm(sums, dy, stepM, ldy, src, lds, taps, r, rows, cols) {
		return
	}
	for m := range r {
		for k, at := range taps {
			s := sums[(m*len(taps)+k)*lanesOfSums:][:lanesOfSums]
			for i := range rows {
				g := dy[m*stepM+i*ldy:][:cols]
				x := src[at+i*lds:][:len(g)]
				for j, v := range g {
					s[j%lanesOfSums] += T(v * x[j])
				}
			}
		}
	}
}
