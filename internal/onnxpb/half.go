package onnxpb

import "math"

// Round returns the number of a floating-point element type that is nearest to x, ties to even.
func Round(elem int32, x float64) float64 {
	switch TensorProto_DataType(elem) {
	case TensorProto_FLOAT:
		return float64(float32(x))
	case TensorProto_FLOAT16:
		return float64(halfToFloat(floatToHalf(float32(x))))
	case TensorProto_BFLOAT16:
		return float64(math.Float32frombits(uint32(floatToBfloat(float32(x))) << 16))
	}
	return x
}

// FloatBits returns the bits that an element of a floating-point type has for x, the nearest number of the type.
func FloatBits(elem int32, x float64) uint64 {
	switch TensorProto_DataType(elem) {
	case TensorProto_FLOAT:
		return uint64(math.Float32bits(float32(x)))
	case TensorProto_FLOAT16:
		return uint64(floatToHalf(float32(x)))
	case TensorProto_BFLOAT16:
		return uint64(floatToBfloat(float32(x)))
	}
	return math.Float64bits(x)
}

// FloatOfBits is the reverse of FloatBits.
func FloatOfBits(elem int32, bits uint64) float64 {
	switch TensorProto_DataType(elem) {
	case TensorProto_FLOAT:
		return float64(math.Float32frombits(uint32(bits)))
	case TensorProto_FLOAT16:
		return float64(halfToFloat(uint16(bits)))
	case TensorProto_BFLOAT16:
		return float64(math.Float32frombits(uint32(bits) << 16))
	}
	return math.Float64frombits(bits)
}

// halfToFloat converts the bits of an IEEE 754 binary16 number.
func halfToFloat(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp := uint32(h>>10) & 31
	frac := uint32(h) & 1023
	switch exp {
	case 0: // zero and subnormal: frac * 2^-24
		f := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 31: // infinity and NaN
		return math.Float32frombits(sign | 255<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// floatToHalf rounds to the nearest binary16 number, ties to even; what is too large becomes infinite.
func floatToHalf(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	b &= 1<<31 - 1
	switch {
	case b > 255<<23: // NaN keeps its upper bits and stays one
		return sign | 0x7e00 | uint16(b>>13)&0x3ff
	case b >= 0x477ff000: // 65520, half-way between the largest number and 2^16
		return sign | 0x7c00
	case b < 113<<23: // below 2^-14: the result counts units of 2^-24
		x := float64(math.Float32frombits(b)) * (1 << 24)
		return sign | uint16(math.RoundToEven(x))
	}
	b += 0xfff + b>>13&1 // to nearest even at bit 13
	return sign | uint16((b-112<<23)>>13)
}

// floatToBfloat rounds to the nearest bfloat16 number, ties to even.
func floatToBfloat(f float32) uint16 {
	b := math.Float32bits(f)
	if b&(1<<31-1) > 255<<23 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}
