package ops

import "gorgonia.org/gorgonia"

// Logits returns the x of which y is Softmax or LogSoftmax along axis, and which of the two y is. It returns y itself
// and no name if y is neither. axis is not negative.
func Logits(y *gorgonia.Node, axis int) (x *gorgonia.Node, name string) {
	o, ok := y.Op().(*along)
	if !ok || o.derivative || o.name != "Softmax" && o.name != "LogSoftmax" || axis >= y.Dims() || o.columns != columnsOf(y.Shape(), axis) {
		return y, ""
	}
	to := y.Graph().From(y.ID())
	if !to.Next() {
		return y, ""
	}
	return to.Node().(*gorgonia.Node), o.name
}

// BinaryLogits returns what y is the Sigmoid of, in y's shape: only reshaping may follow the Sigmoid. It returns y itself and false if
// y is none.
func BinaryLogits(y *gorgonia.Node) (x *gorgonia.Node, ok bool, err error) {
	for n := y; ; {
		operands := n.Graph().From(n.ID())
		if !operands.Next() {
			return y, false, nil
		}
		operand := operands.Node().(*gorgonia.Node)
		switch o := n.Op().(type) {
		case *view:
			if len0(n.Shape()) != len0(operand.Shape()) {
				return y, false, nil
			}
			n = operand
			continue
		case *unary:
			if o.name == "Sigmoid" {
				x, err = Reshape(operand, y.Shape())
				return x, true, err
			}
		}
		return y, false, nil
	}
}

// BinaryScores returns the logits of which loss is the BinaryCrossEntropy, or nil if it is none.
func BinaryScores(loss *gorgonia.Node) *gorgonia.Node {
	if o, ok := loss.Op().(*elementLoss); !ok || o.name != "BinaryCrossEntropy" {
		return nil
	}
	operands := loss.Graph().From(loss.ID())
	operands.Next()
	return operands.Node().(*gorgonia.Node)
}
