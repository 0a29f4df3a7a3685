package runner_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/fixture"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// build makes a net of a recorded network.
func build(t testing.TB, name string, o onnxload.Options) (*onnxload.Net, *runner.Batch) {
	t.Helper()
	file, e, err := fixture.Load("../onnxload/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	model, err := onnxload.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	o.Training = true
	net, err := model.Build(len(e.Labels), o)
	if err != nil {
		t.Fatal(err)
	}
	return net, &runner.Batch{
		Inputs:  []*tensor.Dense{tensor.New(tensor.WithShape(e.Input.Shape...), tensor.WithBacking(e.X))},
		Targets: []*tensor.Dense{tensor.New(tensor.WithShape(len(e.Labels)), tensor.WithBacking(e.Labels))},
	}
}

// The gradient of what is trained has the bits that it has when all is trained, for one query and for replicas.
func TestFrozenGradient(t *testing.T) {
	ctx := context.Background()
	all, b := build(t, "mnistconv_training", onnxload.Options{})
	some, _ := build(t, "mnistconv_training", onnxload.Options{Freeze: []string{"conv*"}})
	if len(some.Frozen) != 4 || len(some.Params) != len(all.Params)-4 {
		t.Fatalf("%d of %d parameters are frozen", len(some.Frozen), len(all.Params))
	}
	grads := map[*onnxload.Net][]optimizer.Result{}
	for _, net := range []*onnxload.Net{all, some} {
		s, err := runner.Compile(net, runner.CrossEntropy, runner.Options{Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		q := []optimizer.Query{{At: optimizer.Draw{Eval: 7}, Point: net.Weights()}, {At: optimizer.Draw{Eval: 8, Replica: 1}, Point: net.Weights()}}
		r := []optimizer.Result{{Grad: make([]float32, s.Dim())}, {Grad: make([]float32, s.Dim())}}
		if err := s.Grads(ctx, q, []*runner.Batch{b, b}, r); err != nil {
			t.Fatal(err)
		}
		grads[net] = r
	}
	for i := range 2 {
		if grads[all][i].Loss != grads[some][i].Loss {
			t.Errorf("losses %v and %v", grads[all][i].Loss, grads[some][i].Loss)
		}
		for _, p := range some.Params {
			k := slices.IndexFunc(all.Params, func(q onnxload.Param) bool { return q.Name == p.Name })
			if q := all.Params[k]; !slices.Equal(grads[some][i].Grad[p.From:p.To], grads[all][i].Grad[q.From:q.To]) {
				t.Errorf("the gradient of %q differs", p.Name)
			}
		}
	}
}

func TestAllFrozen(t *testing.T) {
	net, _ := build(t, "mnistconv_training", onnxload.Options{Freeze: []string{"*"}})
	if _, err := runner.Compile(net, runner.CrossEntropy, runner.Options{}); err == nil || err.Error() != "runner: all 14 parameters are frozen, so there is nothing to train" {
		t.Error(err)
	}
}

// A checkpoint is not for a run that trains other parameters, or has other frozen weights.
func TestFrozenSetOfCheckpoint(t *testing.T) {
	dir := t.TempDir()
	try := func(resume bool, freeze ...string) error {
		net, b := build(t, "mnistconv_training", onnxload.Options{Freeze: freeze})
		s, err := runner.Compile(net, runner.CrossEntropy, runner.Options{})
		if err != nil {
			t.Fatal(err)
		}
		src, err := runner.NewMemory(b.Inputs, b.Targets)
		if err != nil {
			t.Fatal(err)
		}
		_, err = runner.Train(context.Background(), s, &optimizer.SGD{LR: 0.01}, src,
			runner.Config{Batch: 4, Evals: 2, Checkpoints: &runner.Checkpoints{Dir: dir, Resume: resume}})
		return err
	}
	if err := try(false, "conv*"); err != nil {
		t.Fatal(err)
	}
	for _, freeze := range [][]string{nil, {"conv1*"}, {"fc*"}} {
		var m *runner.MismatchError
		if err := try(true, freeze...); !errors.As(err, &m) || m.What != "frozen set" {
			t.Errorf("resumed with %q frozen: %v", freeze, err)
		}
	}
	if err := try(true, "conv1*", "conv2*"); err != nil {
		t.Error(err)
	}
}

// One gradient of mnistconv with all, and with the last layer alone trained; and of allcnn.
func BenchmarkFrozenGradient(b *testing.B) {
	for _, c := range []struct{ name, trainable string }{{"mnistconv", "*"}, {"mnistconv", "fc2*"}, {"allcnn", "*"}, {"allcnn", "conv9*"}} {
		b.Run(c.name+"/"+c.trainable, func(b *testing.B) {
			f := gradientOf(b, c.name, 128, 2, onnxload.Options{Trainable: []string{c.trainable}})
			f()
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
