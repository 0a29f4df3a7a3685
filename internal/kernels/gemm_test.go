package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/onnx-entropy/onnx-entropy/internal/parallel"
)

// runGemm runs all parts, in the given order within a phase, with NaN in all scratch memory.
func runGemm[T Float](g *Gemm, c, a, b, bias []T, backwards bool) {
	nShared, nWorker := g.Scratch()
	shared, worker := nans[T](nShared), nans[T](nWorker)
	for phase, parts := range g.Phases() {
		for i := range parts {
			if backwards {
				i = parts - 1 - i
			}
			GemmBiasPart(g, phase, i, c, a, b, bias, shared, worker)
		}
	}
}

func nans[T Float](n int) []T {
	s := make([]T, n)
	for i := range s {
		s[i] = T(math.NaN())
	}
	return s
}

func normal[T Float](r *rand.Rand, n int) []T {
	s := make([]T, n)
	for i := range s {
		s[i] = T(r.NormFloat64())
	}
	return s
}

// checkGemm compares with a triple loop in float64, in memory that ends where the operands do. What lies between
// the rows of C must stay.
func checkGemm[T Float](t *testing.T, r *rand.Rand, g Gemm, eps float64) {
	t.Helper()
	operand := func(trans bool, rows, cols, ld int) []T {
		if trans {
			rows, cols = cols, rows
		}
		if rows == 0 || cols == 0 {
			return nil
		}
		return guarded(t, normal[T](r, (rows-1)*ld+cols))
	}
	a, b := operand(g.TransA, g.M, g.K, g.LDA), operand(g.TransB, g.K, g.N, g.LDB)
	bias := guarded(t, normal[T](r, []int{0, g.N, g.M}[g.Bias]))
	before := operand(false, g.M, g.N, g.LDC)
	c := guarded(t, before)
	if !g.Accumulate && g.N > 0 {
		for i := range g.M {
			copy(c[i*g.LDC:][:g.N], nans[T](g.N))
		}
	}
	c2, c3 := append([]T(nil), c...), append([]T(nil), c...)
	runGemm(&g, c, a, b, bias, false)
	runGemm(&g, c2, a, b, bias, true)
	packed, room := g, guarded(t, nans[T](g.PackedB()))
	packed.PackB = true
	for part := range g.PackBParts() {
		PackBPart(&g, part, room, b)
	}
	runGemm(&packed, c3, a, room, bias, false)
	for i := range g.M {
		for j := range g.LDC {
			at := i*g.LDC + j
			if at >= len(c) {
				break
			}
			if c[at] != c2[at] {
				t.Fatalf("%+v: C[%d,%d] depends on the order of the parts", g, i, j)
			}
			if j < g.N && c[at] != c3[at] {
				t.Fatalf("%+v: C[%d,%d] is %v, and with B packed %v", g, i, j, c[at], c3[at])
			}
			if j >= g.N {
				if c[at] != before[at] {
					t.Fatalf("%+v: wrote to C[%d,%d]", g, i, j)
				}
				continue
			}
			var want, size float64
			if g.Accumulate {
				want = float64(before[at])
				size = math.Abs(want)
			}
			for p := range g.K {
				ia, ib := i*g.LDA+p, p*g.LDB+j
				if g.TransA {
					ia = p*g.LDA + i
				}
				if g.TransB {
					ib = j*g.LDB + p
				}
				v := float64(a[ia]) * float64(b[ib])
				want += v
				size += math.Abs(v)
			}
			if g.Bias != NoBias {
				v := float64(bias[[]int{0, j, i}[g.Bias]])
				want += v
				size += math.Abs(v)
			}
			if g.Act == ReluAct {
				want = max(want, 0)
			}
			// A sum of K products of relative rounding eps each.
			if d := math.Abs(float64(c[at]) - want); !(d <= eps*size*float64(2+g.K)) && d != 0 {
				t.Fatalf("%+v: C[%d,%d] = %v, want %v", g, i, j, c[at], want)
			}
		}
	}
}

