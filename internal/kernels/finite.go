package kernels

// Finite tells whether no element of x is NaN or infinite.
func Finite[T Float](x []T) bool {
	if x, ok := any(x).([]float32); ok {
		// A sum of squares of float32 in float64 is finite if they are: 10^230 of the largest would fit. And it is the fastest
		// way to look at them all: 0.20 ms for 1.87 million numbers, where comparing their exponents takes 1.05.
		sum := SquareSum(x)
		return sum-sum == 0
	}
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}
