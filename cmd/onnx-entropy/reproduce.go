package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gofrs/flock"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
)

type reproduceCmd struct {
	Name string `arg:"" enum:"mnistfc,mnistconv,allcnn,charlstm,ptb" help:"Experiment of the paper: mnistfc, mnistconv (its LeNet), allcnn, charlstm or ptb."`

	Data    string   `required:"" placeholder:"PATH" help:"Directory with the data: MNIST; CIFAR-10 for allcnn; War and Peace for charlstm; Penn Treebank's three parts for ptb."`
	Seeds   int      `default:"5" placeholder:"N" help:"Runs of each arm, with the seeds 1 to N (default ${default})."`
	Budget  *float64 `placeholder:"EPOCHS" help:"Passes over the data, counted in gradients, of every run (default: the paper's of each arm)."`
	Dir     string   `default:"reproduce" placeholder:"DIR" help:"Where runs, results.json and pictures go (default ${default}). What is there already is not done again."`
	Threads int      `placeholder:"N" help:"Threads; results do not depend on it (default: one a processor)."`
}

// A reproduced is the outcome of one run: a network, an arm and a seed.
type reproduced struct {
	Network   string  `json:"network"`
	Arm       string  `json:"arm"`
	Seed      int     `json:"seed"`
	Epochs    float64 `json:"epochs"`
	Error     float64 `json:"test_error"` // a fraction, at the last weights
	Loss      float64 `json:"test_loss"`
	Valid     *number `json:"valid_loss,omitempty"` // where a part is kept apart for validation
	Count     int     `json:"test_samples"`
	Gradients uint64  `json:"gradients"`
	Outer     uint64  `json:"outer_steps"`
	Seconds   float64 `json:"seconds,omitempty"` // of training, with evaluations; 0: not known, as of a run that shared its processors
	Threads   int     `json:"threads"`
	Command   string  `json:"command"` // without data and folders
	Version   string  `json:"version"`
	// Curve has the epoch, counted in gradients, and the test error of each evaluation; of text the loss on
	// the validation part.
	Curve [][2]float64 `json:"curve"`
}

// resultsName is the file of all outcomes.
const resultsName = "results.json"

// reproduceEvaluations is how often each run is evaluated, for the picture.
const reproduceEvaluations = 25

// Run does what is missing of the experiment, one run after the other, and shows the table.
func (c *reproduceCmd) Run(e *env) error {
	if c.Seeds < 1 {
		return usagef("--seeds is %d; it must be at least 1", c.Seeds)
	}
	if c.Budget != nil && !(*c.Budget > 0) {
		return usagef("--budget is %v; it must be above 0", *c.Budget)
	}
	x := experiments[c.Name]
	all, err := c.results()
	if err != nil {
		return err
	}
	for seed := 1; seed <= c.Seeds; seed++ {
		for _, a := range x.arms {
			if c.Budget != nil {
				a.epochs = *c.Budget
			}
			if find(all, x, a, seed) != nil {
				continue
			}
			e.printf("%s, %s, seed %d of %d", c.Name, a.name, seed, c.Seeds)
			r, err := c.run(e, a, seed)
			if err != nil {
				return fmt.Errorf("%w (the same command goes on from here)", err)
			}
			if all, err = c.add(*r); err != nil {
				return err
			}
			e.printf("")
		}
	}
	if err := c.picture(x, all); err != nil {
		return err
	}
	e.printf("%s", c.table(x, all))
	e.printf("Files      %s  %s", filepath.Join(c.Dir, resultsName), c.pictureName())
	return nil
}

func (c *reproduceCmd) results() (all []reproduced, err error) {
	err = report.ReadJSON(filepath.Join(c.Dir, resultsName), &all)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return all, err
}

// add appends an outcome to those that are there by now, which another program may have added to, and returns all.
func (c *reproduceCmd) add(r reproduced) (all []reproduced, err error) {
	lock := flock.New(filepath.Join(c.Dir, "."+resultsName+".lock"))
	if err := lock.Lock(); err != nil {
		return nil, fmt.Errorf("%s cannot be locked: %w", resultsName, err)
	}
	defer lock.Close()
	if all, err = c.results(); err != nil {
		return nil, err
	}
	all = append(all, r)
	return all, report.WriteJSON(filepath.Join(c.Dir, resultsName), all)
}

// find is the outcome of an arm and a seed, nil if there is none of the settings of today.
func find(all []reproduced, x experiment, a arm, seed int) *reproduced {
	for i := range all {
		if all[i].Command == a.command(x, seed) {
			return &all[i]
		}
	}
	return nil
}

