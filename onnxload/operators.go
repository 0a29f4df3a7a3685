package onnxload

import (
	"maps"
	"math"

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
		"BatchNormalization": {inputs: 5, most: 5, graph: batchNorm},
		"LSTM":               {inputs: 3, most: 8, graph: recurrent(lstm, "Sigmoid", "Tanh", "Tanh")},
		"GRU":                {inputs: 3, most: 6, graph: recurrent(gru, "Sigmoid", "Tanh")},
		"RNN":                {inputs: 3, most: 6, graph: recurrent(rnn, "Tanh")},

		// elementwise, one operand
		"Relu":       {inputs: 1, most: 1, graph: unary(ops.Relu)},
		"Sigmoid":    {inputs: 1, most: 1, graph: unary(ops.Sigmoid)},
		"Tanh":       {inputs: 1, most: 1, graph: unary(ops.Tanh)},
		"Exp":        {inputs: 1, most: 1, graph: unary(ops.Exp)},
		"Log":        {inputs: 1, most: 1, graph: unary(ops.Log)},
		"Erf":        {inputs: 1, most: 1, graph: unary(ops.Erf)},
		"Neg":        {inputs: 1, most: 1, graph: unary(ops.Neg), host: hostUnary(func(x float64) float64 { return -x })},
		"Abs":        {inputs: 1, most: 1, graph: unary(ops.Abs), host: hostUnary(math.Abs)},
		"Sqrt":       {inputs: 1, most: 1, graph: unary(ops.Sqrt), host: hostUnary(math.Sqrt)},
		"Reciprocal": {inputs: 1, most: 1, graph: unary(ops.Reciprocal), host: hostUnary(func(x float64) float64 { return 1 / x })},
		"Floor":      {inputs: 1, most: 1, host: hostUnary(math.Floor)},
		"Ceil":       {inputs: 1, most: 1, host: hostUnary(math.Ceil)},
		"Not":        {inputs: 1, most: 1, host: hostUnary(func(x float64) float64 { return 1 - x })},
		"LeakyRelu":  {inputs: 1, most: 1, graph: leakyRelu},
		"Clip":       {inputs: 1, most: 3, graph: clip},
		"Dropout":    {inputs: 1, most: 3},
		"Identity":   {inputs: 1, most: 1, graph: identity, host: hostIdentity},
		"Cast":       {inputs: 1, most: 1, graph: cast, host: hostCast},
		"Softmax":    {inputs: 1, most: 1, graph: softmax(ops.Softmax)},
		"LogSoftmax": {inputs: 1, most: 1, graph: softmax(ops.LogSoftmax)},

		// elementwise, several operands
		"Add":            {inputs: 2, most: 2, graph: add, host: hostBinary("Add")},
		"Sub":            {inputs: 2, most: 2, graph: binary(ops.Sub), host: hostBinary("Sub")},
		"Mul":            {inputs: 2, most: 2, graph: binary(ops.Mul), host: hostBinary("Mul")},
		"Div":            {inputs: 2, most: 2, graph: binary(ops.Div), host: hostBinary("Div")},
		"Mod":            {inputs: 2, most: 2, host: hostBinary("Mod")},
		"Equal":          {inputs: 2, most: 2, host: hostBinary("Equal")},
		"Greater":        {inputs: 2, most: 2, host: hostBinary("Greater")},
		"GreaterOrEqual": {inputs: 2, most: 2, host: hostBinary("GreaterOrEqual")},
		"Less":           {inputs: 2, most: 2, host: hostBinary("Less")},
		"LessOrEqual":    {inputs: 2, most: 2, host: hostBinary("LessOrEqual")},
		"And":            {inputs: 2, most: 2, host: hostBinary("And")},
		"Or":             {inputs: 2, most: 2, host: hostBinary("Or")},
		"Sum":            {inputs: 1, most: -1, graph: sum},
		"Where":          {inputs: 3, most: 3, host: hostWhere},

		// reductions
		"ReduceSum":  {inputs: 1, most: 2, graph: reduce(ops.ReduceSum, 13), host: hostReduce(13, 0, func(a, x float64) float64 { return a + x })},
		"ReduceMean": {inputs: 1, most: 2, graph: reduce(ops.ReduceMean, 18)},
		"ReduceProd": {inputs: 1, most: 2, host: hostReduce(18, 1, func(a, x float64) float64 { return a * x })},
		"ReduceMax":  {inputs: 1, most: 2, host: hostReduce(18, math.Inf(-1), math.Max)},
		"ReduceMin":  {inputs: 1, most: 2, host: hostReduce(18, math.Inf(1), math.Min)},

		// shapes
		"Flatten":         {inputs: 1, most: 1, graph: flatten, host: hostReshaped(flattenShape)},
		"Reshape":         {inputs: 1, most: 2, graph: reshape, host: hostReshaped(reshapeShape)},
		"Squeeze":         {inputs: 1, most: 2, graph: reshaped(squeezeShape), host: hostReshaped(squeezeShape)},
		"Unsqueeze":       {inputs: 1, most: 2, graph: reshaped(unsqueezeShape), host: hostReshaped(unsqueezeShape)},
		"Transpose":       {inputs: 1, most: 1, graph: transpose, host: hostTranspose},
		"Concat":          {inputs: 1, most: -1, graph: concat, host: hostConcat},
		"Slice":           {inputs: 1, most: 5, graph: slice, host: hostSlice},
		"Pad":             {inputs: 1, most: 4, graph: pad},
		"Expand":          {inputs: 2, most: 2, graph: expand, host: hostExpand},
		"Shape":           {inputs: 1, most: 1, host: hostShape, shapeOnly: true},
		"Size":            {inputs: 1, most: 1, host: hostSize, shapeOnly: true},
		"Gather":          {inputs: 2, most: 2, graph: gather, host: hostGather},
		"ConstantOfShape": {inputs: 1, most: 1, host: hostConstantOfShape},
		"Range":           {inputs: 3, most: 3, host: hostRange},
	}
	for _, family := range []map[string]operator{
		poolOperators(), normOperators(), lossOperators(), controlOperators(),
	} {
		maps.Copy(operators, family)
	}
}
