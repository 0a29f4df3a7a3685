package kernels

// Conv is a two-dimensional convolution of fixed sizes, as neural networks have it (a correlation):
//
//	y[n,m,i,j] = bias[m] + sum over c,u,v of w[m,c,u,v] * x[n, g*C/Groups+c, i*StrideH+u*DilationH-PadTop, j*StrideW+v*DilationW-PadLeft]
//
// where g = m/(M/Groups) is the group of m, c < C/Groups, and x is 0 outside. x is (N,C,H,W), w
// (M,C/Groups,KH,KW), y (N,M,OH,OW), all dense, no size 0. Padding below and to the right is in OH and OW. Padding may be multiplied like zeros: what is not
// finite in w or dy makes NaN of it.
//
// It is a matrix product over a matrix that is never held whole: its rows, the taps k = (c,u,v), meet its
// columns, the positions q = (n,i,j), in x[k,q]. Parts are boxes of positions, cut by the sizes alone; within a
// part, x is gathered for a few hundred taps at a time. The parts of a sample have neighbouring numbers, all groups and
// slices of taps, because a processor works on neighbouring parts and has in its caches what it wrote before.
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
	// colsBlock is about the number of elements of x[k,q] gathered at once: 256 KiB of float32, a quarter or half of a
	// second-level cache.
	colsBlock    = 1 << 16
	maxPositions = 1024
	minPositions = 32
)

// taps is the number of products in an element of y.
func (c *Conv) taps() int { return c.C / c.Groups * c.KH * c.KW }

// area is the number of positions in one sample.
func (c *Conv) area() int { return c.OH * c.OW }

// tapStep is the number of taps that are computed at once: whole channels, if that is possible.
func (c *Conv) tapStep() int {
	window, channels := c.KH*c.KW, c.C/c.Groups
	if window > kBlock {
		return kBlock
	}
	return ceilDiv(channels, ceilDiv(channels, kBlock/window)) * window
}

// tapChannels returns the channels of a group that the taps [k0, k1) belong to.
func (c *Conv) tapChannels(k0, k1 int) (c0, c1 int) {
	return k0 / (c.KH * c.KW), ceilDiv(k1, c.KH*c.KW)
}

// maxChannels is the most channels that tapStep taps belong to.
func (c *Conv) maxChannels() int {
	if c.KH*c.KW > kBlock {
		return 2
	}
	return c.tapStep() / (c.KH * c.KW)
}

// grid returns the boxes of the forward pass and of the data gradient.
func (c *Conv) grid() boxes {
	n := min(colsBlock/c.tapStep(), maxPositions, ceilDiv(c.Groups*c.N*c.area(), convParts))
	return c.boxes(0, c.N, max(n/minPositions, 1)*minPositions)
}

// gatherPanels sets panels of x[k,q] for the taps [k0, k1) of channels that a frame was loaded of, and all positions of
// its box.
func gatherPanels[T Float](f *frame, panels panels[T], src []T, k0, k1 int) {
	var taps [kBlock]int
	var at [maxTileCols]int
	c0, _ := f.c.tapChannels(k0, k1)
	rows := taps[:k1-k0]
	f.taps(rows, k0-c0*f.c.KH*f.c.KW)
	n := f.len()
	var p pieces
	for q := 0; q < n; q += panels.ld {
		panel := at[:min(panels.ld, n-q)]
		f.positions(panel, q)
		p.cutRow(panel)
		gatherPieces(panels.data[q/panels.ld*panels.stride:], panels.ld, src, rows, &p)
	}
}

// oddLine rounds the length of a row up such that rows start in different sets of a cache, and that tiles
// of any level can be read to their full width.
func oddLine(n int) int { return roundUp(n, maxTileCols) + 16 }
