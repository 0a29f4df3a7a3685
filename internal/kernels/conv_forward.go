package kernels

// packRows is the number of rows of the weights that one part packs: a multiple of every height of a panel.
const packRows = 60

// Phases returns the number of parts of each phase of the convolution: first the weights are packed, then
// blocks of positions are computed.
func (c *Conv) Phases() []int {
	if w, ok := c.winograd(); ok {
		return w.phases()
	}
	return []int{c.Groups * ceilDiv(c.M/c.Groups, packRows), c.Groups * c.forwardBlocks()}
}

func (c *Conv) forwardBlocks() int {
	samples, positions := c.blocks()
	return ceilDiv(c.N, samples) * ceilDiv(c.area(), positions)
}

// Scratch returns how many elements of memory all parts share, and how many each worker needs besides.
func (c *Conv) Scratch() (shared, worker int) {
	if w, ok := c.winograd(); ok {
		return w.scratch()
	}
	samples, positions := c.blocks()
	m := c.M / c.Groups
	return c.Groups * packedA(m, c.taps()+1), (c.taps() + 1 + m) * oddLine(samples*positions)
}

// ConvPart runs one part of one phase. bias is nil for none.
func ConvPart[T Float](c *Conv, phase, part int, y, x, w, bias, shared, worker []T) {
	if t, ok := c.winograd(); ok {
		if phase == 0 {
			winogradWeights(&t, part, w, shared, func(group, out, in, tap int) int { return ((group*t.out+out)*t.in+in)*9 + tap })
		} else {
			winogradPart(&t, part, y, x, bias, shared, worker)
		}
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
		dst := panels[T]{shared[group*size+row0*depth:], rows, rows * depth}
		packPanels(dst, w[(group*m+row0)*taps:], taps, false, count, taps)
		if bias != nil {
			for i, v := range bias[group*m+row0:][:count] {
				dst.data[i/rows*dst.stride+taps*rows+i%rows] = v
			}
		}
		return
	}
	blocks := c.forwardBlocks()
	group := part / blocks
	q0, q1 := c.block(part % blocks)
	n := q1 - q0
	ld := oddLine(n)
	cols, tmp := worker[:depth*ld], worker[depth*ld:]
	for k := range taps {
		gather(c, cols[k*ld:], x, group, k, q0, q1)
	}
	if bias != nil {
		one := cols[taps*ld:][:n]
		for i := range one {
			one[i] = 1
		}
	}
	a := panels[T]{shared[group*size:], rows, rows * depth}
	sample, p0 := q0/c.area(), q0%c.area()
	if p0+n <= c.area() {
		convolve(m, n, depth, a, cols, ld, y[(sample*c.M+group*m)*c.area()+p0:], c.area())
		return
	}
	convolve(m, n, depth, a, cols, ld, tmp, ld)
	for off := 0; off < n; off += c.area() {
		for i := range m {
			copy(y[(sample*c.M+group*m+i)*c.area():][:c.area()], tmp[i*ld+off:])
		}
		sample++
	}
}

// block returns the positions of a block.
func (c *Conv) block(i int) (q0, q1 int) {
	samples, positions := c.blocks()
	if positions == c.area() {
		return i * samples * c.area(), min((i+1)*samples, c.N) * c.area()
	}
	across := ceilDiv(c.area(), positions)
	start := i / across * c.area()
	p0 := i % across * positions
	return start + p0, start + min(p0+positions, c.area())
}

// convolve sets the m x n matrix y to a*cols, in blocks of kBlock products.
func convolve[T Float](m, n, k int, a panels[T], cols []T, ld int, y []T, ldy int) {
	_, width := tile[T]()
	for k0 := 0; k0 < k; k0 += kBlock {
		ak := panels[T]{a.data[k0*a.ld:], a.ld, a.stride}
		multiply(m, n, min(kBlock, k-k0), ak, panels[T]{cols[k0*ld:], ld, width}, y, ldy, k0 > 0)
	}
}
