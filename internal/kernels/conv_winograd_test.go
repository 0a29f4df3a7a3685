package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Sizes with incomplete tiles, blocks of several samples, of parts of a sample,
// groups, and channels that fill no panel.
func TestWinograd(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		for _, c := range []Conv{
			{N: 3, C: 16, H: 8, W: 8, M: 16, OH: 8, OW: 8, PadTop: 1, PadLeft: 1},
			{N: 3, C: 17, H: 6, W: 9, M: 19, OH: 6, OW: 8, PadTop: 1},
			{N: 1, C: 16, H: 21, W: 37, M: 17, OH: 19, OW: 36, PadLeft: 1},
			{N: 3, C: 50, H: 7, W: 8, M: 32, OH: 8, OW: 8, PadTop: 1, PadLeft: 1, Groups: 2},
			{N: 17, C: 16, H: 8, W: 8, M: 49, OH: 8, OW: 8, PadTop: 1, PadLeft: 1}, // more tiles than a block
			{N: 1, C: 33, H: 13, W: 14, M: 50, OH: 14, OW: 14, PadTop: 2, PadLeft: 1},
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

// Few positions and many channels, with strides, dilation, padding, several samples in a box and several boxes in a sample,
// more taps than a block of products, and bands of rows that are not full.
func TestConvGathered(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(19, 20))
		for _, c := range []Conv{
			{N: 1, C: 5, H: 9, W: 9, M: 70, KH: 3, KW: 3, OH: 4, OW: 4, StrideH: 2, StrideW: 2},
			{N: 1, C: 33, H: 7, W: 7, M: 64, KH: 3, KW: 3, OH: 7, OW: 7, PadTop: 1, PadLeft: 1},
			{N: 3, C: 40, H: 6, W: 5, M: 125, KH: 1, KW: 1, OH: 6, OW: 5},
			{N: 1, C: 3, H: 30, W: 35, M: 65, KH: 2, KW: 3, OH: 29, OW: 33},
			{N: 7, C: 2, H: 8, W: 20, M: 66, KH: 3, KW: 2, OH: 7, OW: 12, StrideW: 2, DilationH: 2, PadTop: 2, PadLeft: 5},
			{N: 1, C: 2, H: 3, W: 400, M: 64, KH: 2, KW: 4, OH: 2, OW: 397},
			{N: 2, C: 1, H: 20, W: 20, M: 64, KH: 17, KW: 17, OH: 4, OW: 4},
		} {
			for _, v := range []*int{&c.StrideH, &c.StrideW, &c.DilationH, &c.DilationW, &c.Groups} {
				*v = max(*v, 1)
			}
			if !c.gathered() {
				t.Errorf("%+v is not gathered", c)
			}
			checkConv[float32](t, r, &c, 0x1p-24)
			checkConv[float64](t, r, &c, 0x1p-53)
		}
	})
}

// TestWinogradError bounds the errors that the documentation of winograd states, and measures those of plain sums, on a
// convolution that differs only in its dilation.
func TestWinogradError(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		tiles := Conv{N: 1, C: 192, H: 16, W: 16, M: 32, KH: 3, KW: 3, OH: 16, OW: 16, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: 1, PadLeft: 1, Groups: 1}
		sums := tiles
		sums.DilationH, sums.PadTop = 2, 2
		// Windows that lie in the padding: their results are not exactly 0.
		padded := Conv{N: 3, C: 50, H: 5, W: 3, M: 32, KH: 3, KW: 3, OH: 8, OW: 8, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: 3, PadLeft: 4, Groups: 2}
		for i, e := range convErrors(&padded) {
			if bound := [3]float64{1.5e-5, 1e-5, 6e-6}[i]; !(e <= bound) {
				t.Errorf("with wide padding: largest error %.2g of the root mean square, documented %.2g", e, bound)
			}
		}
		got, plain := convErrors(&tiles), convErrors(&sums)
		for i, bound := range [3]float64{1.5e-5, 1e-5, 6e-6} {
			name := [3]string{"y", "dx", "dw"}[i]
			t.Logf("%s: largest error %.2g of the root mean square, of plain sums %.2g", name, got[i], plain[i])
			if got[i] > bound {
				t.Errorf("%s: largest error %.2g of the root mean square, documented %.2g", name, got[i], bound)
			}
		}
	})
}

// convErrors returns the largest errors of y, dx and dw on normal data, relative to the root mean square of each.
func convErrors(c *Conv) (errors [3]float64) {
	r := rand.New(rand.NewPCG(17, 18))
	x, w, dy := normal[float32](r, c.N*c.C*c.H*c.W), normal[float32](r, c.M*c.taps()), normal[float32](r, c.N*c.M*c.area())
	want := newNaiveConv(c, wide(x), wide(w), nil, wide(dy))
	y, dx, dw := make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
	room := func(shared, worker int) (s, sw []float32) { return make([]float32, shared), make([]float32, worker) }
	s, sw := room(c.Scratch())
	runParts(c.Phases(), false, func(phase, part int) { ConvPart(c, phase, part, y, x, w, nil, s, sw) })
	s, sw = room(c.GradXScratch())
	runParts(c.GradXPhases(), false, func(phase, part int) { ConvGradXPart(c, phase, part, dx, dy, w, s, sw) })
	s, sw = room(c.GradWScratch())
	runParts(c.GradWPhases(), false, func(phase, part int) { ConvGradWPart(c, phase, part, dw, dy, x, s, sw) })
	for i, o := range []struct {
		got  []float32
		want []float64
	}{{y, want.y}, {dx, want.dx}, {dw, want.dw}} {
		var worst, square float64
		for j, v := range o.got {
			worst = max(worst, math.Abs(float64(v)-o.want[j]))
			square += o.want[j] * o.want[j]
		}
		errors[i] = worst / math.Sqrt(square/float64(len(o.want)))
	}
	return errors
}
