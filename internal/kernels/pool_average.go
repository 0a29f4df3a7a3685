package kernels

// AveragePool sets y to the mean of each window, or 0 if it is empty.
func AveragePool[T Float](p *Pool, y, x []T) {
	sums := y
	// A single wide window in a plane is better summed along its rows.
	if p.OW > 1 && slidePool(p, slideSum, 0, y, x) {
		x = nil
	}
	for ; len(x) > 0; x, y = x[p.H*p.W:], y[p.OH*p.OW:] {
		for i := range p.OH {
			for j := range p.OW {
				w := p.window(i, j)
				var sum T
				for h := w.h0; h < w.h1; h += w.dh {
					switch {
					case w.dw == 1 && w.w1-w.w0 >= 16:
						sum += T(Sum(x[h*p.W+w.w0 : h*p.W+w.w1]))
					case w.w1 > w.w0:
						row := x[h*p.W+w.w0 : h*p.W+w.w1]
						for l := 0; l < len(row); l += w.dw {
							sum += row[l]
						}
					}
				}
				y[i*p.OW+j] = sum
			}
		}
	}
	p.eachCount(len(sums), func(from, to int, count int) { DivScalar(sums[from:to], sums[from:to], T(count)) })
}

// AveragePoolGrad sets dx to the gradient of AveragePool.
func AveragePoolGrad[T Float](p *Pool, dx, dy []T) {
	clear(dx)
	if p.OW == 1 {
		averageGradWindows(p, dx, dy)
		return
	}
	// First each row of dy is spread over a row of the padded plane, then that over the rows of the windows.
	width := (p.OW-1)*p.StrideW + (p.KW-1)*p.DilationW + 1
	columns := min(p.W, width-p.PadLeft)
	if width > slideRoom || p.OW > slideRoom || columns < 1 {
		averageGradWindows(p, dx, dy)
		return
	}
	whole, apart := p.whole(), p.DilationW == 1 && p.KW <= p.StrideW
	var spread, share [slideRoom]T // what lies between windows apart stays zero
	at := 0
	for ; len(dx) > 0; dx = dx[p.H*p.W:] {
		for i := range p.OH {
			g := share[:p.OW]
			row := dy[at:][:p.OW]
			if whole {
				DivScalar(g, row, T(p.KH*p.KW))
			} else {
				clear(g)
				p.eachCountInRow(at, i, func(from, to, count int) { DivScalar(g[from-at:to-at], row[from-at:to-at], T(count)) })
			}
			at += p.OW
			line := spread[:width]
			if apart {
				for j, v := range g {
					Fill(line[j*p.StrideW:][:p.KW], v)
				}
			} else {
				clear(line)
				for v := range p.KW {
					addToRows(line[v*p.DilationW:], 0, g, 0, p.StrideW, 1, p.OW)
				}
			}
			line = line[p.PadLeft:][:columns]
			w := p.window(i, 0)
			if rows := steps(w.h0, w.h1, w.dh); rows > 0 {
				addRows(rects[T]{dx[w.h0*p.W:], 0, w.dh * p.W}, rects[T]{line, 0, 0}, 1, rows, columns)
			}
		}
	}
}

func averageGradWindows[T Float](p *Pool, dx, dy []T) {
	for ; len(dx) > 0; dx, dy = dx[p.H*p.W:], dy[p.OH*p.OW:] {
		for i := range p.OH {
			for j := range p.OW {
				w := p.window(i, j)
				n := p.count(w, i, j)
				if n == 0 {
					continue
				}
				g := dy[i*p.OW+j] / T(n)
				for h := w.h0; h < w.h1; h += w.dh {
					if w.w1 > w.w0 {
						row := dx[h*p.W+w.w0 : h*p.W+w.w1]
						for l := 0; l < len(row); l += w.dw {
							row[l] += g
						}
					}
				}
			}
		}
	}
}

// whole tells whether all windows lie inside the plane.
func (p *Pool) whole() bool {
	return p.PadTop == 0 && p.PadLeft == 0 && span(p.OH, p.StrideH, p.KH, p.DilationH) <= p.H && span(p.OW, p.StrideW, p.KW, p.DilationW) <= p.W
}

// eachCount calls f for ranges of n results whose sums are divided by the same count, which is not 0.
func (p *Pool) eachCount(n int, f func(from, to, count int)) {
	if p.whole() {
		f(0, n, p.KH*p.KW)
		return
	}
	for at := 0; at < n; {
		for i := range p.OH {
			p.eachCountInRow(at, i, f)
			at += p.OW
		}
	}
}

// eachCountInRow is eachCount for row i, whose first result has index at.
func (p *Pool) eachCountInRow(at, i int, f func(from, to, count int)) {
	for j := 0; j < p.OW; {
		count, end := p.count(p.window(i, j), i, j), j+1
		for end < p.OW && p.count(p.window(i, end), i, end) == count {
			end++
		}
		if count > 0 {
			f(at+j, at+end, count)
		}
		j = end
	}
}

// count is what the sum of window (i,j) is divided by.
func (p *Pool) count(w window, i, j int) int {
	if !p.CountPad {
		return steps(w.h0, w.h1, w.dh) * steps(w.w0, w.w1, w.dw)
	}
	h0, w0 := i*p.StrideH-p.PadTop, j*p.StrideW-p.PadLeft
	return min(p.KH, steps(h0, p.H+p.PadBottom, p.DilationH)) * min(p.KW, steps(w0, p.W+p.PadRight, p.DilationW))
}
