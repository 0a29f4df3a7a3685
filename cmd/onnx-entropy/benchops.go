package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// opTime is the cost of one operator or of all of one name. Rates are 0 where no arithmetic is counted.
type opTime struct {
	Op     string  `json:"op"`
	Layer  string  `json:"layer,omitempty"`
	Shape  []int   `json:"shape,omitempty"`
	Count  int     `json:"count"`
	MS     float64 `json:"ms"`
	Share  float64 `json:"share"` // of the time of all operators
	FLOPs  float64 `json:"flops"`
	Bytes  float64 `json:"bytes"`
	GFLOPS float64 `json:"gflops"`
	GBS    float64 `json:"gb_s"`
}

// opTimes says where the time goes: all operators in the order in which they run, and the sums over
// those of one name, the longest first.
func opTimes(costs []runner.OpCost) (all, kinds []opTime) {
	byKind := map[string]*opTime{}
	total := 0.0
	for _, c := range costs {
		o := opTime{Op: c.Op, Layer: c.Layer, Shape: c.Shape, Count: 1, MS: c.Time.Seconds() * 1e3, FLOPs: c.FLOPs, Bytes: c.Bytes}
		all = append(all, o)
		k := byKind[o.Op]
		if k == nil {
			k = &opTime{Op: o.Op}
			byKind[o.Op] = k
		}
		k.Count++
		k.MS += o.MS
		k.FLOPs += o.FLOPs
		k.Bytes += o.Bytes
		total += o.MS
	}
	for _, k := range byKind {
		kinds = append(kinds, *k)
	}
	slices.SortFunc(kinds, func(a, b opTime) int { return cmp.Or(cmp.Compare(b.MS, a.MS), cmp.Compare(a.Op, b.Op)) })
	for _, list := range [][]opTime{all, kinds} {
		for i := range list {
			o := &list[i]
			o.Share = o.MS / max(total, 1e-9)
			o.GFLOPS, o.GBS = o.FLOPs/max(o.MS*1e6, 1), o.Bytes/max(o.MS*1e6, 1)
		}
	}
	return all, kinds
}

// printOps shows both tables of a benchmark.
func (r *benchmark) printOps(e *env) {
	rows := [][]string{{"Operator", "Layer", "Result", "ms", "%", "GFLOP/s", "GB/s"}}
	total := 0.0
	for _, o := range r.Ops {
		rows = append(rows, append([]string{o.Op, o.Layer, dims(o.Shape)}, o.numbers()...))
		total += o.MS
	}
	fmt.Fprint(e.stdout, "\n", report.Table(rows, 3, 4, 5, 6), "\n")
	rows = [][]string{{"Operator", "Count", "ms", "%", "GFLOP/s", "GB/s"}}
	for _, o := range r.Kinds {
		rows = append(rows, append([]string{o.Op, fmt.Sprint(o.Count)}, o.numbers()...))
	}
	fmt.Fprint(e.stdout, report.Table(rows, 1, 2, 3, 4, 5))
	unit, ms := r.unit()
	e.printf("\nAll operators take %.3f ms of the %s's %.3f. GFLOP/s count products of weights, as of direct convolution;", total, unit, ms)
	e.printf("GB/s count operands and results once, whether they come from memory or from a cache.")
}

func (o *opTime) numbers() []string {
	rate := ""
	if o.FLOPs > 0 {
		rate = fmt.Sprintf("%.1f", o.GFLOPS)
	}
	return []string{fmt.Sprintf("%.3f", o.MS), fmt.Sprintf("%.1f", 100*o.Share), rate, fmt.Sprintf("%.1f", o.GBS)}
}

// dims writes a shape as 128x20x24x24.
func dims(shape []int) string {
	s := ""
	for i, d := range shape {
		if i > 0 {
			s += "x"
		}
		s += fmt.Sprint(d)
	}
	return s
}
