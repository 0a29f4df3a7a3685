package kernels

// winograd is a 3 x 3 convolution of stride 1 computed in tiles of 4 x 4 results, see conv3Input: 36
// multiplications for 16 results of a channel instead of 144. The 36 elements of the transformed tiles are
// independent matrix products over channels.
//
// It serves as forward pass, where in is C, and as data gradient, where in is M. An infinity or NaN in x
// reaches all results whose tiles hold it, up to three rows or columns farther than in the definition, and in the
// weights' gradient all nine weights of its channel; it never disappears.
//
// With normal data and 192 channels the largest float32 error is below 1.5e-5 of the root mean square of the results
// (9.5e-6 measured on 8192 of them; 1.4e-6 where products are summed directly), 1e-5 in the data gradient (6.2e-6;
// 0.7e-6) and 6e-6 in the weights' gradient (4.1e-6; 2.8e-6).
type winograd struct {
	n, in, h, w, out, oh, ow int // in and out are channels of a group
	top, left, groups        int
}

const (
	// tileColumns and tileRows are the widths of the panels: multiples of the width and height of every
	// kernel's tile and of lanes.
	tileColumns, tileRows = 16, 24
	maxTiles              = 64
	// winogradRoom is about the number of transformed elements in work: 4 MiB of float32.
	winogradRoom = 1 << 20
	// With fewer tiles the products are not worth the reading of the transformed weights: 512 channels of 7 x 7 take
	// 15 ms, of which most goes into transforming, and 1.9 without.
	leastTiles = 12
	// Fewer channels than this make the transformations cost more than is won.
	minWinograd = 16
)

// winograd returns how the forward pass is computed, if it is.
func (c *Conv) winograd() (w winograd, ok bool) {
	w = winograd{
		n: c.N, in: c.C / c.Groups, h: c.H, w: c.W, out: c.M / c.Groups, oh: c.OH, ow: c.OW,
		top: c.PadTop, left: c.PadLeft, groups: c.Groups,
	}
	return w, c.KH == 3 && c.KW == 3 && c.StrideH == 1 && c.StrideW == 1 && c.DilationH == 1 && c.DilationW == 1 && w.worthwhile()
}

// winogradX is winograd for the data gradient: a convolution of dy with the weights turned round.
func (c *Conv) winogradX() (w winograd, ok bool) {
	f, ok := c.winograd()
	w = winograd{
		n: f.n, in: f.out, h: f.oh, w: f.ow, out: f.in, oh: f.h, ow: f.w,
		top: 2 - f.top, left: 2 - f.left, groups: f.groups,
	}
	return w, ok && w.worthwhile()
}

// worthwhile tells whether there are enough channels, not too many results in incomplete tiles, and so many tiles that it
// pays to read four times as many weights.
func (w *winograd) worthwhile() bool {
	tiles := w.down() * w.across()
	return w.in >= minWinograd && w.out >= minWinograd && w.across() <= maxTiles && 16*tiles <= 2*w.oh*w.ow && w.n*tiles >= leastTiles
}

func (w *winograd) down() int   { return ceilDiv(w.oh, 4) }
func (w *winograd) across() int { return ceilDiv(w.ow, 4) }

// blocks returns how tiles are cut: so many samples together, or one sample in so many rows of tiles.
func (w *winograd) blocks() (samples, rows int) {
	if w.few() {
		return w.n, w.down()
	}
	each := w.down() * w.across()
	n := min(maxTiles, winogradRoom/(36*(w.in+w.out)), ceilDiv(w.groups*w.n*each, convParts))
	n = max(n/tileColumns*tileColumns, tileColumns)
	if each <= n {
		return min(n/each, w.n), w.down()
	}
	rows = max(1, n/w.across())
	return 1, ceilDiv(w.down(), ceilDiv(w.down(), rows))
}

// few tells whether all tiles are one block. Then its work is cut by channels, not by tiles.
func (w *winograd) few() bool { return w.n*w.down()*w.across() <= maxTiles }

// someChannels is the number of channels whose tiles one part transforms, where these are few.
func (w *winograd) someChannels() int { return ceilDiv(w.in, convParts) }

func (w *winograd) count() int {
	samples, rows := w.blocks()
	return ceilDiv(w.n, samples) * ceilDiv(w.down(), rows)
}

// tiles returns the number of tiles in a block, rounded up to whole panels.
func (w *winograd) tiles() int {
	samples, rows := w.blocks()
	return roundUp(samples*rows*w.across(), tileColumns)
}

