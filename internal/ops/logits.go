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
