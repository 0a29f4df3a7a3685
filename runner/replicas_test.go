package runner_test

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/models"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// crowd has queries of four replicas at different points, the third on a smaller mini-batch.
func crowd(t *testing.T, s *runner.Step) (q []optimizer.Query, b []*runner.Batch, r []optimizer.Result) {
	src := source(t, 60)
	for i := range 4 {
		x := s.Net().Weights()
		for k := range x {
			x[k] *= 1 + float32(i)/8
		}
		idx := []int{i, i + 10, i + 20, i + 30}
		if i == 2 {
			idx = idx[:3]
		}
		batch := new(runner.Batch)
		if err := src.Read(batch, idx); err != nil {
			t.Fatal(err)
		}
		q = append(q, optimizer.Query{At: optimizer.Draw{Replica: i, Eval: uint64(5 + i)}, Point: x})
		b = append(b, batch)
		r = append(r, optimizer.Result{Grad: make([]float32, len(x))})
	}
	return q, b, r
}

// Replicas at the same time give the bits of one gradient after the other, on any number of threads.
func TestGradsAreGrad(t *testing.T) {
	ctx := context.Background()
	var want []optimizer.Result
	for _, threads := range []int{1, 2, 3, 8} {
		s := compile(t, runner.Options{Threads: threads, Seed: 4})
		q, b, r := crowd(t, s)
		if want == nil {
			for i := range q {
				grad := make([]float32, s.Dim())
				loss, err := s.Grad(ctx, grad, q[i].Point, b[i], q[i].At)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, optimizer.Result{Loss: loss, Grad: grad})
			}
			if want[0].Loss == want[1].Loss {
				t.Fatal("the queries are alike")
			}
		}
		for range 2 { // the second time with the machines of the first
			if err := s.Grads(ctx, q, b, r); err != nil {
				t.Fatal(err)
			}
			for i := range r {
				if r[i].Loss != want[i].Loss || !slices.Equal(r[i].Grad, want[i].Grad) {
					t.Errorf("%d threads: query %d has another result than alone", threads, i)
				}
			}
		}
		if err := s.Grads(ctx, q[:2], b[:2], r[:2]); err != nil || !slices.Equal(r[1].Grad, want[1].Grad) {
			t.Errorf("%d threads: fewer queries after more: %v", threads, err)
		}
		if n := testing.AllocsPerRun(3, func() {
			if err := s.Grads(ctx, q, b, r); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%d threads: %v allocations", threads, n)
		}
	}
}

func TestGradsErrors(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := compile(t, runner.Options{Threads: 2})
	q, b, r := crowd(t, s)
	check := func(want string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	check("3 mini-batches", s.Grads(ctx, q, b[:3], r))
	short := slices.Clone(r)
	short[3].Grad = short[3].Grad[:5]
	check("gradient of 5", s.Grads(ctx, q, b, short))
	b[3].Targets[0].Int64s()[1] = 99
	check("99", s.Grads(ctx, q, b, r))
	b[3].Targets[0].Int64s()[1] = 1
	if err := s.Grads(ctx, q, b, r); err != nil {
		t.Errorf("after an error: %v", err)
	}
	cancel()
	check("canceled", s.Grads(ctx, q, b, r))
}

// methods are what the other tests of the package have not: replicas, and wrappers with a state inside.
func methods() map[string]func() optimizer.Settled {
	return map[string]func() optimizer.Settled{
		"parle": func() optimizer.Settled {
			m := optimizer.DefaultParle()
			m.L = 2
			return m
		},
		"elastic": func() optimizer.Settled { return optimizer.DefaultElasticSGD() },
		"wrapped": func() optimizer.Settled {
			m := optimizer.DefaultLookahead(&optimizer.Clip{Base: optimizer.DefaultSAM(optimizer.DefaultAdamW()), Norm: 1})
			m.K = 2
			swa := optimizer.DefaultSWA(m)
			swa.Total = 12
			return swa
		},
		"accumulated": func() optimizer.Settled {
			m := optimizer.DefaultEntropyAdam()
			m.L, m.AutoGamma, m.Gamma, m.Statistics = 3, true, 0, true
			return &optimizer.Accumulate{Base: m, K: 2}
		},
	}
}

// A run of a method that was stopped goes on from its checkpoint to the same bits, also where the run remembers
// a state to roll back to.
func TestResumeOfEveryMethodIsExact(t *testing.T) {
	for name, method := range methods() {
		config := func(c *runner.Checkpoints) runner.Config {
			return runner.Config{Batch: 20, Evals: 12, Seed: 3, Test: source(t, 30), Checkpoints: c, OnNaN: runner.RollBackOnNaN}
		}
		want, err := runner.Train(context.Background(), compile(t, runner.Options{Seed: 5}), method(), source(t, 50), config(nil))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, at := range []int{2, 7, 10} {
			c := &runner.Checkpoints{Dir: filepath.Join(t.TempDir(), "checkpoints"), Gradients: 2}
			ctx, src := cut(t, at)
			if _, err := runner.Train(ctx, compile(t, runner.Options{Seed: 5}), method(), src, config(c)); !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: %v", name, err)
			}
			c.Resume = true
			got, err := runner.Train(context.Background(), compile(t, runner.Options{Seed: 5, Threads: 1}), method(), source(t, 50), config(c))
			if err != nil {
				t.Fatalf("%s, stopped at read %d: %v", name, at, err)
			}
			same(t, got, want)
		}
	}
}

