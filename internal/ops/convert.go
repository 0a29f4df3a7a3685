package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// Convert returns x with elements of another type. Floats become integers by cutting off the fraction; those
// beyond the integers become the nearest, and NaN becomes 0. Between the two types of floats the derivative goes
// through; there is none between floats and integers.
func Convert(x *gorgonia.Node, to tensor.Dtype) (*gorgonia.Node, error) {
	switch from := x.Dtype(); {
	case from == to:
		return x, nil
	case isFloat(from) && isFloat(to):
		return convertFloat(x, to)
	case isFloat(from) && to == tensor.Int64:
		return convert("Cast", x, truncate)
	case from == tensor.Int64 && isFloat(to):
		return fromInts("Cast", x, to, func(v int64) float64 { return float64(v) })
	default:
		return nil, fmt.Errorf("ops: Cast: from %v to %v", from, to)
	}
}

// ConvertUnsigned is Convert from int64 to floats for numbers of type uint64, which int64 holds bit for bit.
func ConvertUnsigned(x *gorgonia.Node, to tensor.Dtype) (*gorgonia.Node, error) {
	return FromInts("Cast", x, to, func(v int64) float64 { return float64(uint64(v)) })
}

// FloatToUnsigned is Convert from floats to numbers of type uint64; negative ones wrap around.
func FloatToUnsigned(x *gorgonia.Node) (*gorgonia.Node, error) {
	return convert("Cast", x, func(v float64) int64 {
		switch {
		case v >= math.MaxUint64:
			return -1
		case v >= 1<<63:
			return int64(uint64(v))
		}
		return truncate(v)
	})
}

func truncate(v float64) int64 {
	switch {
	case v >= math.MaxInt64:
		return math.MaxInt64
	case v <= math.MinInt64:
		return math.MinInt64
	case v != v:
		return 0
	}
	return int64(v)
}

// ToInts applies f to the elements of x, floats, and gives int64; it has no derivative.
func ToInts(name string, x *gorgonia.Node, f func(float64) int64) (*gorgonia.Node, error) {
	return convert(name, x, f)
}

// FromInts applies f to the elements of x, int64, and gives floats of type to.
func FromInts(name string, x *gorgonia.Node, to tensor.Dtype, f func(int64) float64) (*gorgonia.Node, error) {
	if err := needInts(name, x); err != nil {
		return nil, err
	}
	return fromInts(name, x, to, f)
}

// Round16 rounds x to numbers that f gives, those of a narrower float type. The derivative goes through
// unchanged, as in PyTorch's conversions.
func Round16(x *gorgonia.Node, f func(float64) float64) (*gorgonia.Node, error) {
	return elementwise("Round16", x,
		func(y, x []float32) { kernels.Map(y, x, f) },
		func(y, x []float64) { kernels.Map(y, x, f) },
		slope{node: func(dy *gorgonia.Node) (*gorgonia.Node, error) { return dy, nil }})
}

// convert makes integers of floats.
func convert(name string, x *gorgonia.Node, f func(float64) int64) (*gorgonia.Node, error) {
	if err := needFloat(name, x); err != nil {
		return nil, err
	}
	row := convertRow[float32](f)
	if x.Dtype() == tensor.Float64 {
		row = convertRow[float64](f)
	}
	return newZip(name, tensor.Int64, row, nil, x)
}

func convertRow[T kernels.Float](f func(float64) int64) func(at, n int, x, step [3]int, out *Buf, in []*Buf) error {
	return func(at, n int, x, _ [3]int, out *Buf, in []*Buf) error {
		for m, v := range floats[T](in[0])[x[0] : x[0]+n] {
			out.I64[at+m] = f(float64(v))
		}
		return nil
	}
}

func fromInts(name string, x *gorgonia.Node, to tensor.Dtype, f func(int64) float64) (*gorgonia.Node, error) {
	row := fromIntsRow[float32](f)
	if to == tensor.Float64 {
		row = fromIntsRow[float64](f)
	}
	return newZip(name, to, row, nil, x)
}

func fromIntsRow[T kernels.Float](f func(int64) float64) func(at, n int, x, step [3]int, out *Buf, in []*Buf) error {
	return func(at, n int, x, _ [3]int, out *Buf, in []*Buf) error {
		y := floats[T](out)[at : at+n]
		for m := range y {
			y[m] = T(f(in[0].I64[x[0]+m]))
		}
		return nil
	}
}

// convertFloat changes between float32 and float64.
func convertFloat(x *gorgonia.Node, to tensor.Dtype) (*gorgonia.Node, error) {
	from := x.Dtype()
	row := func(at, n int, x, _ [3]int, out *Buf, in []*Buf) error {
		for m, v := range in[0].F32[x[0] : x[0]+n] {
			out.F64[at+m] = float64(v)
		}
		return nil
	}
	if to == tensor.Float32 {
		row = func(at, n int, x, _ [3]int, out *Buf, in []*Buf) error {
			for m, v := range in[0].F64[x[0] : x[0]+n] {
				out.F32[at+m] = float32(v)
			}
			return nil
		}
	}
	return newZip("Cast", to, row, func(_ gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
		dx, err := Convert(dy, from)
		return gorgonia.Nodes{dx}, err
	}, x)
}
