package kernels

// GradXPhases is Phases of the gradient with respect to x: the weights are packed, then the samples of a
// block are computed.
func (c *Conv) GradXPhases() []int {
	if w, ok := c.winogradX(); ok {
		return w.phases()
	}
	if t, ok := c.directX(); ok {
		return t.directPhases()
	}
	if c.directSpread() {
		return c.spreadPhases()
	}
	g := c.grid()
	return []int{c.Groups * ceilDiv(c.taps(), c.tapStep()), c.Groups * ceilDiv(c.N, g.samples)}
}

// GradXScratch is Scratch of the gradient with respect to x.
func (c *Conv) GradXScratch() (shared, worker int) {
	if w, ok := c.winogradX(); ok {
		return w.scratch()
	}
	if t, ok := c.directX(); ok {
		return 0, t.directScratch()
	}
	if c.directSpread() {
		return 0, c.spreadScratch()
	}
	g, m := c.grid(), c.M/c.Groups
	b := g.box(0)
	worker = c.frameRoom(&g, c.maxChannels(), false) + m*roundUp(b.len(), maxTileCols) + maxPiece + c.tapStep()*oddLine(b.len())
	return c.Groups * ceilDiv(c.taps(), c.tapStep()) * packedA(c.tapStep(), m), worker
}

// ConvGradXPart runs one part of one phase of dx = the transpose of the convolution, applied to dy.
func ConvGradXPart[T Float](c *Conv, phase, part int, dx, dy, w, shared, worker []T) {
	if t, ok := c.winogradX(); ok {
		if phase == 0 {
			winogradWeights(&t, part, w, shared, func(group, out, in, tap int) int { return ((group*t.in+in)*t.out+out)*9 + 8 - tap })
		} else {
			winogradPart(&t, phase, part, dx, dy, nil, shared, shared[t.kept():], worker)
		}
		return
	}
	if t, ok := c.directX(); ok {
		window := c.KH * c.KW
		directPart(&t, part, dx, dy, w, nil, worker, func(group, out, in, tap int) int {
			return ((group*(c.M/c.Groups)+in)*(c.C/c.Groups)+out)*window + window - 1 - tap
		})
		return
	}
	if c.directSpread() {
		spreadPart(c, part, dx, dy, w, worker)
		return
	}
	m, taps, step := c.M/c.Groups, c.taps(), c.tapStep()
	steps := ceilDiv(taps, step)
	rows, size := panelRows[T](step), packedA(step, m)
	if phase == 0 {
		group, k0 := part/steps, part%steps*step
		packPanels(panels[T]{shared[part*size:], rows, rows * m}, w[group*m*taps+k0:], taps, true, min(step, taps-k0), m)
		return
	}
	g := c.grid()
	group, first := part%c.Groups, part/c.Groups*g.perSample()
	channels := c.C / c.Groups
	b := g.box(first)
	for n := b.n0; n < b.n1; n++ {
		clear(dx[(n*c.C+group*channels)*c.H*c.W:][:channels*c.H*c.W])
	}
	room := c.frameRoom(&g, c.maxChannels(), false)
	copied, worker := worker[:room], worker[room:]
	room = m*roundUp(b.len(), maxTileCols) + maxPiece
	dyPanels, cols := worker[:room], worker[room:]
	_, width := tile[T]()
	p := panels[T]{dyPanels, width, width * m}
	for i := range g.perSample() {
		b := g.box(first + i)
		n, ld := b.len(), oddLine(b.len())
		f := c.frame(b, c.maxChannels(), false)
		gatherResults(c, &b, p, dy, group)
		for k0 := 0; k0 < taps; k0 += step {
			k1 := min(k0+step, taps)
			a := panels[T]{shared[(group*steps+k0/step)*size:], rows, rows * m}
			for m0 := 0; m0 < m; m0 += kBlock {
				multiply(k1-k0, n, min(kBlock, m-m0), panels[T]{a.data[m0*rows:], rows, a.stride},
					panels[T]{p.data[m0*width:], width, p.stride}, cols, ld, m0 > 0)
			}
			c0, c1 := c.tapChannels(k0, k1)
			dst := copied
			if f.inPlace {
				dst = dx[f.base(group*channels+c0):]
			} else {
				clear(dst[:(b.n1-b.n0)*f.sample])
			}
			var taps [kBlock]int
			at := taps[:k1-k0]
			f.taps(at, k0-c0*c.KH*c.KW)
			for k, to := range at {
				addRows(rects[T]{dst[to:], f.sample, f.rowI}, rects[T]{cols[k*ld:], b.area(), b.cols()}, b.n1-b.n0, b.rows(), b.cols())
			}
			storeFrame(&f, dx, dst, group*channels+c0, c1-c0)
		}
	}
}