// A tileBlock is samples [n0, n1) and rows of tiles [i0, i1).
type tileBlock struct {
	*winograd
	n0, n1, i0, i1 int
}

func (w *winograd) block(i int) tileBlock {
	samples, rows := w.blocks()
	parts := ceilDiv(w.down(), rows)
	n0, i0 := i/parts*samples, i%parts*rows
	return tileBlock{w, n0, min(n0+samples, w.n), i0, min(i0+rows, w.down())}
}

func (b *tileBlock) tiles() int { return (b.n1 - b.n0) * (b.i1 - b.i0) * b.across() }

// inputPlane returns the size of the part of a padded plane under the tiles of the block, outputPlane that
// of their results.
func (b *tileBlock) inputPlane() (rows, cols int)  { return 4*(b.i1-b.i0) + 2, 4*b.across() + 2 }
func (b *tileBlock) outputPlane() (rows, cols int) { return 4 * (b.i1 - b.i0), 4 * b.across() }

// places sets at[t] to where tile t begins in planes of the given size and row length.
func (b *tileBlock) places(at *[maxTiles]int, plane, ld int) {
	t := 0
	for n := range b.n1 - b.n0 {
		for i := range b.i1 - b.i0 {
			for j := range b.across() {
				at[t] = n*plane + 4*i*ld + 4*j
				t++
			}
		}
	}
	for ; t < len(at); t++ {
		at[t] = at[0]
	}
}

// load copies channel c of x, which has the given number of them, to the padded planes of the block, whose
// border is zero already.
func load[T Float](b *tileBlock, planes, x []T, c, channels int) {
	rows, cols := b.inputPlane()
	first := 4*b.i0 - b.top
	h0, h1 := max(first, 0), min(first+rows, b.h)
	w0, w1 := max(-b.left, 0), min(cols-b.left, b.w)
	if h0 >= h1 || w0 >= w1 {
		return
	}
	copyRows(
		rects[T]{planes[(h0-first)*cols+w0+b.left:], rows * cols, cols},
		rects[T]{x[((b.n0*channels+c)*b.h+h0)*b.w+w0:], channels * b.h * b.w, b.w},
		b.n1-b.n0, h1-h0, w1-w0)
}

// apart rounds up the distance between the elements of transformed matrices such that they lie in different
// sets of a cache.
func apart(n int) int { return roundUp(n, 32) + 16 }

func (w *winograd) nextU() int { return apart(roundUp(w.out, tileRows) * w.in) }
func (w *winograd) nextV() int { return apart(w.in * w.tiles()) }
func (w *winograd) nextP() int {
	if w.few() {
		return apart(tileRows * w.tiles())
	}
	return apart(w.out * w.tiles())
}

func (w *winograd) planes() (in, out int) {
	samples, rows := w.blocks()
	// The last tile of the results is for lanes without a tile.
	return samples * (4*rows + 2) * (4*w.across() + 2), (samples*4*rows + 4) * 4 * w.across()
}

func (w *winograd) phases() []int {
	panels := ceilDiv(w.out, tileRows)
	if w.few() {
		return []int{w.groups * panels, w.groups * ceilDiv(w.in, w.someChannels()), w.groups * panels}
	}
	return []int{w.groups * panels, w.groups * w.count()}
}

// kept is the room of the transformed weights, with which shared memory begins.
func (w *winograd) kept() int { return w.groups * 36 * w.nextU() }

func (w *winograd) scratch() (shared, worker int) {
	in, out := w.planes()
	shared, worker = w.kept(), 36*w.nextP()+in+out
	if w.few() {
		return shared + w.groups*36*w.nextV(), worker
	}
	return shared, worker + 36*w.nextV()
}

// winogradWeights transforms a panel of weights; at returns the index of the weight of the tap 0 <= t < 9.
func winogradWeights[T Float](w *winograd, part int, weights, shared []T, at func(group, out, in, t int) int) {
	panels := ceilDiv(w.out, tileRows)
	group, row0 := part/panels, part%panels*tileRows
	u := shared[group*36*w.nextU()+row0*w.in:]
	for i := range w.in {
		for row := row0; row < row0+tileRows; row += lanes {
			var g [9 * lanes]T
			for l := range min(lanes, w.out-row) {
				for t := range 9 {
					g[t*lanes+l] = weights[at(group, row+l, i, t)]
				}
			}
			conv3Weights(u[i*tileRows+row-row0:], w.nextU(), g[:], lanes)
		}
	}
}

