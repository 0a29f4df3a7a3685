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

// worthwhile tells whether there are enough channels and not too many results in incomplete tiles.
func (w *winograd) worthwhile() bool {
	return w.in >= minWinograd && w.out >= minWinograd && w.across() <= maxTiles && 16*w.down()*w.across() <= 2*w.oh*w.ow
}

func (w *winograd) down() int   { return ceilDiv(w.oh, 4) }
func (w *winograd) across() int { return ceilDiv(w.ow, 4) }

// blocks returns how tiles are cut: so many samples together, or one sample in so many rows of tiles.
func (w *winograd) blocks() (samples, rows int) {
	each := w.down() * w.across()
	n := min(maxTiles, winogradRoom/(36*(w.in+w.out)), ceilDiv(w.groups*w.n*each, enoughParts))
	n = max(n/tileColumns*tileColumns, tileColumns)
	if each <= n {
		return min(n/each, w.n), w.down()
	}
	rows = max(1, n/w.across())
	return 1, ceilDiv(w.down(), ceilDiv(w.down(), rows))
}

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
func (w *winograd) nextP() int { return apart(w.out * w.tiles()) }

func (w *winograd) planes() (in, out int) {
	samples, rows := w.blocks()
	// The last tile of the results is for lanes without a tile.
	return samples * (4*rows + 2) * (4*w.across() + 2), (samples*4*rows + 4) * 4 * w.across()
}

func (w *winograd) phases() []int {
	return []int{w.groups * ceilDiv(w.out, tileRows), w.groups * w.count()}
}

func (w *winograd) scratch() (shared, worker int) {
	in, out := w.planes()
	return w.groups * 36 * w.nextU(), 36*w.nextV() + 36*w.nextP() + in + out
}

// weights transforms a panel of weights; at returns the index of the weight of the tap 0 <= t < 9.
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

// winogradPart computes the results of one block of one group: y has out*groups channels, x in*groups.
func winogradPart[T Float](w *winograd, part int, y, x, bias, shared, worker []T) {
	group := part % w.groups
	b := w.block(part / w.groups)
	tiles, width := b.tiles(), w.tiles()
	nextU, nextV, nextP := w.nextU(), w.nextV(), w.nextP()
	nIn, _ := w.planes()
	v, worker := worker[:36*nextV], worker[36*nextV:]
	prod, worker := worker[:36*nextP], worker[36*nextP:]
	padded, results := worker[:nIn], worker[nIn:]

	var at [maxTiles]int
	rows, cols := b.inputPlane()
	b.places(&at, rows*cols, cols)
	clear(padded)
	for c := range w.in {
		load(&b, padded, x, group*w.in+c, w.groups*w.in)
		for t := 0; t < tiles; t += lanes {
			conv3Input(v[t/tileColumns*tileColumns*w.in+c*tileColumns+t%tileColumns:], nextV, padded, (*[lanes]int)(at[t:]), cols)
		}
	}
	u := shared[group*36*nextU:]
	for e := range 36 {
		for k0 := 0; k0 < w.in; k0 += kBlock {
			multiplyBands(w.out, tiles, min(kBlock, w.in-k0),
				bands[T]{panels[T]{u[e*nextU+k0*tileRows:], tileRows, tileRows * w.in}, tileRows},
				bands[T]{panels[T]{v[e*nextV+k0*tileColumns:], tileColumns, tileColumns * w.in}, tileColumns},
				prod[e*nextP:], width, k0 > 0)
		}
	}

	area := w.oh * w.ow
	rows, cols = b.outputPlane()
	whole := w.oh%4 == 0 && w.ow%4 == 0 && tiles%lanes == 0
	if whole {
		b.places(&at, w.groups*w.out*area, w.ow)
	} else {
		b.places(&at, rows*cols, cols)
		for t := tiles; t < roundUp(tiles, lanes); t++ {
			at[t] = (b.n1 - b.n0) * rows * cols
		}
	}
	for m := range w.out {
		var add T
		if bias != nil {
			add = bias[group*w.out+m]
		}
		to := y[((b.n0*w.groups+group)*w.out+m)*area+4*b.i0*w.ow:]
		dst, ld := to, w.ow
		if !whole {
			dst, ld = results, cols
		}
		for t := 0; t < tiles; t += lanes {
			conv3Output(dst, (*[lanes]int)(at[t:]), ld, prod[m*width+t:], nextP, add)
		}
		if !whole {
			copyRows(rects[T]{to, w.groups * w.out * area, w.ow}, rects[T]{results, rows * cols, cols},
				b.n1-b.n0, min(rows, w.oh-4*b.i0), w.ow)
		}
	}
}
