package runner

import (
	"fmt"
	"sort"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// A Loss adds a loss to a network's graph: a scalar node of the outputs and of new target nodes, which it
// returns in the order of Batch.Targets; shapes are those of the first batch's targets. It may use any
// operator of Gorgonia; those that CrossEntropy, NLL and MSE are made of run without allocation.
type Loss func(outputs gorgonia.Nodes, shapes []tensor.Shape) (loss *gorgonia.Node, targets gorgonia.Nodes, err error)

// CrossEntropy is the mean over all positions of -log softmax(output)[target]. Targets are class numbers,
// int64, of the output's shape without the class axis: axis 1, or the last.
func CrossEntropy(outputs gorgonia.Nodes, shapes []tensor.Shape) (*gorgonia.Node, gorgonia.Nodes, error) {
	return classes(outputs, shapes, "cross-entropy", ops.CrossEntropy)
}

// NLL is CrossEntropy for a network whose output is already the logarithm of probabilities.
func NLL(outputs gorgonia.Nodes, shapes []tensor.Shape) (*gorgonia.Node, gorgonia.Nodes, error) {
	return classes(outputs, shapes, "nll", ops.NLL)
}

// LabelSmoothing is CrossEntropy, or NLL if logs, with targets that give the weight e/classes to every class and
// the rest to the label (Szegedy et al.: "Rethinking the Inception Architecture", CVPR 2016, section 7); e is at
// least 0 and below 1. It is for training: see Options.Evaluation.
func LabelSmoothing(e float64, logs bool) Loss {
	return func(outputs gorgonia.Nodes, shapes []tensor.Shape) (*gorgonia.Node, gorgonia.Nodes, error) {
		if !(e >= 0 && e < 1) {
			return nil, nil, fmt.Errorf("runner: label smoothing of %v; it must be at least 0 and below 1", e)
		}
		if logs {
			return classes(outputs, shapes, "nll", func(y, t *gorgonia.Node) (*gorgonia.Node, error) { return ops.SmoothNLL(y, t, e) })
		}
		return classes(outputs, shapes, "cross-entropy", func(y, t *gorgonia.Node) (*gorgonia.Node, error) { return ops.SmoothCrossEntropy(y, t, e) })
	}
}

// MSE is the mean over all elements of (output - target)². Targets are float32 of the output's shape.
func MSE(outputs gorgonia.Nodes, shapes []tensor.Shape) (*gorgonia.Node, gorgonia.Nodes, error) {
	y := outputs[0]
	if err := oneTarget("mse", shapes); err != nil {
		return nil, nil, err
	}
	if !shapes[0].Eq(y.Shape()) {
		return nil, nil, fmt.Errorf("runner: mse needs targets of the output's shape %v, not %v", y.Shape(), shapes[0])
	}
	t := newTarget(y, y.Dtype(), shapes[0])
	loss, err := ops.MSE(y, t)
	return loss, gorgonia.Nodes{t}, err
}

func classes(outputs gorgonia.Nodes, shapes []tensor.Shape, name string, op func(y, t *gorgonia.Node) (*gorgonia.Node, error)) (*gorgonia.Node, gorgonia.Nodes, error) {
	y := outputs[0]
	if err := oneTarget(name, shapes); err != nil {
		return nil, nil, err
	}
	if y.Dims() < 2 {
		return nil, nil, fmt.Errorf("runner: %s needs an output of shape (samples, classes, ...), not %v; try the loss mse", name, y.Shape())
	}
	t := newTarget(y, tensor.Int64, shapes[0])
	loss, err := op(y, t)
	return loss, gorgonia.Nodes{t}, err
}

func oneTarget(name string, shapes []tensor.Shape) error {
	if len(shapes) != 1 {
		return fmt.Errorf("runner: %s takes one target tensor, not %d", name, len(shapes))
	}
	return nil
}

func newTarget(y *gorgonia.Node, dt tensor.Dtype, s tensor.Shape) *gorgonia.Node {
	return gorgonia.NewTensor(y.Graph(), dt, s.Dims(), gorgonia.WithShape(s...), gorgonia.WithName("onnx_entropy/target"))
}

var losses = map[string]Loss{"cross-entropy": CrossEntropy, "nll": NLL, "mse": MSE}

// LossByName returns CrossEntropy for "cross-entropy", NLL for "nll", MSE for "mse".
func LossByName(name string) (Loss, error) {
	if l, ok := losses[name]; ok {
		return l, nil
	}
	var names []string
	for n := range losses {
		names = append(names, n)
	}
	sort.Strings(names)
	return nil, fmt.Errorf("runner: loss %q: known are %s", name, strings.Join(names, ", "))
}