// winogradPart runs a part of a phase after that of the weights: y has out*groups channels, x in*groups. One computes the results
// of a block of one group; with few tiles, first the tiles of some channels are transformed, then those of a panel of
// results are computed.
func winogradPart[T Float](w *winograd, phase, part int, y, x, bias, weights, shared, worker []T) {
	group := part % w.groups
	u := weights[group*36*w.nextU():]
	prod, planes := worker[:36*w.nextP()], worker[36*w.nextP():]
	if !w.few() {
		b := w.block(part / w.groups)
		nIn, _ := w.planes()
		v, planes := planes[:36*w.nextV()], planes[36*w.nextV():]
		transformTiles(&b, v, planes[:nIn], x, group, 0, w.in)
		multiplyTransformed(&b, prod, u, v, 0, w.out)
		resultsOf(&b, y, prod, bias, planes[nIn:], group, 0, w.out)
		return
	}
	v := shared[group*36*w.nextV():]
	b := w.block(0)
	if phase == 1 {
		c0 := part / w.groups * w.someChannels()
		transformTiles(&b, v, planes, x, group, c0, min(c0+w.someChannels(), w.in))
		return
	}
	m0 := part / w.groups * tileRows
	m1 := min(m0+tileRows, w.out)
	multiplyTransformed(&b, prod, u, v, m0, m1)
	resultsOf(&b, y, prod, bias, planes, group, m0, m1)
}

// transformTiles computes the transformed tiles of channels [c0, c1) of a group.
func transformTiles[T Float](b *tileBlock, v, padded, x []T, group, c0, c1 int) {
	var at [maxTiles]int
	rows, cols := b.inputPlane()
	b.places(&at, rows*cols, cols)
	clear(padded)
	for c := c0; c < c1; c++ {
		load(b, padded, x, group*b.in+c, b.groups*b.in)
		for t := 0; t < b.tiles(); t += lanes {
			conv3Input(v[t/tileColumns*tileColumns*b.in+c*tileColumns+t%tileColumns:], b.nextV(), padded, (*[lanes]int)(at[t:]), cols)
		}
	}
}

// multiplyTransformed computes the products for results [m0, m1) of a group; m0 begins a panel.
func multiplyTransformed[T Float](b *tileBlock, prod, u, v []T, m0, m1 int) {
	nextU, nextV, nextP := b.nextU(), b.nextV(), b.nextP()
	for e := range 36 {
		for k0 := 0; k0 < b.in; k0 += kBlock {
			multiplyBands(m1-m0, b.tiles(), min(kBlock, b.in-k0),
				bands[T]{panels: panels[T]{u[e*nextU+m0*b.in+k0*tileRows:], tileRows, tileRows * b.in}, size: tileRows},
				bands[T]{panels: panels[T]{v[e*nextV+k0*tileColumns:], tileColumns, tileColumns * b.in}, size: tileColumns},
				prod[e*nextP:], b.winograd.tiles(), k0 > 0)
		}
	}
}

// resultsOf writes results [m0, m1) of a group.
func resultsOf[T Float](b *tileBlock, y, prod, bias, results []T, group, m0, m1 int) {
	var at [maxTiles]int
	tiles, width, area := b.tiles(), b.winograd.tiles(), b.oh*b.ow
	rows, cols := b.outputPlane()
	whole := b.oh%4 == 0 && b.ow%4 == 0 && tiles%lanes == 0
	if whole {
		b.places(&at, b.groups*b.out*area, b.ow)
	} else {
		b.places(&at, rows*cols, cols)
		for t := tiles; t < roundUp(tiles, lanes); t++ {
			at[t] = (b.n1 - b.n0) * rows * cols
		}
	}
	for m := m0; m < m1; m++ {
		var add T
		if bias != nil {
			add = bias[group*b.out+m]
		}
		to := y[((b.n0*b.groups+group)*b.out+m)*area+4*b.i0*b.ow:]
		dst, ld := to, b.ow
		if !whole {
			dst, ld = results, cols
		}
		for t := 0; t < tiles; t += lanes {
			conv3Output(dst, (*[lanes]int)(at[t:]), ld, prod[(m-m0)*width+t:], b.nextP(), add)
		}
		if !whole {
			copyRows(rects[T]{to, b.groups * b.out * area, b.ow}, rects[T]{results, rows * cols, cols},
				b.n1-b.n0, min(rows, b.oh-4*b.i0), b.ow)
		}
	}
}
