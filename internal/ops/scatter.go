package ops

import (
	"fmt"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// ScatterElements returns x with the elements at index along an axis replaced by those of updates, or combined with
// them by reduction "add", "mul", "max" or "min" (ONNX ScatterElements). Updates are applied in row-major order; without
// a reduction, each of several that meet in one place gets the place's derivative, as in PyTorch. Where max and min
// are equal for several, they share it.
func ScatterElements(x, index, updates *gorgonia.Node, axis int, reduction string) (*gorgonia.Node, error) {
	if !sameShape(index.Shape(), updates.Shape()) {
		return nil, fmt.Errorf("ops: ScatterElements: indices of shape %v and updates of shape %v", index.Shape(), updates.Shape())
	}
	a, err := elementAddress("ScatterElements", x.Shape(), index, axis)
	if err != nil {
		return nil, err
	}
	return scattered("ScatterElements", x, a, updates, 1, reduction)
}

// ScatterND is ScatterElements for the blocks that the last axis of index names, see GatherND (ONNX ScatterND).
func ScatterND(x, index, updates *gorgonia.Node, reduction string) (*gorgonia.Node, error) {
	a, block, err := blockAddress("ScatterND", x.Shape(), index, 0)
	if err != nil {
		return nil, err
	}
	is := index.Shape()
	want := append(append(tensor.Shape{}, is[:len(is)-1]...), x.Shape()[is[len(is)-1]:]...)
	if !sameShape(want, updates.Shape()) {
		return nil, fmt.Errorf("ops: ScatterND: updates of shape %v where %v is needed", updates.Shape(), want)
	}
	return scattered("ScatterND", x, a, updates, block, reduction)
}

// A combination is what becomes of an element that an update meets.
type combination uint8

const (
	scatterSet combination = iota
	scatterAdd
	scatterMul
	scatterMax
	scatterMin
)

func scattered(name string, x, address, updates *gorgonia.Node, block int, reduction string) (*gorgonia.Node, error) {
	how := scatterSet
	if reduction != "none" && reduction != "" {
		i := strings.Index("add mul max min", reduction)
		if len(reduction) != 3 || i%4 != 0 {
			return nil, fmt.Errorf("ops: %s: reduction %q is unknown; none, add, mul, max and min are known", name, reduction)
		}
		how = scatterAdd + combination(i/4)
	}
	return placed(name, x, address, updates, block, how)
}

// scatter combines blocks of operand 2 with those of operand 0 at the addresses in operand 1. A part does what falls
// into its range of the result, in the order of the updates.
type scatter struct {
	base
	block, parts int
	how          combination
}

func placed(name string, x, address, updates *gorgonia.Node, block int, how combination) (*gorgonia.Node, error) {
	if x.Dtype() != updates.Dtype() {
		return nil, fmt.Errorf("ops: %s: data of type %v and updates of type %v", name, x.Dtype(), updates.Dtype())
	}
	// Every part reads all addresses, so there are few.
	parts := min(8, chunks(len0(updates.Shape())), max(1, len0(x.Shape())))
	return apply(&scatter{base{name: name, out: x.Shape(), fixed: []int{1}}, block, parts, how}, x, address, updates)
}

func (o *scatter) Phases() []int  { return []int{o.parts} }
func (o *scatter) InPlace() []int { return []int{0} }

func (o *scatter) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	switch o.dt {
	case tensor.Float64:
		scatterPart(o, part, out.F64, in[0].F64, in[2].F64, in[1].I64)
	case tensor.Float32:
		scatterPart(o, part, out.F32, in[0].F32, in[2].F32, in[1].I64)
	default:
		scatterPart(o, part, out.I64, in[0].I64, in[2].I64, in[1].I64)
	}
	return nil
}

func scatterPart[T kernels.Elem](o *scatter, part int, y, x, updates []T, address []int64) {
	if o.block == 0 {
		return
	}
	from, to := span(len(y)/o.block, o.parts, part)
	copy(y[from*o.block:to*o.block], x[from*o.block:to*o.block])
	for k, a := range address {
		if int(a) < from || int(a) >= to {
			continue
		}
		z := y[int(a)*o.block : (int(a)+1)*o.block]
		u := updates[k*o.block : (k+1)*o.block]
		switch o.how {
		case scatterSet:
			copy(z, u)
		case scatterAdd:
			for i, v := range u {
				z[i] += v
			}
		case scatterMul:
			for i, v := range u {
				z[i] *= v
			}
		case scatterMax:
			for i, v := range u {
				z[i] = max(z[i], v)
			}
		case scatterMin:
			for i, v := range u {
				z[i] = min(z[i], v)
			}
		}
	}
}

