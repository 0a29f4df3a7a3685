//go:build unix

package main

import (
	"runtime"
	"syscall"
)

// peakRSS is the most memory that the program has had resident, in MB, or nil where that is not known.
func peakRSS() *float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return nil
	}
	mb := float64(u.Maxrss) / 1024 // kilobytes
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		mb /= 1024 // bytes there
	}
	return &mb
}
