package kernels

import (
	"flag"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

var everyFloat = flag.Bool("every", false, "measure errors over all float32 numbers instead of one in 251")

type elementaryFunction struct {
	name   string
	run    func(y, x []float32)
	scalar func(x float32) float32
	truth  func(x float64) float64
	ulp    float64 // bound that the doc of elementary.go states
}

var elementaryFunctions = []elementaryFunction{
	{"Exp", Exp[float32], exp32, math.Exp, 0.991},
	{"Log", Log[float32], log32, math.Log, 0.842},
	{"Tanh", Tanh[float32], tanh32, math.Tanh, 2.669},
	{"Sigmoid", Sigmoid[float32], sigmoid32, sigmoid, 2.402},
	{"Erf", Erf[float32], erf32, math.Erf, 1.261},
}

// ulps is the distance of y from want, which float64 holds exactly enough, in units in the last place of the
// float32 number at want.
func ulps(y float32, want float64) float64 {
	special := func(v float64) bool { return math.IsInf(v, 0) || v != v }
	if w := float32(want); special(float64(y)) || special(float64(w)) {
		if sameBits(y, w) {
			return 0
		}
		return math.Inf(1)
	}
	return math.Abs(float64(y)-want) / unit32(want)
}

func unit32(v float64) float64 {
	a := math.Abs(v)
	if !(a <= math.MaxFloat32) {
		return math.Inf(1)
	}
	_, e := math.Frexp(a)
	return math.Ldexp(1, max(e, -125)-24)
}

func TestElementaryErrors(t *testing.T) {
	stride := uint64(251)
	if *everyFloat {
		stride = 1
	}
	for _, f := range elementaryFunctions {
		t.Run(f.name, func(t *testing.T) {
			var mu sync.Mutex
			worst, at := 0.0, float32(0)
			var wg sync.WaitGroup
			threads := uint64(runtime.GOMAXPROCS(0))
			for w := range threads {
				wg.Go(func() {
					x, y := make([]float32, 4096), make([]float32, 4096)
					high, where := 0.0, float32(0)
					for b := w * stride; b < 1<<32; {
						n := 0
						for ; n < len(x) && b < 1<<32; b += threads * stride {
							x[n] = math.Float32frombits(uint32(b))
							n++
						}
						f.run(y[:n], x[:n])
						for i, v := range x[:n] {
							if e := ulps(y[i], f.truth(float64(v))); !(e <= high) {
								high, where = e, v
							}
						}
					}
					mu.Lock()
					defer mu.Unlock()
					if !(high <= worst) {
						worst, at = high, where
					}
				})
			}
			wg.Wait()
			t.Logf("largest error %.4f ulp, at %g", worst, at)
			if !(worst <= f.ulp) {
				t.Errorf("error %.4f ulp at %g, want at most %g", worst, at, f.ulp)
			}
		})
	}
}

// Every level gives the bits of the Go code, in place too, and reads and writes nothing beyond.
func TestElementaryLevels(t *testing.T) {
	edges := append([]float32{88.72283, 88.72284, 89, -87.33655, -87.4, -103.97, -104, -104.1, 9.01, 10, 0.92, 4, 3.9999, 0x1p-126, 0x1p-130, -1}, specials...)
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, f := range elementaryFunctions {
			for n := range 70 {
				x := guarded(t, make([]float32, n))
				for i := range x {
					switch r.IntN(3) {
					case 0:
						x[i] = edges[r.IntN(len(edges))]
					case 1:
						x[i] = math.Float32frombits(r.Uint32())
					default:
						x[i] = float32(4 * r.NormFloat64())
					}
				}
				y := guarded(t, make([]float32, n))
				f.run(y, x)
				for i, v := range x {
					if want := f.scalar(v); !sameBits(y[i], want) {
						t.Fatalf("%s(%g) is %g, in Go %g", f.name, v, y[i], want)
					}
				}
				f.run(x, x)
				for i := range x {
					if !sameBits(x[i], y[i]) {
						t.Fatalf("%s in place: element %d is %g, else %g", f.name, i, x[i], y[i])
					}
				}
			}
		}
	})
}

func BenchmarkElementary(b *testing.B) {
	const n = 1 << 14
	x, y := normal[float32](rand.New(rand.NewPCG(1, 1)), n), make([]float32, n)
	for i := range x {
		x[i] = abs32(x[i])
	}
	eachLevel(b, func(b *testing.B) {
		for _, f := range elementaryFunctions {
			b.Run(f.name, func(b *testing.B) {
				b.SetBytes(8 * n)
				for b.Loop() {
					f.run(y, x)
				}
			})
		}
	})
}
