package kernels

import (
	"math"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// Dropout sets y[i] = x[i]*scale where the random word of element first+i is at least threshold, and 0
// elsewhere. The word of element e is Block(e/4)[e%4] of s. first is a multiple of 4. y and x may be the
// same slice.
func Dropout[T Float](y, x []T, s rng.Stream, first int, threshold uint64, scale T) {
	y = y[:len(x)]
	if threshold > math.MaxUint32 {
		clear(y)
		return
	}
	var words [512]uint32 // in the first-level cache between their making and their use
	for block := uint32(first / 4); len(x) > 0; block += uint32(len(words) / 4) {
		n := min(len(x), len(words))
		w := words[:n]
		s.Words(words[:(n+3)&^3], block)
		for i := dropMaskAsm(y[:n], x[:n], w, uint32(threshold), scale); i < n; i++ {
			// Looked up, since a jump that nobody can predict costs more than the random word.
			choice := [2]T{0, x[i] * scale}
			y[i] = choice[bit(uint64(w[i]) >= threshold)]
		}
		y, x = y[n:], x[n:]
	}
}
