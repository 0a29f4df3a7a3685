package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
)

func arithmetic() {
	kernel("add", "sets y = a + b.", "a b", "", 4, func(x, _ []vec) vec { return add(x[0], x[1]) })
	kernel("sub", "sets y = a - b.", "a b", "", 4, func(x, _ []vec) vec { return sub(x[0], x[1]) })
	kernel("mul", "sets y = a * b.", "a b", "", 4, func(x, _ []vec) vec { return mul(x[0], x[1]) })
	kernel("div", "sets y = a / b.", "a b", "", 4, func(x, _ []vec) vec { return div(x[0], x[1]) })
	kernel("addScalar", "sets y = a + s.", "a", "s", 4, func(x, s []vec) vec { return add(x[0], s[0]) })
	kernel("subScalar", "sets y = a - s.", "a", "s", 4, func(x, s []vec) vec { return sub(x[0], s[0]) })
	kernel("scalarSub", "sets y = s - a.", "a", "s", 4, func(x, s []vec) vec { return sub(s[0], x[0]) })
	kernel("mulScalar", "sets y = a * s.", "a", "s", 4, func(x, s []vec) vec { return mul(x[0], s[0]) })
	kernel("divScalar", "sets y = a / s.", "a", "s", 4, func(x, s []vec) vec { return div(x[0], s[0]) })
	kernel("scalarDiv", "sets y = s / a.", "a", "s", 4, func(x, s []vec) vec { return div(s[0], x[0]) })
	kernel("neg", "sets y = -x.", "x", "", 4, func(x, _ []vec) vec { return xor(x[0], bits(signBit)) })
	kernel("abs", "sets y = |x|.", "x", "", 4, func(x, _ []vec) vec { return and(x[0], bits(^uint32(signBit))) })
	kernel("sqrt", "sets y = sqrt(x).", "x", "", 4, func(x, _ []vec) vec {
		r := YMM()
		VSQRTPS(x[0], r)
		return r
	})
	kernel("sqrtGrad", "is SqrtGrad.", "x dy", "", 4, func(x, _ []vec) vec { return div(x[1], add(x[0], x[0])) })
	kernel("reciprocalGrad", "is ReciprocalGrad.", "x dy", "", 4, func(x, _ []vec) vec {
		return mul(xor(x[1], bits(signBit)), mul(x[0], x[0]))
	})
	kernel("absGrad", "is AbsGrad.", "x dy", "", 4, func(x, _ []vec) vec {
		g := xor(x[1], and(x[0], bits(signBit)))
		return choose(compare(notEqual, x[0], zero()), g, x[0])
	})
}

func activations() {
	kernel("relu", "is Relu.", "x", "", 4, func(x, _ []vec) vec { return wherePositive(x[0], x[0]) })
	kernel("reluGrad", "is ReluGrad.", "x dy", "", 4, func(x, _ []vec) vec { return wherePositive(x[0], x[1]) })
	kernel("rectifiedGrad", "is RectifiedGrad.", "out dy", "scale", 4, func(x, s []vec) vec {
		return wherePositive(x[0], mul(x[1], s[0]))
	})
	slope := func(x, alpha vec) vec { return choose(compare(moreThan, x, zero()), constant(1), alpha) }
	kernel("leakyRelu", "is LeakyRelu.", "x", "alpha", 4, func(x, s []vec) vec { return mul(x[0], slope(x[0], s[0])) })
	kernel("leakyReluGrad", "is LeakyReluGrad.", "x dy", "alpha", 4, func(x, s []vec) vec { return mul(x[1], slope(x[0], s[0])) })
	kernel("sigmoidGrad", "is SigmoidGrad.", "x dy", "", 4, func(x, _ []vec) vec {
		return mul(x[1], mul(x[0], sub(load(constant(1)), x[0])))
	})
	kernel("tanhGrad", "is TanhGrad.", "x dy", "", 4, func(x, _ []vec) vec {
		return mul(x[1], sub(load(constant(1)), mul(x[0], x[0])))
	})
	kernel("clip", "is Clip.", "x", "lo hi", 1, func(x, s []vec) vec {
		// Of two zeros the instructions return the second operand, Go the positive one for max and the
		// negative one for min.
		low := and(greater(x[0], s[0]), greater(s[0], x[0]))
		high := or(lesser(low, s[1]), lesser(s[1], low))
		return choose(compare(unordered, x[0], x[0]), x[0], high)
	})
	kernel("within", "sets y = dy where lo <= x <= hi, else 0.", "x dy", "lo hi", 2, func(x, s []vec) vec {
		return and(x[1], and(compare(atLeast, x[0], s[0]), compare(atMost, x[0], s[1])))
	})
}

// wherePositive is v where x is positive or NaN, else 0.
func wherePositive(x, v vec) vec {
	if !wide {
		return and(v, compare(notAtMost, x, zero()))
	}
	kept, r := K(), newVec()
	VCMPPS(operand.Imm(notAtMost), zero(), x, kept)
	VMOVAPS_Z(v, kept, r)
	return r
}

func normalisation() {
	kernel("normalise", "is Normalise.", "x", "mean a b", 4, func(x, s []vec) vec { return normalised(x[0], s[0], s[1], s[2]) })
	kernel("normaliseGrad", "is NormaliseGrad.", "x dy", "mean a b c", 2, func(x, s []vec) vec {
		return normalisedGrad(x[0], x[1], s[0], s[1], s[2], s[3])
	})
}

func normalised(x, mean, a, b vec) vec { return add(mul(sub(x, mean), a), b) }

func normalisedGrad(x, dy, mean, a, b, c vec) vec {
	return mul(a, sub(sub(dy, b), mul(sub(x, mean), c)))
}
