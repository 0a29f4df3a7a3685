package kernels

import (
	"math"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

//go:generate sh -c "cd _gen && go run ./dropout -out ../dropout_amd64.s -stubs ../dropout_stubs_amd64.go -pkg kernels"

// A Drop is the dropout of a tensor: element e is multiplied by a scale where its random word is at least a threshold, and 0
// elsewhere. The word is Block(e/4)[e%4] of a stream.
type Drop struct {
	stream    rng.Stream
	schedule  [19]uint32
	threshold uint64
	scale     float64
}

// NewDrop returns the dropout by a stream.
func NewDrop(s rng.Stream, threshold uint64, scale float64) Drop {
	return Drop{s, s.Schedule(), threshold, scale}
}

// Dropout applies d to the elements of x, of which first is the number of the first in the tensor. y and x may be the same slice.
func Dropout[T Float](d *Drop, y, x []T, first int) {
	y = y[:len(x)]
	if d.threshold > math.MaxUint32 {
		clear(y)
		return
	}
	if in := first % 4; in > 0 && len(x) > 0 {
		n := min(4-in, len(x))
		four := d.stream.Block(uint32(first / 4))
		dropWords(d, y[:n], x[:n], four[in:])
		y, x, first = y[n:], x[n:], first+n
	}
	done := dropoutAsm(d, y, x, uint32(first/4))
	y, x, first = y[done:], x[done:], first+done
	var words [64]uint32
	for block := uint32(first / 4); len(x) > 0; block += uint32(len(words) / 4) {
		n := min(len(x), len(words))
		d.stream.Words(words[:(n+3)&^3], block)
		dropWords(d, y[:n], x[:n], words[:n])
		y, x = y[n:], x[n:]
	}
}

// DropoutRows is Dropout of n columns of a number of rows that are ld elements apart.
func DropoutRows[T Float](d *Drop, y, x []T, first, ld, rows, n int) {
	if rows < 1 || n < 1 {
		return
	}
	y, x = y[:(rows-1)*ld+n], x[:(rows-1)*ld+n]
	done := dropoutRowsAsm(d, y, x, first, ld, rows, n)
	if done == n {
		return
	}
	for at := done; at < len(x); at += ld {
		end := at + n - done
		Dropout(d, y[at:end], x[at:end], first+at)
	}
}

// dropWords applies d to elements with the given words.
func dropWords[T Float](d *Drop, y, x []T, words []uint32) {
	y, words, scale := y[:len(x)], words[:len(x)], T(d.scale)
	for i, w := range words {
		// Looked up, since a jump that nobody can predict costs more than the random word.
		choice := [2]T{0, x[i] * scale}
		y[i] = choice[bit(uint64(w) >= d.threshold)]
	}
}