func (o *scatter) SymDiff(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	x, address, updates := in[0], in[1], in[2]
	var dx, du *gorgonia.Node
	var err error
	switch o.how {
	case scatterSet:
		var zeros *gorgonia.Node
		if zeros, err = zerosLike(updates); err == nil {
			dx, err = placed(o.name+"Grad", dy, address, zeros, o.block, scatterSet)
		}
		if err == nil {
			du, err = picked(o.name+"Grad", dy, address, o.block, updates.Shape())
		}
	case scatterAdd:
		dx = dy
		du, err = picked(o.name+"Grad", dy, address, o.block, updates.Shape())
	case scatterMul:
		dx, du, err = o.mulGrad(x, address, updates, dy)
	default:
		dx, du, err = o.extremeGrad(x, address, updates, y, dy)
	}
	return gorgonia.Nodes{dx, nil, du}, err
}

// mulGrad: the derivative by x is the product of the updates there; that by an update the product of x and the other
// updates, which needs no division by an update that is 0.
func (o *scatter) mulGrad(x, address, updates, dy *gorgonia.Node) (dx, du *gorgonia.Node, err error) {
	ones, err := filled(x, 1)
	if err != nil {
		return nil, nil, err
	}
	factor, err := placed(o.name+"Grad", ones, address, updates, o.block, scatterMul)
	if err != nil {
		return nil, nil, err
	}
	if dx, err = Mul(dy, factor); err != nil {
		return nil, nil, err
	}
	isZero, err := zipFloats("Zero", func(u, _, _ float64) float64 { return float64(bit(u == 0)) }, nil, updates, updates)
	if err != nil {
		return nil, nil, err
	}
	nonzero, err := Add(updates, isZero)
	if err != nil {
		return nil, nil, err
	}
	none, err := zerosLike(x)
	if err != nil {
		return nil, nil, err
	}
	zeros, err := placed(o.name+"Grad", none, address, isZero, o.block, scatterAdd)
	if err != nil {
		return nil, nil, err
	}
	rest, err := placed(o.name+"Grad", x, address, nonzero, o.block, scatterMul)
	if err != nil {
		return nil, nil, err
	}
	// At most one update in a place may be 0, else all derivatives are; with one, only its own is not.
	if rest, err = Mul(rest, dy); err != nil {
		return nil, nil, err
	}
	if rest, err = picked(o.name+"Grad", rest, address, o.block, updates.Shape()); err != nil {
		return nil, nil, err
	}
	if zeros, err = picked(o.name+"Grad", zeros, address, o.block, updates.Shape()); err != nil {
		return nil, nil, err
	}
	du, err = zipFloats(o.name+"Grad", func(rest, u, zeros float64) float64 {
		switch {
		case zeros == 0:
			return rest / u
		case zeros == 1 && u == 0:
			return rest
		}
		return 0
	}, nil, rest, updates, zeros)
	return dx, du, err
}

// extremeGrad gives x and the updates that equal the result equal parts.
func (o *scatter) extremeGrad(x, address, updates, y, dy *gorgonia.Node) (dx, du *gorgonia.Node, err error) {
	equal := func(a, b, _ float64) float64 { return float64(bit(a == b)) }
	mine, err := zipFloats("Ties", equal, nil, x, y)
	if err != nil {
		return nil, nil, err
	}
	there, err := picked(o.name+"Grad", y, address, o.block, updates.Shape())
	if err != nil {
		return nil, nil, err
	}
	theirs, err := zipFloats("Ties", equal, nil, updates, there)
	if err != nil {
		return nil, nil, err
	}
	number, err := placed(o.name+"Grad", mine, address, theirs, o.block, scatterAdd)
	if err != nil {
		return nil, nil, err
	}
	portion, err := zipFloats("Share", func(dy, n, _ float64) float64 {
		if n == 0 { // only where y is not a number
			return dy
		}
		return dy / n
	}, nil, dy, number)
	if err != nil {
		return nil, nil, err
	}
	if dx, err = Mul(portion, mine); err != nil {
		return nil, nil, err
	}
	if du, err = picked(o.name+"Grad", portion, address, o.block, updates.Shape()); err != nil {
		return nil, nil, err
	}
	du, err = Mul(du, theirs)
	return dx, du, err
}
