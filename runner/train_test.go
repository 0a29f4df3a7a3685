package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

func compile(t *testing.T, o runner.Options) *runner.Step {
	t.Helper()
	return compileModel(t, "mnistconv", o)
}

func source(t *testing.T, n int) runner.Source {
	t.Helper()
	src, err := runner.NewMemory(stripes(n))
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func entropy() *optimizer.EntropySGD {
	m := optimizer.DefaultEntropySGD()
	m.L, m.Seed = 3, 7
	return m
}

// TestResultsDoNotDependOnThreads trains with dropout, noise and partial batches on 1, 2 and 5 threads.
func TestResultsDoNotDependOnThreads(t *testing.T) {
	var want *runner.Report
	var file []byte
	for _, threads := range []int{1, 2, 5} {
		s := compile(t, runner.Options{Threads: threads, Seed: 5})
		m := entropy()
		m.Threads = threads
		r, err := runner.Train(context.Background(), s, m, source(t, 50), runner.Config{Batch: 20, Evals: 8, Seed: 3, Test: source(t, 30)})
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.Net().Export(r.Weights, r.Running, onnxload.ExportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want, file = r, out
			if r.Evals != 9 || r.Outer != 3 || r.Epochs != 3 {
				t.Errorf("8 gradients asked: %d were spent in %d outer steps and %v epochs; whole outer steps are 9, 3 and 3", r.Evals, r.Outer, r.Epochs)
			}
			continue
		}
		if !slices.Equal(r.Weights, want.Weights) || !slices.Equal(r.Running, want.Running) || *r.Test != *want.Test || r.Loss != want.Loss {
			t.Errorf("%d threads end at other weights than 1", threads)
		}
		if !slices.Equal(out, file) {
			t.Errorf("%d threads export another file than 1", threads)
		}
	}
}

// counted is a source that notes what is read.
type counted struct {
	runner.Source
	batches [][]int
	after   func()
}

func (c *counted) Read(dst *runner.Batch, idx []int) error {
	c.batches = append(c.batches, slices.Clone(idx))
	if c.after != nil {
		c.after()
	}
	return c.Source.Read(dst, idx)
}

func TestTrainUsesEachSampleOnceAnEpoch(t *testing.T) {
	src := &counted{Source: source(t, 50)}
	_, err := runner.Train(context.Background(), compile(t, runner.Options{}), entropy(), src, runner.Config{Batch: 20, Evals: 6, KeepStatistics: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(src.batches) != 6 || len(src.batches[2]) != 10 {
		t.Fatalf("%d batches, the third of %d samples; want 6 and 10", len(src.batches), len(src.batches[2]))
	}
	for epoch := range 2 {
		all := slices.Concat(src.batches[3*epoch : 3*epoch+3]...)
		if slices.IsSorted(all) {
			t.Errorf("epoch %d is not shuffled", epoch)
		}
		slices.Sort(all)
		for i, s := range all {
			if i != s {
				t.Fatalf("epoch %d: sample %d where %d is due", epoch, s, i)
			}
		}
	}
}

// With a gradient of 0, decay alone moves weights: those of products and convolutions, or all.
func TestDecay(t *testing.T) {
	s := compile(t, runner.Options{})
	for _, all := range []bool{false, true} {
		m := &still{optimizer.SGD{LR: 0.5, WeightDecay: 0.5}}
		start := slices.Repeat([]float32{4}, s.Dim())
		r, err := runner.Train(context.Background(), s, m, source(t, 20), runner.Config{Batch: 20, Evals: 1, Weights: start, DecayAll: all, KeepStatistics: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range s.Net().Params {
			want := float32(4)
			if all || len(p.Shape) > 1 {
				want = 3
			}
			if got := r.Weights[p.From]; got != want {
				t.Errorf("decay of all %v: a weight of %s is %v, want %v", all, p.Name, got, want)
			}
		}
	}
}

// still is SGD that is told no gradients.
type still struct{ optimizer.SGD }

func (m *still) Tell(s *optimizer.State, r []optimizer.Result) bool {
	clear(r[0].Grad)
	return m.SGD.Tell(s, r)
}

func TestTrainStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	src := &counted{Source: source(t, 50)}
	src.after = func() {
		if len(src.batches) == 5 { // in the middle of the second outer step
			cancel()
		}
	}
	r, err := runner.Train(ctx, compile(t, runner.Options{}), entropy(), src, runner.Config{Batch: 20, Evals: 100})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	if r.Outer != 1 || r.Evals != 3 {
		t.Errorf("the report is of %d outer steps and %d gradients, not of the last whole one", r.Outer, r.Evals)
	}
	again, err := runner.Train(context.Background(), compile(t, runner.Options{}), entropy(), source(t, 50), runner.Config{Batch: 20, Evals: 100, MaxOuter: 1})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Weights, again.Weights) {
		t.Error("MaxOuter 1 ends at other weights than the cancelled run's first outer step")
	}
}

func TestTrainObserves(t *testing.T) {
	var seen []runner.Progress
	var gradients []uint64
	_, err := runner.Train(context.Background(), compile(t, runner.Options{}), entropy(), source(t, 40),
		runner.Config{Batch: 20, Evals: 12, EvalEvery: 5, Test: source(t, 20), Observe: func(p runner.Progress) { seen = append(seen, p) },
			Gradient: func(evals uint64, loss float64) { gradients = append(gradients, evals) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 5 || !math.IsNaN(seen[0].Loss) || seen[0].Budget != 12 {
		t.Fatalf("%d calls, the first %+v", len(seen), seen[0])
	}
	for i, n := range gradients {
		if n != uint64(i+1) || len(gradients) != 12 {
			t.Fatalf("%d calls for 12 gradients, number %d with %d", len(gradients), i, n)
		}
	}
	for i, p := range seen {
		if p.Evals != uint64(3*i) || p.Outer != uint64(i) || p.Epoch != float64(3*i)/2 {
			t.Errorf("call %d: %+v", i, p)
		}
		if tested := p.Test != nil; tested != (i == 2 || i == 4) { // 6 >= 5; 12 >= 10 and the end
			t.Errorf("call %d: evaluated %t", i, tested)
		}
	}
	if seen[4].Loss >= seen[1].Loss {
		t.Errorf("the loss went from %v to %v", seen[1].Loss, seen[4].Loss)
	}
}

func TestErrors(t *testing.T) {
	ctx := context.Background()
	inputs, targets := stripes(40)
	memory := func(in, out []*tensor.Dense) runner.Source {
		s, err := runner.NewMemory(in, out)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	wide := []*tensor.Dense{tensor.New(tensor.WithShape(40, 3, 28, 28), tensor.Of(tensor.Float32))}
	bad := make([]int64, 40)
	bad[30] = 10
	labels := []*tensor.Dense{tensor.New(tensor.WithShape(40), tensor.WithBacking(bad))}
	inf := make([]float32, 40*784)
	for i := range inf {
		inf[i] = float32(math.Inf(1))
	}
	infinite := []*tensor.Dense{tensor.New(tensor.WithShape(40, 1, 28, 28), tensor.WithBacking(inf))}
	slow, fast := optimizer.DefaultEntropySGD(), optimizer.DefaultEntropySGD()
	slow.InnerLR, fast.InnerLR = -1, 1e30
	var diverged *runner.DivergedError
	for _, c := range []struct {
		name string
		src  runner.Source
		m    optimizer.Method
		cfg  runner.Config
		want []string
	}{
		{"no budget", memory(inputs, targets), entropy(), runner.Config{Batch: 20}, []string{"budget"}},
		{"no batch", memory(inputs, targets), entropy(), runner.Config{Evals: 1}, []string{"mini-batch of 0"}},
		{"setting", memory(inputs, targets), slow, runner.Config{Batch: 20, Evals: 1}, []string{"InnerLR", "-1"}},
		{"shape", memory(wide, targets), entropy(), runner.Config{Batch: 20, Evals: 1}, []string{`"input"`, "(1, 28, 28)", "(3, 28, 28)"}},
		{"label", memory(inputs, labels), entropy(), runner.Config{Batch: 40, Evals: 1, InOrder: true}, []string{"10", "30"}},
		{"weights", memory(inputs, targets), entropy(), runner.Config{Batch: 20, Evals: 1, Weights: make([]float32, 3)}, []string{"3 weights"}},
		{"no targets", memory(inputs, nil), entropy(), runner.Config{Batch: 20, Evals: 1}, []string{"target"}},
		{"infinite", memory(infinite, targets), entropy(), runner.Config{Batch: 20, Evals: 1}, []string{"loss is NaN before the first step", "data"}},
		{"too fast", memory(inputs, targets), fast, runner.Config{Batch: 20, Evals: 9}, []string{"loss became", "evaluation 2", "smaller learning rate"}},
	} {
		_, err := runner.Train(ctx, compile(t, runner.Options{}), c.m, c.src, c.cfg)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not mention %q", c.name, err, w)
			}
		}
		if c.name == "infinite" && !errors.As(err, &diverged) {
			t.Errorf("%s: %T", c.name, err)
		}
	}
}

// TestEvaluateCountsMisses compares with Predict and a count by hand.
func TestEvaluateCountsMisses(t *testing.T) {
	ctx := context.Background()
	s := compile(t, runner.Options{})
	x, running := s.Net().Weights(), s.Net().Running()
	inputs, targets := stripes(300) // more than one batch of the evaluation
	src, err := runner.NewMemory(inputs, targets)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.Evaluate(ctx, x, running, src)
	if err != nil {
		t.Fatal(err)
	}
	y, err := s.Predict(ctx, x, running, &runner.Batch{Inputs: inputs})
	if err != nil {
		t.Fatal(err)
	}
	var loss float64
	wrong := 0
	for i, label := range targets[0].Data().([]int64) {
		row := y.Data().([]float32)[10*i : 10*i+10]
		var sum float64
		for _, v := range row {
			sum += math.Exp(float64(v))
		}
		loss += (math.Log(sum) - float64(row[label])) / 300
		if slices.Max(row) != row[label] {
			wrong++
		}
	}
	if m.Count != 300 || m.Error != float64(wrong)/300 || math.Abs(m.Loss-loss) > 1e-5*loss {
		t.Errorf("%+v, by hand loss %v and %d of 300 wrong", m, loss, wrong)
	}
}

// Progress becomes JSON at every moment, also before there is a loss and with numbers that a method does not have.
func TestProgressAsJSON(t *testing.T) {
	var lines []string
	m := entropy()
	m.Statistics = true
	_, err := runner.Train(context.Background(), compile(t, runner.Options{}), m, source(t, 40), runner.Config{Batch: 20, Evals: 3, Test: source(t, 20),
		Observe: func(p runner.Progress) {
			b, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, string(b))
		}})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"evals":0,"budget":3,"outer":0,"epoch":0,"loss":null,"stats":{"gamma":0.0001,"lr":1}}`; lines[0] != want {
		t.Errorf("%s, want %s", lines[0], want)
	}
	for _, part := range []string{`"evals":3`, `"loss":2.`, `"test":{"loss":0.`, `"error":0.`, `"count":20`, `"distance":`, `"travelled":`} {
		if !strings.Contains(lines[1], part) {
			t.Errorf("%s lacks %s", lines[1], part)
		}
	}
}
