package kernels

import "math"

// Finite tells whether no element of x is NaN or infinite.
func Finite[T Float](x []T) bool {
	if x, ok := any(x).([]float32); ok {
		return finite32(x)
	}
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// finite32 looks at exponents: all ones in a float32 mean infinity or NaN. The largest exponent of a block
// is found without a jump for each element.
func finite32(x []float32) bool {
	const exponent = 0x7f800000
	for len(x) > 0 {
		block := x[:min(len(x), 1024)]
		x = x[len(block):]
		var m0, m1, m2, m3 uint32
		for len(block) >= 4 {
			v := (*[4]float32)(block)
			m0 = max(m0, math.Float32bits(v[0])&exponent)
			m1 = max(m1, math.Float32bits(v[1])&exponent)
			m2 = max(m2, math.Float32bits(v[2])&exponent)
			m3 = max(m3, math.Float32bits(v[3])&exponent)
			block = block[4:]
		}
		for _, v := range block {
			m0 = max(m0, math.Float32bits(v)&exponent)
		}
		if max(m0, m1, m2, m3) == exponent {
			return false
		}
	}
	return true
}