// folder holds the run of an arm and a seed.
func (c *reproduceCmd) folder(a arm, seed int) string {
	return filepath.Join(c.Dir, c.Name, fmt.Sprintf("%s-%g-epochs-seed-%d", a.name, a.epochs, seed))
}

// run does the run of an arm and a seed, or what is left of it.
func (c *reproduceCmd) run(e *env, a arm, seed int) (*reproduced, error) {
	x := experiments[c.Name]
	command := a.command(x, seed)
	args := append(strings.Fields(command)[1:], "--data", c.Data, "--evaluations", strconv.Itoa(reproduceEvaluations))
	if !strings.Contains(x.flags, "--batch") { // the paper's, whatever the number of samples
		args = append(args, "--batch", "128")
	}
	if strings.Contains(x.flags, "--zca") { // fitted once for all runs
		path, err := filepath.Abs(filepath.Join(c.Dir, c.Name+".whitening.npy"))
		if err != nil {
			return nil, err
		}
		args = append(args, "--whitening", path)
	}
	folder := c.folder(a, seed)
	if run := begunRun(folder); run != "" {
		args = []string{"train", "--resume", run}
	} else if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	if c.Threads > 0 {
		args = append(args, "--threads", strconv.Itoa(c.Threads))
	}
	if err := runIn(e, folder, args); err != nil {
		return nil, err
	}
	run := begunRun(folder)
	var r result
	if err := report.ReadJSON(filepath.Join(run, report.ResultName), &r); err != nil {
		return nil, err
	}
	if r.Test == nil || r.Test.Error == nil {
		return nil, fmt.Errorf("%s has no test samples with labels", c.Data)
	}
	var cfg struct {
		Threads int `json:"threads"`
	}
	if err := report.ReadJSON(filepath.Join(run, report.ConfigName), &cfg); err != nil {
		return nil, err
	}
	points, err := curve(filepath.Join(run, report.MetricsName))
	if err != nil {
		return nil, err
	}
	done := &reproduced{
		Network: c.Name, Arm: a.name, Seed: seed, Epochs: a.epochs, Error: float64(*r.Test.Error), Loss: float64(r.Test.Loss), Count: r.Test.Count,
		Gradients: r.Gradients, Outer: r.Outer, Seconds: r.Seconds, Threads: cfg.Threads, Command: command, Version: version, Curve: points,
	}
	if r.Valid != nil {
		done.Valid = &r.Valid.Loss
	}
	return done, nil
}

// begunRun is the folder of the last run below root that can be gone on with, empty if there is none: one that was killed in
// its first moments has no checkpoint yet.
func begunRun(root string) string {
	all, _ := filepath.Glob(filepath.Join(root, "*", report.CheckpointsName, "*.ckpt")) // the pattern is a good one
	last, dir := 0, ""
	for _, path := range all {
		run := filepath.Dir(filepath.Dir(path))
		if n, err := strconv.Atoi(filepath.Base(run)); err == nil && n > last {
			last, dir = n, run
		}
	}
	return dir
}

// table shows the mean and the standard deviation of each arm beside the paper's.
func (c *reproduceCmd) table(x experiment, all []reproduced) string {
	rows := [][]string{{c.Name, "epochs", "runs", x.measure.name, "paper", "gradients", "minutes a run"}}
	for _, a := range x.arms {
		if c.Budget != nil {
			a.epochs = *c.Budget
		}
		var results, minutes []float64
		var gradients uint64
		for seed := 1; seed <= c.Seeds; seed++ {
			r := find(all, x, a, seed)
			results, minutes = append(results, x.measure.of(r.Error, r.Loss)), append(minutes, r.Seconds/60)
			gradients = r.Gradients
		}
		mean, sd := meanSD(results)
		took := "-"
		if m, _ := meanSD(minutes); !slices.Contains(minutes, 0) {
			took = fmt.Sprintf("%.1f", m)
		}
		rows = append(rows, []string{a.name, fmt.Sprintf("%g", a.epochs), fmt.Sprint(len(results)), x.measure.text(mean, sd, len(results)), a.result, report.Count(gradients), took})
	}
	return report.Table(rows, 1, 2, 5, 6)
}

// meanSD is the mean and the sample standard deviation.
func meanSD(x []float64) (mean, sd float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		sd += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(sd / float64(max(1, len(x)-1)))
}
