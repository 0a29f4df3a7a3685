package kernels

import "github.com/onnx-entropy/onnx-entropy/internal/rng"

// Dropout sets y[i] = x[i]*scale where the random word of element first+i is at least threshold, and 0
// elsewhere. The word of element e is Block(e/4)[e%4] of s. y and x may be the same slice.
func Dropout[T Float](y, x []T, s rng.Stream, first int, threshold uint64, scale T) {
	y = y[:len(x)]
	for i := 0; i < len(x); {
		e := first + i
		words := s.Block(uint32(e / 4))
		for k := e % 4; k < 4 && i < len(x); k++ {
			// Looked up, since a jump that nobody can predict costs more than the random word.
			choice := [2]T{0, x[i] * scale}
			y[i] = choice[bit(uint64(words[k]) >= threshold)]
			i++
		}
	}
}
