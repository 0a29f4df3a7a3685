package main

import (
	"bytes"
	"encoding/json"
	"image/png"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
)

// TestReproduce does an experiment with a small budget, twice: the second time nothing is left to do, and what was
// stopped is gone on with.
func TestReproduce(t *testing.T) {
	t.Chdir(t.TempDir())
	squaresDir(t, "data", 28)
	args := []string{"reproduce", "mnistconv", "--data", "data", "--budget", "4", "--seeds", "2"}
	// The squares are fewer than a batch of 128.
	if _, errs, code := call(t, args...); code != 2 || !strings.Contains(errs, "--batch") {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	images, labels := squares(130, 28, 1)
	write(t, "data/train-images-idx3-ubyte", idx(images, 130, 28, 28))
	write(t, "data/train-labels-idx1-ubyte", idx(labels, 130))
	// A run that was killed before its first checkpoint is begun anew.
	write(t, "reproduce/mnistconv/entropy-sgd-4-epochs-seed-1/1/config", []byte("{}"))
	out := must(t, args...)
	if !strings.Contains(out, "entropy-sgd  ") || !strings.Contains(out, "0.50 ± 0.01") || !strings.Contains(out, "reproduce/mnistconv.png") {
		t.Errorf("%s", out)
	}
	var all []reproduced
	if err := report.ReadJSON("reproduce/results.json", &all); err != nil || len(all) != 4 {
		t.Fatalf("%v; %d results", err, len(all))
	}
	if r := all[0]; r.Arm != "entropy-sgd" || r.Seed != 1 || r.Gradients != 20 || r.Count != 30 || len(r.Curve) == 0 || all[3].Arm != "adam" || all[3].Gradients != 8 {
		b, _ := json.Marshal(all)
		t.Errorf("%s", b)
	}
	picture, err := png.Decode(bytes.NewReader(read(t, "reproduce/mnistconv.png")))
	if err != nil || picture.Bounds().Dx() < 300 {
		t.Errorf("%v", err)
	}
	before := read(t, "reproduce/results.json")
	os.RemoveAll("reproduce/mnistconv") // the runs themselves are not needed again
	again := must(t, args...)
	if !bytes.Equal(read(t, "reproduce/results.json"), before) || strings.Contains(again, "Trained") {
		t.Errorf("what was done is done again:\n%s", again)
	}
}

// Programs that do different experiments in one folder keep each other's outcomes.
func TestReproducedTogether(t *testing.T) {
	c := &reproduceCmd{Dir: t.TempDir()}
	var wg sync.WaitGroup
	for seed := range 20 {
		wg.Go(func() {
			if _, err := c.add(reproduced{Seed: seed}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	all, err := c.results()
	if err != nil || len(all) != 20 {
		t.Errorf("%d of 20 outcomes: %v", len(all), err)
	}
}

// The results that the project shows are of the settings that it has.
func TestCommittedResults(t *testing.T) {
	var all []reproduced
	if err := report.ReadJSON("reproduced/"+resultsName, &all); err != nil || len(all) == 0 {
		t.Fatalf("%d results: %v", len(all), err)
	}
	seen := map[string]bool{}
	for _, r := range all {
		x := experiments[r.Network]
		k := slices.IndexFunc(x.arms, func(a arm) bool { return a.name == r.Arm })
		if k < 0 {
			t.Errorf("%s has no arm %s", r.Network, r.Arm)
			continue
		}
		a := x.arms[k]
		a.epochs = r.Epochs
		if want := a.command(x, r.Seed); r.Command != want {
			t.Errorf("a result of %q; today it is %q", r.Command, want)
		}
		if seen[r.Command] {
			t.Errorf("%q is there twice", r.Command)
		}
		seen[r.Command] = true
		if last := r.Curve[len(r.Curve)-1]; r.Count == 0 || r.Gradients == 0 || r.Valid == nil && last[1] != r.Error {
			t.Errorf("%q: %d test samples, %d gradients, error %v, at the end of the curve %v", r.Command, r.Count, r.Gradients, r.Error, last)
		}
	}
}

// A label says where its tick is: of the validation losses of charlstm, 1.25 was labelled 1.2 and 1.45 1.4.
func TestTicksAreLabelledExactly(t *testing.T) {
	for _, bounds := range [][2]float64{{1.2164, 1.652}, {0.0113, 0.0871}, {0.48, 2.1}, {1, 50}, {100, 6543210}} {
		labels := 0
		for _, tick := range (exactTicks{}).Ticks(bounds[0], bounds[1]) {
			if tick.Label == "" {
				continue
			}
			labels++
			if v, err := strconv.ParseFloat(tick.Label, 64); err != nil || math.Abs(v-tick.Value) > 1e-6*math.Abs(tick.Value) {
				t.Errorf("from %g to %g: %q stands at %g", bounds[0], bounds[1], tick.Label, tick.Value)
			}
		}
		if labels < 2 {
			t.Errorf("from %g to %g: %d labels", bounds[0], bounds[1], labels)
		}
	}
}

func TestMeanSD(t *testing.T) {
	mean, sd := meanSD([]float64{1.2, 1.4, 1.9, 1.5})
	if math.Abs(mean-1.5) > 1e-12 || math.Abs(sd-0.29439202887759486) > 1e-12 {
		t.Errorf("%v, %v", mean, sd)
	}
}

// Every arm is a command line that train takes, and every network is embedded.
func TestExperimentsParse(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, x := range experiments {
		for _, a := range x.arms {
			_, errs, code := call(t, append([]string{"train", x.model, "--data", "nowhere"}, strings.Fields(a.flags+" "+x.flags)...)...)
			if code != 1 || !strings.Contains(errs, "nowhere") {
				t.Errorf("%s, %s: exit code %d, %s", name, a.name, code, errs)
			}
		}
	}
}

// TestReproduceText does an experiment on text: the test part is measured at the end, validation on the way.
func TestReproduceText(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "book/poem.txt", poem(260))
	out := must(t, "reproduce", "charlstm", "--data", "book", "--budget", "2", "--seeds", "1")
	if !strings.Contains(out, "test loss, nats a character") || !strings.Contains(out, "entropy-adam  ") || !strings.Contains(out, "1.217 ± 0.005") {
		t.Errorf("%s", out)
	}
	var all []reproduced
	if err := report.ReadJSON("reproduce/results.json", &all); err != nil || len(all) != 2 {
		t.Fatalf("%v; %d results", err, len(all))
	}
	length := len(poem(260))
	for i, r := range all {
		if r.Valid == nil || len(r.Curve) == 0 || r.Curve[len(r.Curve)-1][1] != float64(*r.Valid) || r.Count != length-length*9/10-1 || !(r.Loss < 4.5) {
			t.Errorf("%+v", r)
		}
		if want := []uint64{5, 4}[i]; r.Gradients != want {
			t.Errorf("%s took %d gradients, want %d", r.Arm, r.Gradients, want)
		}
	}
}
