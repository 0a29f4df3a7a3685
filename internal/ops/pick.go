package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// GatherElements returns the elements of x at index along an axis (ONNX GatherElements): y[i][j] = x[index[i][j]][j] for
// axis 0. index is int64, of the rank of x and, beside the axis, of no greater size. Negative indices count from the
// end; one outside of the axis is an error when the graph runs.
func GatherElements(x, index *gorgonia.Node, axis int) (*gorgonia.Node, error) {
	a, err := elementAddress("GatherElements", x.Shape(), index, axis)
	if err != nil {
		return nil, err
	}
	return picked("GatherElements", x, a, 1, index.Shape())
}

// GatherND returns the blocks of x that the last axis of index names (ONNX GatherND): an index of k numbers names an
// element of the k axes of x after the batchDims first, and the block is what the other axes hold there.
func GatherND(x, index *gorgonia.Node, batchDims int) (*gorgonia.Node, error) {
	a, block, err := blockAddress("GatherND", x.Shape(), index, batchDims)
	if err != nil {
		return nil, err
	}
	is := index.Shape()
	k := is[len(is)-1]
	out := append(append(tensor.Shape{}, is[:len(is)-1]...), x.Shape()[batchDims+k:]...)
	return picked("GatherND", x, a, block, out)
}

// ReverseSequence returns x with the first lengths[b] elements along timeAxis in reverse order, for each b along
// batchAxis (ONNX ReverseSequence). The axes are 0 and 1, in either order.
func ReverseSequence(x, lengths *gorgonia.Node, timeAxis, batchAxis int) (*gorgonia.Node, error) {
	shape := x.Shape()
	if len(shape) < 2 || timeAxis+batchAxis != 1 || timeAxis*batchAxis != 0 {
		return nil, fmt.Errorf("ops: ReverseSequence: axes %d and %d of shape %v; they must be 0 and 1", timeAxis, batchAxis, shape)
	}
	if !sameShape(lengths.Shape(), []int{shape[batchAxis]}) {
		return nil, fmt.Errorf("ops: ReverseSequence: lengths of shape %v for a batch of %d", lengths.Shape(), shape[batchAxis])
	}
	steps := shape[timeAxis]
	a, err := newAddress("ReverseSequence", lengths, shape[:2], func(at int, lengths []int64) (int, error) {
		place := [2]int{at / shape[1], at % shape[1]}
		n := lengths[place[batchAxis]]
		if n < 0 || n > int64(steps) {
			return 0, fmt.Errorf("a length of %d for %d steps", n, steps)
		}
		if t := place[timeAxis]; t < int(n) {
			place[timeAxis] = int(n) - 1 - t
		}
		return place[0]*shape[1] + place[1], nil
	})
	if err != nil {
		return nil, err
	}
	return picked("ReverseSequence", x, a, len0(shape[2:]), shape)
}

// address computes an int64 of each place of its result and of the indices: mostly where in a tensor a block is, counted
// in blocks.
type address struct {
	base
	f func(at int, index []int64) (int, error)
}

func newAddress(name string, index *gorgonia.Node, out tensor.Shape, f func(at int, index []int64) (int, error)) (*gorgonia.Node, error) {
	if err := needInts(name, index); err != nil {
		return nil, err
	}
	return apply(&address{base{name: name + "Address", out: out.Clone()}, f}, index)
}

func (o *address) Phases() []int { return []int{chunks(len0(o.out))} }

func (o *address) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	from, to := span(len(out.I64), chunks(len(out.I64)), part)
	for k := from; k < to; k++ {
		a, err := o.f(k, in[0].I64)
		if err != nil {
			return err
		}
		out.I64[k] = int64(a)
	}
	return nil
}

