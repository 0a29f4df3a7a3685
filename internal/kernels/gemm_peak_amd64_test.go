//go:build !noasm

package kernels

import (
	"fmt"
	"sync"
	"testing"
)

// BenchmarkPeak measures the limit of everything else here: independent fused multiplications and additions,
// on one core and on two at once.
func BenchmarkPeak(b *testing.B) {
	if cpuLevel < levelAVX2 {
		b.Skip("no FMA")
	}
	const n = 200_000
	eachLevel(b, func(b *testing.B) {
		peak, lanes := peakAVX2, 8
		switch {
		case cpuLevel < levelAVX2:
			return
		case cpuLevel >= levelAVX512:
			peak, lanes = peakAVX512, 16
		}
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
				fastest(b, float64(threads*n*12*lanes*2), func() {
					var done sync.WaitGroup
					for range threads - 1 {
						done.Go(func() { peak(n) })
					}
					peak(n)
					done.Wait()
				})
			})
		}
	})
}
