package runner_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/models"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// TestTrajectoriesDoNotDependOnThreads takes 200 gradients of Entropy-SGD, with noise and mini-batches of two sizes:
// mnistconv has convolutions, pooling, BatchNormalization and dropout, charlstm an embedding and two LSTMs. 40 gradients of
// 2,050 and more symbols have products whose sums are cut into slices, and several blocks of sequences.
func TestTrajectoriesDoNotDependOnThreads(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		model string
		batch int
		evals uint64
		src   runner.Source
	}{
		{"mnistconv", 12, 200, source(t, 42)},
		{"charlstm", 41, 40, symbols(t, r, 82)},
		{"charlstm", 4, 200, symbols(t, r, 11)}, // with 3 sequences the input is multiplied, with 4 it is looked up
	} {
		t.Run(fmt.Sprint(c.model, c.batch), func(t *testing.T) {
			var want []float32
			for _, threads := range []int{1, 2, 8} {
				s := compileModel(t, c.model, runner.Options{Threads: threads, Seed: 5})
				m := entropy()
				m.L, m.Threads = 20, threads
				report, err := runner.Train(context.Background(), s, m, c.src, runner.Config{Batch: c.batch, Evals: c.evals, Seed: 3})
				if err != nil {
					t.Fatal(err)
				}
				if report.Evals != c.evals {
					t.Fatalf("%d gradients", report.Evals)
				}
				if want == nil {
					want = report.Weights
					if slices.Equal(want, s.Net().Weights()) {
						t.Fatal("nothing was learned")
					}
				}
				if !slices.Equal(report.Weights, want) {
					t.Errorf("%d threads end at other weights than 1", threads)
				}
			}
		})
	}
}

func compileModel(t *testing.T, name string, o runner.Options) *runner.Step {
	t.Helper()
	file, err := models.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	model, err := onnxload.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	net, err := model.Build(20, onnxload.Options{Training: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := runner.Compile(net, runner.CrossEntropy, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// symbols are n sequences for charlstm, each followed by the symbol after.
func symbols(t *testing.T, r *rand.Rand, n int) runner.Source {
	t.Helper()
	const steps, kinds = 50, 87
	x, y := make([]int64, n*steps), make([]int64, n*steps)
	for i := range x {
		x[i] = r.Int64N(kinds)
		y[i] = (x[i] + 1) % kinds
	}
	dense := func(v []int64) []*tensor.Dense {
		return []*tensor.Dense{tensor.New(tensor.WithShape(n, steps), tensor.WithBacking(v))}
	}
	src, err := runner.NewMemory(dense(x), dense(y))
	if err != nil {
		t.Fatal(err)
	}
	return src
}
