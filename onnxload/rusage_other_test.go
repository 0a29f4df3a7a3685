//go:build !unix

package onnxload_test

import "time"

var started = time.Now()

func processorTime() time.Duration { return time.Since(started) }

func peakMemory() float64 { return 0 }
