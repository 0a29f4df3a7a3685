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
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("float32/threads=%d", threads), func(b *testing.B) {
			fastest(b, float64(threads)*n*12*8*2, func() {
				var done sync.WaitGroup
				for range threads - 1 {
					done.Go(func() { peakAVX2(n) })
				}
				peakAVX2(n)
				done.Wait()
			})
		})
	}
}
