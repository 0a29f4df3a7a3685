package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// checkpointFlags say how a run survives what may happen to it.
type checkpointFlags struct {
	CheckpointEvery string `group:"Run:" default:"1m" placeholder:"T|N" help:"Save the run after each time T (30s, 10m) or N gradients, to be resumed (default ${default}; 0: at the start and when interrupted)."`
	Keep            int    `group:"Run:" default:"2" placeholder:"N" help:"How many of the last checkpoints stay, besides the best (default ${default})."`
	Resume          string `group:"Run:" placeholder:"RUN" help:"Go on with the run in folder RUN, with its own settings; of others only --threads, --checkpoint-every, --keep and --max-memory may be given."`
	OnNaN           string `group:"Run:" name:"on-nan" default:"stop" enum:"stop,rollback" placeholder:"NAME" help:"When the loss or gradient is NaN or infinite: stop, or go back to a good state and on with the next mini-batches (default ${default})."`
}

// interval reads --checkpoint-every.
func (f *checkpointFlags) interval() (every time.Duration, gradients uint64, err error) {
	if gradients, err = strconv.ParseUint(f.CheckpointEvery, 10, 64); err == nil {
		return 0, gradients, nil
	}
	if every, err = time.ParseDuration(f.CheckpointEvery); err != nil || every <= 0 {
		return 0, 0, usagef("--checkpoint-every is %q; give a time such as 30s or 10m, or a number of gradients", f.CheckpointEvery)
	}
	return every, 0, nil
}

// check finds values that are wrong.
func (f *checkpointFlags) check() error {
	if f.Keep < 1 {
		return usagef("--keep is %d; it must be at least 1", f.Keep)
	}
	_, _, err := f.interval()
	return err
}

// resume goes on with a run that was stopped. A finished one is left as it is.
func (c *trainCmd) resume(e *env, k *kong.Context) error {
	if c.Model != "" {
		return usagef("MODEL cannot be given with --resume, which keeps the run's own")
	}
	given := map[string]bool{}
	for _, p := range k.Path {
		if p.Flag != nil {
			given[p.Flag.Name] = true
		}
	}
	for name := range given {
		if name != "resume" && name != "threads" && name != "checkpoint-every" && name != "keep" && name != "max-memory" {
			return usagef("--%s has no effect with --resume, which keeps the run's own settings", name)
		}
	}
	run, err := report.OpenRun(filepath.Clean(c.Resume))
	if err != nil {
		return err
	}
	var done result
	if err := run.ReadJSON(report.ResultName, &done); err == nil {
		defer run.Close()
		return done.again(e, run)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, run.Close())
	}
	var saved struct{ Command *trainCmd }
	if err := run.ReadJSON(report.ConfigName, &saved); err != nil {
		return errors.Join(fmt.Errorf("%w; the run cannot be resumed without it", err), run.Close())
	}
	if saved.Command == nil {
		return errors.Join(fmt.Errorf("%s does not say how the run was started; it cannot be resumed", run.Path(report.ConfigName)), run.Close())
	}
	old := saved.Command
	old.Resume = c.Resume
	if given["threads"] {
		old.Threads = c.Threads
	}
	if given["checkpoint-every"] {
		old.CheckpointEvery = c.CheckpointEvery
	}
	if given["keep"] || old.Keep == 0 { // runs once had no such number
		old.Keep = c.Keep
	}
	if given["max-memory"] {
		old.MaxMemory = c.MaxMemory
	}
	t, err := old.prepare(e)
	if err != nil {
		return errors.Join(err, run.Close())
	}
	t.run = run
	return t.train(e)
}

// command is the command line with paths that hold in any directory.
func (c *trainCmd) command() *trainCmd {
	abs := *c
	for _, p := range []*string{&abs.Model, &abs.Data, &abs.Out, &abs.Whitening} {
		if *p == "" || p != &abs.Out && !exists(*p) || p == &abs.Model && embedded(*p) {
			continue
		}
		if full, err := filepath.Abs(*p); err == nil {
			*p = full
		}
	}
	return &abs
}

