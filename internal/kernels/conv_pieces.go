package kernels

//go:generate sh -c "cd _gen && go run ./pieces -out ../conv_pieces_amd64.s -stubs ../conv_pieces_stubs_amd64.go -pkg kernels"

// A piece is a few elements that lie side by side in a frame and in a panel: they go from place `from`, relative
// to a row's, to column `to`.
type piece struct{ from, to int }

// pieces cut a row of a panel. All are copied at the same width, in ascending order: what one writes too much, the
// next one overwrites, or the next row, or it lands in the padding of the last.
type pieces struct {
	list  [maxTileCols]piece
	n     int
	width int
}

// maxPiece is the largest width of pieces.
const maxPiece = 8

// cutRow makes the pieces of columns whose elements lie at the given places.
func (p *pieces) cutRow(at []int) {
	longest := 0
	p.n = 0
	for i := 0; i < len(at); {
		end := i + 1
		for end < len(at) && end-i < maxPiece && at[end] == at[end-1]+1 {
			end++
		}
		p.list[p.n] = piece{at[i], i}
		p.n++
		longest = max(longest, end-i)
		i = end
	}
	p.width = maxPiece
	if longest <= maxPiece/2 {
		p.width = maxPiece / 2
	}
}

// gatherPieces sets dst[i*ld+j] = src[rows[i] + place of column j] for every row i and column j. It may write, and
// leave undefined, up to maxPiece elements behind the last row. rows ascends.
func gatherPieces[T Float](dst []T, ld int, src []T, rows []int, p *pieces) {
	if len(rows) == 0 {
		return
	}
	farthest := 0
	for _, q := range p.list[:p.n] {
		farthest = max(farthest, q.from)
	}
	// Near the end of src pieces of the full width would reach beyond it.
	safe := len(rows)
	for safe > 0 && rows[safe-1]+farthest+p.width > len(src) {
		safe--
	}
	_ = dst[(len(rows)-1)*ld+p.list[p.n-1].to+p.width-1]
	if !gatherPiecesAsm(dst, ld, src, rows[:safe], p) {
		safe = 0
	}
	for i := safe; i < len(rows); i++ {
		for _, q := range p.list[:p.n] {
			copy(dst[i*ld+q.to:][:p.width], src[rows[i]+q.from:])
		}
	}
}

// takeRows sets dst[i*ldd+j] = src[i*lds+j*step] for i < rows and j < cols.
func takeRows[T Float](dst []T, ldd int, src []T, lds, step, rows, cols int) {
	_, _ = dst[(rows-1)*ldd+cols-1], src[(rows-1)*lds+(cols-1)*step]
	if takeRowsAsm(dst, ldd, src, lds, step, rows, cols) {
		return
	}
	for i := range rows {
		at := i * lds
		for j := range dst[i*ldd:][:cols] {
			dst[i*ldd+j] = src[at]
			at += step
		}
	}
}

// addToRows adds src[i*lds+j] to dst[i*ldd+j*step] for i < rows and j < cols. A negative zero between these elements
// may become zero.
func addToRows[T Float](dst []T, ldd int, src []T, lds, step, rows, cols int) {
	_, _ = dst[(rows-1)*ldd+(cols-1)*step], src[(rows-1)*lds+cols-1]
	if addToRowsAsm(dst, ldd, src, lds, step, rows, cols) {
		return
	}
	for i := range rows {
		at := i * ldd
		for _, v := range src[i*lds:][:cols] {
			dst[at] += v
			at += step
		}
	}
}
