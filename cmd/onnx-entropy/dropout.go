package main

import (
	"strconv"
	"strings"
)

// dropoutFlags say what is dropped in training.
type dropoutFlags struct {
	Dropout []string `group:"Fine-tuning:" sep:"none" placeholder:"[NODE=]P" help:"Ratio of every Dropout node (default: the file's); with the name of a node or tensor, insert dropout behind it, in training only. May be repeated."`

	ratio *float64           // of the file's Dropout nodes, if one is given
	after map[string]float64 // inserted, by node or tensor
}

// parseDropout reads the flag.
func (f *dropoutFlags) parseDropout() error {
	f.ratio, f.after = nil, map[string]float64{}
	for _, s := range f.Dropout {
		i := strings.LastIndex(s, "=")
		p, err := strconv.ParseFloat(s[i+1:], 64)
		switch {
		case err != nil || !(p >= 0 && p < 1):
			return usagef("--dropout %s: the ratio must be a number of at least 0 and below 1, alone or after NODE=", s)
		case i < 0 && f.ratio != nil:
			return usagef("--dropout %s: the ratio of all Dropout nodes is given twice", s)
		case i < 0:
			f.ratio = &p
		default:
			if _, twice := f.after[s[:i]]; twice || i == 0 {
				return usagef("--dropout %s: a node is named twice, or not at all", s)
			}
			f.after[s[:i]] = p
		}
	}
	return nil
}
