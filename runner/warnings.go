package runner

import (
	"fmt"
	"slices"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// Warnings returns what about the output may surprise, each with a remedy: that it is not what a loss of this package takes it for, as
// probabilities where scores are wanted, or that it is random in inference. They are known from Reserve on, or from the first gradient, evaluation
// or prediction.
func (s *Step) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.warnings)
}

// warn adds the warnings about what is compiled from net for a use, with a loss or nil.
func (s *Step) warn(net *onnxload.Net, u use, loss *gorgonia.Node, b *Batch) {
	var found []string
	if loss != nil {
		found = append(found, lossWarning(net, s.o.Output, loss, b.Targets[0].Shape()))
	}
	if u == forInference || u == forLoss {
		found = append(found, randomWarning(net, s.o.Output))
	}
	for _, w := range found {
		if w != "" && !slices.Contains(s.warnings, w) {
			s.warnings = append(s.warnings, w)
		}
	}
}

// randomWarning is that about an output that random numbers go into, in inference; "" for another.
func randomWarning(net *onnxload.Net, output int) (w string) {
	walk(net.Outputs[output], func(n *gorgonia.Node) bool {
		op, ok := n.Op().(ops.Op)
		if ok = ok && ops.Draws(op); ok {
			w = fmt.Sprintf("output %q depends on random numbers in inference too, those of %s: what it gives is one of many results, and another program that runs the file gets another", net.OutputNames[output], nameOf(net, n))
		}
		return ok
	})
	return w
}

// lossWarning is that about a loss of the output of net for targets of the given shape; "" if there is none.
func lossWarning(net *onnxload.Net, output int, loss *gorgonia.Node, targets tensor.Shape) string {
	x, _ := ops.Scores(loss)
	if x == nil {
		return ""
	}
	from := ops.Squashed(x)
	var name, takes, remedy string
	switch op := fmt.Sprint(loss.Op()); {
	case op == "CrossEntropy" && from.Name != "" && !from.Log:
		name, takes = "cross-entropy", "scores"
		remedy = scoresRemedy(net, output, from) + ", or export the logarithm of the probabilities and use the loss nll"
	case op == "BinaryCrossEntropy" && from.Name != "":
		name, takes, remedy = "bce", "logits", scoresRemedy(net, output, from)
		if strings.HasSuffix(from.Name, "Softmax") {
			remedy += "; for all the classes of a Softmax there is the loss cross-entropy"
		}
	case op == "NLL" && from.Name == "":
		return fmt.Sprintf("output %q does not end in LogSoftmax, and the loss nll wants logarithms of probabilities; cross-entropy is meant for plain outputs", net.OutputNames[output])
	case op == "NLL" && !from.Log:
		name, takes, remedy = "nll", "logarithms of probabilities", "export their logarithm"
		if EndsIn(net.Outputs[output], targets) != "" {
			remedy = "use the loss cross-entropy, which is computed from what the Softmax reads"
		}
	default:
		return ""
	}
	node := ""
	if n := net.NodeName(from.Node); n != "" {
		node = fmt.Sprintf(" (node %q)", n)
	}
	return fmt.Sprintf("output %q is computed from a %s%s, which the loss %s takes for %s: the loss is wrong, and training with it goes badly; %s",
		net.OutputNames[output], from.Name, node, name, takes, remedy)
}

// scoresRemedy says how to get the scores trained that the output was made from.
func scoresRemedy(net *onnxload.Net, output int, from ops.Squash) string {
	for i, y := range net.Outputs {
		if i != output && y.Dtype() != tensor.Int64 && y.Shape().Eq(net.Outputs[output].Shape()) && ops.Squashed(y).Name == "" {
			return fmt.Sprintf("train its output %q by --output %[1]s if that is the scores", net.OutputNames[i])
		}
	}
	return fmt.Sprintf("export what the %s reads as the output, or as another one to be trained by --output NAME", from.Name)
}
