package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/kernels"
)

// CrossEntropy returns the mean over all positions of log(sum(exp(logits))) - logits[target], the sum over
// classes, as a scalar. The class axis is the one that targets (int64) lacks: axis 1 if that fits, else the
// last. A target outside of the classes is an error of the run.
func CrossEntropy(logits, targets *gorgonia.Node) (*gorgonia.Node, error) {
	return classLoss("CrossEntropy", logits, targets, nil, 0)
}

// SmoothCrossEntropy is CrossEntropy with smoothed labels: the target is the label with the weight 1-e plus all
// classes with e/classes each, as in PyTorch's label_smoothing. weights, unless nil, has a factor for the loss of each
// sample, which is an index of the first axis; the mean still divides by the number of positions.
func SmoothCrossEntropy(logits, targets, weights *gorgonia.Node, e float64) (*gorgonia.Node, error) {
	return classLoss("CrossEntropy", logits, targets, weights, e)
}

// NLL is CrossEntropy for values that are already logarithms of probabilities: the mean of
// -logProbs[target].
func NLL(logProbs, targets *gorgonia.Node) (*gorgonia.Node, error) {
	return classLoss("NLL", logProbs, targets, nil, 0)
}

// SmoothNLL is SmoothCrossEntropy for logarithms of probabilities.
func SmoothNLL(logProbs, targets, weights *gorgonia.Node, e float64) (*gorgonia.Node, error) {
	return classLoss("NLL", logProbs, targets, weights, e)
}

func classLoss(name string, x, targets, weights *gorgonia.Node, smooth float64) (*gorgonia.Node, error) {
	if err := needFloat(name, x); err != nil {
		return nil, err
	}
	if targets.Dtype() != tensor.Int64 {
		return nil, fmt.Errorf("ops: %s: targets have elements of type %v; int64 is needed", name, targets.Dtype())
	}
	axis, err := ClassAxis(x.Shape(), targets.Shape())
	if err != nil {
		return nil, fmt.Errorf("ops: %s: %w", name, err)
	}
	var from rowOrder
	if rows, perm := permutedRows(x); rows != nil && axis == len(perm)-1 && weights == nil {
		perm = perm[:axis]
		if targets, err = Transpose(targets, inverse(perm)); err != nil {
			return nil, err
		}
		x, from = rows, rowOrder{targets.Shape(), perm}
	}
	o := &classes{base{name: name, out: tensor.ScalarShape()}, columnsOf(x.Shape(), axis), name == "NLL", smooth, from}
	if weights == nil {
		return apply(o, x, targets)
	}
	if axis == 0 {
		return nil, fmt.Errorf("ops: %s: weights of samples for scores of shape %v, which have no axis of samples", name, x.Shape())
	}
	o.fixed = []int{2}
	if err := checkWeights(name, x, weights); err != nil {
		return nil, err
	}
	return apply(o, x, targets, weights)
}

// checkWeights fails unless weights has x's type and a number for each of its samples.
func checkWeights(name string, x, weights *gorgonia.Node) error {
	if weights.Dtype() != x.Dtype() || !sameShape(weights.Shape(), x.Shape()[:1]) {
		return fmt.Errorf("ops: %s: weights of shape %v and type %v; %d of %v are needed, one a sample",
			name, weights.Shape(), weights.Dtype(), x.Shape()[0], x.Dtype())
	}
	return nil
}

// weightOf is the factor for the loss at a position, of which there are so many; in[2] has the weights, if any.
func weightOf[T kernels.Float](in []*Buf, position, positions int) float64 {
	if len(in) < 3 {
		return 1
	}
	w := floats[T](in[2])
	return float64(w[position/(positions/len(w))])
}

// ClassAxis returns the axis of shape that targets lacks: axis 1 if that fits, else the last.
func ClassAxis(shape, targets tensor.Shape) (int, error) {
	for _, axis := range []int{1, len(shape) - 1} {
		if axis >= 0 && axis < len(shape) && len(targets) == len(shape)-1 &&
			sameShape(targets[:axis], shape[:axis]) && sameShape(targets[axis:], shape[axis+1:]) {
			return axis, nil
		}
	}
	return 0, fmt.Errorf("targets of shape %v do not fit scores of shape %v; the scores' shape without the class axis (axis 1 or the last) is needed", targets, shape)
}

// classes is the loss over class scores; operands are the scores, the targets and, if there are any, the weights.
type classes struct {
	base
	columns
	logs   bool     // scores are logarithms of probabilities
	smooth float64  // label smoothing
	from   rowOrder // of the positions, for errors
}

