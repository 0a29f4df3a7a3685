//go:build !amd64 || noasm

package kernels

// eachLevel runs f, a test or a benchmark, once for every set of instructions that this processor has.
func eachLevel[TB interface {
	Run(name string, f func(TB)) bool
}](t TB, f func(t TB)) {
	t.Run("generic", f)
}