func TestGemm(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		check := func(m, n, k int) {
			g := Gemm{TransA: r.IntN(2) == 0, TransB: r.IntN(2) == 0, Accumulate: r.IntN(2) == 0, M: m, N: n, K: k,
				Bias: BiasAxis(r.IntN(3)), Act: GemmAct(r.IntN(2))}
			extra := r.IntN(2) * r.IntN(4)
			g.LDA, g.LDB, g.LDC = k+extra, n+r.IntN(4), n+r.IntN(4)
			if g.TransA {
				g.LDA += m - k
			}
			if g.TransB {
				g.LDB += k - n
			}
			checkGemm[float32](t, r, g, 0x1p-24)
			checkGemm[float64](t, r, g, 0x1p-53)
		}
		for m := range 14 {
			for _, n := range []int{0, 1, 2, 7, 8, 9, 15, 16, 17, 24, 33} {
				for _, k := range []int{0, 1, 2, 3, 4, 5, 8, 31} {
					check(m, n, k)
				}
			}
		}
		for range 30 {
			check(r.IntN(50), r.IntN(70), r.IntN(60))
		}
		check(200, 270, 20)
		check(50, 130, 300)
		check(7, 20, 1100)
		check(1, 1000, 257)
		check(1000, 1, 256)
		check(1, 500, 512)
		check(30, 300, 512)
		check(33, 260, 1024)
		// One row or two, and columns in whole tiles and some more.
		for range 6 {
			for _, n := range []int{32, 64, 128, 160, 416, 432} {
				check(1+r.IntN(3), n, 1+r.IntN(300))
			}
		}
		check(5, 7, 2048)
		check(1, 3, 9001)
		check(270, 40, 2100)
		check(30, 300, 2560)
		// Few rows and a transposed matrix on the right, of rows that lie in the same lines of a cache too.
		for _, s := range [][3]int{{12, 129, 72}, {13, 200, 80}, {32, 257, 512}, {31, 140, 300}, {33, 500, 200}, {64, 150, 1030}, {128, 300, 770}} {
			g := Gemm{TransB: true, M: s[0], N: s[1], K: s[2], Bias: BiasAxis(r.IntN(3)), Act: GemmAct(r.IntN(2))}
			g.LDA, g.LDB, g.LDC = g.K+r.IntN(3), g.K+r.IntN(2)*r.IntN(3), g.N+r.IntN(3)
			if !g.turned() {
				t.Errorf("%+v is not turned", g)
			}
			checkGemm[float32](t, r, g, 0x1p-24)
			checkGemm[float64](t, r, g, 0x1p-53)
		}
		// Transposed matrices on the left that are packed first, by one row of blocks or several.
		for _, trans := range []bool{false, true} {
			for _, s := range [][3]int{{49, 129, 33}, {390, 140, 45}, {403, 150, 300}, {800, 133, 64}, {60, 160, 512}} {
				g := Gemm{TransA: true, TransB: trans, M: s[0], N: s[1], K: s[2], LDA: s[0] + r.IntN(3), LDB: s[1], LDC: s[1] + r.IntN(2)}
				if g.TransB {
					g.LDB = g.K
				}
				checkGemm[float32](t, r, g, 0x1p-24)
				checkGemm[float64](t, r, g, 0x1p-53)
			}
		}
	})
}

