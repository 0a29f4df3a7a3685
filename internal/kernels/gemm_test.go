package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// runGemm runs all parts, in the given order within a phase, with NaN in all scratch memory.
func runGemm[T Float](g *Gemm, c, a, b []T, backwards bool) {
	nShared, nWorker := g.Scratch()
	shared, worker := nans[T](nShared), nans[T](nWorker)
	for phase, parts := range g.Phases() {
		for i := range parts {
			if backwards {
				i = parts - 1 - i
			}
			GemmPart(g, phase, i, c, a, b, shared, worker)
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

// checkGemm compares with a triple loop in float64. What lies between the rows of C must stay.
func checkGemm[T Float](t *testing.T, r *rand.Rand, g Gemm, eps float64) {
	t.Helper()
	size := func(trans bool, rows, cols, ld int) int {
		if trans {
			rows = cols
		}
		return rows * ld
	}
	a, b, before := normal[T](r, size(g.TransA, g.M, g.K, g.LDA)), normal[T](r, size(g.TransB, g.K, g.N, g.LDB)), normal[T](r, g.M*g.LDC)
	c := append([]T(nil), before...)
	if !g.Accumulate {
		for i := range g.M {
			copy(c[i*g.LDC:][:g.N], nans[T](g.N))
		}
	}
	c2 := append([]T(nil), c...)
	runGemm(&g, c, a, b, false)
	runGemm(&g, c2, a, b, true)
	for i := range g.M {
		for j := range g.LDC {
			at := i*g.LDC + j
			if c[at] != c2[at] {
				t.Fatalf("%+v: C[%d,%d] depends on the order of the parts", g, i, j)
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
			// A sum of K products of relative rounding eps each.
			if d := math.Abs(float64(c[at]) - want); !(d <= eps*size*float64(1+g.K)) && d != 0 {
				t.Fatalf("%+v: C[%d,%d] = %v, want %v", g, i, j, c[at], want)
			}
		}
	}
}

func TestGemm(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		check := func(m, n, k int) {
			g := Gemm{TransA: r.IntN(2) == 0, TransB: r.IntN(2) == 0, Accumulate: r.IntN(2) == 0, M: m, N: n, K: k}
			g.LDA, g.LDB, g.LDC = k+r.IntN(4), n+r.IntN(4), n+r.IntN(4)
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
	})
}

// The partition is part of the result of sums over parts elsewhere: it must not follow the processor.
func TestGemmPartitionIgnoresLevel(t *testing.T) {
	var want string
	eachLevel(t, func(t *testing.T) {
		var got string
		for _, s := range [][3]int{{1, 1, 1}, {20, 24, 25}, {128, 512, 784}, {768, 768, 768}, {10, 128, 500}, {3, 5000, 2}} {
			g := &Gemm{M: s[0], N: s[1], K: s[2]}
			shared, worker := g.Scratch()
			got += fmt.Sprint(g.Phases(), shared, worker)
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
		g := &Gemm{M: r.IntN(1000), N: r.IntN(1000), K: r.IntN(1000)}
		seen := make([]int, g.M*g.N)
		parts := g.Phases()[1]
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
		{M: 128, N: 10, K: 512, TransB: true},
	} {
		g := &s
		g.LDA, g.LDB, g.LDC = g.K, g.N, g.N
		if g.TransA {
			g.LDA = g.M
		}
		if g.TransB {
			g.LDB = g.K
		}
		b.Run(fmt.Sprintf("%dx%dx%d", g.M, g.N, g.K), func(b *testing.B) {
			benchGemm[float32](b, g, r)
		})
	}
}

func benchGemm[T Float](b *testing.B, g *Gemm, r *rand.Rand) {
	x, y, c := normal[T](r, g.M*g.K), normal[T](r, g.K*g.N), make([]T, g.M*g.N)
	nShared, nWorker := g.Scratch()
	shared, worker := make([]T, nShared), make([]T, nWorker)
	phases := g.Phases()
	fastest(b, 2*float64(g.M)*float64(g.N)*float64(g.K), func() {
		for phase, parts := range phases {
			for i := range parts {
				GemmPart(g, phase, i, c, x, y, shared, worker)
			}
		}
	})
}

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
