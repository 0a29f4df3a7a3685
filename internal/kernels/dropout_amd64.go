//go:build !noasm

package kernels

// dropoutAsm is Dropout of the first elements, whose words begin with the given block; it returns how many.
func dropoutAsm[T Float](d *Drop, y, x []T, block uint32) int {
	if !isFloat32[T]() || cpuLevel < levelAVX2 || len(x) == 0 {
		return 0
	}
	to, from, run := float32s(y), float32s(x), 32
	if cpuLevel >= levelAVX512 {
		run = 64
	}
	runs := len(from) / run
	if runs > 0 {
		dropoutRuns(d, &to[0], &from[0], runs, block)
	}
	if done := runs * run; done < len(from) {
		var last [64]float32
		copy(last[:], from[done:])
		dropoutRuns(d, &last[0], &last[0], 1, block+uint32(done/4))
		copy(to[done:], last[:])
	}
	return len(x)
}

func dropoutRuns(d *Drop, y, x *float32, runs int, block uint32) {
	if cpuLevel >= levelAVX512 {
		dropoutAVX512(y, x, runs, &d.schedule, block, uint32(d.threshold), float32(d.scale))
	} else {
		dropoutAVX2(y, x, runs, &d.schedule, block, uint32(d.threshold), float32(d.scale))
	}
}
