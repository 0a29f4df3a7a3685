package kernels

// A box is a set of positions (n,i,j) of y: whole samples, or whole rows of one sample, or a part of one row.
type box struct{ n0, n1, i0, i1, j0, j1 int }

func (b *box) rows() int { return b.i1 - b.i0 }
func (b *box) cols() int { return b.j1 - b.j0 }
func (b *box) area() int { return b.rows() * b.cols() }
func (b *box) len() int  { return (b.n1 - b.n0) * b.area() }

// boxes cuts the positions of samples [n0, n1) into boxes of equal sizes, but for the last along each axis.
type boxes struct {
	n0, n1, oh, ow      int
	samples, rows, cols int
}

// boxes returns boxes of at most so many positions.
func (c *Conv) boxes(n0, n1, most int) boxes {
	g := boxes{n0, n1, c.OH, c.OW, 1, 1, c.OW}
	switch {
	case c.area() <= most:
		g.samples, g.rows = min(most/c.area(), n1-n0), c.OH
	case c.OW <= most:
		g.rows = ceilDiv(c.OH, ceilDiv(c.OH, most/c.OW))
	default:
		g.cols = min(roundUp(ceilDiv(c.OW, ceilDiv(c.OW, most)), maxTileCols), most)
	}
	return g
}

// perSample is the number of boxes that one sample, or a group of whole samples, is cut into.
func (g *boxes) perSample() int { return ceilDiv(g.oh, g.rows) * ceilDiv(g.ow, g.cols) }

func (g *boxes) count() int { return ceilDiv(g.n1-g.n0, g.samples) * g.perSample() }

func (g *boxes) box(i int) box {
	across := ceilDiv(g.ow, g.cols)
	n := g.n0 + i/g.perSample()*g.samples
	row, col := i%g.perSample()/across*g.rows, i%across*g.cols
	return box{n, min(n+g.samples, g.n1), row, min(row+g.rows, g.oh), col, min(col+g.cols, g.ow)}
}