// The first phase sums over the positions of each part, the second adds the parts in order.
func (o *classes) Phases() []int                 { return []int{o.parts(), 1} }
func (o *classes) Scratch() (shared, worker int) { return o.parts(), 0 }

func (o *classes) Run(env *Env, _, phase, part int, out *Buf, in []*Buf) error {
	if o.dt == tensor.Float64 {
		return classesPart(o, phase, part, out.F64, in[0].F64, in[1].I64, in, env.Shared.F64)
	}
	return classesPart(o, phase, part, out.F32, in[0].F32, in[1].I64, in, env.Shared.F32)
}

func classesPart[T kernels.Float](o *classes, phase, part int, y, x []T, labels []int64, in []*Buf, partial []T) error {
	if phase == 1 {
		y[0] = T(kernels.Sum(partial[:o.parts()]) / float64(o.outer*o.inner))
		return nil
	}
	var sum float64
	from, to := o.units(part)
	for u := from; u < to; u++ {
		at, first, width := o.unit(u)
		label := labels[first : first+width]
		if err := o.check(label, first, o.from); err != nil {
			return err
		}
		var loss float64 // of the unit, whose positions are all of one sample
		if o.logs {
			for j, l := range label {
				loss -= float64(x[at+int(l)*o.inner+j])
			}
		} else {
			loss = kernels.CrossEntropy(x[at:], label, o.n, o.inner, width)
		}
		if o.smooth != 0 {
			loss += o.smooth * kernels.LabelExcess(x[at:], label, o.n, o.inner, width)
		}
		sum += weightOf[T](in, first, o.outer*o.inner) * loss
	}
	partial[part] = T(sum)
	return nil
}

// check returns an error that names the first label that is not a class.
func (c columns) check(labels []int64, first int, from rowOrder) error {
	for j, l := range labels {
		if l < 0 || l >= int64(c.n) {
			return fmt.Errorf("position %d has the label %d, but there are %d classes: labels are 0 to %d", from.of(first+j), l, c.n, c.n-1)
		}
	}
	return nil
}

func (o *classes) SymDiff(in gorgonia.Nodes, _, dy *gorgonia.Node) (gorgonia.Nodes, error) {
	g := &classesGrad{base{name: o.name + "Grad", out: in[0].Shape()}, o.columns, o.logs, o.smooth, o.from}
	if len(in) == 2 {
		dx, err := apply(g, in[0], in[1], dy)
		return gorgonia.Nodes{dx, nil}, err
	}
	dx, err := apply(g, in[0], in[1], in[2], dy)
	return gorgonia.Nodes{dx, nil, nil}, err
}

// classesGrad has the operands scores, targets, weights if there are any, and the derivative of the loss, a scalar.
type classesGrad struct {
	base
	columns
	logs   bool
	smooth float64
	from   rowOrder
}

func (o *classesGrad) Phases() []int  { return []int{o.parts()} }
func (o *classesGrad) InPlace() []int { return []int{0} }

func (o *classesGrad) Run(_ *Env, _, _, part int, out *Buf, in []*Buf) error {
	dy, operands := in[len(in)-1], in[:len(in)-1]
	if o.dt == tensor.Float64 {
		return classesGradPart(o, part, out.F64, in[0].F64, in[1].I64, operands, dy.F64[0])
	}
	return classesGradPart(o, part, out.F32, in[0].F32, in[1].I64, operands, dy.F32[0])
}

func classesGradPart[T kernels.Float](o *classesGrad, part int, dx, x []T, labels []int64, in []*Buf, dy T) error {
	positions := o.outer * o.inner
	from, to := o.units(part)
	for u := from; u < to; u++ {
		at, first, width := o.unit(u)
		label := labels[first : first+width]
		if err := o.check(label, first, o.from); err != nil {
			return err
		}
		g := weightOf[T](in, first, positions) * float64(dy) / float64(positions)
		if o.logs {
			for i := range o.n {
				clear(dx[at+i*o.inner:][:width])
			}
			for j, l := range label {
				dx[at+int(l)*o.inner+j] = T(-g)
			}
		} else {
			kernels.CrossEntropyGrad(dx[at:], x[at:], label, o.n, o.inner, width, g)
		}
		if o.smooth != 0 {
			kernels.LabelExcessGrad(dx[at:], label, o.n, o.inner, width, g*o.smooth)
		}
	}
	return nil
}
