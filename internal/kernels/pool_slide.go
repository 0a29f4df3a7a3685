package kernels

//go:generate sh -c "cd _gen && go run ./pool -out ../pool_amd64.s -stubs ../pool_stubs_amd64.go -pkg kernels"

// A slideOp combines the elements of windows.
type slideOp int

const (
	slideMax slideOp = iota // NaN if there is one
	slideSum
)

// slideRoom is the number of elements for intermediate rows, which live on the stack.
const slideRoom = 2048

// slidePool sets y to what op makes of each window of x, none for an empty one: first of the rows of all windows,
// then of the columns. It returns false if windows are too wide for that.
func slidePool[T Float](p *Pool, op slideOp, none T, y, x []T) bool {
	reach := (p.KW - 1) * p.DilationW
	most := (slideRoom - reach) / p.StrideW &^ 7 // columns of y at once
	if most < 8 || p.PadLeft > reach {
		return false
	}
	q := *p
	planes := len(x) / (p.H * p.W)
	if p.PadTop == 0 && p.OH*p.StrideH == p.H && span(p.OH, p.StrideH, p.KH, p.DilationH) <= p.H {
		// All planes are one.
		q.H, q.OH, planes = planes*p.H, planes*p.OH, 1
	}
	var room [slideRoom]T
	for range planes {
		for j0 := 0; j0 < q.OW; j0 += most {
			// Blocks of columns are all of whole vectors: the last one overlaps the one before.
			from := max(min(j0, q.OW-most), 0)
			slideColumns(&q, op, none, y, x, from, min(from+most, q.OW), room[:])
		}
		x, y = x[q.H*q.W:], y[q.OH*q.OW:]
	}
	return true
}

// slideColumns is slidePool of columns [j0, j1) of one plane.
func slideColumns[T Float](p *Pool, op slideOp, none T, y, x []T, j0, j1 int, room []T) {
	ld := roundUp(j1-j0, 8)*p.StrideW + (p.KW-1)*p.DilationW
	// Columns of the intermediate rows that are in the plane, and what lies left of them.
	width := span(j1-j0, p.StrideW, p.KW, p.DilationW)
	left := max(p.PadLeft-j0*p.StrideW, 0)
	column := j0*p.StrideW - p.PadLeft + left
	columns := max(min(width-left, p.W-column), 0)
	firstWhole, lastWhole := ceilDiv(p.PadTop, p.StrideH), (p.H+p.PadTop-(p.KH-1)*p.DilationH-1)/p.StrideH
	for i0 := 0; i0 < p.OH; {
		i1 := min(i0+len(room)/ld, p.OH)
		for i := i0; i < i1; {
			rows := 1
			if i >= firstWhole && i <= lastWhole {
				rows = min(i1, lastWhole+1) - i
			}
			w := p.window(i, 0)
			dst := room[(i-i0)*ld:]
			if taps := steps(w.h0, w.h1, w.dh); taps > 0 && columns > 0 {
				slide(op, dst[left:], ld, x[w.h0*p.W+column:], p.StrideH*p.W, 1, taps, w.dh*p.W, rows, columns)
			} else {
				Fill(dst[left:][:columns], none)
			}
			i += rows
		}
		if left > 0 || left+columns < width {
			for i := range i1 - i0 {
				Fill(room[i*ld:][:left], none)
				Fill(room[i*ld+left+columns:(i+1)*ld], none)
			}
		}
		slide(op, y[i0*p.OW+j0:], p.OW, room, ld, p.StrideW, p.KW, p.DilationW, i1-i0, j1-j0)
		i0 = i1
	}
}

// slide sets dst[i*ldd+j] to what op makes of src[i*lds + j*step + t*tapStep], t < taps, for i < rows and j < cols. In
// dst it may overwrite elements up to seven columns behind a row, except those of the rows before it.
func slide[T Float](op slideOp, dst []T, ldd int, src []T, lds, step, taps, tapStep, rows, cols int) {
	for i := slideAsm(op, dst, ldd, src, lds, step, taps, tapStep, rows, cols); i < rows; i++ {
		d, s := dst[i*ldd:][:cols], src[i*lds:]
		for j := range d {
			d[j] = s[j*step]
		}
		for t := 1; t < taps; t++ {
			s := s[t*tapStep:]
			if op == slideSum {
				for j := range d {
					d[j] += s[j*step]
				}
				continue
			}
			for j := range d {
				d[j] = max(d[j], s[j*step])
			}
		}
	}
}
