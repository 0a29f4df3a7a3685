package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Sums are those that plain float64 loops give, up to rounding, and the same bits at every level.
func TestSums(t *testing.T) {
	type result [3 + 2*Tile + 2*Tile + Tile]float64
	sums := func(n int) (r result) {
		rnd := rand.New(rand.NewPCG(uint64(n), 3))
		x, dy, k := guarded(t, normal[float32](rnd, n)), guarded(t, normal[float32](rnd, n)), guarded(t, normal[float32](rnd, n))
		r[0] = Sum(x)
		var want [5]float64
		for i, v := range x {
			a := float64(v) - 0.25
			want[0] += float64(v)
			want[1] += a
			want[2] += a * a
			want[3] += float64(dy[i])
			want[4] += float64(dy[i]) * a
		}
		m1, m2 := Moments(x, 0.25)
		d1, d2 := DotCentred(x, dy, 0.25)
		for j, got := range []float64{r[0], m1, m2, d1, d2} {
			if math.Abs(got-want[j]) > 1e-12*float64(n+1) {
				t.Errorf("%d elements: sum %d is %v, want %v", n, j, got, want[j])
			}
		}
		r[1], r[2] = m1+3*m2, d1+3*d2
		var rows [5][Tile]float64
		SumRows(&rows[0], x, len(x), 1, len(x))
		MomentsRows(&rows[1], &rows[2], x, len(x), 1, k)
		DotCentredRows(&rows[3], &rows[4], x, dy, len(x), 1, k)
		for i := range min(n, Tile) {
			a := float64(x[i]) - float64(k[i])
			for j, w := range []float64{float64(x[i]), a, a * a, float64(dy[i]), float64(dy[i]) * a} {
				if rows[j][i] != w {
					t.Errorf("%d elements: row sum %d of column %d is %v, want %v", n, j, i, rows[j][i], w)
				}
			}
		}
		at := 3
		for _, acc := range rows {
			at += copy(r[at:], acc[:])
		}
		return r
	}
	want := map[int]result{}
	eachLevel(t, func(t *testing.T) {
		for n := range 70 {
			got := sums(n)
			if w, ok := want[n]; ok && got != w {
				t.Errorf("%d elements: other bits than at the level before", n)
			}
			want[n] = got
		}
	})
}

// Rows of float32 are those of float64 up to float32's rounding, in place too; NaN and infinities go where the
// loops over columns put them.
func TestSoftmaxRows(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		for _, n := range []int{1, 2, 7, 8, 9, 87, 300, 1000} {
			r := rand.New(rand.NewPCG(uint64(n), 4))
			x := normal[float32](r, n)
			wide := make([]float64, n)
			for i := range x {
				x[i] *= 10
				wide[i] = float64(x[i])
			}
			label := []int64{int64(r.IntN(n))}
			for name, f := range map[string]struct {
				narrow func(y, x []float32)
				wide   func(y, x []float64)
			}{
				"Softmax":          {func(y, x []float32) { Softmax(y, x, n, 1, 1) }, func(y, x []float64) { Softmax(y, x, n, 1, 1) }},
				"LogSoftmax":       {func(y, x []float32) { LogSoftmax(y, x, n, 1, 1) }, func(y, x []float64) { LogSoftmax(y, x, n, 1, 1) }},
				"CrossEntropyGrad": {func(y, x []float32) { CrossEntropyGrad(y, x, label, n, 1, 1, 0.3) }, func(y, x []float64) { CrossEntropyGrad(y, x, label, n, 1, 1, 0.3) }},
				"CrossEntropy": {func(y, x []float32) { y[0] = float32(CrossEntropy(x, label, n, 1, 1)) }, func(y, x []float64) {
					y[0] = CrossEntropy(x, label, n, 1, 1)
				}},
			} {
				y, want := guarded(t, make([]float32, n)), make([]float64, n)
				f.narrow(y, guarded(t, x))
				f.wide(want, wide)
				same := append([]float32(nil), x...)
				f.narrow(same, same)
				for i, w := range want {
					if math.Abs(float64(y[i])-w) > 4e-7*(math.Abs(w)+1e-3) && math.Abs(float64(y[i])-w) > 2e-7*math.Abs(w-float64(x[i])) {
						t.Fatalf("%s of %d: element %d is %v, want %v", name, n, i, y[i], w)
					}
					if name != "CrossEntropy" && same[i] != y[i] {
						t.Fatalf("%s of %d in place: element %d is %v, else %v", name, n, i, same[i], y[i])
					}
				}
			}
			for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
				y := append([]float32(nil), x...)
				y[n/2] = bad
				Softmax(y, y, n, 1, 1)
				if y[n/2] == y[n/2] || y[0] == y[0] && bad != bad {
					t.Errorf("softmax of %d with %v: %v and %v", n, bad, y[n/2], y[0])
				}
			}
		}
	})
}

