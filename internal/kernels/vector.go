package kernels

//go:generate sh -c "cd _gen && go run ./vector -out ../vector_amd64.s -stubs ../vector_stubs_amd64.go -pkg kernels"

// The loops over elements have the same form: instructions of the processor do the first elements, and Go,
// which is the specification, the rest. The functions unaryAsm, binaryAsm, ... return how many they did, 0
// where there are no instructions for the type. Both give the same bits, except for those of NaN.

// A vectorOp names a loop for which there may be instructions.
type vectorOp int

const (
	opAdd vectorOp = iota
	opSub
	opMul
	opDiv
	opReverseSub // s - a
	opReverseDiv // s / a
	opNeg
	opAbs
	opSqrt
	opExp
	opLog
	opSigmoid
	opTanh
	opErf
	opRelu
	opLeakyRelu
	opAbsGrad
	opSqrtGrad
	opReciprocalGrad
	opReluGrad
	opSigmoidGrad
	opTanhGrad
)
