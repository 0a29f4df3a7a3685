package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// A network with one number a sample is trained on labels of 0 and 1 with the binary cross-entropy, from logits and from their
// Sigmoid to the same weights; eval finds the loss and the wrong decisions that follow from these weights.
func TestBinaryLabels(t *testing.T) {
	workDir(t)
	const side, n = 6, 90
	images, labels := squares(n, side, 3)
	for i, l := range labels {
		labels[i] = min(l, 1)
		if i%9 == 0 {
			labels[i] = 1 - labels[i] // which no weights get right
		}
	}
	data := func(dir string) {
		write(t, filepath.Join(dir, "train-images-idx3-ubyte"), idx(images, n, side, side))
		write(t, filepath.Join(dir, "train-labels-idx1-ubyte"), idx(labels, n))
	}
	data("binary")
	l := newLinear(side)
	l.weights, l.bias = l.weights[:side*side], l.bias[:1]
	var trained [][]float32
	for _, l.last = range []string{"", "Sigmoid"} {
		write(t, "b.onnx", l.onnx())
		out := must(t, "train", "b.onnx", "--data", "binary", "--epochs", "3", "--batch", "16", "--sampler", "oddball", "--out", "o.onnx")
		if !strings.Contains(out, "loss bce") || strings.Contains(out, "before the final Sigmoid, from its logits") != (l.last != "") {
			t.Error(out)
		}
		m, err := openModel("o.onnx")
		if err != nil {
			t.Fatal(err)
		}
		net, err := m.build(1, onnxload.Options{})
		if err != nil {
			t.Fatal(err)
		}
		w := net.Weights() // those of the Gemm, then its bias
		trained = append(trained, w)
		var loss, wrong float64
		for i, label := range labels {
			z := float64(w[side*side])
			for k, v := range images[i*side*side : (i+1)*side*side] {
				z += float64(w[k]) * float64(v) / 255
			}
			loss -= math.Log(1/(1+math.Exp(z*float64(1-2*int(label))))) / n
			if (z > 0) != (label == 1) {
				wrong++
			}
		}
		var got struct {
			Loss, Error float64
			Count       int
		}
		if err := json.Unmarshal([]byte(must(t, "eval", "o.onnx", "--data", "binary", "--json")), &got); err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.Loss-loss) > 1e-5*loss || math.Abs(got.Error-wrong/n) > 1e-9 || got.Count != n || wrong == n || wrong == 0 {
			t.Errorf("eval finds %+v, want loss %v, %v of %d wrong", got, loss, wrong, n)
		}
	}
	if fmt.Sprint(trained[0]) != fmt.Sprint(trained[1]) {
		t.Error("with and without a final Sigmoid the weights differ")
	}

	labels[7] = 2
	data("three")
	for _, c := range []struct {
		want string
		args []string
	}{
		{"the label of sample 7 is 2, and the loss bce wants 0 or 1", []string{"--data", "three"}},
		{" is 1, and b.onnx has 1 class", []string{"--data", "three", "--loss", "cross-entropy"}},
		{"--label-smoothing has no effect with the loss bce", []string{"--data", "binary", "--label-smoothing", "0.1"}},
	} {
		if _, errs, code := call(t, append([]string{"train", "b.onnx", "--batch", "16"}, c.args...)...); code == 0 || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit code %d, %q; want %q", c.args, code, errs, c.want)
		}
	}
}

// Several decisions a sample, with targets between 0 and 1 too.
func TestBinaryTargets(t *testing.T) {
	workDir(t)
	const side, n = 6, 40
	images, _ := squares(n, side, 4)
	x, y := make([]float32, len(images)), make([]float32, 3*n)
	for i, v := range images {
		x[i] = float32(v) / 255
	}
	for i := range y {
		y[i] = []float32{0, 1, 0.25}[(i*7+i/3)%3]
	}
	write(t, "x.npy", npy(t, x, n, 1, side, side))
	write(t, "y.npy", npy(t, y, n, 3))
	l := newLinear(side)
	l.last = "Sigmoid"
	write(t, "b.onnx", l.onnx())
	must(t, "train", "b.onnx", "--data", "x.npy", "--loss", "bce", "--epochs", "2", "--batch", "16", "--out", "o.onnx")
	if got := must(t, "eval", "o.onnx", "--data", "x.npy"); !strings.Contains(got, "count 120") || !strings.Contains(got, "error") {
		t.Errorf("eval prints %q", got)
	}
	y[5] = 1.5
	write(t, "y.npy", npy(t, y, n, 3))
	if _, errs, code := call(t, "train", "b.onnx", "--data", "x.npy", "--loss", "bce", "--batch", "16"); code != 1 || !strings.Contains(errs, "a target of sample 1 is 1.5, and the loss bce wants 0 to 1") {
		t.Errorf("exit code %d, %q", code, errs)
	}
}

func npy(t *testing.T, v []float32, shape ...int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := dataset.WriteNPY(&b, shape, v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
