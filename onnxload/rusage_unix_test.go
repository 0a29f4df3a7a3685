//go:build unix

package onnxload_test

import (
	"runtime"
	"syscall"
	"time"
)

// processorTime is the time that the process has spent on a processor.
func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory is the most memory that the process has had resident, in MB.
func peakMemory() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	mb := float64(u.Maxrss) / 1e3
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		mb /= 1e3
	}
	return mb * 1.024
}
