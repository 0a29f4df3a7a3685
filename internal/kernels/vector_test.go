package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// A loop is a kernel over elements: it sets y from the inputs. want is an element of its result, written
// without regard to speed.
type loop struct {
	name   string
	inputs int
	run    func(y []float32, in [][]float32)
	want   func(in []float32) float32
}

func of1(f func(y, x []float32)) func(y []float32, in [][]float32) {
	return func(y []float32, in [][]float32) { f(y, in[0]) }
}

func of2(f func(y, a, b []float32)) func(y []float32, in [][]float32) {
	return func(y []float32, in [][]float32) { f(y, in[0], in[1]) }
}

// loops are those whose instructions give the bits of the generic code.
func loops() []loop {
	zero := func(keep bool, v float32) float32 {
		if keep {
			return v
		}
		return 0
	}
	list := []loop{
		{"Add", 2, of2(Add[float32]), func(v []float32) float32 { return v[0] + v[1] }},
		{"Sub", 2, of2(Sub[float32]), func(v []float32) float32 { return v[0] - v[1] }},
		{"Mul", 2, of2(Mul[float32]), func(v []float32) float32 { return v[0] * v[1] }},
		{"Div", 2, of2(Div[float32]), func(v []float32) float32 { return v[0] / v[1] }},
		{"Neg", 1, of1(Neg[float32]), func(v []float32) float32 { return -v[0] }},
		{"Abs", 1, of1(Abs[float32]), func(v []float32) float32 { return float32(math.Abs(float64(v[0]))) }},
		{"Sqrt", 1, of1(Sqrt[float32]), func(v []float32) float32 { return float32(math.Sqrt(float64(v[0]))) }},
		{"Reciprocal", 1, of1(Reciprocal[float32]), func(v []float32) float32 { return 1 / v[0] }},
		{"SqrtGrad", 2, of2(SqrtGrad[float32]), func(v []float32) float32 { return v[1] / (2 * v[0]) }},
		{"ReciprocalGrad", 2, of2(ReciprocalGrad[float32]), func(v []float32) float32 { return -v[1] * float32(v[0]*v[0]) }},
		{"AbsGrad", 2, of2(AbsGrad[float32]), func(v []float32) float32 {
			switch {
			case v[0] > 0:
				return v[1]
			case v[0] < 0:
				return -v[1]
			}
			return v[0]
		}},
		{"Relu", 1, of1(Relu[float32]), func(v []float32) float32 { return zero(!(v[0] <= 0), v[0]) }},
		{"ReluGrad", 2, of2(ReluGrad[float32]), func(v []float32) float32 { return zero(!(v[0] <= 0), v[1]) }},
		{"SigmoidGrad", 2, of2(SigmoidGrad[float32]), func(v []float32) float32 { return v[1] * float32(v[0]*(1-v[0])) }},
		{"TanhGrad", 2, of2(TanhGrad[float32]), func(v []float32) float32 { return v[1] * (1 - float32(v[0]*v[0])) }},
		{"NormaliseRows", 4, func(y []float32, in [][]float32) {
			NormaliseRows(y, in[0], len(y), 1, in[1], in[2], in[3], false)
		}, func(v []float32) float32 { return float32((v[0]-v[1])*v[2]) + v[3] }},
		{"NormaliseRows with Relu", 4, func(y []float32, in [][]float32) {
			NormaliseRows(y, in[0], len(y), 1, in[1], in[2], in[3], true)
		}, func(v []float32) float32 {
			z := float32((v[0]-v[1])*v[2]) + v[3]
			return zero(!(z <= 0), z)
		}},
		{"NormaliseGradRows", 6, func(y []float32, in [][]float32) {
			NormaliseGradRows(y, in[0], in[1], nil, len(y), 1, in[2], in[3], in[4], in[5], 1)
		}, func(v []float32) float32 { return v[3] * (v[1] - v[4] - float32((v[0]-v[2])*v[5])) }},
		{"NormaliseGradRows of a rectified result", 7, func(y []float32, in [][]float32) {
			NormaliseGradRows(y, in[0], in[1], in[6], len(y), 1, in[2], in[3], in[4], in[5], 1.25)
		}, func(v []float32) float32 {
			return v[3] * (zero(!(v[6] <= 0), v[1]*1.25) - v[4] - float32((v[0]-v[2])*v[5]))
		}},
		{"Normalise", 1, of1(func(y, x []float32) { Normalise(y, x, 0.3, 1.7, -0.2) }),
			func(v []float32) float32 { return float32((v[0]-0.3)*1.7) - 0.2 }},
		{"NormaliseGrad", 2, of2(func(y, a, b []float32) { NormaliseGrad(y, a, b, 0.3, 1.7, -0.2, 0.1) }),
			func(v []float32) float32 { return 1.7 * (v[1] - -0.2 - float32((v[0]-0.3)*0.1)) }},
	}
	inf, negZero := float32(math.Inf(1)), float32(math.Copysign(0, -1))
	for _, s := range []float32{0.1, -3, 0, negZero, inf, float32(math.NaN())} {
		slope := func(x float32) float32 {
			if x > 0 {
				return 1
			}
			return s
		}
		with := func(name string, f func(y, a []float32, s float32), want func(v, s float32) float32) {
			list = append(list, loop{fmt.Sprint(name, s), 1, of1(func(y, x []float32) { f(y, x, s) }), func(v []float32) float32 { return want(v[0], s) }})
		}
		with("AddScalar", AddScalar[float32], func(v, s float32) float32 { return v + s })
		with("SubScalar", SubScalar[float32], func(v, s float32) float32 { return v - s })
		with("ScalarSub", func(y, a []float32, s float32) { ScalarSub(y, s, a) }, func(v, s float32) float32 { return s - v })
		with("MulScalar", MulScalar[float32], func(v, s float32) float32 { return v * s })
		with("DivScalar", DivScalar[float32], func(v, s float32) float32 { return v / s })
		with("ScalarDiv", func(y, a []float32, s float32) { ScalarDiv(y, s, a) }, func(v, s float32) float32 { return s / v })
		with("LeakyRelu", LeakyRelu[float32], func(v, s float32) float32 { return v * slope(v) })
		list = append(list, loop{fmt.Sprint("RectifiedGrad", s), 2, of2(func(dx, y, dy []float32) { RectifiedGrad(dx, y, dy, s) }),
			func(v []float32) float32 { return zero(!(v[0] <= 0), v[1]*s) }})
		list = append(list, loop{fmt.Sprint("LeakyReluGrad", s), 2, of2(func(y, a, b []float32) { LeakyReluGrad(y, a, b, s) }),
			func(v []float32) float32 { return v[1] * slope(v[0]) }})
	}
	for _, b := range [][2]float32{{0, 6}, {negZero, 0}, {-1, 1}, {-inf, 2}, {-1, inf}, {-inf, inf}, {inf, inf}, {-inf, -inf}, {2, -2}, {0, negZero}} {
		lo, hi := b[0], b[1]
		list = append(list, loop{fmt.Sprint("Clip", b), 1, of1(func(y, x []float32) { Clip(y, x, lo, hi) }),
			func(v []float32) float32 { return min(max(v[0], lo), hi) }})
		list = append(list, loop{fmt.Sprint("ClipGrad", b), 2, of2(func(y, a, b []float32) { ClipGrad(y, a, b, lo, hi) }),
			func(v []float32) float32 {
				x := v[0]
				return zero((lo == -inf || x > lo) && (hi == inf || x < hi) && x == x, v[1])
			}})
	}
	return list
}