// A NaN in A reaches its row, one in B its column, and an infinity in either stays one: nothing is skipped.
func TestGemmPropagatesNaN(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for range 100 {
			m, n, k := 1+r.IntN(40), 1+r.IntN(70), 1+r.IntN(40)
			a, b, c := normal[float32](r, m*k), normal[float32](r, k*n), make([]float32, m*n)
			row, col, infRow := r.IntN(m), r.IntN(n), r.IntN(m)
			a[infRow*k+r.IntN(k)] = float32(math.Inf(1))
			a[row*k+r.IntN(k)] = float32(math.NaN())
			b[r.IntN(k)*n+col] = float32(math.NaN())
			runGemm(&Gemm{M: m, N: n, K: k, LDA: k, LDB: n, LDC: n, Act: ReluAct}, c, a, b, nil, false)
			for i := range m {
				for j := range n {
					v := float64(c[i*n+j])
					switch {
					case i == row || j == col:
						if !math.IsNaN(v) {
							t.Fatalf("%dx%dx%d: C[%d,%d] = %v, want NaN", m, n, k, i, j, v)
						}
					case i == infRow:
						if v != 0 && !math.IsInf(v, 1) {
							t.Fatalf("%dx%dx%d: C[%d,%d] = %v, want infinity or 0", m, n, k, i, j, v)
						}
					case math.IsNaN(v) || math.IsInf(v, 0):
						t.Fatalf("%dx%dx%d: C[%d,%d] = %v", m, n, k, i, j, v)
					}
				}
			}
		}
	})
}

// The partition is part of the result of sums over parts elsewhere: it must not follow the processor.
func TestGemmPartitionIgnoresLevel(t *testing.T) {
	var want string
	eachLevel(t, func(t *testing.T) {
		var got string
		for _, s := range [][3]int{{1, 1, 1}, {20, 24, 25}, {128, 512, 784}, {768, 768, 768}, {10, 128, 500}, {3, 5000, 2}, {32, 1024, 1024}} {
			for _, trans := range []bool{false, true} {
				g := &Gemm{M: s[0], N: s[1], K: s[2], TransB: trans}
				shared, worker := g.Scratch()
				got += fmt.Sprint(g.Phases(), shared, worker)
			}
		}
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("partition %s, at another level %s", got, want)
		}
	})
}

// Every element of C belongs to one block, and blocks are enough for many threads when there is much to do.
func TestGemmBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		g := &Gemm{M: r.IntN(1000), N: r.IntN(1000), K: r.IntN(4000), TransB: r.IntN(2) == 0}
		if g.TransB {
			g.M %= 200
		}
		seen := make([]int, g.M*g.N)
		parts := g.Phases()[g.Final()]
		for part := range parts {
			r0, r1, c0, c1 := g.Block(part)
			if r0 >= r1 || c0 >= c1 {
				t.Fatalf("%+v: part %d is empty", g, part)
			}
			for i := r0; i < r1; i++ {
				for j := c0; j < c1; j++ {
					seen[i*g.N+j]++
				}
			}
		}
		for i, n := range seen {
			if n != 1 {
				t.Fatalf("%+v: element %d is in %d parts", g, i, n)
			}
		}
	}
	if parts := (&Gemm{M: 128, N: 512, K: 784}).Phases()[1]; parts < 12 {
		t.Errorf("a layer of 784 x 512 at batch 128 has %d parts", parts)
	}
}

func BenchmarkGemm(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, s := range []Gemm{
		{M: 768, N: 768, K: 768},
		{M: 128, N: 512, K: 128},
		{M: 128, N: 512, K: 784, TransB: true},
		{M: 512, N: 784, K: 128, TransA: true},
		{M: 128, N: 1024, K: 1024, TransB: true},
		{M: 128, N: 1024, K: 1024},
		{M: 1024, N: 1024, K: 128, TransA: true},
		{M: 128, N: 10, K: 512, TransB: true},
		{M: 10, N: 512, K: 128, TransA: true},
		{M: 512, N: 128, K: 10, TransB: true},
		{M: 20, N: 576, K: 25},
		{M: 1, N: 512, K: 512},
		{M: 512, N: 128, K: 6400, TransA: true},
		{M: 87, N: 128, K: 6400, TransA: true},
		{M: 6400, N: 128, K: 512},
		{M: 6400, N: 512, K: 128, TransB: true},
		{M: 64, N: 64, K: 64, TransB: true},
		{M: 32, N: 512, K: 128, TransB: true},
		{M: 8, N: 128, K: 512},
		{M: 128, N: 16, K: 512},
		{M: 128, N: 128, K: 16},
		{M: 5, N: 128, K: 512},
	} {
		g := &s
		g.LDA, g.LDB, g.LDC = g.K, g.N, g.N
		if g.TransA {
			g.LDA = g.M
		}
		if g.TransB {
			g.LDB = g.K
		}
		kind := [2]byte{'N', 'N'}
		if g.TransA {
			kind[0] = 'T'
		}
		if g.TransB {
			kind[1] = 'T'
		}
		b.Run(fmt.Sprintf("%dx%dx%d/%s", g.M, g.N, g.K, kind[:]), func(b *testing.B) {
			benchGemm[float32](b, g, r)
		})
	}
}

