//go:build !noasm

package kernels

var levelNames = []string{levelGeneric: "generic", levelAVX2: "avx2", levelAVX512: "avx512"}

// eachLevel runs f, a test or a benchmark, once for every set of instructions that this processor has.
func eachLevel[TB interface {
	Run(name string, f func(TB)) bool
}](t TB, f func(t TB)) {
	best := cpuLevel
	defer func() { cpuLevel = best }()
	for l := levelGeneric; l <= best; l++ {
		cpuLevel = l
		t.Run(levelNames[l], f)
	}
}
