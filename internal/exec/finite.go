package exec

import "github.com/onnx-entropy/onnx-entropy/internal/kernels"

// Finite tells whether no element of x is NaN or infinite.
func Finite[T kernels.Float](x []T) bool { return kernels.Finite(x) }
