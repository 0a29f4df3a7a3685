package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// OneHotMask returns int64 with a new axis of depth elements at the given place, in which the element that index names
// is 1 and the others are 0 (ONNX OneHot with values [0, 1]). A negative index counts from the end; one outside of
// [-depth, depth) names none.
func OneHotMask(index *gorgonia.Node, depth, axis int) (*gorgonia.Node, error) {
	if err := needInts("OneHot", index); err != nil {
		return nil, err
	}
	s := index.Shape()
	if axis < 0 {
		axis += len(s) + 1
	}
	if axis < 0 || axis > len(s) || depth < 0 {
		return nil, fmt.Errorf("ops: OneHot: depth %d at axis %d of indices of shape %v", depth, axis, s)
	}
	out := append(append(append(tensor.Shape{}, s[:axis]...), depth), s[axis:]...)
	if err := needSizes("OneHot", out); err != nil {
		return nil, err
	}
	inner := len0(s[axis:])
	return apply(&address{base{name: "OneHot", out: out}, func(at int, index []int64) (int, error) {
		i := index[at/(inner*depth)*inner+at%inner]
		if i < 0 {
			i += int64(depth)
		}
		return bit(i == int64(at/inner%depth)), nil
	}}, index)
}
