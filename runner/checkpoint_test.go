package runner_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// checkpointed is the configuration of the runs below: an epoch of 3 mini-batches, 5 outer steps of 3 gradients,
// and an evaluation every 4 gradients.
func checkpointed(t *testing.T, c *runner.Checkpoints) runner.Config {
	return runner.Config{Batch: 20, Evals: 15, Seed: 3, Test: source(t, 30), EvalEvery: 4, Checkpoints: c}
}

func momentum() *optimizer.EntropySGD {
	m := entropy()
	m.OuterMomentum, m.WeightDecay = 0.3, 1e-3
	return m
}

// cut is a source that ends the context when mini-batch number at is read.
func cut(t *testing.T, at int) (context.Context, runner.Source) {
	ctx, cancel := context.WithCancel(context.Background())
	src := &counted{Source: source(t, 50)}
	src.after = func() {
		if len(src.batches) == at {
			cancel()
		}
	}
	return ctx, src
}

func same(t *testing.T, got, want *runner.Report) {
	t.Helper()
	if !slices.Equal(got.Weights, want.Weights) || !slices.Equal(got.Running, want.Running) {
		t.Error("the weights or statistics differ from those of the run that was never stopped")
	}
	if got.Evals != want.Evals || got.Outer != want.Outer || got.Loss != want.Loss || *got.Test != *want.Test {
		t.Errorf("the report is %d, %d, %v, %v; want %d, %d, %v, %v", got.Evals, got.Outer, got.Loss, *got.Test, want.Evals, want.Outer, want.Loss, *want.Test)
	}
}

// TestResumeIsExact stops a run at every mini-batch, in the middle of outer steps and in evaluations too, and
// lets another one go on from the folder, with every way of drawing samples.
func TestResumeIsExact(t *testing.T) {
	for sampling, every := range map[runner.Sampling]int{runner.Shuffle: 2, runner.Uniform: 7, runner.Oddball: 5} {
		t.Run(sampling.String(), func(t *testing.T) {
			config := func(c *runner.Checkpoints) runner.Config {
				cfg := checkpointed(t, c)
				cfg.Sampling = sampling
				if sampling == runner.Oddball {
					cfg.OddballFloor, cfg.OddballWeights = 0.1, true
				}
				return cfg
			}
			want, err := runner.Train(context.Background(), compile(t, runner.Options{Seed: 5}), momentum(), source(t, 50), config(nil))
			if err != nil {
				t.Fatal(err)
			}
			for at := 1; at < 30; at += every {
				c := &runner.Checkpoints{Dir: filepath.Join(t.TempDir(), "checkpoints"), Gradients: 2}
				ctx, src := cut(t, at)
				r, err := runner.Train(ctx, compile(t, runner.Options{Seed: 5}), momentum(), src, config(c))
				if err == nil {
					same(t, r, want)
					continue
				}
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				c.Resume = true
				// On another number of threads, which is no part of what a run is.
				m := momentum()
				m.Threads = 2
				r, err = runner.Train(context.Background(), compile(t, runner.Options{Seed: 5, Threads: 1}), m, source(t, 50), config(c))
				if err != nil {
					t.Fatalf("stopped at read %d: %v", at, err)
				}
				same(t, r, want)
			}
		})
	}
}

// Time makes checkpoints due as gradients do.
func TestCheckpointsInTime(t *testing.T) {
	for every, want := range map[time.Duration]int{time.Nanosecond: 16, time.Hour: 1} { // the first precedes the first gradient
		c := &runner.Checkpoints{Dir: t.TempDir(), Every: every, Keep: 100}
		if _, err := runner.Train(context.Background(), compile(t, runner.Options{}), momentum(), source(t, 50), checkpointed(t, c)); err != nil {
			t.Fatal(err)
		}
		if all, _ := filepath.Glob(filepath.Join(c.Dir, "0*.ckpt")); len(all) != want {
			t.Errorf("every %v: %d checkpoints of 15 gradients, want %d", every, len(all), want)
		}
	}
}

func TestNothingToResume(t *testing.T) {
	c := &runner.Checkpoints{Dir: filepath.Join(t.TempDir(), "none"), Resume: true}
	_, err := runner.Train(context.Background(), compile(t, runner.Options{}), momentum(), source(t, 50), checkpointed(t, c))
	if !errors.Is(err, runner.ErrNoCheckpoint) {
		t.Errorf("%v", err)
	}
}

