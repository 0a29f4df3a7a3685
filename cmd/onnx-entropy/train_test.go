package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onnx-entropy/onnx-entropy/onnxload"
)

// workDir is a fresh directory with a linear model m.onnx and data of its size in data, and is the current one.
func workDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "m.onnx", newLinear(6).onnx())
	squaresDir(t, "data", 6)
	return dir
}

func TestTrainEvalPredict(t *testing.T) {
	dir := workDir(t)
	before := files(t, dir)
	out := must(t, "train", "m.onnx", "--data", "data", "--epochs", "40", "--batch", "16", "--out", "trained.onnx", "--threads", "1")
	for _, want := range []string{"m.onnx (file), 111 weights", "60 training samples and 30 test samples of 1x6x6 in 3 classes",
		"160 gradients of 16 samples on 1 thread", "test error 0.00 %", "160 gradient evaluations, 8 outer steps",
		"trained.onnx  runs/1/trained.onnx  runs/1/best.onnx  runs/1/metrics.jsonl  runs/1/config"} {
		if !strings.Contains(filepath.ToSlash(out), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	if got, want := files(t, dir), before+" runs runs/1 runs/1/best.onnx runs/1/checkpoints runs/1/config runs/1/metrics.jsonl runs/1/result runs/1/trained.onnx trained.onnx"; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
	if !bytes.Equal(read(t, "trained.onnx"), read(t, "runs/1/trained.onnx")) {
		t.Error("--out and the run's folder hold different models")
	}
	checkMetrics(t, read(t, "runs/1/metrics.jsonl"))
	var c config
	if err := json.Unmarshal(read(t, "runs/1/config"), &c); err != nil || c.Gradients != 160 || c.Settings["langevin_steps"] != "20" || c.Data.Test.Samples != 30 {
		t.Errorf("config %+v, %v", c, err)
	}

	if out := must(t, "eval", "trained.onnx", "--data", "data"); !strings.Contains(out, "error 0.00 %  count 30\n") {
		t.Errorf("eval prints %q", out)
	}
	checkEval(t)
}

// checkEval compares eval of the untrained model with what its predictions say, and the batches with each other.
func checkEval(t *testing.T) {
	t.Helper()
	csv := must(t, "predict", "m.onnx", "--data", "data")
	rows := strings.Split(strings.TrimSpace(csv), "\n")
	if rows[0] != "y_0,y_1,y_2" || len(rows) != 31 {
		t.Fatalf("predict prints %d rows under %q", len(rows)-1, rows[0])
	}
	_, labels := squares(30, 6, 30)
	wrong := 0
	for i, row := range rows[1:] {
		best, most := 0, -1e30
		for k, s := range strings.Split(row, ",") {
			if v, err := strconv.ParseFloat(s, 64); err != nil {
				t.Fatal(err)
			} else if v > most {
				best, most = k, v
			}
		}
		if best != int(labels[i]) {
			wrong++
		}
	}
	var first evaluation
	for _, batch := range []string{"256", "2000000000", "7"} {
		var e evaluation
		if err := json.Unmarshal([]byte(must(t, "eval", "m.onnx", "--data", "data", "--json", "--batch", batch)), &e); err != nil {
			t.Fatal(err)
		}
		if e.Count != 30 || float64(*e.Error) != float64(wrong)/30 {
			t.Errorf("batch %s: eval says %+v with error %v; %d of 30 predictions are wrong", batch, e, *e.Error, wrong)
		}
		if batch == "256" {
			first = e
		} else if d := float64(e.Loss - first.Loss); d > 1e-5 || d < -1e-5 {
			t.Errorf("loss %v in batches of 7, %v at once", e.Loss, first.Loss)
		}
	}
}

func checkMetrics(t *testing.T, b []byte) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 8 {
		t.Fatalf("%d lines of metrics for 8 outer steps", len(lines))
	}
	tests := 0
	for i, line := range lines {
		var m metrics
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if m.Outer != uint64(i+1) || m.Evals != 20*m.Outer || m.Epoch != float64(m.Evals)/4 || m.LR != 1 || m.Gamma == nil {
			t.Errorf("line %d of metrics is %s", i, line)
		}
		if m.Test != nil {
			tests++
		}
	}
	if tests < 2 || tests > 10 {
		t.Errorf("%d evaluations in a run", tests)
	}
}

// The file must not tell where, when or how fast it was made.
func TestSameRunSameBytes(t *testing.T) {
	workDir(t)
	args := []string{"train", "m.onnx", "--data", "data", "--epochs", "5", "--batch", "16"}
	must(t, append(args, "--threads", "1")...)
	must(t, append(args, "--threads", "2", "--out", "elsewhere.onnx")...)
	if !bytes.Equal(read(t, "runs/1/trained.onnx"), read(t, "runs/2/trained.onnx")) {
		t.Error("one and two threads give different files")
	}
	must(t, append(args, "--seed", "2")...)
	if bytes.Equal(read(t, "runs/1/trained.onnx"), read(t, "runs/3/trained.onnx")) {
		t.Error("another seed gives the same file")
	}
}

func TestTransformIsRecordedAndReused(t *testing.T) {
	workDir(t)
	must(t, "train", "m.onnx", "--data", "data", "--batch", "16", "--epochs", "20", "--scale", "0.01", "--mean", "0.7", "--std", "0.5", "--out", "t.onnx")
	m, err := openModel("t.onnx")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{metaScale: "0.01", metaMean: "0.7", metaStd: "0.5", metaInput: "uint8",
		"onnx_entropy.optimizer": "entropy-sgd", "onnx_entropy.seed": "1", "onnx_entropy.gradient_evaluations": "80", "onnx_entropy.outer_steps": "4",
		"onnx_entropy.loss": "cross-entropy", "onnx_entropy.version": version} {
		if m.meta[key] != want {
			t.Errorf("metadata %s is %q, want %q", key, m.meta[key], want)
		}
	}
	recorded := must(t, "eval", "t.onnx", "--json", "--data", "data")
	if same := must(t, "eval", "t.onnx", "--json", "--data", "data", "--scale", "0.01", "--mean", "0.7", "--std", "0.5"); same != recorded {
		t.Errorf("eval prints %q, and with the flags of training %q", recorded, same)
	}
	if other := must(t, "eval", "t.onnx", "--json", "--data", "data", "--mean", "0"); other == recorded {
		t.Error("a flag does not win over what is recorded")
	}
}

func TestTrainWithSGDAndSchedules(t *testing.T) {
	workDir(t)
	out := must(t, "train", "m.onnx", "--data", "data", "--optimizer", "sgd", "--batch", "16", "--epochs", "10", "--lr-schedule", "cosine", "--weight-decay", "0.001")
	if !strings.Contains(out, "sgd: lr 0.1, momentum 0.9, weight-decay 0.001, lr-schedule cosine") || !strings.Contains(out, "40 gradient evaluations, 40 outer steps") {
		t.Errorf("%s", out)
	}
	var lrs []float64
	for line := range strings.Lines(string(read(t, "runs/1/metrics.jsonl"))) {
		var m metrics
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.Gamma != nil {
			t.Fatalf("%s: %v", line, err)
		}
		lrs = append(lrs, m.LR)
	}
	if lrs[0] != 0.1 || lrs[20] < 0.0499 || lrs[20] > 0.0501 || lrs[39] > 0.001 {
		t.Errorf("the rates of cosine are %v", lrs)
	}
}

func TestMaxOuter(t *testing.T) {
	workDir(t)
	out := must(t, "train", "m.onnx", "--data", "data", "--max-outer", "2", "-L", "3", "--batch", "16")
	if !strings.Contains(out, "6 gradient evaluations, 2 outer steps") {
		t.Errorf("%s", out)
	}
}

func TestWithoutTestSamples(t *testing.T) {
	workDir(t)
	images, labels := squares(40, 6, 1)
	write(t, "only/train-images-idx3-ubyte", idx(images, 40, 6, 6))
	write(t, "only/train-labels-idx1-ubyte", idx(labels, 40))
	if out := must(t, "train", "m.onnx", "--data", "only", "--epochs", "10", "--batch", "16"); !strings.Contains(out, "there are no test samples, so no error was measured") {
		t.Errorf("%s", out)
	}
	_, errs, _ := call(t, "eval", "m.onnx", "--data", "only")
	if !strings.Contains(errs, "only has no test samples") {
		t.Errorf("eval says %q", errs)
	}
}

func TestReinitAndDropout(t *testing.T) {
	workDir(t)
	l := newLinear(6)
	l.dropout = true
	write(t, "d.onnx", l.onnx())
	train := func(args ...string) string {
		t.Helper()
		must(t, append([]string{"train", "d.onnx", "--data", "data", "--epochs", "5", "--batch", "16", "--out", "o.onnx"}, args...)...)
		return must(t, "eval", "o.onnx", "--data", "data", "--json")
	}
	results := map[string]bool{train(): true, train("--dropout", "0"): true, train("--reinit", "1"): true, train("--reinit", "2"): true}
	if len(results) != 4 {
		t.Errorf("four kinds of run give %d results: %v", len(results), results)
	}
}

// Fewer samples than a gradient takes by default are all taken, and so they are when the run is resumed.
func TestFewSamples(t *testing.T) {
	workDir(t)
	if out := must(t, "train", "m.onnx", "--data", "data", "--epochs", "25"); !strings.Contains(out, "gradients of 60 samples") {
		t.Error(out)
	}
	var config struct{ Command trainCmd }
	if err := json.Unmarshal(read(t, "runs/1/config"), &config); err != nil || config.Command.Batch != 60 {
		t.Errorf("a resumed run would take %d samples (%v)", config.Command.Batch, err)
	}
}

// A run that is stopped before there is anything to keep says so.
func TestStoppedEarly(t *testing.T) {
	workDir(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, errs, code := callContext(t, ctx, "train", "m.onnx", "--data", "data")
	if code != 1 || !strings.Contains(errs, "interrupted before there was a result; nothing was written") {
		t.Errorf("exit code %d, %q", code, errs)
	}
}

// The errors of samples, which choose the next ones, are those of the logits where the loss is taken from these.
func TestOddballBeforeSoftmax(t *testing.T) {
	workDir(t)
	l := newLinear(6)
	var out []string
	for _, l.last = range []string{"", "Softmax", "LogSoftmax"} {
		write(t, "l.onnx", l.onnx())
		must(t, "train", "l.onnx", "--data", "data", "--epochs", "5", "--batch", "16", "--sampler", "oddball", "--out", "o.onnx")
		m, err := openModel("o.onnx")
		if err != nil {
			t.Fatal(err)
		}
		net, err := m.build(1, onnxload.Options{})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(net.Weights()))
	}
	if out[1] != out[0] || out[2] != out[0] {
		t.Error("with and without a final Softmax or LogSoftmax the weights differ")
	}
}

// An interrupted run keeps the weights of the last whole outer step, under a name that says so.
func TestInterrupt(t *testing.T) {
	dir := workDir(t)
	before := files(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, errs, code := callContext(t, ctx, "train", "m.onnx", "--data", "data", "--batch", "16")
	if code != 1 || files(t, dir) != before {
		t.Errorf("at once: exit code %d, %q, files %s", code, errs, files(t, dir))
	}

	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for ; ; time.Sleep(time.Millisecond) {
			if b, err := readIfThere("runs/1/metrics.jsonl"); err == nil && bytes.Count(b, []byte("\n")) >= 3 {
				cancel()
				return
			}
		}
	}()
	_, errs, code = callContext(t, ctx, "train", "m.onnx", "--data", "data", "--batch", "16", "--epochs", "10000000", "--scoping", "0", "--out", "o.onnx")
	if code != 1 || !strings.Contains(errs, "interrupted after") || !strings.Contains(filepath.ToSlash(errs), "runs/1/interrupted.onnx") {
		t.Errorf("exit code %d, %q", code, errs)
	}
	if got, want := files(t, dir), before+" runs runs/1 runs/1/checkpoints runs/1/config runs/1/interrupted.onnx runs/1/metrics.jsonl"; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
	must(t, "eval", "runs/1/interrupted.onnx", "--data", "data")
}

// The default run, with less than half of its budget.
func TestDefaultRunLearns(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a convolutional network for four epochs")
	}
	dir := t.TempDir()
	t.Chdir(dir)
	out := must(t, "train", "--epochs", "4")
	_, after, ok := strings.Cut(out, "Trained    test error ")
	percent, err := strconv.ParseFloat(strings.Fields(after + " ?")[0], 64)
	if !ok || err != nil || percent > 2 {
		t.Errorf("test error %v %% after 4 epochs, want at most 2:\n%s", percent, out)
	}
	if got := files(t, dir); got != "runs runs/1 runs/1/best.onnx runs/1/checkpoints runs/1/config runs/1/metrics.jsonl runs/1/result runs/1/trained.onnx" {
		t.Errorf("files %s", got)
	}
}

// Epochs of fewer gradients than an outer step takes are said to be more.
func TestFewGradients(t *testing.T) {
	workDir(t)
	const note = "note: 2 epochs would be 2 gradients, and an outer step of entropy-sgd takes 20: the run is as long as that; a smaller --batch makes an epoch of more gradients.\n"
	for batch, want := range map[string]bool{"60": true, "6": false} {
		if _, errs, code := call(t, "train", "m.onnx", "--data", "data", "--epochs", "2", "--batch", batch); code != 0 || strings.Contains(errs, note) != want {
			t.Errorf("--batch %s: %d, %s", batch, code, errs)
		}
	}
}
