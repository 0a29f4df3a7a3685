package kernels

import (
	"math/rand/v2"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/rng"
)

// Rows of a matrix are normalised, and their derivatives computed, to the bit as by plain loops over their elements, in place too;
// nothing beside the columns is read or written.
func TestNormaliseRows(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 81))
		for range 300 {
			cols, rows := 1+r.IntN(150), 1+r.IntN(6)
			ld := cols + r.IntN(20)
			size := (rows-1)*ld + cols
			matrix := func() []float32 { return guarded(t, mixed(r, size)) }
			numbers := func() []float32 { return guarded(t, normal[float32](r, cols)) }
			x, dy, out, mean, a, b, c := matrix(), matrix(), matrix(), numbers(), numbers(), numbers(), numbers()
			scale := 1 + r.Float32()
			check := func(what string, got, before []float32, want func(i, col int) float32) {
				t.Helper()
				for i := range got {
					w := before[i]
					if col := i % ld; col < cols {
						w = want(i, col)
					}
					if !sameBits(got[i], w) {
						t.Fatalf("%s: %d rows of %d columns, %d apart: element %d is %v, want %v", what, rows, cols, ld, i, got[i], w)
					}
				}
			}
			relu := r.IntN(2) == 0
			forward := func(i, col int) float32 {
				if z := float32((x[i]-mean[col])*a[col]) + b[col]; !relu || !(z <= 0) {
					return z
				}
				return 0
			}
			rectify := r.IntN(2) == 0
			backward := func(i, col int) float32 {
				g := dy[i]
				if rectify {
					if g *= scale; out[i] <= 0 {
						g = 0
					}
				}
				return a[col] * (g - b[col] - float32((x[i]-mean[col])*c[col]))
			}
			y := out
			if !rectify {
				y = nil
			}
			other := normal[float32](r, size)
			for _, place := range []struct {
				name string
				to   []float32
			}{{"apart", other}, {"over x", x}, {"over dy", dy}} {
				to := guarded(t, place.to)
				from, grad := x, dy
				switch place.name {
				case "over x":
					from = to
				case "over dy":
					grad = to
				}
				NormaliseGradRows(to, from, grad, y, ld, rows, mean, a, b, c, scale)
				check("gradient "+place.name, to, place.to, backward)
				if place.name == "over dy" {
					continue
				}
				to = guarded(t, place.to)
				if from = x; place.name == "over x" {
					from = to
				}
				NormaliseRows(to, from, ld, rows, mean, a, b, relu)
				check(place.name, to, place.to, forward)
			}
		}
	})
}

// The random words of a matrix's columns are those of its elements, and nothing beside the columns is read or written.
func TestDropoutRows(t *testing.T) {
	s := rng.Stream{Seed: 5, Purpose: rng.Dropout, Eval: 9}
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 82))
		for i := range 400 {
			cols, rows, first := 1+r.IntN(200), 1+r.IntN(6), r.IntN(4000)
			ld := cols + r.IntN(90)
			if i%2 == 0 { // where kernels have several rows at once
				ld, first = roundUp(ld, 4), 4*first
			}
			threshold := []uint64{0, 1 << 30, 1 << 31, 1 << 32}[r.IntN(4)]
			d := NewDrop(s, threshold, 1.25)
			x := mixed(r, (rows-1)*ld+cols)
			before := normal[float32](r, len(x))
			apart, within := guarded(t, before), guarded(t, x)
			DropoutRows(&d, apart, guarded(t, x), first, ld, rows, cols)
			DropoutRows(&d, within, within, first, ld, rows, cols)
			for i, v := range x {
				want := [2]float32{before[i], v}
				if i%ld < cols {
					want = [2]float32{}
					if e := first + i; uint64(s.Block(uint32(e / 4))[e%4]) >= threshold {
						want = [2]float32{v * 1.25, v * 1.25}
					}
				}
				if !sameBits(apart[i], want[0]) || !sameBits(within[i], want[1]) {
					t.Fatalf("threshold %d, %d rows of %d columns, %d apart, from %d: element %d is %v and %v, want %v",
						threshold, rows, cols, ld, first, i, apart[i], within[i], want)
				}
			}
		}
	})
}