// gatherResults sets panels of the positions of a box, with a row for each channel of the group.
func gatherResults[T Float](c *Conv, b *box, panels panels[T], dy []T, group int) {
	var rows [kBlock]int
	var places [maxTileCols]int
	src := dy[(b.n0*c.M+group*(c.M/c.Groups))*c.area()+b.i0*c.OW+b.j0:]
	var p pieces
	for q := 0; q < b.len(); q += panels.ld {
		at := places[:min(panels.ld, b.len()-q)]
		for i := range at {
			s := (q + i) / b.area()
			at[i] = s*c.M*c.area() + q + i - s*b.area()
		}
		p.cutRow(at)
		dst := panels.data[q/panels.ld*panels.stride:]
		for m0 := 0; m0 < c.M/c.Groups; m0 += len(rows) {
			r := rows[:min(len(rows), c.M/c.Groups-m0)]
			for i := range r {
				r[i] = (m0 + i) * c.area()
			}
			gatherPieces(dst[m0*panels.ld:], panels.ld, src, r, &p)
		}
	}
}

const (
	// maxChunks bounds the memory for partial sums over samples.
	maxChunks = 16
	// minChunkProduct is the least number of multiplications that is worth a chunk of its own.
	minChunkProduct = 1 << 20
)

// chunks returns into how many chunks of samples the weight gradient is cut, to have enough parts.
func (c *Conv) chunks() (chunks, samples int) {
	if w, ok := c.winogradW(); ok {
		return w.chunks()
	}
	n := ceilDiv(maxChunks, c.Groups*ceilDiv(c.taps(), c.tapStep()))
	n = min(n, c.N, c.N*c.area()*c.M/c.Groups*c.taps()/minChunkProduct)
	samples = ceilDiv(c.N, max(n, 1))
	return ceilDiv(c.N, samples), samples
}

// GradWPhases is Phases of the gradient with respect to w: sums over the chunks of the samples, then, if
// there is more than one chunk, the sums of these in order.
func (c *Conv) GradWPhases() []int {
	chunks, _ := c.chunks()
	parts := chunks * c.Groups * ceilDiv(c.taps(), c.tapStep())
	if w, ok := c.winogradW(); ok {
		parts = w.parts()
	}
	if chunks == 1 {
		return []int{parts}
	}
	return []int{parts, ceilDiv(c.M*c.taps(), packPart)}
}

// GradWScratch is Scratch of the gradient with respect to w.
func (c *Conv) GradWScratch() (shared, worker int) {
	if chunks, _ := c.chunks(); chunks > 1 {
		shared = chunks * c.M * c.taps()
	}
	if w, ok := c.winogradW(); ok {
		return shared, w.worker()
	}
	if c.direct() {
		g := c.directGrid(0, c.N)
		return shared, c.frameRoom(&g, c.C/c.Groups, false) + c.M/c.Groups*c.taps()*lanesOfSums
	}
	g := c.boxes(0, c.N, kBlock)
	return shared, c.frameRoom(&g, c.maxChannels(), true) + packedA(c.M/c.Groups, kBlock) + kBlock*roundUp(c.tapStep(), maxTileCols) + maxPiece
}

