//go:build !noasm

package kernels

import (
	"sync"
	"time"
)

// PeakFLOPS measures the float32 operations a second of independent fused multiplications and additions, on so many
// goroutines at once: the limit of every kernel here. It is the best of a few runs of milliseconds, and 0 if the
// processor lacks the instructions.
func PeakFLOPS(threads int) float64 {
	if cpuLevel < levelAVX2 {
		return 0
	}
	const n, each = 1_000_000, 12 * 8 * 2
	best := 0.0
	for range 12 {
		var done sync.WaitGroup
		start := time.Now()
		for range threads {
			done.Go(func() { peakAVX2(n) })
		}
		done.Wait()
		best = max(best, float64(threads)*n*each/time.Since(start).Seconds())
	}
	return best
}
