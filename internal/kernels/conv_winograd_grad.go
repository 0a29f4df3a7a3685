package kernels

// winogradW is the weight gradient of a convolution that winograd computes: the transpose of the same
// transformations, where the products sum over tiles. A part computes a block of M x C weights from a chunk
// of the samples.
type winogradW struct {
	winograd
}

// channelBlock is the most channels, of x and of dy, in the block of a part: their sums, 36 x 96 x 96, are
// 1.3 MB of float32.
const channelBlock = 96

func (c *Conv) winogradW() (w winogradW, ok bool) {
	f, ok := c.winograd()
	return winogradW{f}, ok
}

// grid returns into how many blocks channels of dy and of x are cut, and their sizes.
func (w *winogradW) grid() (down, across, rows, cols int) {
	rows = roundUp(ceilDiv(w.out, ceilDiv(w.out, channelBlock)), tileRows)
	cols = roundUp(ceilDiv(w.in, ceilDiv(w.in, channelBlock)), tileColumns)
	return ceilDiv(w.out, rows), ceilDiv(w.in, cols), rows, cols
}

// chunks returns into how many chunks of samples the sums are cut, to have enough parts that are worth it.
func (w *winogradW) chunks() (chunks, samples int) {
	down, across, _, _ := w.grid()
	n := ceilDiv(maxChunks, w.groups*down*across)
	n = min(n, w.n, w.n*w.down()*w.across()/maxTiles)
	samples = ceilDiv(w.n, max(n, 1))
	return ceilDiv(w.n, samples), samples
}

func (w *winogradW) parts() int {
	chunks, _ := w.chunks()
	down, across, _, _ := w.grid()
	return chunks * w.groups * down * across
}

func (w *winogradW) sizes() (nextA, nextB, nextSum, planes int) {
	_, _, rows, cols := w.grid()
	in, out := w.planes()
	return apart(rows * w.tiles()), apart(cols * w.tiles()), apart(rows * cols), lanes * max(in, out)
}

func (w *winogradW) worker() int {
	a, b, sum, planes := w.sizes()
	return 36*(a+b+sum) + planes
}

// winogradGradW runs one part: it writes its block of dw if there is one chunk, else of a copy of dw for
// its chunk in shared.
func winogradGradW[T Float](w *winogradW, part int, dw, dy, x, shared, worker []T) {
	chunks, samples := w.chunks()
	down, across, rows, cols := w.grid()
	chunk, part := part/(w.parts()/chunks), part%(w.parts()/chunks)
	dst := dw
	if chunks > 1 {
		dst = shared[chunk*len(dw):][:len(dw)]
	}
	n0 := chunk * samples
	n1 := min(n0+samples, w.n)
	m0, c0 := part/across%down*rows, part%across*cols
	group := part / (down * across)
	m1, c1 := min(m0+rows, w.out), min(c0+cols, w.in)

	nextA, nextB, nextSum, _ := w.sizes()
	a, worker := worker[:36*nextA], worker[36*nextA:]
	b, worker := worker[:36*nextB], worker[36*nextB:]
	sum, planes := worker[:36*nextSum], worker[36*nextSum:]
	perBlock, perRows := w.blocks()
	tiles := w.tiles()
	first := true
	for n := n0; n < n1; n += perBlock {
		for i := 0; i < w.down(); i += perRows {
			block := tileBlock{&w.winograd, n, min(n+perBlock, n1), i, min(i+perRows, w.down())}
			transformImage(&block, b, nextB, tiles, x, group, c0, c1, planes)
			transformGradient(&block, a, nextA, tiles, dy, group, m0, m1, planes)
			for e := range 36 {
				multiplyBands(m1-m0, c1-c0, block.tiles(),
					bands[T]{panels: panels[T]{a[e*nextA:], tileRows, tileRows * tiles}, size: tileRows},
					bands[T]{panels: panels[T]{b[e*nextB:], tileColumns, tileColumns * tiles}, size: tileColumns},
					sum[e*nextSum:], cols, !first)
			}
			first = false
		}
	}
	for m := m0; m < m1; m++ {
		for c := c0; c < c1; c += lanes {
			var g [9 * lanes]T
			conv3GradWeights(g[:], lanes, sum[(m-m0)*cols+c-c0:], nextSum)
			to := dst[((group*w.out+m)*w.in+c)*9:]
			for l := range min(lanes, c1-c) {
				for t := range 9 {
					to[l*9+t] = g[t*lanes+l]
				}
			}
		}
	}
}

// transformImage sets panels of tileColumns channels, with a row for each tile, to the transformed tiles of
// channels [c0, c1) of x.
func transformImage[T Float](b *tileBlock, dst []T, next, tiles int, x []T, group, c0, c1 int, planes []T) {
	rows, cols := b.inputPlane()
	plane := (b.n1 - b.n0) * rows * cols
	var tile [maxTiles]int
	b.places(&tile, rows*cols, cols)
	clear(planes[:lanes*plane])
	var at [lanes]int
	for l := range at {
		at[l] = l * plane
	}
	for c := c0; c < c1; c += lanes {
		for l := range min(lanes, c1-c) {
			load(b, planes[l*plane:], x, group*b.in+c+l, b.groups*b.in)
		}
		panel := dst[(c-c0)/tileColumns*tileColumns*tiles+(c-c0)%tileColumns:]
		for t, from := range tile[:b.tiles()] {
			conv3Input(panel[t*tileColumns:], next, planes[from:], &at, cols)
		}
	}
}

// transformGradient is transformImage for channels [m0, m1) of dy and panels of tileRows.
func transformGradient[T Float](b *tileBlock, dst []T, next, tiles int, dy []T, group, m0, m1 int, planes []T) {
	rows, cols := b.outputPlane()
	plane := (b.n1 - b.n0) * rows * cols
	var tile [maxTiles]int
	b.places(&tile, rows*cols, cols)
	clear(planes[:lanes*plane])
	var at [lanes]int
	for l := range at {
		at[l] = l * plane
	}
	channels, area := b.groups*b.out, b.oh*b.ow
	for m := m0; m < m1; m += lanes {
		for l := range min(lanes, m1-m) {
			copyRows(rects[T]{planes[l*plane:], rows * cols, cols},
				rects[T]{dy[(b.n0*channels+group*b.out+m+l)*area+4*b.i0*b.ow:], channels * area, b.ow},
				b.n1-b.n0, min(rows, b.oh-4*b.i0), b.ow)
		}
		panel := dst[(m-m0)/tileRows*tileRows*tiles+(m-m0)%tileRows:]
		for t, from := range tile[:b.tiles()] {
			conv3Gradient(panel[t*tileRows:], next, planes[from:], &at, cols)
		}
	}
}
