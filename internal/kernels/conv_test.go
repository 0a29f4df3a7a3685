package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// naiveConv is the definition of the convolution and of its derivatives, one product at a time. size sums
// the absolute values of the products, for the bound of rounding.
type naiveConv struct{ y, dx, dw, db, ySize, dxSize, dwSize, dbSize []float64 }

func newNaiveConv(c *Conv, x, w, bias, dy []float64) *naiveConv {
	r := &naiveConv{}
	for _, p := range []*[]float64{&r.y, &r.ySize} {
		*p = make([]float64, len(dy))
	}
	for _, p := range []*[]float64{&r.dx, &r.dxSize} {
		*p = make([]float64, len(x))
	}
	for _, p := range []*[]float64{&r.dw, &r.dwSize} {
		*p = make([]float64, len(w))
	}
	for _, p := range []*[]float64{&r.db, &r.dbSize} {
		*p = make([]float64, c.M)
	}
	add := func(sum, size []float64, at int, v float64) { sum[at] += v; size[at] += math.Abs(v) }
	perIn, perOut := c.C/c.Groups, c.M/c.Groups
	for n := range c.N {
		for m := range c.M {
			for i := range c.OH {
				for j := range c.OW {
					yi := ((n*c.M+m)*c.OH+i)*c.OW + j
					add(r.db, r.dbSize, m, dy[yi])
					if bias != nil {
						add(r.y, r.ySize, yi, bias[m])
					}
					for ch := range perIn {
						for u := range c.KH {
							for v := range c.KW {
								h, l := i*c.StrideH+u*c.DilationH-c.PadTop, j*c.StrideW+v*c.DilationW-c.PadLeft
								if h < 0 || h >= c.H || l < 0 || l >= c.W {
									continue
								}
								xi := ((n*c.C+m/perOut*perIn+ch)*c.H+h)*c.W + l
								wi := ((m*perIn+ch)*c.KH+u)*c.KW + v
								add(r.y, r.ySize, yi, x[xi]*w[wi])
								add(r.dx, r.dxSize, xi, dy[yi]*w[wi])
								add(r.dw, r.dwSize, wi, dy[yi]*x[xi])
							}
						}
					}
				}
			}
		}
	}
	return r
}

// runParts runs all parts of all phases; with backwards the last part of a phase first.
func runParts(phases []int, backwards bool, run func(phase, part int)) {
	for phase, parts := range phases {
		for i := range parts {
			if backwards {
				i = parts - 1 - i
			}
			run(phase, i)
		}
	}
}

func checkConv[T Float](t *testing.T, r *rand.Rand, c *Conv, eps float64) {
	t.Helper()
	x, w, bias := guarded(t, normal[T](r, c.N*c.C*c.H*c.W)), guarded(t, normal[T](r, c.M*c.taps())), guarded(t, normal[T](r, c.M))
	dy := guarded(t, normal[T](r, c.N*c.M*c.area()))
	if r.IntN(3) == 0 {
		bias = nil
	}
	want := newNaiveConv(c, wide(x), wide(w), wide(bias), wide(dy))
	check := func(name string, phases []int, shared, worker int, out, size []float64, run func(phase, part int, out, shared, worker []T)) {
		t.Helper()
		var first []T
		for _, backwards := range []bool{false, true} {
			got := guarded(t, nans[T](len(out)))
			s, sw := guarded(t, nans[T](shared)), guarded(t, nans[T](worker))
			runParts(phases, backwards, func(phase, part int) { run(phase, part, got, s, sw) })
			for i, v := range got {
				if d := math.Abs(float64(v) - out[i]); !(d <= eps*size[i]*float64(c.N*c.area()+c.taps()*c.M)) && d != 0 {
					t.Fatalf("%+v: %s[%d] = %v, want %v", *c, name, i, v, out[i])
				}
				if backwards && v != first[i] {
					t.Fatalf("%+v: %s[%d] depends on the order of the parts", *c, name, i)
				}
			}
			first = got
		}
	}
	shared, worker := c.Scratch()
	check("y", c.Phases(), shared, worker, want.y, want.ySize, func(phase, part int, out, shared, worker []T) {
		ConvPart(c, phase, part, out, x, w, bias, shared, worker)
	})
	shared, worker = c.GradXScratch()
	check("dx", c.GradXPhases(), shared, worker, want.dx, want.dxSize, func(phase, part int, out, shared, worker []T) {
		ConvGradXPart(c, phase, part, out, dy, w, shared, worker)
	})
	shared, worker = c.GradWScratch()
	check("dw", c.GradWPhases(), shared, worker, want.dw, want.dwSize, func(phase, part int, out, shared, worker []T) {
		ConvGradWPart(c, phase, part, out, dy, x, shared, worker)
	})
	check("db", []int{1}, 0, 0, want.db, want.dbSize, func(_, _ int, out, _, _ []T) { ConvGradB(c, out, dy, 0, c.M) })
}

