package runner

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// CrossEntropyOnLogits is CrossEntropy for outputs that may already be probabilities, or their logarithms: it is
// computed from what the Softmax or LogSoftmax that makes output 0 reads, if that is along the axis of the classes. It may be one operator or
// written out as Exp, ReduceSum and Div. Reshape and Transpose that keep the axis may follow, Log, Exp, and a Clip to bounds within 0.001 of 0 and 1.
// A loss of log(softmax) taken as a whole stays finite where a probability is rounded to 0, and so does its gradient.
func CrossEntropyOnLogits(outputs gorgonia.Nodes, shapes []tensor.Shape) (*gorgonia.Node, gorgonia.Nodes, error) {
	return OnLogits(CrossEntropy)(outputs, shapes)
}

// OnLogits makes a loss for logits one for outputs that may be their Softmax or LogSoftmax: see CrossEntropyOnLogits.
func OnLogits(loss Loss) Loss {
	return func(outputs gorgonia.Nodes, shapes []tensor.Shape) (*gorgonia.Node, gorgonia.Nodes, error) {
		if len(outputs) > 0 && len(shapes) > 0 {
			x, _, err := ops.Logits(outputs[0], classAxis(outputs[0].Shape(), shapes[0]))
			if err != nil {
				return nil, nil, err
			}
			outputs = append(gorgonia.Nodes{x}, outputs[1:]...)
		}
		return loss(outputs, shapes)
	}
}

// classAxis is the axis of the classes in an output, for labels of the given shape; where they do not fit each other, which is
// for the loss to say, the last.
func classAxis(output, labels tensor.Shape) int {
	if axis, err := ops.ClassAxis(output, labels); err == nil {
		return axis
	}
	return len(output) - 1
}

// EndsIn returns "Softmax" or "LogSoftmax" if CrossEntropyOnLogits passes that over for labels of the given shape,
// which begins with the batch; else "".
func EndsIn(output *gorgonia.Node, labels tensor.Shape) string {
	return ops.EndsIn(output, classAxis(output.Shape(), labels))
}

// EndsInSigmoid tells whether BCE computes from what the Sigmoid that makes the output reads.
func EndsInSigmoid(output *gorgonia.Node) bool {
	return ops.EndsInSigmoid(output)
}

// read returns what the loss is computed from: the output, or its logits if the loss has passed the output over.
func read(output, loss *gorgonia.Node) *gorgonia.Node {
	if x, _ := ops.Scores(loss); x != nil {
		return x
	}
	return output
}
