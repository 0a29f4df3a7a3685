package kernels

import (
	"math"
	"testing"
)

func TestFinite(t *testing.T) {
	for _, n := range []int{0, 1, 3, 4, 5, 1023, 1024, 1025, 2500} {
		x, y := make([]float32, n), make([]float64, n)
		for i := range x {
			x[i] = float32(i%7) * 0.5e38 * float32(1-2*(i%2))
			y[i] = float64(x[i])
		}
		if n > 0 {
			x[n-1], x[0] = math.MaxFloat32, -math.SmallestNonzeroFloat32
		}
		if !Finite(x) || !Finite(y) {
			t.Errorf("%d finite numbers are called infinite", n)
		}
		for i := range x {
			for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				keep, keep64 := x[i], y[i]
				x[i], y[i] = float32(bad), bad
				if Finite(x) || Finite(y) {
					t.Fatalf("%v at %d of %d is overlooked", bad, i, n)
				}
				x[i], y[i] = keep, keep64
			}
		}
	}
}

func BenchmarkFinite(b *testing.B) {
	x := make([]float32, 1_870_000)
	for i := range x {
		x[i] = float32(i%100) - 50
	}
	b.SetBytes(int64(4 * len(x)))
	for b.Loop() {
		if !Finite(x) {
			b.Fatal("not finite")
		}
	}
}
