//go:build !noasm

package kernels

//go:generate sh -c "cd _gen && go run ./update -out ../update_amd64.s -stubs ../update_stubs_amd64.go -pkg kernels"

// updateVectors returns how many whole vectors of the level in use n elements are, and the elements of one; 0
// vectors where there is no assembly.
func updateVectors(n int) (vectors, lanes int) {
	switch {
	case cpuLevel >= levelAVX512:
		return n / 16, 16
	case cpuLevel >= levelAVX2:
		return n / 8, 8
	}
	return 0, 1
}

// innerAsm is EntropyInner of the first elements; it returns how many. With noise, from is a multiple of 4.
func innerAsm(p, mu, v, x, grad []float32, from int, c *InnerStep) int {
	n, lanes := updateVectors(len(grad))
	if c.Noise != 0 {
		n /= 4
		lanes *= 4
	}
	if n == 0 {
		return 0
	}
	done := n * lanes
	_, _, _, _ = p[done-1], mu[done-1], v[done-1], x[done-1]
	if c.Noise == 0 {
		if cpuLevel >= levelAVX512 {
			innerAVX512(&p[0], &mu[0], &v[0], &x[0], &grad[0], n, &c.LR)
		} else {
			innerAVX2(&p[0], &mu[0], &v[0], &x[0], &grad[0], n, &c.LR)
		}
		return done
	}
	schedule := c.Stream.Schedule()
	if cpuLevel >= levelAVX512 {
		innerNoiseAVX512(&p[0], &mu[0], &v[0], &x[0], &grad[0], n, &c.LR, &schedule, uint32(from>>2))
	} else {
		innerNoiseAVX2(&p[0], &mu[0], &v[0], &x[0], &grad[0], n, &c.LR, &schedule, uint32(from>>2))
	}
	return done
}

// outerAsm is EntropyOuter of the first elements; it returns how many.
func outerAsm(x, mu, p, inner, v []float32, lr, momentum float32) int {
	n, lanes := updateVectors(len(x))
	if n == 0 {
		return 0
	}
	done := n * lanes
	_, _, _ = mu[done-1], p[done-1], inner[done-1]
	switch {
	case len(v) == 0 && cpuLevel >= levelAVX512:
		outerAVX512(&x[0], &mu[0], &p[0], &inner[0], n, lr)
	case len(v) == 0:
		outerAVX2(&x[0], &mu[0], &p[0], &inner[0], n, lr)
	case cpuLevel >= levelAVX512:
		outerMomentumAVX512(&x[0], &mu[0], &p[0], &inner[0], &v[:done][0], n, lr, momentum)
	default:
		outerMomentumAVX2(&x[0], &mu[0], &p[0], &inner[0], &v[:done][0], n, lr, momentum)
	}
	return done
}

// sgdAsm is SGD of the first elements; it returns how many.
func sgdAsm(x, v, grad []float32, lr, momentum, decay float32, nesterov bool) int {
	n, lanes := updateVectors(len(grad))
	if n == 0 {
		return 0
	}
	done := n * lanes
	_ = x[done-1]
	wide := cpuLevel >= levelAVX512
	switch {
	case len(v) == 0 && wide:
		sgdAVX512(&x[0], &grad[0], n, lr, decay)
	case len(v) == 0:
		sgdAVX2(&x[0], &grad[0], n, lr, decay)
	case nesterov && wide:
		sgdNesterovAVX512(&x[0], &v[:done][0], &grad[0], n, lr, decay, momentum)
	case nesterov:
		sgdNesterovAVX2(&x[0], &v[:done][0], &grad[0], n, lr, decay, momentum)
	case wide:
		sgdMomentumAVX512(&x[0], &v[:done][0], &grad[0], n, lr, decay, momentum)
	default:
		sgdMomentumAVX2(&x[0], &v[:done][0], &grad[0], n, lr, decay, momentum)
	}
	return done
}
