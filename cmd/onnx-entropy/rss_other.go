//go:build !unix

package main

// peakRSS is the most memory that the program has had resident, in MB, or nil where that is not known.
func peakRSS() *float64 { return nil }
