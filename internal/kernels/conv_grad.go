package kernels

// GradXPhases is Phases of the gradient with respect to x: the weights are packed, then the samples of a
// block are computed.
func (c *Conv) GradXPhases() []int {
	if w, ok := c.winogradX(); ok {
		return w.phases()
	}
	samples, _ := c.blocks()
	return []int{c.Groups * ceilDiv(c.taps(), packRows), c.Groups * ceilDiv(c.N, samples)}
}

// GradXScratch is Scratch of the gradient with respect to x.
func (c *Conv) GradXScratch() (shared, worker int) {
	if w, ok := c.winogradX(); ok {
		return w.scratch()
	}
	samples, positions := c.blocks()
	m := c.M / c.Groups
	return c.Groups * packedA(c.taps(), m), (c.taps() + m) * oddLine(samples*positions)
}

// ConvGradXPart runs one part of one phase of dx = the transpose of the convolution, applied to dy.
func ConvGradXPart[T Float](c *Conv, phase, part int, dx, dy, w, shared, worker []T) {
	if t, ok := c.winogradX(); ok {
		if phase == 0 {
			winogradWeights(&t, part, w, shared, func(group, out, in, tap int) int { return ((group*t.in+in)*t.out+out)*9 + 8 - tap })
		} else {
			winogradPart(&t, part, dx, dy, nil, shared, worker)
		}
		return
	}
	m, taps := c.M/c.Groups, c.taps()
	rows := panelRows[T](taps)
	size := packedA(taps, m)
	if phase == 0 {
		parts := ceilDiv(taps, packRows)
		group, row0 := part/parts, part%parts*packRows
		dst := panels[T]{shared[group*size+row0*m:], rows, rows * m}
		packPanels(dst, w[group*m*taps+row0:], taps, true, min(packRows, taps-row0), m)
		return
	}
	samples, positions := c.blocks()
	parts := ceilDiv(c.N, samples)
	group, n0 := part/parts, part%parts*samples
	n1 := min(n0+samples, c.N)
	channels := c.C / c.Groups
	for n := n0; n < n1; n++ {
		clear(dx[(n*c.C+group*channels)*c.H*c.W:][:channels*c.H*c.W])
	}
	a := panels[T]{shared[group*size:], rows, rows * m}
	end := n1 * c.area()
	step := positions * samples
	for q0 := n0 * c.area(); q0 < end; q0 += step {
		q1 := min(q0+step, end)
		ld := oddLine(q1 - q0)
		b, cols := worker[:m*ld], worker[m*ld:]
		for q := q0; q < q1; {
			n, p := q/c.area(), q%c.area()
			run := min(c.area()-p, q1-q)
			for i := range m {
				copy(b[i*ld+q-q0:], dy[(n*c.M+group*m+i)*c.area()+p:][:run])
			}
			q += run
		}
		convolve(taps, q1-q0, m, a, b, ld, cols, ld)
		for k := range taps {
			scatter(c, dx, cols[k*ld:], group, k, q0, q1)
		}
	}
}

const (
	// tapsBlock is the number of taps that a part of the weight gradient computes.
	tapsBlock = 256
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
	n := ceilDiv(maxChunks, c.Groups*ceilDiv(c.taps(), tapsBlock))
	n = min(n, c.N, c.N*c.area()*c.M/c.Groups*c.taps()/minChunkProduct)
	samples = ceilDiv(c.N, max(n, 1))
	return ceilDiv(c.N, samples), samples
}

// GradWPhases is Phases of the gradient with respect to w: sums over the chunks of the samples, then, if
// there is more than one chunk, the sums of these in order.
func (c *Conv) GradWPhases() []int {
	chunks, _ := c.chunks()
	parts := chunks * c.Groups * ceilDiv(c.taps(), tapsBlock)
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
	return shared, packedA(c.M/c.Groups, kBlock) + kBlock*roundUp(min(c.taps(), tapsBlock), maxTileCols) + maxTileCols*oddLine(kBlock)
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
	sum := dw
	if chunks > 1 {
		sum = shared[part%chunks*len(dw):][:len(dw)]
	}
	n0 := part % chunks * samples
	part /= chunks
	m, taps := c.M/c.Groups, c.taps()
	across := ceilDiv(taps, tapsBlock)
	group, k0 := part/across, part%across*tapsBlock
	k1 := min(k0+tapsBlock, taps)
	q0, q1 := n0*c.area(), min(n0+samples, c.N)*c.area()
	sum = sum[group*m*taps+k0:]
	_, cols := tile[T]()
	rows := panelRows[T](m)
	room := packedA(m, kBlock)
	a := panels[T]{worker[:room], rows, rows * kBlock}
	b := panels[T]{worker[room:], cols, cols * kBlock}
	// A panel's taps are gathered as rows, then transposed.
	ld := oddLine(kBlock)
	taken := worker[room+kBlock*roundUp(k1-k0, maxTileCols):]
	for q := q0; q < q1; q += kBlock {
		end := min(q+kBlock, q1)
		for at := q; at < end; {
			n, p := at/c.area(), at%c.area()
			run := min(c.area()-p, end-at)
			dst := panels[T]{a.data[(at-q)*rows:], rows, a.stride}
			packPanels(dst, dy[(n*c.M+group*m)*c.area()+p:], c.area(), false, m, run)
			at += run
		}
		for k := k0; k < k1; k += cols {
			count := min(cols, k1-k)
			for i := range count {
				gather(c, taken[i*ld:], x, group, k+i, q, end)
			}
			interleave(b.data[(k-k0)/cols*b.stride:], taken, ld, end-q, count, cols)
		}
		multiply(m, k1-k0, end-q, a, b, sum, taps, q > q0)
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

// ConvGradB sets db[m] to the sum of dy over samples and positions, for m in [m0, m1). Sums of 256 elements,
// in eight lanes, are added in float64.
func ConvGradB[T Float](c *Conv, db, dy []T, m0, m1 int) {
	for m := m0; m < m1; m++ {
		var total float64
		for n := range c.N {
			plane := dy[(n*c.M+m)*c.area():][:c.area()]
			for len(plane) > 0 {
				block := plane[:min(256, len(plane))]
				plane = plane[len(block):]
				total += float64(sumLanes(block))
			}
		}
		db[m] = T(total)
	}
}

func sumLanes[T Float](x []T) T {
	var s0, s1, s2, s3, s4, s5, s6, s7 T
	for len(x) >= 8 {
		v := (*[8]T)(x)
		s0 += v[0]
		s1 += v[1]
		s2 += v[2]
		s3 += v[3]
		s4 += v[4]
		s5 += v[5]
		s6 += v[6]
		s7 += v[7]
		x = x[8:]
	}
	for _, v := range x {
		s0 += v
	}
	return s0 + s4 + (s1 + s5) + (s2 + s6 + (s3 + s7))
}
