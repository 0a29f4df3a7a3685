package runner_test

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// hard is a source of 40 samples. Each of the first 8 has the image of three others and a label of its own, which
// cannot be learnt but against theirs.
func hard(t *testing.T) *counted {
	t.Helper()
	inputs, targets := stripes(40)
	x, y := inputs[0].Data().([]float32), targets[0].Data().([]int64)
	size := len(x) / 40
	for i := range 8 {
		y[i] = (y[i+8] + 5) % 10
		for _, copied := range []int{i, i + 16, i + 24} {
			copy(x[copied*size:(copied+1)*size], x[(i+8)*size:])
			if copied != i {
				y[copied] = y[i+8]
			}
		}
	}
	src, err := runner.NewMemory(inputs, targets)
	if err != nil {
		t.Fatal(err)
	}
	return &counted{Source: src}
}

// TestOddballPrefersErrors draws the odd labels, a fifth of all, in more than a fifth of its draws. Where three copies
// of an image say one thing and one another, a network that learns from draws in proportion to the errors ends where
// q = 8(1-q) / (8(1-q) + 24q), with q = 0.37 of the draws from the odd ones.
func TestOddballPrefersErrors(t *testing.T) {
	share := func(s runner.Sampling, m optimizer.Settled) float64 {
		src := hard(t)
		none := 0.0
		_, err := runner.Train(context.Background(), compile(t, runner.Options{Dropout: &none}), m, src,
			runner.Config{Batch: 20, Evals: 240 * uint64(m.Replicas()), Sampling: s, KeepStatistics: true})
		if err != nil {
			t.Fatal(err)
		}
		bad, all := 0, 0
		for _, idx := range src.batches[60:] {
			for _, i := range idx {
				all++
				if i < 8 {
					bad++
				}
			}
		}
		return float64(bad) / float64(all)
	}
	sgd := &optimizer.SGD{LR: 0.05}
	odd, uniform := share(runner.Oddball, sgd), share(runner.Uniform, sgd)
	// The errors are those that the replica had which drew the mini-batch.
	if replicas := share(runner.Oddball, &optimizer.Parle{N: 2, L: 1, LR: 1, InnerLR: 0.05, Alpha: 1}); math.Abs(replicas-0.37) > 0.05 {
		t.Errorf("with replicas, Oddball draws the odd labels in %.2f of its draws; about 0.37 are due", replicas)
	}
	if math.Abs(odd-0.37) > 0.05 || math.Abs(uniform-0.2) > 0.05 {
		t.Errorf("Oddball draws the odd labels in %.2f of its draws, Uniform in %.2f; about 0.37 and 0.20 are due", odd, uniform)
	}
}

// The error of a sample does not depend on how many there are in its mini-batch: of equal samples, those of the last one of
// the first epoch, which is smaller, are not drawn more often.
func TestOddballOfASmallBatch(t *testing.T) {
	const n, batch = 300, 200
	inputs, targets := stripes(1)
	x := slices.Repeat(inputs[0].Float32s(), n)
	y := slices.Repeat(targets[0].Int64s(), n)
	memory, err := runner.NewMemory([]*tensor.Dense{tensor.New(tensor.WithShape(n, 1, 28, 28), tensor.WithBacking(x))},
		[]*tensor.Dense{tensor.New(tensor.WithShape(n), tensor.WithBacking(y))})
	if err != nil {
		t.Fatal(err)
	}
	src := &counted{Source: memory}
	_, err = runner.Train(context.Background(), compile(t, runner.Options{Dropout: new(float64)}), &optimizer.SGD{LR: 1e-20}, src,
		runner.Config{Batch: batch, Evals: 3, Sampling: runner.Oddball, KeepStatistics: true})
	if err != nil {
		t.Fatal(err)
	}
	drawn := 0.0
	for _, i := range src.batches[2] {
		if slices.Contains(src.batches[1], i) {
			drawn++
		}
	}
	if share, sd := drawn/batch, math.Sqrt(2.0/9/batch); math.Abs(share-1.0/3) > 4*sd {
		t.Errorf("a third of the samples is drawn in %.2f of the draws", share)
	}
}