// carried is what a checkpoint keeps for the command line.
type carried struct {
	Evals   uint64  `json:"evals"`
	Log     int64   `json:"log"`     // bytes of metrics.jsonl
	Seconds float64 `json:"seconds"` // of training so far
}

// checkpoints makes the run one that can be resumed.
func (t *training) checkpoints(e *env, w *watch) (*runner.Checkpoints, error) {
	every, gradients, err := t.interval()
	if err != nil {
		return nil, err
	}
	id := map[string]string{
		"model":     t.config().Model.SHA256,
		"loss":      t.loss,
		"optimizer": t.Optimizer,
	}
	t.digests(id)
	var s []string
	for _, v := range t.settings(t.method) {
		s = append(s, v.name+" "+v.value)
	}
	id["settings"] = strings.Join(s, ", ")
	if t.net.Output() != 0 {
		id["output"] = t.model.output
	}
	if t.Head != nil {
		id["head"] = fmt.Sprintf("%d classes", *t.Head)
	}
	return &runner.Checkpoints{
		Dir: t.run.Path(report.CheckpointsName), Every: every, Gradients: gradients, Keep: t.Keep, Resume: t.Resume != "", Identity: id,
		Best: func(rep *runner.Report) error { return t.export(rep, t.run.Path(report.BestName)) },
		Extra: func() ([]byte, error) {
			size, err := t.run.LogSize()
			if err != nil {
				return nil, err
			}
			return json.Marshal(carried{w.evals, size, w.seconds()})
		},
		Restore: func(b []byte) error {
			var c carried
			if err := json.Unmarshal(b, &c); err != nil {
				return err
			}
			if err := t.run.CutLog(c.Log); err != nil {
				return err
			}
			w.before = c.Seconds
			w.progress.Begin(c.Evals)
			w.progress.Line("Resumed    at gradient %s of %s", report.Count(c.Evals), report.Count(t.cfg.Evals))
			return nil
		},
		Warn: func(err error) { w.progress.Line("warning: %s", message(err)) },
	}, nil
}

// digests puts those of the data into a run's identity.
func (t *training) digests(id map[string]string) {
	if t.text != nil {
		id["training data"], id["validation data"], id["test data"] = t.text.digest(t.text.train), t.text.digest(t.text.valid), t.text.digest(t.text.test)
		return
	}
	id["training data"] = t.data.Train.Digest()
	if t.data.Test != nil {
		id["test data"] = t.data.Test.Digest()
	}
	if t.data.Valid != nil {
		id["validation data"] = t.data.Valid.Digest()
	}
}

// A result is the outcome of a finished run, as its folder keeps it. That it is there tells that the run is
// finished.
type result struct {
	Gradients uint64      `json:"gradients"`
	Outer     uint64      `json:"outer"`
	Loss      number      `json:"loss"`
	Test      *evaluation `json:"test,omitempty"`
	Valid     *evaluation `json:"valid,omitempty"` // of data with a validation part
	Rollbacks int         `json:"rollbacks,omitempty"`
	Seconds   float64     `json:"seconds"` // of training
	Out       string      `json:"out,omitempty"`
	Pending   bool        `json:"pending,omitempty"` // whether Out is still to be written
}

// again answers the wish to resume a finished run.
func (r *result) again(e *env, run *report.Run) error {
	trained := run.Path(report.TrainedName)
	if r.Pending {
		m, err := onnxload.ParseFile(trained)
		if err != nil {
			return err
		}
		f, err := m.Files(dataName(r.Out))
		if err != nil {
			return err
		}
		if err := writeModel(r.Out, f); err != nil {
			return err
		}
		r.Pending = false
		if err := run.WriteJSON(report.ResultName, r); err != nil {
			return err
		}
	}
	files := trained
	if r.Out != "" {
		files = r.Out + "  " + trained
	}
	e.printf("%s is finished: %s, %s; there is nothing to do", run.Dir,
		report.Plural(r.Gradients, "gradient evaluation", "gradient evaluations"), report.Plural(r.Outer, "outer step", "outer steps"))
	e.printf("Files      %s", files)
	return nil
}