// TestConvNonFinite puts NaN or an infinity into x and dy: results that depend on one are not finite, and no others are,
// except that Winograd's tiles spread it, and that dw meets dy times the zeros of padding.
func TestConvNonFinite(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(15, 16))
		for k := range 120 {
			c := randomConv(r)
			if k%3 == 0 {
				c = &Conv{N: 2, C: 16, H: 9, W: 8 + r.IntN(4), M: 17, KH: 3, KW: 3, OH: 8, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: r.IntN(2), PadLeft: 1, Groups: 1}
				c.OW = c.W
			}
			_, tiles := c.winograd()
			x, w, dy := normal[float32](r, c.N*c.C*c.H*c.W), normal[float32](r, c.M*c.taps()), normal[float32](r, c.N*c.M*c.area())
			for _, s := range [][]float32{x, dy} {
				s[r.IntN(len(s))] = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}[r.IntN(3)]
			}
			want := newNaiveConv(c, wide(x), wide(w), nil, wide(dy))
			y, dx, dw := make([]float32, len(dy)), make([]float32, len(x)), make([]float32, len(w))
			run := func(phases []int, shared, worker int, f func(phase, part int, s, w []float32)) {
				s, sw := make([]float32, shared), make([]float32, worker)
				runParts(phases, false, func(phase, part int) { f(phase, part, s, sw) })
			}
			s, sw := c.Scratch()
			run(c.Phases(), s, sw, func(phase, part int, s, sw []float32) { ConvPart(c, phase, part, y, x, w, nil, s, sw) })
			s, sw = c.GradXScratch()
			run(c.GradXPhases(), s, sw, func(phase, part int, s, sw []float32) { ConvGradXPart(c, phase, part, dx, dy, w, s, sw) })
			s, sw = c.GradWScratch()
			run(c.GradWPhases(), s, sw, func(phase, part int, s, sw []float32) { ConvGradWPart(c, phase, part, dw, dy, x, s, sw) })
			for name, pair := range map[string]struct {
				got  []float32
				want []float64
			}{"y": {y, want.y}, "dx": {dx, want.dx}, "dw": {dw, want.dw}} {
				for i, v := range pair.got {
					bad, ought := v-v != 0, pair.want[i]-pair.want[i] != 0
					if ought && !bad || bad && !ought && !tiles && name != "dw" {
						t.Fatalf("%+v: %s[%d] = %v, want %v", *c, name, i, v, pair.want[i])
					}
				}
			}
		}
	})
}

func wide[T Float](s []T) []float64 {
	if s == nil {
		return nil
	}
	out := make([]float64, len(s))
	for i, v := range s {
		out[i] = float64(v)
	}
	return out
}

// randomConv draws sizes small enough for the naive loops, odd enough for every edge.
func randomConv(r *rand.Rand) *Conv {
	for {
		c := &Conv{N: 1 + r.IntN(4), H: 1 + r.IntN(9), W: 1 + r.IntN(20), KH: 1 + r.IntN(4), KW: 1 + r.IntN(5),
			StrideH: 1 + r.IntN(3), StrideW: 1 + r.IntN(3), DilationH: 1 + r.IntN(2), DilationW: 1 + r.IntN(3),
			PadTop: r.IntN(3), PadLeft: r.IntN(7), Groups: 1 + r.IntN(3)}
		c.C, c.M = c.Groups*(1+r.IntN(3)), c.Groups*(1+r.IntN(7))
		h, w := c.H+c.PadTop+r.IntN(3)-(c.KH-1)*c.DilationH-1, c.W+c.PadLeft+r.IntN(9)-(c.KW-1)*c.DilationW-1
		if h >= 0 && w >= 0 {
			c.OH, c.OW = h/c.StrideH+1, w/c.StrideW+1
			return c
		}
	}
}