// A run of each method, with every wrapper, does not depend on the number of threads.
func TestMethodsDoNotDependOnThreads(t *testing.T) {
	for name, method := range methods() {
		var want *runner.Report
		for _, threads := range []int{1, 2, 5} {
			evals := uint64(12)
			r, err := runner.Train(context.Background(), compile(t, runner.Options{Threads: threads, Seed: 5}), method(), source(t, 50),
				runner.Config{Batch: 20, Evals: evals, Seed: 3, Test: source(t, 30)})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if want == nil {
				want = r
			} else if !slices.Equal(r.Weights, want.Weights) || !slices.Equal(r.Running, want.Running) || *r.Test != *want.Test {
				t.Errorf("%s: %d threads end elsewhere than 1", name, threads)
			}
			if r.Evals != optimizer.RoundBudget(method(), evals) {
				t.Errorf("%s: %d gradients", name, r.Evals)
			}
		}
	}
}

// The statistics of a run with averaged weights are those at the average, not at the last weights.
func TestStatisticsAtTheAverage(t *testing.T) {
	ctx := context.Background()
	swa := optimizer.DefaultSWA(optimizer.DefaultSGD())
	swa.Start, swa.Total = 0.5, 8
	s, src := compile(t, runner.Options{}), source(t, 50)
	r, err := runner.Train(ctx, s, swa, src, runner.Config{Batch: 20, Evals: 8, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	last, err := runner.Train(ctx, s, optimizer.DefaultSGD(), src, runner.Config{Batch: 20, Evals: 8, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.Statistics(ctx, r.Weights, src, 10000, 20)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Running, want) || slices.Equal(r.Running, last.Running) || slices.Equal(r.Weights, last.Weights) {
		t.Error("the statistics are not those at the average")
	}
}

// Parle's replicas read different mini-batches of the epoch, each once.
func TestReplicasShareTheEpoch(t *testing.T) {
	src := &counted{Source: source(t, 60)}
	m := optimizer.DefaultParle()
	m.L = 1
	_, err := runner.Train(context.Background(), compile(t, runner.Options{}), m, src, runner.Config{Batch: 20, Evals: 3, KeepStatistics: true})
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(src.batches...)
	slices.Sort(all)
	for i, s := range all {
		if i != s || len(all) != 60 {
			t.Fatalf("%d samples were read, %d where %d is due", len(all), s, i)
		}
	}
}

// Training with smoothed labels has another gradient and the same evaluation.
func TestLabelSmoothingIsForTraining(t *testing.T) {
	ctx := context.Background()
	plain := compile(t, runner.Options{Dropout: new(float64)})
	smooth, err := runner.Compile(plain.Net(), runner.LabelSmoothing(0.2, false), runner.Options{Dropout: new(float64), Evaluation: runner.CrossEntropy})
	if err != nil {
		t.Fatal(err)
	}
	x, running := plain.Net().Weights(), plain.Net().Running()
	inputs, targets := stripes(30)
	b := &runner.Batch{Inputs: inputs, Targets: targets}
	grad := make([]float32, len(x))
	a, err := plain.Grad(ctx, grad, x, b, optimizer.Draw{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := smooth.Grad(ctx, grad, x, b, optimizer.Draw{})
	if err != nil {
		t.Fatal(err)
	}
	// 0.8 of the loss and 0.2 of its mean over all labels.
	want := 0.8 * a
	for k := range 10 {
		all := tensor.New(tensor.WithShape(30), tensor.WithBacking(slices.Repeat([]int64{int64(k)}, 30)))
		l, err := plain.Grad(ctx, grad, x, &runner.Batch{Inputs: inputs, Targets: []*tensor.Dense{all}}, optimizer.Draw{})
		if err != nil {
			t.Fatal(err)
		}
		want += 0.02 * l
	}
	if math.Abs(c-want) > 1e-5*want {
		t.Errorf("smoothed loss %v, want %v", c, want)
	}
	m1, err1 := plain.Evaluate(ctx, x, running, source(t, 30))
	m2, err2 := smooth.Evaluate(ctx, x, running, source(t, 30))
	if err1 != nil || err2 != nil || m1 != m2 {
		t.Errorf("evaluations %+v and %+v, %v, %v", m1, m2, err1, err2)
	}
}

// The mean gradient of mini-batches is that of all their samples, but where BatchNormalization sees each alone.
func TestAccumulatedIsTheBigBatch(t *testing.T) {
	file, err := models.Open("mnistconv")
	if err != nil {
		t.Fatal(err)
	}
	model, err := onnxload.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, alone := range []bool{false, true} {
		weights := func(batch int, m optimizer.Method, evals uint64) []float32 {
			net, err := model.Build(batch, onnxload.Options{Training: true, FileStatistics: !alone})
			if err != nil {
				t.Fatal(err)
			}
			s, err := runner.Compile(net, runner.CrossEntropy, runner.Options{Dropout: new(float64)})
			if err != nil {
				t.Fatal(err)
			}
			r, err := runner.Train(context.Background(), s, m, source(t, 48), runner.Config{Batch: batch, Evals: evals, InOrder: true, KeepStatistics: true})
			if err != nil {
				t.Fatal(err)
			}
			return r.Weights
		}
		sgd := func() *optimizer.SGD { return &optimizer.SGD{LR: 0.05, Momentum: 0.9} }
		big := weights(24, sgd(), 4)
		small := weights(8, &optimizer.Accumulate{Base: sgd(), K: 3}, 12)
		off := 0.0
		for i, v := range big {
			off = max(off, math.Abs(float64(v-small[i])))
		}
		if (off < 1e-5) == alone { // a rounding of gradients of about 1, four steps
			t.Errorf("mini-batches normalised alone %v: the weights differ by up to %.1e", alone, off)
		}
	}
}
