//go:build !noasm

package kernels

// wholeVectors returns how many of n elements the kernels do: whole vectors of float32.
func wholeVectors[T Float](n int) int {
	if !isFloat32[T]() || cpuLevel < levelAVX2 {
		return 0
	}
	return n &^ 7
}

// first is the address of the first element of s, which is of float32 and not empty.
func first[T Float](s []T) *float32 { return &float32s(s)[0] }

// unaryAsm sets y[i] = op(x[i]).
func unaryAsm[T Float](op vectorOp, y, x []T) int {
	n := wholeVectors[T](len(x))
	if n == 0 {
		return 0
	}
	to, from := first(y[:n]), first(x)
	switch op {
	case opNeg:
		negAVX2(to, from, n)
	case opAbs:
		absAVX2(to, from, n)
	case opSqrt:
		sqrtAVX2(to, from, n)
	case opRelu:
		reluAVX2(to, from, n)
	case opExp:
		expAVX2(to, from, n)
	case opLog:
		logAVX2(to, from, n)
	case opSigmoid:
		sigmoidAVX2(to, from, n)
	case opTanh:
		tanhAVX2(to, from, n)
	case opErf:
		erfAVX2(to, from, n)
	default:
		return 0
	}
	return n
}

// binaryAsm sets y[i] = a[i] op b[i].
func binaryAsm[T Float](op vectorOp, y, a, b []T) int {
	n := wholeVectors[T](len(a))
	if n == 0 {
		return 0
	}
	to, p, q := first(y[:n]), first(a), first(b[:n])
	switch op {
	case opAdd:
		addAVX2(to, p, q, n)
	case opSub:
		subAVX2(to, p, q, n)
	case opMul:
		mulAVX2(to, p, q, n)
	case opDiv:
		divAVX2(to, p, q, n)
	case opReluGrad:
		reluGradAVX2(to, p, q, n)
	case opSigmoidGrad:
		sigmoidGradAVX2(to, p, q, n)
	case opTanhGrad:
		tanhGradAVX2(to, p, q, n)
	case opAbsGrad:
		absGradAVX2(to, p, q, n)
	case opSqrtGrad:
		sqrtGradAVX2(to, p, q, n)
	case opReciprocalGrad:
		reciprocalGradAVX2(to, p, q, n)
	default:
		return 0
	}
	return n
}

// scalarAsm sets y[i] = a[i] op s.
func scalarAsm[T Float](op vectorOp, y, a []T, s T) int {
	n := wholeVectors[T](len(a))
	if n == 0 {
		return 0
	}
	to, from, v := first(y[:n]), first(a), float32(s)
	switch op {
	case opAdd:
		addScalarAVX2(to, from, v, n)
	case opSub:
		subScalarAVX2(to, from, v, n)
	case opMul:
		mulScalarAVX2(to, from, v, n)
	case opDiv:
		divScalarAVX2(to, from, v, n)
	case opReverseSub:
		scalarSubAVX2(to, from, v, n)
	case opReverseDiv:
		scalarDivAVX2(to, from, v, n)
	case opLeakyRelu:
		leakyReluAVX2(to, from, v, n)
	default:
		return 0
	}
	return n
}

func leakyReluGradAsm[T Float](dx, x, dy []T, alpha T) int {
	n := wholeVectors[T](len(x))
	if n > 0 {
		leakyReluGradAVX2(first(dx[:n]), first(x), first(dy[:n]), float32(alpha), n)
	}
	return n
}

func rectifiedGradAsm[T Float](dx, y, dy []T, scale T) int {
	n := wholeVectors[T](len(y))
	if n > 0 {
		rectifiedGradAVX2(first(dx[:n]), first(y), first(dy[:n]), float32(scale), n)
	}
	return n
}

func clipAsm[T Float](y, x []T, lo, hi T) int {
	n := wholeVectors[T](len(x))
	if n > 0 {
		clipAVX2(first(y[:n]), first(x), float32(lo), float32(hi), n)
	}
	return n
}

// withinAsm sets dx[i] = dy[i] where lo <= x[i] <= hi, else 0.
func withinAsm[T Float](dx, x, dy []T, lo, hi T) int {
	n := wholeVectors[T](len(x))
	if n > 0 {
		withinAVX2(first(dx[:n]), first(x), first(dy[:n]), float32(lo), float32(hi), n)
	}
	return n
}

func normaliseAsm[T Float](y, x []T, mean, a, b T) int {
	n := wholeVectors[T](len(x))
	if n > 0 {
		normaliseAVX2(first(y[:n]), first(x), float32(mean), float32(a), float32(b), n)
	}
	return n
}