// specials are values at which a loop may go wrong.
var specials = []float32{0, float32(math.Copysign(0, -1)), 1, -1, 6, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32,
	0x1p-126, -0x1p-127, math.MaxFloat32, -math.MaxFloat32, float32(math.Inf(1)), float32(math.Inf(-1)),
	float32(math.NaN()), math.Float32frombits(0xffc00000), 2, -2, 0.3}

// ordinary and special numbers.
func mixed(r *rand.Rand, n int) []float32 {
	s := normal[float32](r, n)
	for i := range s {
		if r.IntN(3) == 0 {
			s[i] = specials[r.IntN(len(specials))]
		}
	}
	return s
}

// sameBits takes all that is not a number for the same: which NaN an operation on two of them returns depends on
// the order in which the compiler gives them to the instruction.
func sameBits(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

func TestLoops(t *testing.T) {
	list := loops()
	eachLevel(t, func(t *testing.T) {
		for _, l := range list {
			t.Run(l.name, func(t *testing.T) {
				r := rand.New(rand.NewPCG(3, 4))
				for n := range 68 {
					checkLoop(t, r, l, n)
				}
				checkLoop(t, r, l, 1000)
			})
		}
	})
}

func checkLoop(t *testing.T, r *rand.Rand, l loop, n int) {
	t.Helper()
	in := make([][]float32, l.inputs)
	for k := range in {
		in[k] = guarded(t, mixed(r, n))
	}
	want := make([]float32, n)
	v := make([]float32, l.inputs)
	for i := range want {
		for k := range v {
			v[k] = in[k][i]
		}
		want[i] = l.want(v)
	}
	check := func(y []float32, in [][]float32, over string) {
		t.Helper()
		l.run(y, in)
		for i := range want {
			if !sameBits(y[i], want[i]) {
				t.Fatalf("%s of %d elements over %s: element %d is %v, want %v", l.name, n, over, i, y[i], want[i])
			}
		}
	}
	check(guarded(t, make([]float32, n)), in, "new memory")
	for k := range in {
		copied := append([][]float32(nil), in...)
		copied[k] = append([]float32(nil), in[k]...)
		check(copied[k], copied, fmt.Sprint("input ", k))
	}
}

// The random words are those of the stream, whatever the cut.
func TestDropoutMask(t *testing.T) {
	s := rng.Stream{Seed: 5, Purpose: rng.Dropout, Eval: 9}
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, threshold := range []uint64{0, 1, 1 << 30, 1 << 31, 1<<31 + 1, math.MaxUint32, 1 << 32} {
			for _, n := range []int{0, 1, 3, 7, 8, 9, 67, 511, 512, 513, 1025} {
				first := r.IntN(4000)
				x := guarded(t, mixed(r, n))
				y := guarded(t, make([]float32, n))
				d := NewDrop(s, threshold, 1.25)
				Dropout(&d, y, x, first)
				for i := range y {
					var want float32
					if uint64(s.Block(uint32((first + i) / 4))[(first+i)%4]) >= threshold {
						want = x[i] * 1.25
					}
					if !sameBits(y[i], want) {
						t.Fatalf("threshold %d, element %d of %d from %d: %v, want %v", threshold, i, n, first, y[i], want)
					}
				}
			}
		}
	})
}

// BenchmarkLoops is over slices that fit the second-level cache. Bytes are those read and written.
func BenchmarkLoops(b *testing.B) {
	const n = 1 << 14
	r := rand.New(rand.NewPCG(1, 1))
	for _, l := range loops() {
		in := make([][]float32, l.inputs)
		for k := range in {
			in[k] = normal[float32](r, n)
		}
		y := make([]float32, n)
		b.Run(l.name, func(b *testing.B) {
			b.SetBytes(int64(4 * n * (1 + l.inputs)))
			for b.Loop() {
				l.run(y, in)
			}
		})
	}
}

func BenchmarkDropout(b *testing.B) {
	x := make([]float32, 1<<14)
	b.SetBytes(8 << 14)
	d := NewDrop(rng.Stream{}, 1<<30, 1.5)
	for b.Loop() {
		Dropout(&d, x, x, 0)
	}
}
