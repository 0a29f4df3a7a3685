package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// carrying is what testdata/record_carry.py wrote.
type carrying struct {
	Streams   [][]int64
	Window    int
	Losses    []float64
	Gradients map[string][]float64
	States    map[string][]float64
	Text      []int64
	Whole     float64
}

// carryStep compiles one of its networks: with states that the file does not mention, or with inputs and outputs for them.
func carryStep(t *testing.T, name string, streams int, o runner.Options) (*runner.Step, carrying) {
	t.Helper()
	var want carrying
	b, err := os.ReadFile("testdata/carry.json")
	if err == nil {
		err = json.Unmarshal(b, &want)
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnxload.ParseFile(filepath.Join("testdata", name+".onnx"))
	if err != nil {
		t.Fatal(err)
	}
	options := onnxload.Options{Training: true, Carry: true}
	if name == "carry_pairs" {
		options.Shapes = map[string][]int{"input": {streams, want.Window}}
	}
	net, err := m.Build(streams, options)
	if err != nil {
		t.Fatal(err)
	}
	s, err := runner.Compile(net, runner.CrossEntropy, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, want
}

func windows(rows [][]int64, from, to int) *tensor.Dense {
	var b []int64
	for _, r := range rows {
		b = append(b, r[from:to]...)
	}
	return tensor.New(tensor.WithShape(len(rows), to-from), tensor.WithBacking(b))
}

// TestCarryIsPyTorchs reads windows one after the other and compares losses, the last gradients and the last states.
func TestCarryIsPyTorchs(t *testing.T) {
	for _, name := range []string{"carry_inside", "carry_pairs"} {
		t.Run(name, func(t *testing.T) {
			s, want := carryStep(t, name, 3, runner.Options{})
			states := s.Net().States
			if len(states) != 5-2*strings.Count(name, "pairs") { // h and c of two layers, and the GRU's
				t.Fatalf("%d recurrent states: %v", len(states), states)
			}
			var before, after [][]float32
			for _, st := range states {
				before, after = append(before, make([]float32, st.In.Shape().TotalSize())), append(after, make([]float32, st.In.Shape().TotalSize()))
			}
			grad := make([]float32, s.Dim())
			for w, loss := range want.Losses {
				b := &runner.Batch{Inputs: []*tensor.Dense{windows(want.Streams, w*want.Window, (w+1)*want.Window)},
					Targets: []*tensor.Dense{windows(want.Streams, w*want.Window+1, (w+1)*want.Window+1)}, States: before, Finals: after}
				got, err := s.Grad(context.Background(), grad, s.Net().Weights(), b, optimizer.Draw{})
				if err != nil {
					t.Fatal(err)
				}
				if math.Abs(got-loss) > 1e-6*loss {
					t.Errorf("window %d: loss %v, PyTorch's is %v", w, got, loss)
				}
				before, after = after, before
			}
			for _, p := range s.Net().Params {
				for i, v := range want.Gradients[p.Name] {
					if math.Abs(float64(grad[p.From+i])-v) > 1e-6 {
						t.Fatalf("gradient of %s is %v at %d, PyTorch's is %v", p.Name, grad[p.From+i], i, v)
					}
				}
			}
			// PyTorch has the layers of h one after the other, and of c.
			sum := func(vs ...[]float64) (x float64) {
				for _, v := range vs {
					for i, e := range v {
						x += e * float64(i%7+1)
					}
				}
				return x
			}
			wide := func(v []float32) (w []float64) {
				for _, e := range v {
					w = append(w, float64(e))
				}
				return w
			}
			if g := sum(wide(before[len(before)-1])); math.Abs(g-sum(want.States["g"])) > 1e-5 {
				t.Errorf("the last state of the GRU sums up to %v, PyTorch's to %v", g, sum(want.States["g"]))
			}
		})
	}
}

// The whole text is predicted with the states carried, its last window cut short, as PyTorch does that reads it at once.
func TestEvaluateReadsTheWholeText(t *testing.T) {
	for _, name := range []string{"carry_inside", "carry_pairs"} {
		s, want := carryStep(t, name, 3, runner.Options{})
		src, err := runner.NewWholeText(want.Text, 1, want.Window)
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.Evaluate(context.Background(), s.Net().Weights(), nil, src)
		if err != nil {
			t.Fatal(err)
		}
		if m.Count != len(want.Text)-1 || math.Abs(m.Loss-want.Whole) > 1e-6 {
			t.Errorf("%s: loss %v over %d symbols, PyTorch's is %v over %d", name, m.Loss, m.Count, want.Whole, len(want.Text)-1)
		}
	}
}

// Text cut for evaluation gives every symbol once as a target, for training at least once, and windows follow each other.
func TestTokens(t *testing.T) {
	for _, n := range []int{2, 7, 41, 42, 43, 200} {
		ids := make([]int64, n)
		for i := range ids {
			ids[i] = int64(i)
		}
		for _, streams := range []int{1, 2, 3, 7} {
			for _, window := range []int{1, 4, 10} {
				for kind, cut := range map[string]func([]int64, int, int) (*runner.Tokens, error){"training": runner.NewTokens, "evaluation": runner.NewWholeText} {
					src, err := cut(ids, streams, window)
					if err != nil {
						if kind == "evaluation" || n > window {
							t.Errorf("%s, %d symbols, %d streams, windows of %d: %v", kind, n, streams, window, err)
						}
						continue
					}
					seen := make([]int, n)
					last := map[int]int64{}
					var b runner.Batch
					for i := range src.Len() {
						if err := src.Read(&b, []int{i}); err != nil {
							t.Fatal(err)
						}
						x, y := b.Inputs[0].Int64s(), b.Targets[0].Int64s()
						for p := range src.Positions(i) {
							if before, ok := last[i%streams]; ok && before != x[p] || y[p] != x[p]+1 {
								t.Fatalf("%s: window %d has %v and %v behind %d", kind, i, x, y, before)
							}
							last[i%streams] = y[p]
							seen[y[p]]++
						}
					}
					for i := 1; i < n; i++ {
						if kind == "evaluation" && seen[i] != 1 || kind == "training" && seen[i] < 1 && streams > 1 {
							t.Errorf("%s, %d symbols, %d streams, windows of %d: symbol %d is a target %d times", kind, n, streams, window, i, seen[i])
						}
					}
				}
			}
		}
	}
}

func randomText(n int) []int64 {
	r := rand.New(rand.NewPCG(5, 5))
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = r.Int64N(11)
	}
	return ids
}

// textRun trains a network of the fixture on 2 streams of 4 windows.
func textRun(t *testing.T, ctx context.Context, m optimizer.Method, src runner.Source, c *runner.Checkpoints, evals uint64) (*runner.Report, error) {
	t.Helper()
	s, _ := carryStep(t, "carry_inside", 2, runner.Options{})
	test, err := runner.NewWholeText(randomText(33), 1, 5)
	if err != nil {
		t.Fatal(err)
	}
	return runner.Train(ctx, s, m, src, runner.Config{Batch: 2, Evals: evals, Test: test, EvalEvery: 4, Checkpoints: c, OnNaN: runner.RollBackOnNaN})
}

func trainingText(t *testing.T) *runner.Tokens {
	t.Helper()
	src, err := runner.NewTokens(randomText(41), 2, 5)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// TestTrainCarries trains with a plain loop over windows beside: SGD at rate 0.1, states carried by hand.
func TestTrainCarries(t *testing.T) {
	sgd := &optimizer.SGD{LR: 0.1}
	got, err := textRun(t, context.Background(), sgd, trainingText(t), nil, 10)
	if err != nil {
		t.Fatal(err)
	}
	s, _ := carryStep(t, "carry_inside", 2, runner.Options{})
	ids, x, grad := randomText(41), s.Net().Weights(), make([]float32, s.Dim())
	var before, after [][]float32
	for k := range 10 {
		w := k % 4
		if w == 0 { // an epoch begins
			before, after = nil, nil
			for _, st := range s.Net().States {
				before, after = append(before, make([]float32, st.In.Shape().TotalSize())), append(after, make([]float32, st.In.Shape().TotalSize()))
			}
		}
		rows := [][]int64{ids[5*w : 5*w+6], ids[20+5*w : 20+5*w+6]}
		b := &runner.Batch{Inputs: []*tensor.Dense{windows(rows, 0, 5)}, Targets: []*tensor.Dense{windows(rows, 1, 6)}, States: before, Finals: after}
		if _, err := s.Grad(context.Background(), grad, x, b, optimizer.Draw{}); err != nil {
			t.Fatal(err)
		}
		for i := range x {
			x[i] -= 0.1 * grad[i]
		}
		before, after = after, before
	}
	for i, v := range x {
		if math.Abs(float64(got.Weights[i]-v)) > 1e-6 {
			t.Fatalf("weight %d is %v, a plain loop has %v", i, got.Weights[i], v)
		}
	}
}

// watched calls after when a window was read.
type watched struct {
	*runner.Tokens
	read  [][]int
	after func()
}

func (w *watched) Read(dst *runner.Batch, idx []int) error {
	w.read = append(w.read, append([]int(nil), idx...))
	w.after()
	return w.Tokens.Read(dst, idx)
}

// TestTextResumeIsExact stops runs that carry states at every window, with methods that ask in different ways.
func TestTextResumeIsExact(t *testing.T) {
	parle := optimizer.DefaultParle()
	parle.L, parle.N = 3, 2
	for name, m := range map[string]optimizer.Method{"entropy-sgd": entropy(), "sam": optimizer.DefaultSAM(&optimizer.SGD{LR: 0.1}), "parle": parle} {
		t.Run(name, func(t *testing.T) {
			want, err := textRun(t, context.Background(), m, trainingText(t), nil, 15)
			if err != nil {
				t.Fatal(err)
			}
			for at := 1; at < 18; at++ {
				c := &runner.Checkpoints{Dir: filepath.Join(t.TempDir(), "checkpoints"), Gradients: 2}
				ctx, cancel := context.WithCancel(context.Background())
				src := &watched{Tokens: trainingText(t)}
				src.after = func() {
					if len(src.read) == at {
						cancel()
					}
				}
				got, err := textRun(t, ctx, m, src, c, 15)
				if err == nil {
					same(t, got, want)
					continue
				}
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				c.Resume = true
				if got, err = textRun(t, context.Background(), m, trainingText(t), c, 15); err != nil {
					t.Fatal(err)
				}
				same(t, got, want)
			}
		})
	}
}

// stumbling once asks where there is nothing, at its fifth gradient.
type stumbling struct {
	*optimizer.EntropySGD
	done bool
}

func (m *stumbling) Ask(s *optimizer.State, q []optimizer.Query) []optimizer.Query {
	q = m.EntropySGD.Ask(s, q)
	if s.Evals == 4 && !m.done {
		m.done = true
		q[0].Point = append([]float32{float32(math.NaN())}, q[0].Point[1:]...)
	}
	return q
}

// A run that goes back reads on behind the window that failed, and has the states that it had there where it goes back to.
func TestTextRollsBack(t *testing.T) {
	got, err := textRun(t, context.Background(), &stumbling{EntropySGD: entropy()}, trainingText(t), nil, 12)
	if err != nil {
		t.Fatal(err)
	}
	want, err := textRun(t, context.Background(), &shifted{entropy()}, trainingText(t), nil, 12)
	if err != nil {
		t.Fatal(err)
	}
	if got.Rollbacks != 1 {
		t.Errorf("%d rollbacks", got.Rollbacks)
	}
	same(t, got, want)
}

// Replicas read different windows, each its own from front to back.
func TestReplicasReadOn(t *testing.T) {
	parle := optimizer.DefaultParle()
	parle.L, parle.N = 3, 2
	src := &watched{Tokens: trainingText(t), after: func() {}}
	if _, err := textRun(t, context.Background(), parle, src, nil, 12); err != nil {
		t.Fatal(err)
	}
	for i, idx := range src.read[:12] {
		if want := (i/2 + i%2*2) % 4 * 2; idx[0] != want || idx[1] != want+1 {
			t.Errorf("reading %d is of %v; want window %d of both streams", i, idx, want/2)
		}
	}
}

func TestSequenceErrors(t *testing.T) {
	s, _ := carryStep(t, "carry_inside", 2, runner.Options{})
	for part, cfg := range map[string]runner.Config{
		"mini-batches of 3 samples from a sequence of 2 streams": {Batch: 3, Evals: 1},
		"sampling uniform of a sequence":                         {Batch: 2, Evals: 1, Sampling: runner.Uniform},
	} {
		if _, err := runner.Train(context.Background(), s, &optimizer.SGD{LR: 0.1}, trainingText(t), cfg); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v; want %q in it", err, part)
		}
	}
	for name, m := range map[string]optimizer.Settled{"sam": optimizer.DefaultSAM(optimizer.DefaultSGD()), "replicas": optimizer.DefaultElasticSGD()} {
		if _, err := runner.Train(context.Background(), s, m, trainingText(t), runner.Config{Batch: 2, Evals: 1}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, err := runner.Train(context.Background(), s, &optimizer.Accumulate{Base: m, K: 2}, trainingText(t), runner.Config{Batch: 2, Evals: 1})
		if err == nil || !strings.Contains(err.Error(), "Accumulate around SAM or several replicas") {
			t.Errorf("%s, accumulated: %v", name, err)
		}
	}
	for _, c := range []struct{ n, streams, window int }{{1, 1, 1}, {3, 1, 3}, {5, 0, 1}, {5, 1, 0}} {
		if _, err := runner.NewTokens(randomText(c.n), c.streams, c.window); err == nil {
			t.Errorf("%v is no error", c)
		}
	}
}
