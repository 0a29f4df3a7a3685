package kernels

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Families of kernels without a test of their own against memory's end, NaN and infinities. Products are in gemm_test.go,
// convolutions in conv_test.go, loops over elements in vector_test.go, pools in pool_test.go, updates in update_test.go.

var nonFinite = []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}

// The products of a recurrence are those of a loop in float64; a NaN or an infinity reaches its row or its column and
// nothing else; and nothing is read behind an operand or written beside the result.
func TestMulPacked(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 21))
		for range 150 {
			p := Packed{Count: 1 + r.IntN(4), K: 1 + r.IntN(90), N: 1 + r.IntN(100), Trans: r.IntN(2) == 0}
			if r.IntN(10) == 0 {
				p.K += 3 * kBlock / 2
			}
			rows, across := p.K, p.N
			if p.Trans {
				rows, across = p.N, p.K
			}
			p.LD = across + r.IntN(3)
			b := normal[float32](r, p.Count*rows*p.LD)
			m, lda := 1+r.IntN(40), p.K+r.IntN(3)
			a := normal[float32](r, (m-1)*lda+p.K)
			from := r.IntN(p.Count)
			to := from + 1 + r.IntN(p.Count-from)
			col0 := r.IntN(ceilDiv(p.N, RecurrentColumns)) * RecurrentColumns
			col1 := col0 + 1 + r.IntN(p.N-col0)
			ldc := col1 - col0 + r.IntN(3)
			stepC := m * ldc
			accumulate := r.IntN(2) == 0
			// A special number in a row of a, and another in a column of one matrix.
			badRow, badCol, badMatrix := r.IntN(3*m), r.IntN(3*p.N), r.IntN(p.Count)
			if badRow < m {
				a[badRow*lda+r.IntN(p.K)] = nonFinite[r.IntN(3)]
			}
			if badCol < p.N {
				k := r.IntN(p.K)
				at := k*p.LD + badCol
				if p.Trans {
					at = badCol*p.LD + k
				}
				b[badMatrix*rows*p.LD+at] = nonFinite[r.IntN(3)]
			}
			// The last matrix ends with its last element.
			b = guarded(t, b[:(p.Count-1)*rows*p.LD+(rows-1)*p.LD+across])
			packed := guarded(t, nans[float32](p.Size()))
			for i := range p.Parts() {
				PackPart(&p, i, packed, b)
			}
			before := normal[float32](r, (to-from-1)*stepC+(m-1)*ldc+col1-col0)
			c := guarded(t, before)
			if !accumulate {
				for i := range to - from {
					for j := range m {
						Fill(c[i*stepC+j*ldc:][:col1-col0], nonFinite[0])
					}
				}
			}
			MulPacked(&p, from, to, m, col0, col1, guarded(t, a), lda, packed, c, ldc, stepC, accumulate, nil, guarded(t, nans[float32](p.Worker(m))))
			for i := range to - from {
				for row := range m {
					for col := range ldc {
						at := i*stepC + row*ldc + col
						if at >= len(c) {
							break
						}
						if col >= col1-col0 {
							if c[at] != before[at] {
								t.Fatalf("%+v: element %d beside row %d of product %d was written", p, col, row, i)
							}
							continue
						}
						want, size := 0.0, 0.0
						if accumulate {
							want = float64(before[at])
						}
						for k := range p.K {
							element := k*p.LD + col0 + col
							if p.Trans {
								element = (col0+col)*p.LD + k
							}
							v := float64(a[row*lda+k]) * float64(b[(from+i)*rows*p.LD+element])
							want += v
							size += math.Abs(v)
						}
						got := float64(c[at])
						if math.IsNaN(want) || math.IsInf(want, 0) {
							if !(math.IsNaN(got) && math.IsNaN(want)) && got != want {
								t.Fatalf("%+v: row %d, column %d of product %d is %v, want %v", p, row, col, i, got, want)
							}
						} else if !(math.Abs(got-want) <= 1e-6*(size+1)) {
							t.Fatalf("%+v: row %d, column %d of product %d is %v, want %v", p, row, col, i, got, want)
						}
					}
				}
			}
		}
	})
}

