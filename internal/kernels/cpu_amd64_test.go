//go:build !noasm

package kernels

import "testing"

// eachLevel runs f once for every set of instructions that this processor has.
func eachLevel(t *testing.T, f func(t *testing.T)) {
	best := cpuLevel
	defer func() { cpuLevel = best }()
	names := []string{levelGeneric: "generic", levelAVX2: "avx2"}
	for l := levelGeneric; l <= best; l++ {
		cpuLevel = l
		t.Run(names[l], f)
	}
}