// elementAddress is the address of GatherElements and ScatterElements.
func elementAddress(name string, shape tensor.Shape, index *gorgonia.Node, axis int) (*gorgonia.Node, error) {
	axis, err := axisOf(axis, len(shape))
	if err != nil {
		return nil, fmt.Errorf("ops: %s: %w", name, err)
	}
	is := index.Shape()
	fits := len(is) == len(shape)
	for i := 0; fits && i < len(is); i++ {
		fits = i == axis || is[i] <= shape[i]
	}
	if !fits {
		return nil, fmt.Errorf("ops: %s: indices of shape %v for data of shape %v", name, is, shape)
	}
	own, n := strides(shape), int64(shape[axis])
	return newAddress(name, index, is, func(at int, index []int64) (int, error) {
		k, err := place(index[at], n, axis)
		if err != nil {
			return 0, err
		}
		a := k * own[axis]
		for i := len(is) - 1; i >= 0; i-- {
			if i != axis {
				a += at % is[i] * own[i]
			}
			at /= is[i]
		}
		return a, nil
	})
}

// blockAddress is the address of GatherND and ScatterND, and the size of a block.
func blockAddress(name string, shape tensor.Shape, index *gorgonia.Node, batchDims int) (a *gorgonia.Node, block int, err error) {
	is := index.Shape()
	if len(is) == 0 {
		return nil, 0, fmt.Errorf("ops: %s: the indices are a scalar", name)
	}
	lead := is[:len(is)-1]
	k := is[len(is)-1]
	fits := batchDims >= 0 && batchDims <= len(lead) && batchDims+k <= len(shape) && k > 0
	for i := 0; fits && i < batchDims; i++ {
		fits = is[i] == shape[i]
	}
	if !fits {
		return nil, 0, fmt.Errorf("ops: %s: indices of shape %v for data of shape %v, of which %d axes are the batch", name, is, shape, batchDims)
	}
	named := shape[batchDims : batchDims+k]
	own := strides(named)
	batch := len0(named)
	each := len0(lead[batchDims:]) // indices of one element of the batch
	a, err = newAddress(name, index, lead, func(at int, index []int64) (int, error) {
		to := at / each * batch
		for i := range k {
			p, err := place(index[at*k+i], int64(named[i]), batchDims+i)
			if err != nil {
				return 0, err
			}
			to += p * own[i]
		}
		return to, nil
	})
	return a, len0(shape[batchDims+k:]), err
}

// place resolves an index into an axis of n elements.
func place(i, n int64, axis int) (int, error) {
	k := i
	if k < 0 {
		k += n
	}
	if k < 0 || k >= n {
		return 0, fmt.Errorf("index %d is outside of axis %d, which has %d elements", i, axis, n)
	}
	return int(k), nil
}

// picker copies blocks of its operand 0 from the addresses that operand 1 holds.
type picker struct {
	base
	block, group int
}

// picked applies a picker; out has a block for each address.
func picked(name string, x, address *gorgonia.Node, block int, out tensor.Shape) (*gorgonia.Node, error) {
	return apply(&picker{base{name: name, out: out.Clone(), fixed: []int{1}}, block, max(1, chunk/max(1, block))}, x, address)
}

func (o *picker) Phases() []int {
	if o.block == 0 {
		return []int{1}
	}
	return []int{max(1, ceilDiv(len0(o.out)/o.block, o.group))}
}

func (o *picker) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	switch o.dt {
	case tensor.Float64:
		pickPart(o, part, out.F64, in[0].F64, in[1].I64)
	case tensor.Float32:
		pickPart(o, part, out.F32, in[0].F32, in[1].I64)
	default:
		pickPart(o, part, out.I64, in[0].I64, in[1].I64)
	}
	return nil
}

func pickPart[T kernels.Elem](o *picker, part int, y, x []T, address []int64) {
	for k := part * o.group; k < min((part+1)*o.group, len(address)); k++ {
		from := int(address[k]) * o.block
		if o.block == 1 {
			y[k] = x[from]
			continue
		}
		copy(y[k*o.block:(k+1)*o.block], x[from:])
	}
}

func (o *picker) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	zeros, err := zerosLike(in[0])
	if err != nil {
		return nil, err
	}
	dx, err := placed(o.name+"Grad", zeros, in[1], dy, o.block, scatterAdd)
	return gorgonia.Nodes{dx, nil}, err
}
