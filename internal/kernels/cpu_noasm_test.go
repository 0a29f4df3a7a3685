//go:build !amd64 || noasm

package kernels

import "testing"

// eachLevel runs f once for every set of instructions that this processor has.
func eachLevel(t *testing.T, f func(t *testing.T)) { t.Run("generic", f) }