func TestConv(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for range 150 {
			c := randomConv(r)
			checkConv[float32](t, r, c, 0x1p-24)
			checkConv[float64](t, r, c, 0x1p-53)
		}
		one := func(c Conv) {
			if c.Groups == 0 {
				c.Groups = 1
			}
			c.StrideH, c.StrideW, c.DilationH, c.DilationW = 1, 1, 1, 1
			checkConv[float32](t, r, &c, 0x1p-24)
			checkConv[float64](t, r, &c, 0x1p-53)
		}
		// Several blocks of positions in a sample; several samples in a block; more taps and channels than
		// a block of products; many chunks; depthwise.
		one(Conv{N: 1, C: 2, H: 40, W: 41, M: 3, KH: 3, KW: 3, OH: 40, OW: 41, PadTop: 1, PadLeft: 1})
		one(Conv{N: 21, C: 3, H: 4, W: 4, M: 7, KH: 2, KW: 2, OH: 3, OW: 3})
		one(Conv{N: 3, C: 70, H: 4, W: 5, M: 5, KH: 2, KW: 2, OH: 3, OW: 4})
		one(Conv{N: 2, C: 3, H: 5, W: 5, M: 270, KH: 2, KW: 2, OH: 4, OW: 4})
		one(Conv{N: 40, C: 4, H: 10, W: 10, M: 20, KH: 5, KW: 5, OH: 6, OW: 6})
		one(Conv{N: 2, C: 33, H: 6, W: 6, M: 33, KH: 3, KW: 3, OH: 6, OW: 6, PadTop: 1, PadLeft: 1, Groups: 33})
	})
}

// The two convolutions of mnistconv at batch 128.
var mnistConvs = []Conv{
	{N: 128, C: 1, H: 28, W: 28, M: 20, KH: 5, KW: 5, OH: 24, OW: 24, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1},
	{N: 128, C: 20, H: 8, W: 8, M: 50, KH: 5, KW: 5, OH: 4, OW: 4, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1},
}

// allCNN is a layer of All-CNN on 8 images.
func allCNN(c, m, size, stride int) Conv {
	out := (size-1)/stride + 1
	return Conv{N: 8, C: c, H: size, W: size, M: m, KH: 3, KW: 3, OH: out, OW: out, StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1, PadTop: 1, PadLeft: 1, Groups: 1}
}

func BenchmarkConv(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	depthwise := func(channels, size, stride int) Conv {
		c := allCNN(channels, channels, size, stride)
		c.N, c.Groups = 16, channels
		return c
	}
	convs := append([]Conv{
		depthwise(96, 56, 1), depthwise(96, 56, 2), depthwise(576, 14, 1), depthwise(960, 7, 1),
		allCNN(3, 96, 32, 1), allCNN(96, 96, 32, 1), allCNN(96, 96, 32, 2), allCNN(96, 192, 16, 1), allCNN(192, 192, 16, 1), allCNN(192, 192, 16, 2), allCNN(192, 192, 8, 1),
		{N: 8, C: 256, H: 14, W: 14, M: 256, KH: 3, KW: 3, OH: 14, OW: 14, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: 1, PadLeft: 1, Groups: 32},
		{N: 8, C: 96, H: 28, W: 28, M: 192, KH: 1, KW: 1, OH: 28, OW: 28, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1},
	}, mnistConvs...)
	for _, c := range convs {
		x, w, bias := normal[float32](r, c.N*c.C*c.H*c.W), normal[float32](r, c.M*c.taps()), normal[float32](r, c.M)
		y := normal[float32](r, c.N*c.M*c.area())
		bench := func(name string, phases []int, nShared, nWorker int, run func(phase, part int, shared, worker []float32)) {
			b.Run(fmt.Sprintf("%dx%dx%d-%d,%dx%d,stride%d,groups%d,%s", c.C, c.H, c.W, c.M, c.KH, c.KW, c.StrideH, c.Groups, name), func(b *testing.B) {
				shared, worker := make([]float32, nShared), make([]float32, nWorker)
				fastest(b, 2*float64(c.N*c.area()*c.M*c.taps()), func() {
					for phase, parts := range phases {
						for i := range parts {
							run(phase, i, shared, worker)
						}
					}
				})
			})
		}
		shared, worker := c.Scratch()
		bench("y", c.Phases(), shared, worker, func(phase, part int, shared, worker []float32) {
			ConvPart(&c, phase, part, y, x, w, bias, shared, worker)
		})
		shared, worker = c.GradXScratch()
		bench("dx", c.GradXPhases(), shared, worker, func(phase, part int, shared, worker []float32) {
			ConvGradXPart(&c, phase, part, x, y, w, shared, worker)
		})
		shared, worker = c.GradWScratch()
		bench("dw", c.GradWPhases(), shared, worker, func(phase, part int, shared, worker []float32) {
			ConvGradWPart(&c, phase, part, w, y, x, shared, worker)
		})
		bench("db", []int{1}, 0, 0, func(_, _ int, _, _ []float32) { ConvGradB(&c, bias, y, 0, c.M) })
	}
}