// Rows are copied, added and transposed with their bits, those of NaN included, in memory that ends where they do.
func TestRows(t *testing.T) {
	bits := func(s []float32) []float32 {
		for i := range s {
			s[i] = math.Float32frombits(0x7f800000 + uint32(i)) // an infinity, then NaNs of all kinds
		}
		return s
	}
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 22))
		for range 300 {
			count, rows, cols := 1+r.IntN(3), 1+r.IntN(6), 1+r.IntN(40)
			cut := func() (rects[float32], int) {
				ld := cols + r.IntN(3)
				next := rows*ld + r.IntN(3)
				return rects[float32]{nil, next, ld}, (count-1)*next + (rows-1)*ld + cols
			}
			src, n := cut()
			src.data = guarded(t, bits(make([]float32, n)))
			dst, n := cut()
			dst.data = guarded(t, make([]float32, n))
			sum := dst
			sum.data = guarded(t, normal[float32](r, n))
			before := append([]float32(nil), sum.data...)
			copyRows(dst, src, count, rows, cols)
			finite := src
			finite.data = guarded(t, normal[float32](r, len(src.data)))
			bad := r.IntN(len(finite.data))
			finite.data[bad] = nonFinite[r.IntN(3)]
			addRows(sum, finite, count, rows, cols)
			for i := range n {
				c, rest := i/dst.next, i%dst.next
				row, col := rest/dst.ld, rest%dst.ld
				if row >= rows || col >= cols {
					if dst.data[i] != 0 || sum.data[i] != before[i] {
						t.Fatalf("%d rectangles %dx%d: element %d between them was written", count, rows, cols, i)
					}
					continue
				}
				from := c*src.next + row*src.ld + col
				if math.Float32bits(dst.data[i]) != math.Float32bits(src.data[from]) {
					t.Fatalf("%d rectangles %dx%d: element %d is a copy of another", count, rows, cols, i)
				}
				if want := before[i] + finite.data[from]; !sameBits(sum.data[i], want) {
					t.Fatalf("%d rectangles %dx%d: sum %d is %v, want %v", count, rows, cols, i, sum.data[i], want)
				}
			}

			for _, high := range []int{4, 16} {
				n, lds, ldd := 1+r.IntN(70), 0, high+r.IntN(5)
				lds = n + r.IntN(5)
				x, y := guarded(t, bits(make([]float32, (high-1)*lds+n))), guarded(t, make([]float32, (n-1)*ldd+high))
				if high == 4 {
					transpose4(y, ldd, x, lds, n)
				} else {
					transpose16(y, ldd, x, lds, n)
				}
				for i, v := range y {
					p, k := i/ldd, i%ldd
					if k >= high {
						if v != 0 {
							t.Fatalf("%dx%d: element %d between the columns was written", high, n, i)
						}
					} else if math.Float32bits(v) != math.Float32bits(x[k*lds+p]) {
						t.Fatalf("%dx%d: row %d, column %d is another's", high, n, p, k)
					}
				}
			}
		}
	})
}

// Sums with NaN or an infinity are those of a plain loop.
func TestSumsNonFinite(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 23))
		for n := 1; n < 50; n++ {
			for range 6 {
				x, dy, k := normal[float32](r, n), normal[float32](r, n), normal[float32](r, n)
				x[r.IntN(n)] = nonFinite[r.IntN(3)]
				if r.IntN(2) == 0 {
					x[r.IntN(n)] = nonFinite[r.IntN(3)]
				}
				dy[r.IntN(n)] = nonFinite[r.IntN(3)]
				x, dy, k = guarded(t, x), guarded(t, dy), guarded(t, k)
				var want [5]float64
				var rows, wantRows [5][Tile]float64
				for i, v := range x {
					a, c := float64(v)-0.25, float64(v)-float64(k[i])
					for j, w := range []float64{float64(v), a, a * a, float64(dy[i]), float64(dy[i]) * a} {
						want[j] += w
					}
					for j, w := range []float64{float64(v), c, c * c, float64(dy[i]), float64(dy[i]) * c} {
						wantRows[j][i] += w
					}
				}
				var got [5]float64
				got[0] = Sum(x)
				got[1], got[2] = Moments(x, 0.25)
				got[3], got[4] = DotCentred(x, dy, 0.25)
				SumRows(&rows[0], x, len(x), 1, len(x))
				MomentsRows(&rows[1], &rows[2], x, len(x), 1, k)
				DotCentredRows(&rows[3], &rows[4], x, dy, len(x), 1, k)
				for j := range got {
					if !sameNonFinite(got[j], want[j]) {
						t.Fatalf("%d elements: sum %d is %v, want %v", n, j, got[j], want[j])
					}
					for i := range n {
						if !sameNonFinite(rows[j][i], wantRows[j][i]) {
							t.Fatalf("%d elements: row sum %d of column %d is %v, want %v", n, j, i, rows[j][i], wantRows[j][i])
						}
					}
				}
			}
		}
	})
}

// sameNonFinite tells whether two sums are both NaN, the same infinity, or finite.
func sameNonFinite(a, b float64) bool {
	if math.IsNaN(b) || math.IsInf(b, 0) {
		return a == b || math.IsNaN(a) && math.IsNaN(b)
	}
	return !math.IsNaN(a) && !math.IsInf(a, 0)
}