// With a floor of 1 Oddball's weights are 1 and its draws uniform; the gradients must be those of the unweighted
// loss: a run that is given the same mini-batches in order ends at the same weights.
func TestOddballWeightsOfUniformDraws(t *testing.T) {
	src := &counted{Source: source(t, 40)}
	cfg := runner.Config{Batch: 20, Evals: 6, Sampling: runner.Oddball, OddballFloor: 1, OddballWeights: true, KeepStatistics: true}
	want, err := runner.Train(context.Background(), compile(t, runner.Options{}), entropy(), src, cfg)
	if err != nil {
		t.Fatal(err)
	}
	replay := &replayed{Source: source(t, 40), batches: src.batches}
	got, err := runner.Train(context.Background(), compile(t, runner.Options{}), entropy(), replay, runner.Config{Batch: 20, Evals: 6, KeepStatistics: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got.Weights {
		if d := math.Abs(float64(v - want.Weights[i])); d > 1e-5 {
			t.Fatalf("weight %d is %v, and %v without weights of samples", i, want.Weights[i], v)
		}
	}
}

// replayed gives recorded mini-batches, whatever is asked for.
type replayed struct {
	runner.Source
	batches [][]int
	next    int
}

func (r *replayed) Read(dst *runner.Batch, _ []int) error {
	r.next++
	return r.Source.Read(dst, r.batches[r.next-1])
}

// A sample's weight multiplies its part of the gradient: weights of 0 and 2 for halves of a batch give the gradient
// of the half. Dropout is off and statistics are of the batch, so both halves are read with equal inputs.
func TestSampleWeights(t *testing.T) {
	none := 0.0
	s := compile(t, runner.Options{Dropout: &none})
	var b runner.Batch
	if err := source(t, 20).Read(&b, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}); err != nil {
		t.Fatal(err)
	}
	y := b.Targets[0].Data().([]int64)
	x := s.Net().Weights()
	plain, weighted := make([]float32, s.Dim()), make([]float32, s.Dim())
	want, err := s.Grad(context.Background(), plain, x, &b, optimizer.Draw{})
	if err != nil {
		t.Fatal(err)
	}
	w := runner.Reuse(nil, b.Inputs[0].Dtype(), 20, nil)
	for i := range 10 {
		w.Float32s()[i] = 2
		y[10+i] = (y[10+i] + 1) % 10 // without weight, it does not matter
	}
	b.Targets = append(b.Targets, w)
	got, err := s.Grad(context.Background(), weighted, x, &b, optimizer.Draw{})
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got-want) > 1e-6*math.Abs(want) {
		t.Errorf("the loss is %v, want %v", got, want)
	}
	for i, v := range plain {
		if math.Abs(float64(v-weighted[i])) > 1e-4*(0.1+math.Abs(float64(v))) {
			t.Fatalf("gradient %d is %v, want %v", i, weighted[i], v)
		}
	}
}

func TestSamplingErrors(t *testing.T) {
	for want, cfg := range map[string]runner.Config{
		"InOrder has no effect with uniform": {InOrder: true, Sampling: runner.Uniform},
		"no effect with shuffle":             {OddballFloor: 0.1},
		"above 0":                            {Sampling: runner.Oddball, OddballWeights: true},
		"must be in [0, 1]":                  {Sampling: runner.Oddball, OddballFloor: 1.5},
	} {
		cfg.Batch, cfg.Evals = 20, 3
		_, err := runner.Train(context.Background(), compile(t, runner.Options{}), entropy(), source(t, 50), cfg)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, s := range []runner.Sampling{runner.Shuffle, runner.Uniform, runner.Oddball} {
		if got, err := runner.SamplingByName(s.String()); err != nil || got != s {
			t.Errorf("%v: %v, %v", s, got, err)
		}
	}
	if _, err := runner.SamplingByName("random"); err == nil {
		t.Error(`"random" is known`)
	}
}

// SAM's second gradient is of the samples of its first, also where the mean of several mini-batches is taken in between.
func TestOddballDrawsOnceForSAM(t *testing.T) {
	const k = 3
	for name, m := range map[string]optimizer.Settled{
		"sgd":   &optimizer.Accumulate{Base: optimizer.DefaultSAM(optimizer.DefaultSGD()), K: k},
		"parle": &optimizer.Accumulate{Base: optimizer.DefaultSAM(optimizer.DefaultElasticSGD()), K: k},
	} {
		src, n := &counted{Source: source(t, 40)}, k*m.Replicas()
		_, err := runner.Train(context.Background(), compile(t, runner.Options{}), m, src, runner.Config{Batch: 8, Evals: uint64(6 * n), Sampling: runner.Oddball,
			OddballFloor: 0.1, KeepStatistics: true})
		if err != nil {
			t.Fatal(err)
		}
		for i := range src.batches {
			if i/n%2 == 1 && !slices.Equal(src.batches[i], src.batches[i-n]) {
				t.Errorf("%s: gradient %d is of samples %v, and the first at this point was of %v", name, i, src.batches[i], src.batches[i-n])
			}
		}
	}
}
