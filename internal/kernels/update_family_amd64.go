//go:build !noasm

package kernels

// adamAsm is Adam of the first elements; it returns how many.
func adamAsm(x, m, v, grad []float32, c *AdamStep) int {
	n, lanes := updateVectors(len(grad))
	if n == 0 {
		return 0
	}
	done := n * lanes
	_, _, _ = x[done-1], m[done-1], v[done-1]
	if cpuLevel >= levelAVX512 {
		adamAVX512(&x[0], &m[0], &v[0], &grad[0], n, &c.LR)
	} else {
		adamAVX2(&x[0], &m[0], &v[0], &grad[0], n, &c.LR)
	}
	return done
}

// parleAsm is ParleInner with momentum of the first elements; it returns how many.
func parleAsm(y, z, v, x, grad []float32, c *ParleStep) int {
	n, lanes := updateVectors(len(grad))
	if n == 0 {
		return 0
	}
	done := n * lanes
	_, _, _, _ = y[done-1], z[done-1], v[done-1], x[done-1]
	if cpuLevel >= levelAVX512 {
		parleAVX512(&y[0], &z[0], &v[0], &x[0], &grad[0], n, &c.LR)
	} else {
		parleAVX2(&y[0], &z[0], &v[0], &x[0], &grad[0], n, &c.LR)
	}
	return done
}

// squaresAsm adds the squares of the first elements to the sums of SquareSum; it returns how many.
func squaresAsm(x []float32, sums *[8]float64) int {
	n := len(x) / 8
	if n == 0 || cpuLevel < levelAVX2 {
		return 0
	}
	squaresAVX2(&x[0], n, sums)
	return 8 * n
}
