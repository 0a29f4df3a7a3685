//go:build !noasm

package kernels

import "math"

// dropoutAsm is Dropout of the first elements, whose words begin with the given block; it returns how many.
func dropoutAsm[T Float](d *Drop, y, x []T, block uint32) int {
	run := runOfWords[T]()
	if run == 0 || len(x) == 0 {
		return 0
	}
	to, from := float32s(y), float32s(x)
	runs := len(from) / run
	if runs > 0 {
		dropoutRuns(d, &to[0], &from[0], runs, 1, 0, block)
	}
	if done := runs * run; done < len(from) {
		var last [64]float32
		copy(last[:], from[done:])
		dropoutRuns(d, &last[0], &last[0], 1, 1, 0, block+uint32(done/4))
		copy(to[done:], last[:])
	}
	return len(x)
}

// dropoutRowsAsm is DropoutRows of the first columns; it returns how many.
func dropoutRowsAsm[T Float](d *Drop, y, x []T, first, ld, rows, n int) int {
	run := runOfWords[T]()
	if run == 0 || n < run || first%4 != 0 || ld%4 != 0 || d.threshold > math.MaxUint32 {
		return 0
	}
	n = n / run * run
	dropoutRuns(d, &float32s(y)[0], &float32s(x)[0], n/run, rows, ld-n, uint32(first/4))
	return n
}

// runOfWords is how many elements the kernels handle at a time, 0 where there are none.
func runOfWords[T Float]() int {
	switch {
	case !isFloat32[T]() || cpuLevel < levelAVX2:
		return 0
	case cpuLevel < levelAVX512:
		return 32
	}
	return 64
}

func dropoutRuns(d *Drop, y, x *float32, runs, rows, skip int, block uint32) {
	if cpuLevel >= levelAVX512 {
		dropoutAVX512(y, x, runs, rows, skip, &d.schedule, block, uint32(d.threshold), float32(d.scale))
	} else {
		dropoutAVX2(y, x, runs, rows, skip, &d.schedule, block, uint32(d.threshold), float32(d.scale))
	}
}