func TestCheckpointsThatStay(t *testing.T) {
	c := &runner.Checkpoints{Dir: t.TempDir(), Gradients: 4, Keep: 3}
	if _, err := runner.Train(context.Background(), compile(t, runner.Options{}), momentum(), source(t, 50), checkpointed(t, c)); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != "000000000004.ckpt 000000000008.ckpt 000000000012.ckpt best.ckpt" {
		t.Errorf("the folder holds %s", got)
	}
	if _, err := runner.Train(context.Background(), compile(t, runner.Options{}), momentum(), source(t, 50), checkpointed(t, c)); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("a second run in the folder: %v", err)
	}
}

// What a run that goes on reports of an outer step is what the run that was never stopped reports, and so is the outcome of one
// that was finished.
func TestResumedRunReportsTheSame(t *testing.T) {
	want := map[uint64]string{}
	describe := func(p runner.Progress) string {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	config := func(c *runner.Checkpoints) runner.Config {
		cfg := checkpointed(t, c)
		cfg.EvalEvery = 7 // not due after each outer step
		return cfg
	}
	cfg := config(nil)
	cfg.Observe = func(p runner.Progress) { want[p.Outer] = describe(p) }
	whole, err := runner.Train(context.Background(), compile(t, runner.Options{}), momentum(), source(t, 50), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for at := 2; at < 20; at += 3 {
		c := &runner.Checkpoints{Dir: filepath.Join(t.TempDir(), "stopped"), Gradients: 1}
		ctx, src := cut(t, at)
		if _, err := runner.Train(ctx, compile(t, runner.Options{}), momentum(), src, config(c)); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		c.Resume = true
		cfg := config(c)
		cfg.Observe = func(p runner.Progress) {
			if got := describe(p); got != want[p.Outer] {
				t.Errorf("stopped at read %d: %s, want %s", at, got, want[p.Outer])
			}
		}
		for range 2 { // the second time nothing is left to do
			r, err := runner.Train(context.Background(), compile(t, runner.Options{}), momentum(), source(t, 50), cfg)
			if err != nil {
				t.Fatal(err)
			}
			same(t, r, whole)
		}
	}
}

// A run that goes on knows what was best before.
func TestBestSurvivesAStop(t *testing.T) {
	train := func(c *runner.Checkpoints, ctx context.Context, src runner.Source, best *[]uint64, all *[]float64) error {
		c.Best = func(r *runner.Report) error { *best = append(*best, r.Evals); return nil }
		_, err := runner.Train(ctx, compile(t, runner.Options{}), &optimizer.SGD{LR: 2, Momentum: 0.9}, src,
			runner.Config{Batch: 20, Evals: 12, Seed: 3, KeepStatistics: true, Test: source(t, 30), EvalEvery: 1, Checkpoints: c,
				Observe: func(p runner.Progress) {
					if p.Test != nil {
						*all = append(*all, p.Test.Error)
					}
				}})
		return err
	}
	var want, got []uint64
	var all, rest []float64
	if err := train(&runner.Checkpoints{Dir: filepath.Join(t.TempDir(), "whole")}, context.Background(), source(t, 50), &want, &all); err != nil {
		t.Fatal(err)
	}
	if slices.IsSortedFunc(all, func(a, b float64) int { return cmp.Compare(b, a) }) {
		t.Fatalf("the errors %v only fall, so that the last is always the best", all)
	}
	for at := 2; at < 12; at++ {
		got = nil
		c := &runner.Checkpoints{Dir: filepath.Join(t.TempDir(), "stopped"), Gradients: 1}
		ctx, src := cut(t, at)
		if err := train(c, ctx, src, &got, &rest); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		c.Resume = true
		if err := train(c, context.Background(), source(t, 50), &got, &rest); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("stopped at read %d: best were those after %v gradients, want %v", at, got, want)
		}
	}
}

// TestDamagedCheckpointIsPassedOver cuts or changes the newest file; the run goes on from the one before and
// ends the same.
func TestDamagedCheckpointIsPassedOver(t *testing.T) {
	want, err := runner.Train(context.Background(), compile(t, runner.Options{}), momentum(), source(t, 50), checkpointed(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"empty":   func(b []byte) []byte { return nil },
		"changed": func(b []byte) []byte { b[len(b)/3] ^= 4; return b },
	} {
		t.Run(name, func(t *testing.T) {
			var warnings []string
			c := &runner.Checkpoints{Dir: t.TempDir(), Gradients: 2, Warn: func(err error) { warnings = append(warnings, err.Error()) }}
			ctx, src := cut(t, 8)
			if _, err := runner.Train(ctx, compile(t, runner.Options{}), momentum(), src, checkpointed(t, c)); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			files, _ := filepath.Glob(filepath.Join(c.Dir, "0*.ckpt"))
			newest := files[len(files)-1]
			b, err := os.ReadFile(newest)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(newest, damage(bytes.Clone(b)), 0o644); err != nil {
				t.Fatal(err)
			}
			c.Resume = true
			r, err := runner.Train(context.Background(), compile(t, runner.Options{}), momentum(), source(t, 50), checkpointed(t, c))
			if err != nil {
				t.Fatal(err)
			}
			same(t, r, want)
			if len(warnings) != 1 || !strings.Contains(warnings[0], filepath.Base(newest)) || !strings.Contains(warnings[0], "the checkpoint before") {
				t.Errorf("warnings: %q", warnings)
			}
			for _, f := range files {
				os.WriteFile(f, nil, 0o644)
			}
			all, _ := filepath.Glob(filepath.Join(c.Dir, "0*.ckpt"))
			for _, f := range all {
				os.WriteFile(f, nil, 0o644)
			}
			_, err = runner.Train(context.Background(), compile(t, runner.Options{}), momentum(), source(t, 50), checkpointed(t, c))
			if err == nil || !strings.Contains(err.Error(), "is whole") {
				t.Errorf("no whole checkpoint: %v", err)
			}
		})
	}
}

func TestCheckpointOfAnotherRun(t *testing.T) {
	c := &runner.Checkpoints{Dir: t.TempDir(), Gradients: 2, Identity: map[string]string{"model": "sha256 1"}}
	ctx, src := cut(t, 5)
	if _, err := runner.Train(ctx, compile(t, runner.Options{Seed: 5}), momentum(), src, checkpointed(t, c)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	c.Resume = true
	half := 0.5
	for what, change := range map[string]func(*optimizer.EntropySGD, *runner.Config, *runner.Options){
		"method":       func(m *optimizer.EntropySGD, _ *runner.Config, _ *runner.Options) { m.Gamma = 0.01 },
		"schedule":     func(m *optimizer.EntropySGD, _ *runner.Config, _ *runner.Options) { m.Scope = optimizer.LinearScope },
		"weight decay": func(_ *optimizer.EntropySGD, c *runner.Config, _ *runner.Options) { c.DecayAll = true },
		"evaluate":     func(_ *optimizer.EntropySGD, c *runner.Config, _ *runner.Options) { c.EvalEvery = 5 },
		"budget":       func(_ *optimizer.EntropySGD, c *runner.Config, _ *runner.Options) { c.Evals = 18 },
		"batch":        func(_ *optimizer.EntropySGD, c *runner.Config, _ *runner.Options) { c.Batch = 10 },
		"seed":         func(_ *optimizer.EntropySGD, c *runner.Config, _ *runner.Options) { c.Seed = 4 },
		"sampling":     func(_ *optimizer.EntropySGD, c *runner.Config, _ *runner.Options) { c.InOrder = true },
		"dropout":      func(_ *optimizer.EntropySGD, _ *runner.Config, o *runner.Options) { o.Dropout = &half },
		"start":        func(_ *optimizer.EntropySGD, c *runner.Config, _ *runner.Options) { c.Weights[3] = 1 },
		"model": func(_ *optimizer.EntropySGD, c *runner.Config, _ *runner.Options) {
			c.Checkpoints.Identity = map[string]string{"model": "sha256 2"}
		},
	} {
		m, copied := momentum(), *c
		cfg, o := checkpointed(t, &copied), runner.Options{Seed: 5}
		cfg.Weights = compile(t, o).Net().Weights()
		change(m, &cfg, &o)
		_, err := runner.Train(context.Background(), compile(t, o), m, source(t, 50), cfg)
		var mismatch *runner.MismatchError
		if !errors.As(err, &mismatch) || mismatch.What != what || len(mismatch.Also) != 0 {
			t.Errorf("another %s: %v", what, err)
		}
	}
	copied := *c
	cfg := checkpointed(t, &copied)
	cfg.Batch, cfg.Seed, cfg.OnNaN = 10, 9, runner.RollBackOnNaN
	_, err := runner.Train(context.Background(), compile(t, runner.Options{Seed: 5}), momentum(), source(t, 49), cfg)
	if err == nil || !strings.Contains(err.Error(), "another batch: 20, not 10; different are also on NaN, samples, seed") {
		t.Errorf("%v", err)
	}
}

// TestExtraIsKept saves a caller's bytes, NaN among the numbers of the run.
func TestExtraIsKept(t *testing.T) {
	var got []byte
	c := &runner.Checkpoints{Dir: t.TempDir(), Extra: func() ([]byte, error) { return []byte("here"), nil }, Restore: func(b []byte) error { got = b; return nil }}
	ctx, src := cut(t, 1) // before the first outer step, when the loss is NaN
	if _, err := runner.Train(ctx, compile(t, runner.Options{}), momentum(), src, checkpointed(t, c)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	c.Resume = true
	if _, err := runner.Train(context.Background(), compile(t, runner.Options{}), momentum(), source(t, 50), checkpointed(t, c)); err != nil {
		t.Fatal(err)
	}
	if string(got) != "here" {
		t.Errorf("restored %q", got)
	}
}

// broken is a source whose mini-batches with the given numbers, counted by reads, hold a NaN.
type broken struct {
	runner.Source
	reads  int
	bad    map[int]bool
	sample int // the last that got one
}

func (b *broken) Read(dst *runner.Batch, idx []int) error {
	err := b.Source.Read(dst, idx)
	if b.bad[b.reads] {
		b.sample = idx[2]
		dst.Inputs[0].Float32s()[2*784+5] = float32(math.NaN())
	}
	b.reads++
	return err
}

func TestNaNIsNamed(t *testing.T) {
	t.Run("data", func(t *testing.T) {
		src := &broken{Source: source(t, 50), bad: map[int]bool{4: true}}
		r, err := runner.Train(context.Background(), compile(t, runner.Options{}), entropy(), src, runner.Config{Batch: 20, Evals: 30})
		var d *runner.DivergedError
		if !errors.As(err, &d) || d.Evals != 5 || d.Outer != 1 || !strings.Contains(d.First, fmt.Sprintf(`input "input" of sample %d, in mini-batch 4`, src.sample)) {
			t.Fatalf("%v; the sample is %d", err, src.sample)
		}
		if r.Outer != 1 || slices.ContainsFunc(r.Weights, func(v float32) bool { return v-v != 0 }) {
			t.Errorf("the report is of outer step %d; its weights must be the last good ones", r.Outer)
		}
	})
	t.Run("target", func(t *testing.T) {
		inputs, _ := stripes(12)
		y := make([]float32, 120)
		y[75] = float32(math.Inf(1))
		src, err := runner.NewMemory(inputs, []*tensor.Dense{tensor.New(tensor.WithShape(12, 10), tensor.WithBacking(y))})
		if err != nil {
			t.Fatal(err)
		}
		s, err := runner.Compile(compile(t, runner.Options{}).Net(), runner.MSE, runner.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = runner.Train(context.Background(), s, optimizer.DefaultSGD(), src, runner.Config{Batch: 6, Evals: 2, InOrder: true})
		var d *runner.DivergedError
		if !errors.As(err, &d) || !d.Data || !strings.Contains(d.First, "the target of sample 7, in mini-batch 1") {
			t.Errorf("%v", err)
		}
	})
	t.Run("node", func(t *testing.T) {
		s := compile(t, runner.Options{})
		x := s.Net().Weights()
		for i := range x {
			x[i] *= 1e25 // BatchNormalization squares what the first convolution computes
		}
		_, err := runner.Train(context.Background(), s, entropy(), source(t, 50), runner.Config{Batch: 20, Evals: 30, Weights: x})
		var d *runner.DivergedError
		if !errors.As(err, &d) || !strings.Contains(d.First, "node") || !strings.Contains(d.First, "shape") {
			t.Errorf("%v", err)
		}
	})
	t.Run("step", func(t *testing.T) { // whose gradient is finite, and the run's last
		for name, m := range map[string]optimizer.Method{"sgd": &optimizer.SGD{LR: 1e39}, "entropy-sgd": func() *optimizer.EntropySGD {
			m := entropy()
			m.LR = 1e39
			return m
		}()} {
			s := compile(t, runner.Options{})
			r, err := runner.Train(context.Background(), s, m, source(t, 50), runner.Config{Batch: 20, Evals: 1, Test: source(t, 20)})
			var d *runner.DivergedError
			if !errors.As(err, &d) || !d.Weights || d.Outer != 0 || !strings.Contains(err.Error(), "step gave weights") || !strings.Contains(d.First, s.Net().Params[0].Name) {
				t.Fatalf("%s: %v", name, err)
			}
			if r.Outer != 0 || !slices.Equal(r.Weights, s.Net().Weights()) {
				t.Errorf("%s: the report is of outer step %d; its weights must be the last good ones", name, r.Outer)
			}
		}
	})
	t.Run("weights", func(t *testing.T) {
		s := compile(t, runner.Options{})
		x := s.Net().Weights()
		p := s.Net().Params[2]
		x[p.From] = float32(math.Inf(-1))
		_, err := runner.Train(context.Background(), s, entropy(), source(t, 50), runner.Config{Batch: 20, Evals: 30, Weights: x})
		if err == nil || !strings.Contains(err.Error(), p.Name) {
			t.Errorf("%v; the weights %q are infinite", err, p.Name)
		}
	})
}

// shifted draws what is due five gradients later.
type shifted struct{ *optimizer.EntropySGD }

func (m *shifted) Ask(s *optimizer.State, q []optimizer.Query) []optimizer.Query {
	q = m.EntropySGD.Ask(s, q)
	q[0].At.Batch += 5
	q[0].At.Eval += 5
	return q
}

// TestRollBack passes over mini-batches that hold NaN, and stays exact when it is stopped in between.
func TestRollBack(t *testing.T) {
	bad := map[int]bool{4: true, 7: true}
	config := func(c *runner.Checkpoints) runner.Config {
		return runner.Config{Batch: 20, Evals: 12, OnNaN: runner.RollBackOnNaN, Checkpoints: c}
	}
	want, err := runner.Train(context.Background(), compile(t, runner.Options{}), entropy(), &broken{Source: source(t, 50), bad: bad}, config(nil))
	if err != nil || want.Rollbacks != 2 || want.Evals != 12 {
		t.Fatalf("%v; %+v", err, want)
	}
	c := &runner.Checkpoints{Dir: t.TempDir(), Gradients: 1}
	src := &broken{Source: source(t, 50), bad: bad}
	ctx, cancel := context.WithCancel(context.Background())
	cfg := config(c)
	cfg.Gradient = func(uint64, float64) {
		if src.reads == 7 { // between the two
			cancel()
		}
	}
	if _, err := runner.Train(ctx, compile(t, runner.Options{}), entropy(), src, cfg); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	c.Resume = true
	cfg = config(c)
	src.reads = 7 // what was read once more after the stop is not counted
	got, err := runner.Train(context.Background(), compile(t, runner.Options{}), entropy(), src, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Weights, want.Weights) || got.Rollbacks != want.Rollbacks {
		t.Errorf("the resumed run ends at other weights, after %d rollbacks", got.Rollbacks)
	}

	// After one failure it is a run whose mini-batches and dropout masks begin behind it.
	var losses [2][]float64
	var ends [2]*runner.Report
	for i, m := range []optimizer.Method{entropy(), &shifted{entropy()}} {
		cfg := config(nil)
		cfg.Observe = func(p runner.Progress) { losses[i] = append(losses[i], p.Loss) }
		src := &broken{Source: source(t, 50), bad: map[int]bool{4: i == 0}}
		var err error
		if ends[i], err = runner.Train(context.Background(), compile(t, runner.Options{}), m, src, cfg); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := losses[0][2:], losses[1][1:]; !slices.Equal(ends[0].Weights, ends[1].Weights) || !slices.Equal(got, want) { // one outer step had ended
		t.Errorf("after a rollback, the run is not that with the mini-batches behind the one that failed: losses %v, want %v", got, want)
	}

	// Each state to go back to has its own count of failures.
	often := &broken{Source: source(t, 50), bad: map[int]bool{2: true, 4: true, 6: true, 32: true, 34: true, 36: true, 38: true}}
	cfg = config(nil)
	cfg.Evals = 45
	if r, err := runner.Train(context.Background(), compile(t, runner.Options{}), entropy(), often, cfg); err != nil || r.Rollbacks != 7 {
		t.Errorf("%v; %+v", err, r)
	}

	always := &broken{Source: source(t, 50), bad: map[int]bool{}}
	for i := range 100 {
		always.bad[i+3] = true
	}
	_, err = runner.Train(context.Background(), compile(t, runner.Options{}), entropy(), always, config(nil))
	if err == nil || !strings.Contains(err.Error(), "5 rollbacks") {
		t.Errorf("a run that cannot go on: %v", err)
	}
	// A stop in between gives it no more tries.
	c = &runner.Checkpoints{Dir: t.TempDir(), Gradients: 1}
	ctx, cancel = context.WithCancel(context.Background())
	rollbacks := 0
	cfg = config(c)
	cfg.RolledBack = func(*runner.DivergedError) {
		if rollbacks++; rollbacks == 3 {
			cancel()
		}
	}
	always.reads = 0
	if _, err := runner.Train(ctx, compile(t, runner.Options{}), entropy(), always, cfg); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	c.Resume = true
	_, err = runner.Train(context.Background(), compile(t, runner.Options{}), entropy(), always, cfg)
	if err == nil || !strings.Contains(err.Error(), "5 rollbacks") || rollbacks != 5 {
		t.Errorf("after %d rollbacks: %v", rollbacks, err)
	}
}
