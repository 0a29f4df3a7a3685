package kernels

const (
	// Up to so many positions, with so many rows and elements of x[k,q], it is gathered whole.
	gatheredPositions, gatheredRows, gatheredRoom = 2048, 64, 1 << 21
	// A box has at least so many positions, or all.
	gatheredBox = 64
)

// gathered tells whether x[k,q] is so small that it is held whole: with few positions, as of a single sample, all parts would
// read all weights for a few positions each. Instead parts gather ranges of taps, then others multiply bands of packRows rows.
func (c *Conv) gathered() bool {
	q := c.N * c.area()
	return c.Groups == 1 && q < gatheredPositions && c.M >= gatheredRows && q*c.taps() <= gatheredRoom
}

// gatheredGrid returns boxes, so many that there are convParts with the bands.
func (c *Conv) gatheredGrid() boxes {
	n := c.N * c.area() * ceilDiv(c.M, packRows) / convParts
	return c.boxes(0, c.N, max(roundUp(n, maxTileCols), gatheredBox))
}

// slices is the number of ranges of tapStep taps.
func (c *Conv) slices() int { return ceilDiv(c.taps(), c.tapStep()) }

func (c *Conv) gatheredPhases() []int {
	g := c.gatheredGrid()
	bands := ceilDiv(c.M, packRows)
	return []int{bands, g.count() * c.slices(), g.count() * bands}
}

// gatheredDepth is the number of rows of a panel of positions: one for each tap, one for the bias, and one behind each slice for
// what gathering writes too much.
func (c *Conv) gatheredDepth() int { return c.taps() + 1 + c.slices() }

// gatheredPanels is the size of a box's panels.
func (c *Conv) gatheredPanels(g *boxes) int {
	b := g.box(0)
	return roundUp(b.len(), maxTileCols) * c.gatheredDepth()
}

func (c *Conv) gatheredScratch() (shared, worker int) {
	g := c.gatheredGrid()
	b := g.box(0)
	worker = c.frameRoom(&g, c.maxChannels(), false)
	if g.samples > 1 {
		worker = max(worker, packRows*oddLine(b.len()))
	}
	return c.Kept() + g.count()*c.gatheredPanels(&g), worker
}

// gatheredPart runs a part of a phase after that of the weights.
func gatheredPart[T Float](c *Conv, phase, part int, y, x []T, bias bool, weights, shared, worker []T) {
	g := c.gatheredGrid()
	slices, taps := c.slices(), c.taps()
	per := slices
	if phase == 2 {
		per = ceilDiv(c.M, packRows)
	}
	i, part := part/per, part%per
	b := g.box(i)
	n := b.len()
	_, width := tile[T]()
	all := panels[T]{shared[i*c.gatheredPanels(&g):], width, width * c.gatheredDepth()}
	// slice returns the taps of a slice and its rows of the panels.
	slice := func(s int) (k0, k1 int, p panels[T]) {
		k0 = s * c.tapStep()
		return k0, min(k0+c.tapStep(), taps), panels[T]{all.data[(k0+s)*width:], all.ld, all.stride}
	}
	if phase == 1 {
		k0, k1, p := slice(part)
		c0, c1 := c.tapChannels(k0, k1)
		f := c.frame(b, c.maxChannels(), false)
		gatherPanels(&f, p, loadFrame(&f, worker, x, c0, c1-c0), k0, k1)
		if k1 == taps && bias {
			for q := 0; q < n; q += width {
				Fill(p.data[q/width*p.stride+(k1-k0)*width:][:width], 1)
			}
		}
		return
	}
	depth := taps
	if bias {
		depth++
	}
	row0 := part * packRows
	m := min(packRows, c.M-row0)
	rows := panelRows[T](c.M)
	a := weights[row0*depth:]
	dst, ld := y[(b.n0*c.M+row0)*c.area()+b.i0*c.OW+b.j0:], c.area()
	if b.n1-b.n0 > 1 {
		dst, ld = worker, oddLine(n)
	}
	for s := range slices {
		k0, k1, p := slice(s)
		k := k1 - k0
		if k1 == taps {
			k = depth - k0
		}
		multiply(m, n, k, panels[T]{a[k0*rows:], rows, rows * depth}, p, dst, ld, s > 0)
	}
	scatterSamples(c, &b, y, dst, ld, row0, m)
}

// scatterSamples copies rows [row0, row0+m) of a box of several samples, which went through memory of its own, to y.
func scatterSamples[T Float](c *Conv, b *box, y, src []T, ld, row0, m int) {
	if b.n1-b.n0 == 1 {
		return
	}
	for s := b.n0; s < b.n1; s++ {
		for i := range m {
			copy(y[(s*c.M+row0+i)*c.area():][:c.area()], src[i*ld+(s-b.n0)*c.area():])
		}
	}
}
