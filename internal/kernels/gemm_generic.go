package kernels

// The tile of the generic kernel: its 16 sums and 8 operands are what a compiler can keep in registers on
// processors with 32 of them; with 16 the sums still stay in the first-level cache.
const genericRows, genericCols = 4, 4

// micro sets the rows x cols tile c to the product of k columns of a (lda apart) and k rows of b (ldb
// apart), or adds it with accumulate. rows <= genericRows and cols <= genericCols; a and b are readable
// for the whole tile.
func micro[T Float](k int, a []T, lda int, b []T, ldb int, c []T, ldc, rows, cols int, accumulate bool) {
	var s [genericRows][genericCols]T
	halfTile(k, a, lda, b, ldb, &s[0], &s[1])
	halfTile(k, a[2:], lda, b, ldb, &s[2], &s[3])
	for i := range rows {
		ci := c[i*ldc:][:cols]
		for j, v := range s[i][:len(ci)] {
			if accumulate {
				v += ci[j]
			}
			ci[j] = v
		}
	}
}

// halfTile computes two rows of a tile: eight sums, two of a and four of b are 14 registers.
func halfTile[T Float](k int, a []T, lda int, b []T, ldb int, r0, r1 *[genericCols]T) {
	var s00, s01, s02, s03, s10, s11, s12, s13 T
	at := 0
	for p := range k {
		pa := (*[2]T)(a[p*lda:])
		pb := (*[4]T)(b[at:])
		at += ldb
		a0, a1 := pa[0], pa[1]
		b0, b1, b2, b3 := pb[0], pb[1], pb[2], pb[3]
		// The conversions forbid a fused multiply-add, which some processors' compilers would use.
		s00 += T(a0 * b0)
		s01 += T(a0 * b1)
		s02 += T(a0 * b2)
		s03 += T(a0 * b3)
		s10 += T(a1 * b0)
		s11 += T(a1 * b1)
		s12 += T(a1 * b2)
		s13 += T(a1 * b3)
	}
	*r0 = [4]T{s00, s01, s02, s03}
	*r1 = [4]T{s10, s11, s12, s13}
}
