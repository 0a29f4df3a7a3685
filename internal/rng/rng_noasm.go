//go:build !amd64 || noasm

package rng

func (s Stream) wordsAsm(w []uint32, block uint32) int      { return 0 }
func (s Stream) normalsAsm(dst []float32, block uint32) int { return 0 }
