package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Count writes n with commas between thousands: 1,234,567.
func Count[T int | int64 | uint64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	sign, digits := "", s
	if s[0] == '-' {
		sign, digits = "-", s[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Plural writes n and what it counts: 1 epoch, 2 epochs.
func Plural[T int | int64 | uint64](n T, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Duration writes d as people say it: 12.3 s, 2 min 5 s, 1 h 2 min.
func Duration(d time.Duration) string {
	switch s := d.Seconds(); {
	case s < 59.95:
		return fmt.Sprintf("%.1f s", s)
	case s < 3599.5:
		t := int(math.Round(s))
		return fmt.Sprintf("%d min %d s", t/60, t%60)
	default:
		t := int(math.Round(s / 60))
		return fmt.Sprintf("%d h %d min", t/60, t%60)
	}
}

// Shape writes dimensions with a cross between: 1x28x28; a scalar is "scalar".
func Shape(dims []int) string {
	if len(dims) == 0 {
		return "scalar"
	}
	var s []string
	for _, d := range dims {
		s = append(s, strconv.Itoa(d))
	}
	return strings.Join(s, "x")
}

// Number writes v in as few digits as give the same float64 when read back, without an exponent where people
// would not use one.
func Number(v float64) string {
	if a := math.Abs(v); a >= 1e-4 && a < 1e6 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