func benchGemm[T Float](b *testing.B, g *Gemm, r *rand.Rand) {
	x, y, c := normal[T](r, g.M*g.K), normal[T](r, g.K*g.N), make([]T, g.M*g.N)
	nShared, nWorker := g.Scratch()
	shared, phases := make([]T, nShared), g.Phases()
	for threads := 1; threads <= 2; threads++ {
		pool := parallel.New(threads)
		worker := [][]T{make([]T, nWorker), make([]T, nWorker)}
		phase := 0
		parts := workerTask(func(w, part int) { GemmPart(g, phase, part, c, x, y, shared, worker[w]) })
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			fastest(b, 2*float64(g.M)*float64(g.N)*float64(g.K), func() {
				for phase = range phases {
					pool.Run(phases[phase], parts)
				}
			})
		})
	}
}

// BenchmarkGemmStack multiplies many small matrices: those of attention, 8 sequences of 64 or 12 of 128 elements, 12 heads.
func BenchmarkGemmStack(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, s := range []Gemm{
		{M: 64, N: 64, K: 64, TransB: true, Stack: 96},
		{M: 64, N: 64, K: 64, Stack: 96},
		{M: 128, N: 128, K: 64, TransB: true, Stack: 144},
		{M: 128, N: 64, K: 128, Stack: 144},
	} {
		g := &s
		g.LDA, g.LDB, g.LDC = g.K, g.N, g.N
		kind := "NN"
		if g.TransB {
			g.LDB, kind = g.K, "NT"
		}
		b.Run(fmt.Sprintf("%dx%dx%dx%d/%s", g.Stack, g.M, g.N, g.K, kind), func(b *testing.B) {
			x, y, c := normal[float32](r, g.Stack*g.M*g.K), normal[float32](r, g.Stack*g.K*g.N), make([]float32, g.Stack*g.M*g.N)
			_, nWorker := g.Scratch()
			each := g.Phases()[1]
			for threads := 1; threads <= 2; threads++ {
				pool := parallel.New(threads)
				worker := [][]float32{make([]float32, nWorker), make([]float32, nWorker)}
				parts := workerTask(func(w, part int) {
					i := part / each
					GemmPart(g, 1, part%each, c[i*g.M*g.N:], x[i*g.M*g.K:], y[i*g.K*g.N:], nil, worker[w])
				})
				b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
					fastest(b, 2*float64(g.Stack)*float64(g.M)*float64(g.N)*float64(g.K), func() { pool.Run(g.Stack*each, parts) })
				})
			}
		})
	}
}

type workerTask func(worker, part int)

func (f workerTask) Part(worker, part int) { f(worker, part) }

// fastest reports the speed of the fastest run beside the mean time: other programs don't disturb it.
func fastest(b *testing.B, flop float64, f func()) {
	b.ReportAllocs()
	least := time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		f()
		least = min(least, time.Since(start))
	}
	b.ReportMetric(flop/float64(least.Nanoseconds()), "GFLOP/s")
}
