package ops

import "gorgonia.org/gorgonia"

// Logits returns the x of which y is Softmax or LogSoftmax along axis, and which of the two y is. Reshaping that keeps the
// axis may follow; x has the shape that it has before. It returns y itself and no name if y is neither. axis is not negative.
func Logits(y *gorgonia.Node, axis int) (x *gorgonia.Node, name string) {
	if axis >= y.Dims() {
		return y, ""
	}
	for n := y; ; {
		to := n.Graph().From(n.ID())
		if !to.Next() {
			return y, ""
		}
		operand := to.Node().(*gorgonia.Node)
		switch o := n.Op().(type) {
		case *view:
			if len0(n.Shape()) != len0(operand.Shape()) {
				return y, ""
			}
			n = operand
			continue
		case *along:
			// The same columns: as many numbers before the axis, along it and behind it.
			if !o.derivative && (o.name == "Softmax" || o.name == "LogSoftmax") && o.columns == columnsOf(y.Shape(), axis) {
				return operand, o.name
			}
		}
		return y, ""
	}
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
