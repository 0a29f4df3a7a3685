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
// operator of Gorgonia; those that CrossEntropy, NLL, MSE and BCE are made of run without allocation.
//
// The losses of this package take a second target, float32 of shape (samples), with a factor for the loss of each
// sample; the mean still divides by the number of positions.
type Loss func(outputs gorgonia.Nodes, shapes []tensor.Shape) (loss *gorgonia.Node, targets gorgonia.Nodes, err error)

// CrossEntropy is the mean over all positions of -log softmax(output)[target]. Targets are class numbers,
// int64, of the output's shape without the class axis: axis 1, or the last.
func CrossEntropy(outputs gorgonia.Nodes, shapes []tensor.Shape) (*gorgonia.Node, gorgonia.Nodes, error) {
	return classes(outputs, shapes, "cross-entropy", 0, ops.SmoothCrossEntropy)
}

// NLL is CrossEntropy for a network whose output is already the logarithm of probabilities.
func NLL(outputs gorgonia.Nodes, shapes []tensor.Shape) (*gorgonia.Node, gorgonia.Nodes, error) {
	return classes(outputs, shapes, "nll", 0, ops.SmoothNLL)
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
			return classes(outputs, shapes, "nll", e, ops.SmoothNLL)
		}
		return classes(outputs, shapes, "cross-entropy", e, ops.SmoothCrossEntropy)
	}
}

// MSE is the mean over all elements of (output - target)². Targets are float32 of the output's shape.
func MSE(outputs gorgonia.Nodes, shapes []tensor.Shape) (*gorgonia.Node, gorgonia.Nodes, error) {
	return elements(outputs, shapes, "mse", ops.MSE)
}

// BCE is the binary cross-entropy, the mean over all elements of -t log(p) - (1-t) log(1-p). The output is the logits, or p itself
// as their Sigmoid, which may be reshaped, transposed, or clipped near 0 and 1; it is computed from the logits. Targets are float32, 0 to 1, of the output's shape.
func BCE(outputs gorgonia.Nodes, shapes []tensor.Shape) (*gorgonia.Node, gorgonia.Nodes, error) {
	x, err := ops.BinaryLogits(outputs[0])
	if err != nil {
		return nil, nil, err
	}
	return elements(gorgonia.Nodes{x}, shapes, "bce", ops.BinaryCrossEntropy)
}

func elements(outputs gorgonia.Nodes, shapes []tensor.Shape, name string, op func(y, t, weights *gorgonia.Node) (*gorgonia.Node, error)) (*gorgonia.Node, gorgonia.Nodes, error) {
	y := outputs[0]
	if err := checkTargets(name, y, shapes); err != nil {
		return nil, nil, err
	}
	if !shapes[0].Eq(y.Shape()) {
		return nil, nil, fmt.Errorf("runner: %s needs targets of the output's shape %v, not %v", name, y.Shape(), shapes[0])
	}
	t := newTargets(y, y.Dtype(), shapes)
	loss, err := op(y, t[0], weightsOf(t))
	return loss, t, err
}

func classes(outputs gorgonia.Nodes, shapes []tensor.Shape, name string, smooth float64, op func(y, t, weights *gorgonia.Node, smooth float64) (*gorgonia.Node, error)) (*gorgonia.Node, gorgonia.Nodes, error) {
	y := outputs[0]
	if err := checkTargets(name, y, shapes); err != nil {
		return nil, nil, err
	}
	if y.Dims() < 2 {
		return nil, nil, fmt.Errorf("runner: %s needs an output of shape (samples, classes, ...), not %v; try the loss mse", name, y.Shape())
	}
	t := newTargets(y, tensor.Int64, shapes)
	loss, err := op(y, t[0], weightsOf(t), smooth)
	return loss, t, err
}

func checkTargets(name string, y *gorgonia.Node, shapes []tensor.Shape) error {
	if len(shapes) != 1 && len(shapes) != 2 {
		return fmt.Errorf("runner: %s takes a target tensor and perhaps weights of the samples, not %d tensors", name, len(shapes))
	}
	if len(shapes) == 2 && (y.Dims() == 0 || !shapes[1].Eq(tensor.Shape{y.Shape()[0]})) {
		return fmt.Errorf("runner: %s: weights of shape %v for an output of shape %v; one a sample is needed", name, shapes[1], y.Shape())
	}
	return nil
}

// newTargets makes nodes for the targets and the weights, if any.
func newTargets(y *gorgonia.Node, dt tensor.Dtype, shapes []tensor.Shape) gorgonia.Nodes {
	input := func(dt tensor.Dtype, s tensor.Shape, name string) *gorgonia.Node {
		return gorgonia.NewTensor(y.Graph(), dt, s.Dims(), gorgonia.WithShape(s...), gorgonia.WithName("onnx_entropy/"+name))
	}
	t := gorgonia.Nodes{input(dt, shapes[0], "target")}
	if len(shapes) == 2 {
		t = append(t, input(y.Dtype(), shapes[1], "weights"))
	}
	return t
}

func weightsOf(targets gorgonia.Nodes) *gorgonia.Node {
	if len(targets) < 2 {
		return nil
	}
	return targets[1]
}

var losses = map[string]Loss{"cross-entropy": CrossEntropy, "nll": NLL, "mse": MSE, "bce": BCE}

// LossByName returns CrossEntropy for "cross-entropy", NLL for "nll", MSE for "mse", BCE for "bce".
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