// ConvGradWPart runs one part of one phase of dw[m,k] = sum over q of dy[m,q] * x[k,q].
func ConvGradWPart[T Float](c *Conv, phase, part int, dw, dy, x, shared, worker []T) {
	chunks, samples := c.chunks()
	if phase == 1 {
		from := part * packPart
		sumChunks(dw[from:min(from+packPart, len(dw))], shared[from:], chunks, len(dw))
		return
	}
	if w, ok := c.winogradW(); ok {
		winogradGradW(&w, part, dw, dy, x, shared, worker)
		return
	}
	m, taps, step := c.M/c.Groups, c.taps(), c.tapStep()
	steps := ceilDiv(taps, step)
	chunk, part := part/(c.Groups*steps), part%(c.Groups*steps)
	sum := dw
	if chunks > 1 {
		sum = shared[chunk*len(dw):][:len(dw)]
	}
	n0 := chunk * samples
	group, k0 := part/steps, part%steps*step
	k1 := min(k0+step, taps)
	if c.direct() {
		directGradW(c, group, n0, min(n0+samples, c.N), sum[group*m*taps:][:m*taps], dy, x, worker)
		return
	}
	c0, c1 := c.tapChannels(k0, k1)
	sum = sum[group*m*taps+k0:]
	g := c.boxes(n0, min(n0+samples, c.N), kBlock)
	_, cols := tile[T]()
	rows := panelRows[T](m)
	copied, worker := worker[:c.frameRoom(&g, c.maxChannels(), true)], worker[c.frameRoom(&g, c.maxChannels(), true):]
	room := packedA(m, kBlock)
	a := panels[T]{worker[:room], rows, rows * kBlock}
	p := panels[T]{worker[room:], cols, cols * kBlock}
	for i := range g.count() {
		b := g.box(i)
		run := b.area()
		for s := b.n0; s < b.n1; s++ {
			dst := panels[T]{a.data[(s-b.n0)*run*rows:], rows, a.stride}
			packPanels(dst, dy[(s*c.M+group*m)*c.area()+b.i0*c.OW+b.j0:], c.area(), false, m, run)
		}
		f := c.frame(b, c.maxChannels(), true)
		src := loadFrame(&f, copied, x, group*(c.C/c.Groups)+c0, c1-c0)
		gatherWindows(&f, p, src, k0, k1)
		multiply(m, k1-k0, b.len(), a, p, sum, taps, i > 0)
	}
}

// gatherWindows is gatherPanels of the transposed matrix, for a box of at most kBlock positions.
func gatherWindows[T Float](f *frame, panels panels[T], src []T, k0, k1 int) {
	var places [kBlock]int
	var taps [maxTileCols]int
	rows := places[:f.len()]
	f.positions(rows, 0)
	c0, _ := f.c.tapChannels(k0, k1)
	var p pieces
	for k := k0; k < k1; k += panels.ld {
		at := taps[:min(panels.ld, k1-k)]
		f.taps(at, k-c0*f.c.KH*f.c.KW)
		p.cutRow(at)
		gatherPieces(panels.data[(k-k0)/panels.ld*panels.stride:], panels.ld, src, rows, &p)
	}
}

// sumChunks sets dst to the sum of the chunks of src, which are stride apart.
func sumChunks[T Float](dst, src []T, chunks, stride int) {
	copy(dst, src[:len(dst)])
	for i := 1; i < chunks; i++ {
		for j, v := range src[i*stride:][:len(dst)] {
			dst[j] += v
		}
	}
}

// ConvGradB sets db[m] to the sum of dy over samples and positions, accumulated in float64, for m in [m0, m1).
func ConvGradB[T Float](c *Conv, db, dy []T, m0, m1 int) {
	for m := m0; m < m1; m++ {
		var s Sums
		for n := range c.N {
			AddSum(&s, dy[(n*c.M+m)*c.area():][:c.area()])
		}
		db[m] = T(s.Total())
	}
}