func normaliseRowsAsm[T Float](y, x []T, ld, rows int, mean, a, b []T, relu bool) int {
	done := 0
	if cpuLevel >= levelAVX512 {
		if done = vectorsOf[T](len(mean), 16); done > 0 {
			f := normaliseRowsAVX512
			if relu {
				f = normaliseReluRowsAVX512
			}
			f(first(y), first(x), first(mean), first(a), first(b), done, ld, rows)
		}
	}
	if n := wholeVectors[T](len(mean) - done); n > 0 {
		f := normaliseRowsAVX2
		if relu {
			f = normaliseReluRowsAVX2
		}
		f(first(y[done:]), first(x[done:]), first(mean[done:]), first(a[done:]), first(b[done:]), n, ld, rows)
		done += n
	}
	return done
}

func normaliseGradAsm[T Float](dx, x, dy []T, mean, a, b, c T) int {
	n := wholeVectors[T](len(x))
	if n > 0 {
		normaliseGradAVX2(first(dx[:n]), first(x), first(dy[:n]), float32(mean), float32(a), float32(b), float32(c), n)
	}
	return n
}

func normaliseGradRowsAsm[T Float](dx, x, dy, y []T, ld, rows int, mean, a, b, c []T, scale T) int {
	done := 0
	if cpuLevel >= levelAVX512 {
		done = vectorsOf[T](len(mean), 16)
		switch {
		case done == 0:
		case y == nil:
			normaliseGradRowsAVX512(first(dx), first(x), first(dy), first(mean), first(a), first(b), first(c), done, ld, rows)
		default:
			rectifiedNormGradRowsAVX512(first(dx), first(x), first(dy), first(y), first(mean), first(a), first(b), first(c), float32(scale), done, ld, rows)
		}
	}
	n := wholeVectors[T](len(mean) - done)
	if n == 0 {
		return done
	}
	to, from, grad, k := first(dx[done:]), first(x[done:]), first(dy[done:]), [4]*float32{first(mean[done:]), first(a[done:]), first(b[done:]), first(c[done:])}
	if y == nil {
		normaliseGradRowsAVX2(to, from, grad, k[0], k[1], k[2], k[3], n, ld, rows)
	} else {
		rectifiedNormGradRowsAVX2(to, from, grad, first(y[done:]), k[0], k[1], k[2], k[3], float32(scale), n, ld, rows)
	}
	return done + n
}

// vectorsOf returns how many of n elements of float32 are whole vectors of w.
func vectorsOf[T Float](n, w int) int {
	if !isFloat32[T]() || cpuLevel < levelAVX2 {
		return 0
	}
	return n / w * w
}

func sumAsm[T Float](x []T, s *Sums) int {
	n := vectorsOf[T](len(x), 16)
	if n > 0 {
		sumAVX2(first(x), n, &s[0])
	}
	return n
}

// maxAsm returns the largest of the first elements of x, of which there are so many.
func maxAsm[T Float](x []T) (top T, n int) {
	if n = wholeVectors[T](len(x)); n > 0 {
		top = T(maxAVX2(first(x), n))
	}
	return top, n
}

func sumRowsAsm[T Float](sum *[Tile]float64, x []T, ld, rows, n int) int {
	done := wideVectors[T](n)
	if done > 0 {
		sumRowsAVX512(&sum[0], first(x), done, ld, rows)
	}
	if n := vectorsOf[T](n-done, 4); n > 0 {
		sumRowsAVX2(&sum[done], first(x[done:]), n, ld, rows)
		done += n
	}
	return done
}

func momentsAsm[T Float](x []T, k float64, s *Sums) int {
	n := vectorsOf[T](len(x), 8)
	if n > 0 {
		momentsAVX2(first(x), n, k, &s[0])
	}
	return n
}

func dotCentredAsm[T Float](x, dy []T, mean float64, s *Sums) int {
	n := vectorsOf[T](len(x), 8)
	if n > 0 {
		dotCentredAVX2(first(dy[:n]), first(x), n, mean, &s[0])
	}
	return n
}

func momentsRowsAsm[T Float](sum, square *[Tile]float64, x []T, ld, rows int, k []T) int {
	done := wideVectors[T](len(k))
	if done > 0 {
		momentsRowsAVX512(&sum[0], &square[0], first(x), first(k), done, ld, rows)
	}
	if n := vectorsOf[T](len(k)-done, 4); n > 0 {
		momentsRowsAVX2(&sum[done], &square[done], first(x[done:]), first(k[done:]), n, ld, rows)
		done += n
	}
	return done
}