// A NaN in a row that is added to a table reaches that row of the table and its own columns only.
func TestScatterAddNonFinite(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 24))
		for _, width := range []int{1, 7, 8, 64, 65} {
			const n, m = 5, 20
			index := make([]int64, m)
			for j := range index {
				index[j] = int64(r.IntN(2*n) - n)
			}
			dy := guarded(t, normal[float32](r, m*width))
			bad, col := r.IntN(m), r.IntN(width)
			dy[bad*width+col] = nonFinite[0]
			dx := guarded(t, nans[float32](n*width))
			if at := ScatterAdd(dx, dy, guarded(t, index), n, width, 0, n, 0, width); at >= 0 {
				t.Fatalf("index %d of number %d is refused", index[at], at)
			}
			badRow := (int(index[bad]) + n) % n
			for i := range n {
				for c := range width {
					want := 0.0
					for j, k := range index {
						if (int(k)+n)%n == i {
							want += float64(dy[j*width+c])
						}
					}
					got := float64(dx[i*width+c])
					if nan := i == badRow && c == col; math.IsNaN(got) != nan || !nan && math.Abs(got-want) > 1e-5 {
						t.Fatalf("width %d: row %d, column %d is %v, want %v", width, i, c, got, want)
					}
				}
			}
		}
	})
}

// What a unit of a GRU computes, from NaN or an infinity too, is what the formulas give, and the same bits at every level.
func TestGRUNonFinite(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 25))
		for n := 1; n < 40; n++ {
			draw := func() []float32 {
				s := normal[float32](r, n)
				s[r.IntN(n)] = nonFinite[r.IntN(3)]
				return guarded(t, s)
			}
			z, g, before, dh, rr, q, y := draw(), draw(), draw(), draw(), draw(), draw(), draw()
			h, dz, dn, dr, dq := guarded(t, make([]float32, n)), guarded(t, make([]float32, n)), guarded(t, make([]float32, n)), guarded(t, make([]float32, n)), guarded(t, make([]float32, n))
			through, sum := append([]float32(nil), dh...), append([]float32(nil), y...)
			GRUCell(h, z, g, before)
			GRUCellGrad(dz, dn, through, z, g, before)
			GRUResetGrad(dr, dq, dh, rr, q)
			MulAdd(sum, rr, q)
			for j := range n {
				Z, G, B, D, R, Q := float64(z[j]), float64(g[j]), float64(before[j]), float64(dh[j]), float64(rr[j]), float64(q[j])
				for k, w := range map[string][2]float64{
					"h":  {float64(h[j]), (1-Z)*G + Z*B},
					"dz": {float64(dz[j]), D * (B - G) * (Z * (1 - Z))},
					"dn": {float64(dn[j]), D * (1 - Z) * (1 - G*G)},
					"dh": {float64(through[j]), D * Z},
					"dr": {float64(dr[j]), D * Q * (R * (1 - R))},
					"dq": {float64(dq[j]), D * R},
					"y":  {float64(sum[j]), float64(y[j]) + R*Q},
				} {
					if !sameNonFinite(w[0], w[1]) || !math.IsNaN(w[1]) && !math.IsInf(w[1], 0) && math.Abs(w[0]-w[1]) > 1e-5*(1+math.Abs(w[1])) {
						t.Fatalf("%d units: %s[%d] is %v, want %v", n, k, j, w[0], w[1])
					}
				}
				z, g, b, d, r, q := z[j], g[j], before[j], dh[j], rr[j], q[j]
				for k, w := range map[string][2]float32{
					"h":  {h[j], float32((1-z)*g) + float32(z*b)},
					"dz": {dz[j], float32(d*(b-g)) * float32(z*(1-z))},
					"dn": {dn[j], float32(d*(1-z)) * (1 - float32(g*g))},
					"dh": {through[j], d * z},
					"dr": {dr[j], float32(d*q) * float32(r*(1-r))},
					"dq": {dq[j], d * r},
					"y":  {sum[j], y[j] + float32(r*q)},
				} {
					if !sameBits(w[0], w[1]) {
						t.Fatalf("%d units: %s[%d] is %v, in float32 %v", n, k, j, w[0], w[1])
					}
				}
			}
		}
	})
}

// A NaN in a row that is normalised reaches all of that row and nothing of the derivatives of the others.
func TestRowNormNonFinite(t *testing.T) {
	eachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 26))
		for n := 1; n < 40; n++ {
			for _, bad := range nonFinite {
				x, scale, bias := normal[float32](r, n), guarded(t, normal[float32](r, n)), guarded(t, normal[float32](r, n))
				x[r.IntN(n)] = bad
				x = guarded(t, x)
				for _, centred := range []bool{true, false} {
					mean, a := RowStats(x, centred, 1e-5)
					y := guarded(t, make([]float32, n))
					NormaliseScaled(y, x, float32(mean), float32(a), scale, bias)
					// Without a mean, a row with an infinity is divided by infinity: its other elements become the bias.
					for i, v := range y {
						if nan := centred || bad != bad || math.IsInf(float64(x[i]), 0); (v != v) != nan {
							t.Fatalf("%d elements with %v, centred %v: element %d is %v", n, bad, centred, i, v)
						}
					}
				}
			}
		}
	})
}
