package kernels

// Lerp moves y to x by the fraction t: y[i] = y[i] + t*(x[i]-y[i]).
func Lerp(y, x []float32, t float32) {
	x = x[:len(y)]
	for i, v := range y {
		y[i] = v + float32(t*(x[i]-v))
	}
}

// AddScaled sets y[i] = (y[i] + x[i])*t.
func AddScaled(y, x []float32, t float32) {
	x = x[:len(y)]
	for i, v := range y {
		y[i] = float32((v + x[i]) * t)
	}
}

// Along sets y[i] = x[i] + t*d[i].
func Along(y, x, d []float32, t float32) {
	x, d = x[:len(y)], d[:len(y)]
	for i := range y {
		y[i] = x[i] + float32(t*d[i])
	}
}

// Multiply sets y[i] = t*y[i].
func Multiply(y []float32, t float32) {
	for i, v := range y {
		y[i] = float32(t * v)
	}
}

// Limit moves each element into [-top, top]. NaN stays.
func Limit(y []float32, top float32) {
	for i, v := range y {
		if v > top {
			y[i] = top
		} else if v < -top {
			y[i] = -top
		}
	}
}

// SquareSum is the sum of x[i]^2 in float64: eight interleaved sums, added in pairs.
func SquareSum(x []float32) float64 {
	var s [8]float64
	done := squaresAsm(x, &s)
	for i, v := range x[done:] {
		s[i%8] += float64(float64(v) * float64(v))
	}
	return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]))
}

// DistanceSum is the sum of (x[i]-y[i])^2, in float64 from the left.
func DistanceSum(x, y []float32) (sum float64) {
	y = y[:len(x)]
	for i, v := range x {
		d := float64(v) - float64(y[i])
		sum += float64(d * d)
	}
	return sum
}

// Products sums (x[i]-y[i])^2, g[i]^2 and (x[i]-y[i])*g[i], in float64 from the left.
func Products(x, y, g []float32) (dd, gg, dg float64) {
	y, g = y[:len(x)], g[:len(x)]
	for i, v := range x {
		d, e := float64(v)-float64(y[i]), float64(g[i])
		dd += float64(d * d)
		gg += float64(e * e)
		dg += float64(d * e)
	}
	return dd, gg, dg
}