func dotCentredRowsAsm[T Float](sum, dot *[Tile]float64, x, dy []T, ld, rows int, mean []T) int {
	done := wideVectors[T](len(mean))
	if done > 0 {
		dotCentredRowsAVX512(&sum[0], &dot[0], first(x), first(dy), first(mean), done, ld, rows)
	}
	if n := vectorsOf[T](len(mean)-done, 4); n > 0 {
		dotCentredRowsAVX2(&sum[done], &dot[done], first(x[done:]), first(dy[done:]), first(mean[done:]), n, ld, rows)
		done += n
	}
	return done
}

func dotRectifiedRowsAsm[T Float](sum, dot *[Tile]float64, x, dy, y []T, ld, rows int, mean []T, scale T) int {
	done := wideVectors[T](len(mean))
	if done > 0 {
		dotRectifiedRowsAVX512(&sum[0], &dot[0], first(x), first(dy), first(y), first(mean), done, ld, rows, float32(scale))
	}
	if n := vectorsOf[T](len(mean)-done, 4); n > 0 {
		dotRectifiedRowsAVX2(&sum[done], &dot[done], first(x[done:]), first(dy[done:]), first(y[done:]), first(mean[done:]), n, ld, rows, float32(scale))
		done += n
	}
	return done
}

// wideVectors is the largest multiple of 8 up to n if AVX-512 has a loop for T, else 0.
func wideVectors[T Float](n int) int {
	if cpuLevel < levelAVX512 {
		return 0
	}
	return vectorsOf[T](n, 8)
}

// lstmStepAsm and lstmGradAsm do as many units as are whole vectors.
func lstmStepAsm[T Float](gates, bias []T, stride int, before, c, tanh, h []T) int {
	n := wholeVectors[T](len(c))
	if n == 0 {
		return 0
	}
	_, _, _, _, _ = gates[3*stride+n-1], bias[3*stride+n-1], before[n-1], tanh[n-1], h[n-1]
	done := 0
	if cpuLevel >= levelAVX512 {
		if done = n &^ 15; done > 0 {
			lstmStepAVX512(first(gates), first(bias), first(before), first(c), first(tanh), first(h), stride, done)
		}
	}
	if done < n {
		lstmStepAVX2(first(gates[done:]), first(bias[done:]), first(before[done:]), first(c[done:]), first(tanh[done:]), first(h[done:]), stride, n-done)
	}
	return n
}

func lstmGradAsm[T Float](da, gates []T, stride int, dc, dh, tanh, before []T) int {
	n := wholeVectors[T](len(dc))
	if n == 0 {
		return 0
	}
	_, _, _, _, _ = da[3*stride+n-1], gates[3*stride+n-1], dh[n-1], tanh[n-1], before[n-1]
	done := 0
	if cpuLevel >= levelAVX512 {
		if done = n &^ 15; done > 0 {
			lstmGradAVX512(first(da), first(gates), first(dc), first(dh), first(tanh), first(before), stride, done)
		}
	}
	if done < n {
		lstmGradAVX2(first(da[done:]), first(gates[done:]), first(dc[done:]), first(dh[done:]), first(tanh[done:]), first(before[done:]), stride, n-done)
	}
	return n
}

func gruCellAsm[T Float](h, z, n, before []T) int {
	done := wholeVectors[T](len(h))
	if done > 0 {
		gruCellAVX2(first(h), first(z[:done]), first(n[:done]), first(before[:done]), done)
	}
	return done
}

func mulAddAsm[T Float](y, a, b []T) int {
	done := wholeVectors[T](len(y))
	if done > 0 {
		mulAddAVX2(first(y), first(y), first(a[:done]), first(b[:done]), done)
	}
	return done
}

// gruCellGradAsm uses dh before it changes it.
func gruCellGradAsm[T Float](dZ, dN, dh, z, n, before []T) int {
	done := wholeVectors[T](len(dh))
	if done > 0 {
		gruUpdateGradAVX2(first(dZ[:done]), first(dh), first(z[:done]), first(n[:done]), first(before[:done]), done)
		gruNewGradAVX2(first(dN[:done]), first(dh), first(z), first(n), done)
		mulAVX2(first(dh), first(dh), first(z), done)
	}
	return done
}

// gruResetGradAsm makes dR before dq, which may be d.
func gruResetGradAsm[T Float](dR, dq, d, r, q []T) int {
	done := wholeVectors[T](len(d))
	if done > 0 {
		gruResetGradAVX2(first(dR[:done]), first(d), first(r[:done]), first(q[:done]), done)
		mulAVX2(first(dq[:done]), first(d), first(r), done)
	}
	return done
}
