package kernels

import (
	"math/rand/v2"
	"testing"
)

// Sizes with incomplete tiles, blocks of several samples, of parts of a sample, pads larger than the kernel,
// groups, and channels that fill no panel.
func TestWinograd(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		for _, c := range []Conv{
			{N: 2, C: 16, H: 8, W: 8, M: 16, OH: 8, OW: 8, PadTop: 1, PadLeft: 1},
			{N: 3, C: 17, H: 6, W: 9, M: 19, OH: 6, OW: 8, PadTop: 1},
			{N: 1, C: 16, H: 21, W: 37, M: 17, OH: 19, OW: 36, PadLeft: 1},
			{N: 2, C: 50, H: 5, W: 3, M: 32, OH: 8, OW: 8, PadTop: 3, PadLeft: 4, Groups: 2},
			{N: 33, C: 25, H: 4, W: 4, M: 26, OH: 4, OW: 4, PadTop: 1, PadLeft: 1},
		} {
			c.KH, c.KW, c.StrideH, c.StrideW, c.DilationH, c.DilationW = 3, 3, 1, 1, 1, 1
			c.Groups = max(c.Groups, 1)
			if _, ok := c.winograd(); !ok {
				t.Errorf("%+v is not computed in tiles", c)
			}
			checkConv[float32](t, r, &c, 0x1p-24)
			checkConv[float64](t, r, &c, 0x1p-53)
		}
	})
}
