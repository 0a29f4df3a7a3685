package onnxload

import (
	"maps"

	"github.com/onnx-entropy/onnx-entropy/internal/ops"
)

// operators are those of the default domain that are known. Every version of an operator from 1 to maxOpset
// goes through the same function, which looks at the version where its meaning changed.
var operators map[string]operator

func init() {
	// In init, because dropout and fold look at operators by name, which Go takes for a cycle.
	operators = map[string]operator{
		// weights
		"Conv":               {inputs: 2, most: 3, graph: conv},
		"ConvTranspose":      {inputs: 2, most: 3, graph: convTranspose},
		"Gemm":               {inputs: 2, most: 3, graph: gemm},
		"MatMul":             {inputs: 2, most: 2, graph: matMul},
		"Einsum":             {inputs: 1, most: -1, graph: einsum},
		"Det":                {inputs: 1, most: 1, graph: unary(ops.Det), fold: true},
		"BatchNormalization": {inputs: 5, most: 5, graph: batchNorm},
		"LSTM":               {inputs: 3, most: 8, graph: recurrent(lstm, "Sigmoid", "Tanh", "Tanh")},
		"GRU":                {inputs: 3, most: 6, graph: recurrent(gru, "Sigmoid", "Tanh")},
		"RNN":                {inputs: 3, most: 6, graph: recurrent(rnn, "Tanh")},

		// activations
		"Dropout":    {inputs: 1, most: 3},
		"Softmax":    {inputs: 1, most: 1, graph: softmax(ops.Softmax)},
		"LogSoftmax": {inputs: 1, most: 1, graph: softmax(ops.LogSoftmax)},

		// shapes
		"Flatten":         {inputs: 1, most: 1, graph: flatten, fold: true},
		"Reshape":         {inputs: 1, most: 2, graph: reshape, fold: true},
		"Squeeze":         {inputs: 1, most: 2, graph: reshaped(squeezeShape), fold: true},
		"Unsqueeze":       {inputs: 1, most: 2, graph: reshaped(unsqueezeShape), fold: true},
		"Transpose":       {inputs: 1, most: 1, graph: transpose, fold: true},
		"Concat":          {inputs: 1, most: -1, graph: concat, fold: true},
		"Slice":           {inputs: 1, most: 5, graph: slice, fold: true},
		"Pad":             {inputs: 1, most: 4, graph: pad, fold: true},
		"CenterCropPad":   {inputs: 2, most: 2, graph: centerCropPad, fold: true},
		"Expand":          {inputs: 2, most: 2, graph: expand, fold: true},
		"Shape":           {inputs: 1, most: 1, host: hostShape, shapeOnly: true},
		"Size":            {inputs: 1, most: 1, host: hostSize, shapeOnly: true},
		"Split":           {inputs: 1, most: 2, graph: split, fold: true},
		"Tile":            {inputs: 2, most: 3, graph: tile, fold: true},
		"DepthToSpace":    {inputs: 1, most: 1, graph: depthToSpace, fold: true},
		"SpaceToDepth":    {inputs: 1, most: 1, graph: spaceToDepth, fold: true},
		"EyeLike":         {inputs: 1, most: 1, host: hostEyeLike, shapeOnly: true},
		"ConstantOfShape": {inputs: 1, most: 1, host: hostConstantOfShape},
		"Range":           {inputs: 3, most: 3, host: hostRange},
	}
	for _, family := range []map[string]operator{
		elementwiseOperators(), pairwiseOperators(), reductionOperators(), indexOperators(), quantizationOperators(), integerOperators(),
		poolOperators(), normOperators(), lossOperators(), controlOperators(), resizeOperators(), attentionOperators(),
		sequenceOperators(), imageOperators(), visionOperators(), randomOperators(), signalOperators(),
	} {
		maps.Copy(operators, family)
	}
}
