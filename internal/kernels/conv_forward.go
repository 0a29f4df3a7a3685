package kernels

// packRows is the number of rows of the weights that one part packs: a multiple of every height of a panel.
const packRows = 60

// Phases returns the number of parts of each phase of the convolution: first the weights are packed, then
// blocks of positions are computed.
func (c *Conv) Phases() []int {
	if w, ok := c.winograd(); ok {
		return w.phases()
	}
	if c.direct() {
		return c.directPhases()
	}
	if c.gathered() {
		return c.gatheredPhases()
	}
	g := c.grid()
	return []int{c.Groups * ceilDiv(c.M/c.Groups, packRows), c.Groups * g.count()}
}

// PreparedPhases is the number of first phases that depend on w and bias only. What they leave in shared memory is not changed.
func (c *Conv) PreparedPhases() int { return min(len(c.Phases())-1, 1) }

// Scratch returns how many elements of memory all parts share, and how many each worker needs besides.
func (c *Conv) Scratch() (shared, worker int) {
	if w, ok := c.winograd(); ok {
		return w.scratch()
	}
	if c.direct() {
		return 0, c.directScratch()
	}
	if c.gathered() {
		return c.gatheredScratch()
	}
	g, m := c.grid(), c.M/c.Groups
	b := g.box(0)
	worker = c.frameRoom(&g, c.maxChannels(), false) + (c.tapStep()+1)*roundUp(b.len(), maxTileCols) + maxPiece
	if g.samples > 1 {
		worker += m * oddLine(b.len())
	}
	return c.Kept(), worker
}

// ConvPart runs one part of one phase. bias is nil for none. The first Kept elements of shared memory are those of prepared phases.
func ConvPart[T Float](c *Conv, phase, part int, y, x, w, bias, shared, worker []T) {
	n := c.Kept()
	ConvKeptPart(c, phase, part, y, x, w, bias, shared[:n:n], shared[n:], worker)
}

// Kept is how many elements of shared memory the prepared phases fill.
func (c *Conv) Kept() int {
	if w, ok := c.winograd(); ok {
		return w.kept()
	}
	if c.direct() {
		return 0
	}
	return c.Groups * packedA(c.M/c.Groups, c.taps()+1)
}

// ConvKeptPart is ConvPart with the shared memory of prepared phases, and that of the others.
func ConvKeptPart[T Float](c *Conv, phase, part int, y, x, w, bias, kept, shared, worker []T) {
	if t, ok := c.winograd(); ok {
		if phase == 0 {
			winogradWeights(&t, part, w, kept, func(group, out, in, tap int) int { return ((group*t.out+out)*t.in+in)*9 + tap })
		} else {
			winogradPart(&t, phase, part, y, x, bias, kept, shared, worker)
		}
		return
	}
	if c.direct() {
		directPart(c, part, y, x, w, bias, worker, func(group, out, in, tap int) int {
			return ((group*(c.M/c.Groups)+out)*(c.C/c.Groups)+in)*c.KH*c.KW + tap
		})
		return
	}
	m, taps := c.M/c.Groups, c.taps()
	// The bias is one more tap, whose x is 1.
	depth := taps
	if bias != nil {
		depth++
	}
	rows := panelRows[T](m)
	size := packedA(m, taps+1)
	if phase == 0 {
		parts := ceilDiv(m, packRows)
		group, row0 := part/parts, part%parts*packRows
		count := min(packRows, m-row0)
		dst := panels[T]{kept[group*size+row0*depth:], rows, rows * depth}
		packPanels(dst, w[(group*m+row0)*taps:], taps, false, count, taps)
		if bias != nil {
			for i, v := range bias[group*m+row0:][:count] {
				dst.data[i/rows*dst.stride+taps*rows+i%rows] = v
			}
		}
		return
	}
	if c.gathered() {
		gatheredPart(c, phase, part, y, x, bias != nil, kept, shared, worker)
		return
	}
	g := c.grid()
	group := part % c.Groups
	b := g.box(part / c.Groups)
	n := b.len()
	f := c.frame(b, c.maxChannels(), false)
	room := c.frameRoom(&g, c.maxChannels(), false)
	copied, cols := worker[:room], worker[room:]

	// A box of several samples goes through memory of its own: there its rows are whole.
	dst, ld := y[(b.n0*c.M+group*m)*c.area()+b.i0*c.OW+b.j0:], c.area()
	if b.n1-b.n0 > 1 {
		dst, ld = worker[len(worker)-m*oddLine(n):], oddLine(n)
	}
	_, width := tile[T]()
	a := panels[T]{kept[group*size:], rows, rows * depth}
	for k0 := 0; k0 < taps; k0 += c.tapStep() {
		k1 := min(k0+c.tapStep(), taps)
		c0, c1 := c.tapChannels(k0, k1)
		src := loadFrame(&f, copied, x, group*(c.C/c.Groups)+c0, c1-c0)
		k := k1 - k0
		if k1 == taps {
			k = depth - k0
		}
		p := panels[T]{cols, width, width * k}
		gatherPanels(&f, p, src, k0, k1)
		if k1-k0 < k {
			for q := 0; q < n; q += width {
				Fill(cols[q*k+(k-1)*width:][:width], 1)
			}
		}
		multiply(m, n, k, panels[T]{a.data[k0*rows:], rows, a.stride}, p, dst, ld, k0 > 0)
	}
	scatterSamples(c, &b, y, dst, ld, group*m, m)
}