// The largest element is found wherever it is, among negative numbers and infinities too, and memory ends with the row.
func TestRowMax(t *testing.T) {
	inf := float32(math.Inf(1))
	eachLevel(t, func(t *testing.T) {
		for n := 1; n < 70; n++ {
			x := guarded(t, make([]float32, n))
			for at := range x {
				for _, v := range [][2]float32{{1, 2}, {-2, -1}, {-inf, -3}, {5, inf}, {-inf, -inf}} {
					for i := range x {
						x[i] = v[0]
					}
					x[at] = v[1]
					if got := rowMax(x); got != v[1] {
						t.Fatalf("%v, at %d of %d one %v: the largest is %v", v[0], at, n, v[1], got)
					}
				}
			}
		}
	})
}

// A loss of scores with NaN or an infinity of either sign: NaN and +Inf give NaN, as Inf - Inf does; -Inf
// is a class that cannot be, and an infinite loss where it is the label.
func TestCrossEntropyRowNonFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	eachLevel(t, func(t *testing.T) {
		for _, n := range []int{2, 5, 8, 13, 87} {
			for at := range n {
				label := []int64{int64((at + 1) % n)}
				for _, bad := range []float32{nan, inf, -inf} {
					x := normal[float32](rand.New(rand.NewPCG(uint64(n), uint64(at))), n)
					x[at] = bad
					dx := make([]float32, n)
					loss := CrossEntropy(x, label, n, 1, 1)
					CrossEntropyGrad(dx, x, label, n, 1, 1, 1)
					if bad == -inf {
						if math.IsNaN(loss) || math.IsInf(loss, 0) || dx[at] != 0 || !Finite(dx) {
							t.Fatalf("%d classes, -Inf at %d: loss %v, gradient %v", n, at, loss, dx)
						}
						if loss = CrossEntropy(x, []int64{int64(at)}, n, 1, 1); !math.IsInf(loss, 1) {
							t.Fatalf("%d classes, -Inf at the label %d: loss %v", n, at, loss)
						}
					} else if !math.IsNaN(loss) || dx[at] == dx[at] {
						t.Fatalf("%d classes, %v at %d: loss %v, gradient %v", n, bad, at, loss, dx)
					}
				}
			}
		}
	})
}

// Sums over several rows are, to the bit, those of plain loops, and nothing beside the columns is read.
func TestSumsOfRows(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 77))
		for range 300 {
			cols, rows := 1+r.IntN(Tile), 1+r.IntN(6)
			ld := cols + r.IntN(20)
			x, dy, y := normal[float32](r, (rows-1)*ld+cols), normal[float32](r, (rows-1)*ld+cols), mixed(r, (rows-1)*ld+cols)
			scale := 1 + r.Float32()
			k := normal[float32](r, cols)
			var got, want [7][Tile]float64
			for i := range got[0] {
				for j := range got {
					got[j][i] = r.NormFloat64()
				}
			}
			want = got
			for n := range rows {
				for i := range cols {
					a, g := float64(x[n*ld+i])-float64(k[i]), float64(dy[n*ld+i])
					want[0][i] += a
					want[1][i] += float64(a * a)
					want[2][i] += g
					want[3][i] += float64(g * a)
					want[4][i] += float64(x[n*ld+i])
					if !(y[n*ld+i] <= 0) {
						g = float64(dy[n*ld+i] * scale)
						want[5][i] += g
						want[6][i] += float64(g * a)
					}
				}
			}
			x, dy, y, k = guarded(t, x), guarded(t, dy), guarded(t, y), guarded(t, k)
			MomentsRows(&got[0], &got[1], x, ld, rows, k)
			DotCentredRows(&got[2], &got[3], x, dy, ld, rows, k)
			SumRows(&got[4], x, ld, rows, cols)
			DotRectifiedRows(&got[5], &got[6], x, dy, y, ld, rows, k, scale)
			if got != want {
				t.Fatalf("%d rows of %d columns, %d apart: %v, want %v", rows, cols, ld, got, want)
			}
		}
	})
}
