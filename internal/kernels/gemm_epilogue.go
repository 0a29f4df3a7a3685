package kernels

// apply adds the bias to the m x n matrix c and applies the activation.
func (e *epilogue[T]) apply(m, n int, c []T, ldc int) {
	if e.axis == NoBias && e.act == NoAct {
		return
	}
	for i := range m {
		ci := c[i*ldc:][:n]
		switch e.axis {
		case ColumnBias:
			for j, v := range e.bias[:n] {
				ci[j] += v
			}
		case RowBias:
			for j := range ci {
				ci[j] += e.bias[i]
			}
		}
		if e.act == ReluAct {
			Relu(ci, ci)
		}
	}
}

// emptyProduct is the epilogue of a sum of no products.
func emptyProduct[T Float](m, n int, c []T, ldc int, e *epilogue[T]) {
	if !e.accumulate {
		for i := range m {
			clear(c[i*ldc:][:n])
		}
	}
	e.apply(m, n, c, ldc)
}
