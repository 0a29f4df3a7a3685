package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// NLLAttr holds the attributes of ONNX NegativeLogLikelihoodLoss: Reduction "mean" (also ""), "sum" or "none", and
// the label that counts for nothing, if HasIgnore.
type NLLAttr struct {
	Reduction string
	Ignore    int64
	HasIgnore bool
}

// NLLLoss returns -w[t]*x[n,t,...] for logarithms of probabilities x (N, C, ...) and labels t (N, ...), int64; weights
// w (C) may be nil for 1. The mean is that of the weighted positions: it divides by the sum of their weights.
func NLLLoss(x, labels, weights *gorgonia.Node, a NLLAttr) (*gorgonia.Node, error) {
	shape := x.Shape()
	if len(shape) < 2 || !sameShape(labels.Shape(), append([]int{shape[0]}, shape[2:]...)) {
		return nil, fmt.Errorf("ops: NLLLoss: scores of shape %v and labels of %v; (N, C, ...) and (N, ...) are needed", shape, labels.Shape())
	}
	if labels.Dtype() != tensor.Int64 {
		return nil, fmt.Errorf("ops: NLLLoss: labels have elements of type %v; int64 is needed", labels.Dtype())
	}
	operands := []*gorgonia.Node{x, labels}
	if err := needFloat("NLLLoss", x); err != nil {
		return nil, err
	}
	if weights != nil {
		if err := needFloat("NLLLoss", x, weights); err != nil {
			return nil, err
		}
		if !sameShape(weights.Shape(), shape[1:2]) {
			return nil, fmt.Errorf("ops: NLLLoss: weights of shape %v for %d classes", weights.Shape(), shape[1])
		}
		operands = append(operands, weights)
	}
	pick := func(share bool) (*gorgonia.Node, error) {
		o := &nllPick{base{name: "NLLLoss", out: labels.Shape().Clone(), fixed: []int{1}}, columnsOf(shape, 1), a, share}
		if weights != nil {
			o.fixed = append(o.fixed, 2)
		}
		if share {
			o.fixed = append(o.fixed, 0)
		}
		return apply(o, operands...)
	}
	each, err := pick(false)
	if err != nil {
		return nil, err
	}
	switch a.Reduction {
	case "none":
		return each, nil
	case "sum":
		return ReduceSum(each, nil, false)
	case "mean", "":
	default:
		return nil, fmt.Errorf("ops: NLLLoss: reduction %q is unknown; none, sum and mean are known", a.Reduction)
	}
	if weights == nil && !a.HasIgnore {
		return ReduceMean(each, nil, false)
	}
	shares, err := pick(true)
	if err != nil {
		return nil, err
	}
	if each, err = ReduceSum(each, nil, false); err != nil {
		return nil, err
	}
	if shares, err = ReduceSum(shares, nil, false); err != nil {
		return nil, err
	}
	return Div(each, shares)
}

// nllPick has the operands scores, labels and maybe weights. At each position it gives -w*score of the label or, if
// share is set, just w, which depends on no score.
type nllPick struct {
	base
	columns
	attr  NLLAttr
	share bool
}

func (o *nllPick) Phases() []int { return []int{o.parts()} }

func (o *nllPick) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		return nllPickPart[float64](o, part, out, in)
	}
	return nllPickPart[float32](o, part, out, in)
}

// factor is the weight of a label.
func factor[T kernels.Float](a *NLLAttr, weights []T, label int64) T {
	switch {
	case a.HasIgnore && label == a.Ignore:
		return 0
	case weights == nil:
		return 1
	}
	return weights[label]
}

func nllPickPart[T kernels.Float](o *nllPick, part int, out *Buf, in []*Buf) error {
	y, x, labels := floats[T](out), floats[T](in[0]), in[1].I64
	var weights []T
	if len(in) == 3 {
		weights = floats[T](in[2])
	}
	from, to := o.units(part)
	for u := from; u < to; u++ {
		at, first, width := o.unit(u)
		for j, l := range labels[first : first+width] {
			if o.attr.HasIgnore && l == o.attr.Ignore {
				y[first+j] = 0
				continue
			}
			if err := o.check(labels[first+j:][:1], first+j, rowOrder{}); err != nil {
				return err
			}
			w := factor(&o.attr, weights, l)
			if o.share {
				y[first+j] = w
			} else {
				y[first+j] = -w * x[at+int(l)*o.inner+j]
			}
		}
	}
	return nil
}

func (o *nllPick) SymDiff(in gorgonia.Nodes, y, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.share {
		return o.base.SymDiff(in, y, dy)
	}
	grads := make(gorgonia.Nodes, len(in))
	var err error
	grads[0], err = apply(&nllGrad{base{name: "NLLLossGrad", out: in[0].Shape()}, o.columns, o.attr}, append(gorgonia.Nodes{dy}, in[1:]...)...)
	return grads, err
}

// nllGrad has the operands dy, labels and maybe weights.
type nllGrad struct {
	base
	columns
	attr NLLAttr
}

func (o *nllGrad) Phases() []int { return []int{o.parts()} }

func (o *nllGrad) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		return nllGradPart[float64](o, part, out, in)
	}
	return nllGradPart[float32](o, part, out, in)
}

func nllGradPart[T kernels.Float](o *nllGrad, part int, out *Buf, in []*Buf) error {
	dx, dy, labels := floats[T](out), floats[T](in[0]), in[1].I64
	var weights []T
	if len(in) == 3 {
		weights = floats[T](in[2])
	}
	from, to := o.units(part)
	for u := from; u < to; u++ {
		at, first, width := o.unit(u)
		for i := range o.n {
			clear(dx[at+i*o.inner:][:width])
		}
		for j, l := range labels[first : first+width] {
			if o.attr.HasIgnore && l == o.attr.Ignore {
				continue
			}
			if err := o.check(labels[first+j:][:1], first+j, rowOrder{}); err != nil {
				return err
			}
			dx[at+int(l)*o.inner+j] = -factor(&o.attr, weights, l) * dy[first+j]
		}
	}
	return nil
}
