package main

import (
	"google.golang.org/protobuf/proto"

	"github.com/onnx-entropy/onnx-entropy/internal/onnxpb"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// flops counts the floating-point operations of a gradient in convolutions and matrix products with trained
// weights: two a multiplication, as of direct convolution; forward, for the weights' gradient, and for the
// data's where anything before the layer is trained. It says false if the model has other operators that
// multiply as much.
func flops(m *model, net *onnxload.Net) (float64, bool) {
	var p onnxpb.ModelProto
	if err := proto.Unmarshal(m.bytes, &p); err != nil {
		return 0, false
	}
	weights := map[string][]int{}
	trained := map[string]bool{} // values that depend on a trained tensor
	for _, w := range net.Params {
		weights[w.Name], trained[w.Name] = w.Shape, true
	}
	layers := map[string]onnxload.Layer{}
	for _, l := range net.Layers {
		if _, twice := layers[l.Name]; twice {
			return 0, false
		}
		layers[l.Name] = l
	}
	total := 0.0
	for _, n := range p.GetGraph().GetNode() {
		l, ok := layers[n.GetName()]
		if ok && len(n.Input) > 1 {
			per, known := perOutput(n.GetOpType(), weights[n.Input[1]], n)
			if !known {
				return 0, false
			}
			times := 2.0
			if trained[n.Input[0]] {
				times = 3
			}
			total += times * 2 * per * float64(product(l.OutShape))
		}
		for _, in := range n.Input {
			if trained[in] {
				for _, out := range n.Output {
					trained[out] = true
				}
			}
		}
	}
	return total, total > 0
}

// perOutput is the number of multiplications for an element of a node's output.
func perOutput(op string, w []int, n *onnxpb.NodeProto) (float64, bool) {
	switch op {
	case "Conv":
		if len(w) < 2 {
			return 0, false
		}
		return float64(product(w[1:])), true
	case "Gemm":
		if len(w) != 2 {
			return 0, false
		}
		for _, a := range n.Attribute {
			if a.GetName() == "transB" && a.GetI() != 0 {
				return float64(w[1]), true
			}
		}
		return float64(w[0]), true
	case "MatMul":
		if len(w) < 2 {
			return 0, false
		}
		return float64(w[len(w)-2]), true
	case "ConvTranspose", "LSTM", "GRU", "RNN", "Einsum", "Attention":
		return 0, false
	}
	return 0, true
}
