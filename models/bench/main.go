// Command bench compares the sample networks in onnx-entropy and in PyTorch, if there is a Python with torch: see
// `make bench`. PyTorch runs at the best of a few settings, which a first round finds out; then the two take turns,
// and the table has the medians.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/models"
)

// ours is what `onnx-entropy bench --json` prints of interest here.
type ours struct {
	GradientMS float64 `json:"gradient_ms"`
	StepMS     float64 `json:"step_ms"`
	FLOPs      float64 `json:"flops"`
	Peak       float64 `json:"peak_gflops"`
	RSS        float64 `json:"peak_rss_mb"`
	Allocs     float64 `json:"allocs"`
}

// theirs is what bench_torch.py prints.
type theirs struct {
	Torch     string    `json:"torch"`
	Settings  []setting `json:"settings"`
	ImportRSS float64   `json:"import_rss_mb"`
	RSS       float64   `json:"peak_rss_mb"`
}

type setting struct {
	Threads    int     `json:"threads"`
	Layout     string  `json:"layout"`
	GradientMS float64 `json:"gradient_ms"`
	TensorsMS  float64 `json:"tensors_ms"`
	ForeachMS  float64 `json:"foreach_ms"`
	wait       string  // OMP_WAIT_POLICY
}

func (s setting) stepMS() float64 { return min(s.TensorsMS, s.ForeachMS) }

func (s setting) String() string {
	return fmt.Sprintf("%d threads, %s, OMP_WAIT_POLICY %s", s.Threads, s.Layout, s.wait)
}

// way says how the faster update is written.
func (s setting) way() string {
	if s.TensorsMS < s.ForeachMS {
		return "a tensor at a time"
	}
	return "with _foreach"
}

// bench holds the command line.
type bench struct {
	binary, python, script string
	rounds                 int
	seconds                float64
}

func main() {
	var b bench
	flag.StringVar(&b.binary, "bin", "bin/onnx-entropy", "the program to measure")
	flag.StringVar(&b.python, "python", "python3", "Python; without torch there is no comparison")
	flag.StringVar(&b.script, "script", "models/bench_torch.py", "the measurement in PyTorch")
	flag.IntVar(&b.rounds, "rounds", 3, "turns of each side")
	flag.Float64Var(&b.seconds, "seconds", 1, "length of a measurement")
	flag.Parse()
	names := flag.Args()
	if len(names) == 0 {
		names = models.Names()
	}
	if err := b.run(os.Stdout, names); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(w io.Writer, names []string) error {
	torch := exec.Command(b.python, "-c", "import torch").Run() == nil
	if !torch {
		fmt.Fprintf(w, "%s has no torch: no comparison.\n", b.python)
	}
	head := []string{"network", "gradient ms", "PyTorch", "ratio", "step ms", "PyTorch", "ratio", "of FMA peak", "allocations", "peak MB", "PyTorch", "of it import"}
	rows := [][]string{head}
	var notes []string
	for _, name := range names {
		var own []ours
		var other, otherStep []theirs
		var best, bestStep setting
		known := torch
		if known {
			var err error
			if best, bestStep, err = b.best(name); err != nil {
				notes = append(notes, fmt.Sprintf("%s: no comparison: %v", name, err))
				known = false
			}
		}
		for range b.rounds {
			var o ours
			if err := output(&o, nil, b.binary, "bench", name, "--json", "--time", fmt.Sprintf("%gs", b.seconds)); err != nil {
				return err
			}
			own = append(own, o)
			if !known {
				continue
			}
			t, err := b.torch(name, best.wait, fmt.Sprint(best.Threads), best.Layout, b.seconds)
			if err != nil {
				return err
			}
			other = append(other, t)
			if best.String() != bestStep.String() {
				if t, err = b.torch(name, bestStep.wait, fmt.Sprint(bestStep.Threads), bestStep.Layout, b.seconds); err != nil {
					return err
				}
			}
			otherStep = append(otherStep, t)
		}
		rows = append(rows, row(name, own, other, otherStep))
		if known {
			notes = append(notes, fmt.Sprintf("%s: PyTorch %s at its best: gradient with %v; step with %v, %s",
				name, other[0].Torch, best, bestStep, bestStep.way()))
		}
	}
	fmt.Fprint(w, report.Table(rows, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11))
	for _, n := range notes {
		fmt.Fprintln(w, n)
	}
	return nil
}

// best tries the settings of PyTorch and returns those with the fastest gradient and with the fastest step.
func (b *bench) best(name string) (gradient, step setting, err error) {
	for _, wait := range []string{"passive", "active"} {
		t, err := b.torch(name, wait, "1,2", "contiguous,channels_last", b.seconds/3)
		if err != nil {
			return gradient, step, err
		}
		for _, s := range t.Settings {
			s.wait = wait
			if gradient.wait == "" || s.GradientMS < gradient.GradientMS {
				gradient = s
			}
			if step.wait == "" || s.stepMS() < step.stepMS() {
				step = s
			}
		}
	}
	return gradient, step, nil
}

func (b *bench) torch(name, wait, threads, layouts string, seconds float64) (t theirs, err error) {
	env := []string{"OMP_WAIT_POLICY=" + wait}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "OPENBLAS_CORETYPE=") && !strings.HasPrefix(v, "OMP_") {
			env = append(env, v)
		}
	}
	err = output(&t, env, b.python, b.script, "--threads", threads, "--layouts", layouts, "--seconds", fmt.Sprint(seconds), name)
	return t, err
}

// output runs a program and reads the JSON that it prints.
func output(v any, env []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lines[len(lines)-1])
	}
	if err := json.Unmarshal(out, v); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

func row(name string, own []ours, other, otherStep []theirs) []string {
	of := func(f func(ours) float64) float64 { return median(own, f) }
	gradient, step := of(func(o ours) float64 { return o.GradientMS }), of(func(o ours) float64 { return o.StepMS })
	share := "-"
	if peak := of(func(o ours) float64 { return o.Peak }); peak > 0 {
		share = fmt.Sprintf("%.0f %%", 100*own[0].FLOPs/(gradient*1e6)/peak)
	}
	rss, allocs := of(func(o ours) float64 { return o.RSS }), of(func(o ours) float64 { return o.Allocs })
	theirGradient, gradientRatio, theirStep, stepRatio, theirRSS, imported := "-", "-", "-", "-", "-", "-"
	if len(other) > 0 {
		g := median(other, func(t theirs) float64 { return t.Settings[0].GradientMS })
		s := median(otherStep, func(t theirs) float64 { return t.Settings[0].stepMS() })
		theirGradient, gradientRatio = fmt.Sprintf("%.2f", g), fmt.Sprintf("%.2f", gradient/g)
		theirStep, stepRatio = fmt.Sprintf("%.2f", s), fmt.Sprintf("%.2f", step/s)
		theirRSS = fmt.Sprintf("%.0f", median(other, func(t theirs) float64 { return t.RSS }))
		imported = fmt.Sprintf("%.0f", median(other, func(t theirs) float64 { return t.ImportRSS }))
	}
	return []string{name, fmt.Sprintf("%.2f", gradient), theirGradient, gradientRatio, fmt.Sprintf("%.2f", step), theirStep, stepRatio,
		share, fmt.Sprintf("%.0f", allocs), fmt.Sprintf("%.0f", rss), theirRSS, imported}
}

func median[T any](vs []T, f func(T) float64) float64 {
	var x []float64
	for _, v := range vs {
		x = append(x, f(v))
	}
	slices.Sort(x)
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}
