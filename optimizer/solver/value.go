package solver

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// size is the number of elements; Gorgonia's scalars say 0 of themselves.
func size(v gorgonia.Value) int { return v.Shape().TotalSize() }

// read copies the elements of v, rounded to float32.
func read(dst []float32, v gorgonia.Value) error {
	if err := check(v, len(dst)); err != nil {
		return err
	}
	switch v := v.(type) {
	case *gorgonia.F32:
		dst[0] = float32(*v)
	case *gorgonia.F64:
		dst[0] = float32(*v)
	case *tensor.Dense:
		if v.Dtype() == tensor.Float32 {
			copy(dst, v.Float32s())
			break
		}
		for i, x := range v.Float64s() {
			dst[i] = float32(x)
		}
	}
	return nil
}

// write sets the elements of v in place.
func write(v gorgonia.Value, src []float32) error {
	if err := check(v, len(src)); err != nil {
		return err
	}
	switch v := v.(type) {
	case *gorgonia.F32:
		*v = gorgonia.F32(src[0])
	case *gorgonia.F64:
		*v = gorgonia.F64(src[0])
	case *tensor.Dense:
		if v.Dtype() == tensor.Float32 {
			copy(v.Float32s(), src)
			break
		}
		dst := v.Float64s()
		for i, x := range src {
			dst[i] = float64(x)
		}
	}
	return nil
}

// check admits floating-point values with n elements in row-major order without gaps.
func check(v gorgonia.Value, n int) error {
	switch v := v.(type) {
	case nil:
		return errors.New("there is no value")
	case *gorgonia.F32, *gorgonia.F64:
	case *tensor.Dense:
		if v.Dtype() != tensor.Float32 && v.Dtype() != tensor.Float64 {
			return fmt.Errorf("the elements are %v; only float32 and float64 can be trained", v.Dtype())
		}
		if v.RequiresIterator() || v.DataOrder().IsColMajor() {
			return errors.New("the tensor is a view with gaps or in column-major order; clone it")
		}
	default:
		return fmt.Errorf("values of type %T cannot be trained; use float32 or float64", v)
	}
	if m := size(v); m != n {
		return fmt.Errorf("there are %d elements instead of %d", m, n)
	}
	return nil
}
