//go:build !noasm

package kernels

import (
	"sync"
	"time"
)

// PeakFLOPS measures the float32 operations a second of independent fused multiplications and additions, on so many
// goroutines at once: the limit of every kernel here. It is the best of a few runs of milliseconds with each width of
// vectors, and 0 if the processor lacks the instructions.
func PeakFLOPS(threads int) float64 {
	if cpuLevel < levelAVX2 {
		return 0
	}
	best := peakOf(threads, 8, peakAVX2)
	if cpuLevel >= levelAVX512 {
		best = max(best, peakOf(threads, 16, peakAVX512))
	}
	return best
}

func peakOf(threads, lanes int, peak func(n int)) float64 {
	n := 8_000_000 / lanes
	best := 0.0
	for range 12 {
		var done sync.WaitGroup
		start := time.Now()
		for range threads {
			done.Go(func() { peak(n) })
		}
		done.Wait()
		best = max(best, float64(threads*n*12*lanes*2)/time.Since(start).Seconds())
	}
	return best
}
