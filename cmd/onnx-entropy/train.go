package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/optimizer"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

type trainCmd struct {
	Model string `arg:"" optional:"" help:"ONNX file, or the name of an embedded model (see: onnx-entropy models). Without it: mnistconv, on built-in digits unless there is --data."`

	dataFlags    `embed:""`
	whitenFlags  `embed:""`
	NoShuffle    bool `group:"Data:" help:"Take the samples in file order in every epoch."`
	samplerFlags `embed:""`
	textFlags    `embed:""`
	BatchFlag    *int   `name:"batch" json:"-" group:"Data:" placeholder:"N" help:"Samples a gradient (default 128, or all if there are fewer). The last batch of an epoch has the rest."`
	Batch        int    `kong:"-"` // what it comes to; 0 until the data are read
	Loss         string `group:"Data:" default:"" enum:",cross-entropy,nll,bce,mse" placeholder:"NAME" help:"cross-entropy, nll (the model ends in LogSoftmax), bce (yes or no for each output) or mse (default: mse if the data hold target values, bce if the model gives one number a label, else cross-entropy)."`

	LabelSmoothing float64 `group:"Data:" placeholder:"X" help:"Weight of all classes alike in the target, while training (default 0)."`

	methodFlags `embed:""`

	Epochs   *float64 `group:"Run:" placeholder:"X" help:"Passes over the data, counted in gradients, rounded up to whole outer steps (default 5; built-in digits: ${digits_epochs})."`
	MaxOuter *uint64  `group:"Run:" placeholder:"N" help:"End after N outer steps."`
	Seed     uint64   `group:"Run:" default:"1" placeholder:"SEED" help:"Of the order of samples, dropout and noise (default ${default})."`
	Reinit   *uint64  `group:"Run:" placeholder:"SEED" help:"Start from new weights, drawn as PyTorch does by default, and not from the file's."`
	Threads  int      `group:"Run:" placeholder:"N" help:"Threads; the result does not depend on it (default: one a processor)."`

	Evaluations int `group:"Run:" default:"8" placeholder:"N" help:"About how often to measure the test samples, at most once an epoch (default ${default})."`

	checkpointFlags `embed:""`
	graphFlags      `embed:"" group:"Run:"`

	outputFlag    `embed:"" group:"Fine-tuning:"`
	finetuneFlags `embed:""`

	root string // where the folder of the run is made; empty: runsDir

	Export string `group:"Output:" default:"inference" enum:"same,inference" placeholder:"NAME" help:"Mode of the written file: inference, or same as it came (default ${default})."`
	Out    string `group:"Output:" short:"o" placeholder:"FILE" help:"Write the trained model to FILE too (and to FILE.data if the model came with its tensors in other files). The run's folder runs/N is always made."`
}

// defaultModel is trained when no model is named.
const defaultModel = "mnistconv"

// Default lengths of a run.
const (
	defaultEpochs = 5
	digitsEpochs  = 10
)

// runsDir is where the folders of runs are made.
const runsDir = "runs"

// Run trains.
func (c *trainCmd) Run(e *env, k *kong.Context) error {
	if c.Resume != "" {
		return c.resume(e, k)
	}
	t, err := c.prepare(e)
	if err != nil {
		return err
	}
	return t.train(e)
}

// A training is a run of train whose arguments were found to fit each other.
type training struct {
	*trainCmd
	model   *model
	head    *onnxload.Head // the layer that --head replaced
	net     *onnxload.Net
	step    *runner.Step
	data    *dataset.Data // nil if text is not
	text    *text
	source  runner.Source
	test    runner.Source // measured during the run, validation if there is any; nil if there is nothing to
	final   runner.Source // measured at its end: the test part if validation is apart, else nil
	loss    string
	method  optimizer.Settled
	cfg     runner.Config
	asked   uint64 // gradients that the epochs come to, before outer steps are made whole
	threads int
	run     *report.Run
	tested  *evaluation // of final

	whitening *dataset.Whitening // nil if the samples are as they are
	inputs    map[string]string  // metadata of how stored samples become inputs,
	stored    string             // and what is said of it
}

// prepare finds out everything that can go wrong before anything is written.
func (c *trainCmd) prepare(e *env) (*training, error) {
	t := &training{trainCmd: c}
	if err := c.check(); err != nil {
		return nil, err
	}
	var err error
	if c.Model == "" {
		t.model, err = openEmbedded(defaultModel)
		if c.Data == "" {
			c.Data = builtinDigits
		}
	} else {
		t.model, err = openModel(c.Model)
	}
	if err != nil {
		return nil, err
	}
	if err := c.bound(t.model); err != nil {
		return nil, err
	}
	if err := c.choose(t.model); err != nil {
		return nil, err
	}
	if err := t.adapt(); err != nil {
		return nil, err
	}
	if c.Data == "" {
		return nil, &usageError{err: c.noData(t.model)}
	}
	if c.ratio != nil && t.model.DropoutNodes() == 0 {
		return nil, usagef("--dropout has no effect: %s has no Dropout node; export it in training mode to keep them, or insert some by --dropout NODE=P", t.model.label)
	}
	if c.Out != "" {
		if err := report.CheckWritable(c.Out); err != nil {
			return nil, err
		}
	}
	if err := t.open(); err != nil {
		return nil, err
	}
	t.chooseBatch()
	if err := t.compile(); err != nil {
		return nil, err
	}
	if err := t.configure(); err != nil {
		return nil, err
	}
	return t, t.try(e.ctx)
}

// open reads the data.
func (t *training) open() (err error) {
	if t.text, err = t.openText(&t.dataFlags, t.model); err != nil {
		return err
	}
	if t.text != nil {
		return t.checkText()
	}
	if t.Head != nil { // its classes are new ones
		delete(t.model.meta, metaClasses)
	}
	if t.data, err = t.load(t.model, false); err != nil {
		return err
	}
	if t.data.Train == nil {
		return fmt.Errorf("%s has test samples only; training samples are missing", t.Data)
	}
	saved := ""
	if t.Resume != "" {
		saved = whiteningPath(filepath.Join(t.Resume, report.TrainedName))
	}
	return t.whiten(saved)
}

// defaultBatch is how many samples a gradient takes, if there are as many.
const defaultBatch = 128

func (t *training) chooseBatch() {
	switch {
	case t.BatchFlag != nil:
		t.Batch = *t.BatchFlag
	case t.Batch != 0: // of a run that is resumed
	case t.text != nil:
		t.Batch = defaultBatch
	default:
		t.Batch = min(defaultBatch, t.data.Train.Len())
	}
}

// check finds options that are wrong whatever the model and the data are.
func (c *trainCmd) check() error {
	switch {
	case c.BatchFlag != nil && *c.BatchFlag < 1:
		return usagef("--batch is %d; it must be at least 1", *c.BatchFlag)
	case c.Epochs != nil && !(*c.Epochs > 0 && *c.Epochs < 1e9):
		return usagef("--epochs is %v; it must be above 0", *c.Epochs)
	case c.MaxOuter != nil && *c.MaxOuter == 0:
		return usagef("--max-outer is 0, which trains nothing; it must be at least 1")
	}
	if e := c.LabelSmoothing; !(e >= 0 && e < 1) {
		return usagef("--label-smoothing is %v; it must be at least 0 and below 1", e)
	}
	if err := checkThreads(c.Threads); err != nil {
		return err
	}
	if err := c.finetuneFlags.check(); err != nil {
		return err
	}
	if err := c.checkpointFlags.check(); err != nil {
		return err
	}
	if err := c.samplerFlags.check(c.NoShuffle); err != nil {
		return err
	}
	_, err := c.build(1, c.Seed, c.Threads)
	return err
}

// maxThreads is more than any machine has use for.
const maxThreads = 1024

// checkThreads checks a --threads, 0 if not given.
func checkThreads(n int) error {
	if n < 0 || n > maxThreads {
		return usagef("--threads is %d; it must be from 1 to %d (default: one a processor)", n, maxThreads)
	}
	return nil
}

// noData says what data the model asks for.
func (c *trainCmd) noData(m *model) error {
	hint := "give --data DIR with IDX, NPY, NPZ, CSV or CIFAR-10 files, or with folders of images"
	if len(m.Inputs) > 1 || len(m.Inputs) == 1 && takesIntegers(m.Inputs[0]) && !m.readsText() {
		hint = m.arraysHint()
	} else if m.readsText() {
		hint = "give --data book.txt, or a directory with train.txt and test.txt"
	}
	if len(m.Inputs) == 1 && len(m.Inputs[0].Shape) == 4 && fmt.Sprint(m.Inputs[0].Shape[1:]) == "[1 28 28]" {
		hint += fmt.Sprintf(", or --data %s", builtinDigits)
	}
	return fmt.Errorf("no data to train %s on: it takes %s; %s", m.label, m.asks(), hint)
}

// compile builds the graph and fits the data to it.
func (t *training) compile() error {
	var err error
	o := t.options()
	if t.text != nil {
		text := t.text.options(t.model, t.Batch)
		o.Carry, o.Shapes = text.Carry, text.Shapes
	} else {
		o.Shapes = t.model.shapes(t.data.Train, t.Batch)
	}
	o.Dropout, o.DropoutAfter, o.FileStatistics = t.ratio, t.after, t.BN == "frozen"
	if t.net, err = t.model.build(t.Batch, o); err != nil {
		return err
	}
	if err := t.checkNorms(); err != nil {
		return err
	}
	if t.text != nil {
		err = t.feedText()
	} else {
		err = t.feedSamples()
	}
	if err != nil {
		return err
	}
	loss, err := lossByName(t.loss)
	if err != nil {
		return err
	}
	trained := loss
	if t.LabelSmoothing != 0 {
		if t.loss == "mse" || t.loss == "bce" {
			return usagef("--label-smoothing has no effect with the loss %s, which has no classes", t.loss)
		}
		trained = runner.LabelSmoothing(t.LabelSmoothing, t.loss == "nll")
		if t.loss == "cross-entropy" {
			trained = runner.OnLogits(trained)
		}
	}
	if t.threads = t.Threads; t.threads == 0 {
		t.threads = runtime.GOMAXPROCS(0)
	}
	t.step, err = runner.Compile(t.net, trained, runner.Options{Evaluation: loss, Threads: t.threads, Dropout: t.ratio, Seed: t.Seed, EvalBatch: evalBatch})
	if err != nil {
		return fmt.Errorf("%s: %w", t.model.label, err)
	}
	return nil
}

// feedSamples fits the samples to the network.
func (t *training) feedSamples() (err error) {
	t.loss = lossOf(t.Loss, t.data, t.net.Outputs[t.net.Output()].Shape())
	if t.source, err = newSource(t.data.Train, t.model, t.net, t.loss); err != nil {
		return err
	}
	var measured []runner.Source // validation first
	for _, s := range []*dataset.Set{t.data.Valid, t.data.Test} {
		if s == nil {
			continue
		}
		src, err := newSource(s, t.model, t.net, t.loss)
		if err != nil {
			return err
		}
		measured = append(measured, src)
	}
	switch len(measured) {
	case 2:
		t.test, t.final = measured[0], measured[1]
	case 1:
		t.test = measured[0]
	}
	return nil
}

// evalBatch is how many samples are evaluated at a time.
const evalBatch = 256

var onNaN = map[string]runner.OnNaN{"stop": runner.StopOnNaN, "rollback": runner.RollBackOnNaN}

// configure makes the optimizer and the configuration of the run.
func (t *training) configure() error {
	epochs := float64(defaultEpochs)
	if t.Data == builtinDigits {
		epochs = digitsEpochs
	}
	if t.Epochs != nil {
		epochs = *t.Epochs
	}
	n := t.source.Len()
	if t.Batch > n {
		return usagef("--batch is %d, and %s has %s; give --batch %d or less", t.Batch, t.Data, report.Plural(n, "sample", "samples"), n)
	}
	evals := runner.Budget(n, t.Batch, epochs)
	method, err := t.build(evals, t.Seed, t.threads)
	if err != nil {
		return err
	}
	if t.text != nil && !runner.ReadsOn(method) {
		return usagef("--accumulate with --optimizer %s does not read text from front to back; give a larger --batch instead", t.Optimizer)
	}
	t.asked = evals
	evals = optimizer.RoundBudget(method, evals)
	if t.MaxOuter != nil {
		if most := *t.MaxOuter * uint64(method.OuterEvals()); *t.MaxOuter < evals && most < evals {
			evals = most
			if method, err = t.build(evals, t.Seed, t.threads); err != nil {
				return err
			}
		}
	}
	t.method = method
	perEpoch := runner.Budget(n, t.Batch, 1)
	t.cfg = runner.Config{
		Batch: t.Batch, Evals: evals, Seed: t.Seed, InOrder: t.NoShuffle,
		Sampling: t.sampling(), OddballFloor: t.floor(), OddballWeights: t.OddballWeights,
		DecayAll: t.DecayAll, OnNaN: onNaN[t.OnNaN], Test: t.test, EvalEvery: max(perEpoch, (evals+uint64(t.Evaluations)-1)/uint64(t.Evaluations)),
	}
	if t.Reinit != nil {
		t.cfg.Weights, t.cfg.Running = t.net.Reinit(*t.Reinit)
	}
	return nil
}

// try builds the graph for each size of batch that will occur and evaluates a gradient, so that what the checks
// before have overlooked ends the run before it leaves a trace. It has no influence on the run.
func (t *training) try(ctx context.Context) error {
	if err := t.step.Fits(t.method); err != nil {
		return fmt.Errorf("%s: %w", t.model.label, err)
	}
	for _, batch := range t.batches() {
		o := t.net.Options()
		if t.text != nil {
			o.Shapes = t.text.options(t.model, batch).Shapes
		} else {
			o.Shapes = t.model.shapes(t.data.Train, batch)
		}
		if _, err := t.model.build(batch, o); err != nil {
			return err
		}
	}
	var b runner.Batch
	idx := make([]int, t.Batch)
	for i := range idx {
		idx[i] = i
	}
	if err := t.source.Read(&b, idx); err != nil {
		return err
	}
	if err := t.reserve(&b); err != nil {
		return err
	}
	x := t.cfg.Weights
	if x == nil {
		x = t.net.Weights()
	}
	_, err := t.step.Grad(ctx, make([]float32, len(x)), x, &b, optimizer.Draw{})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", t.model.label, err)
	}
	return err
}

// reserve finds out whether there is memory for all that the run will do; b is a mini-batch.
func (t *training) reserve(b *runner.Batch) error {
	var test *runner.Batch
	if t.test != nil {
		idx := make([]int, min(t.test.Len(), evalBatch))
		for i := range idx {
			idx[i] = i
		}
		test = new(runner.Batch)
		if err := t.test.Read(test, idx); err != nil {
			return err
		}
	}
	if err := t.step.Reserve(b, test); err != nil {
		return fmt.Errorf("%s: %w", t.model.label, err)
	}
	return nil
}

// batches are the sizes of batch besides --batch: the last one of the training samples, of those for the running
// statistics, and those of an evaluation.
func (t *training) batches() []int {
	if t.text != nil {
		return slices.DeleteFunc([]int{evalStreams}, func(b int) bool { return b == t.Batch })
	}
	n := t.source.Len()
	sizes := []int{n % t.Batch, min(n, statisticsSamples) % t.Batch}
	if t.test != nil {
		sizes = append(sizes, min(t.test.Len(), evalBatch), t.test.Len()%evalBatch)
	}
	slices.Sort(sizes)
	return slices.DeleteFunc(slices.Compact(sizes), func(b int) bool { return b == 0 || b == t.Batch })
}

// train spends the budget and writes the outcome.
func (t *training) train(e *env) (err error) {
	t.introduce(e)
	if t.run == nil {
		if t.run, err = report.NewRun(cmp.Or(t.root, runsDir)); err != nil {
			return err
		}
		if err := t.run.WriteJSON(report.ConfigName, t.config()); err != nil {
			t.run.Remove()
			return err
		}
	}
	if t.whitening != nil && t.whitening.Matrix != nil { // a run that goes on need not fit it again
		if err := writeWhitening(whiteningPath(t.run.Path(report.TrainedName)), t.whitening); err != nil {
			return err
		}
	}
	w := &watch{t: t, start: time.Now()}
	w.progress = report.NewProgress(e.stdout, e.stderr, t.cfg.Evals, runner.Budget(t.source.Len(), t.Batch, 1))
	t.cfg.Observe, t.cfg.Gradient, t.cfg.RolledBack = w.observe, w.gradient, w.rolledBack
	if t.cfg.Checkpoints, err = t.checkpoints(e, w); err != nil {
		return err
	}
	rep, err := runner.Train(e.ctx, t.step, t.method, t.source, t.cfg)
	w.progress.Done()
	if err != nil {
		return t.failed(e, rep, err)
	}
	seconds := w.seconds()
	if err := t.measure(e.ctx, rep); err != nil {
		return t.failed(e, rep, err)
	}
	files, err := t.write(rep, seconds)
	if err != nil {
		return err
	}
	t.conclude(e, rep, time.Duration(w.seconds()*float64(time.Second)), files)
	if w.err != nil { // no reason to lose the model
		return fmt.Errorf("%s is not complete: %w", t.run.Path(report.MetricsName), w.err)
	}
	return nil
}

// failed saves what a run has reached that did not end well, takes back one that came to nothing, and says so.
func (t *training) failed(e *env, rep *runner.Report, err error) error {
	if rep == nil {
		if t.Resume == "" {
			t.run.Remove()
		} else {
			t.run.Close()
		}
		return err
	}
	defer t.run.Close()
	interrupted := errors.Is(err, context.Canceled)
	kept := ""
	if rep.Outer > 0 {
		name := "last-good.onnx"
		if interrupted {
			name = "interrupted.onnx"
		}
		// The statistics belong to older weights; e.ctx is over, but this takes a second.
		running, serr := t.step.Statistics(context.WithoutCancel(e.ctx), rep.Weights, t.source, statisticsSamples, t.Batch)
		if serr != nil {
			return errors.Join(err, serr)
		}
		rep.Running = running
		path := t.run.Path(name)
		if werr := t.export(rep, path); werr != nil {
			return errors.Join(err, werr)
		}
		kept = "; the weights of the last whole outer step are in " + path
	}
	if !interrupted {
		return fmt.Errorf("%w%s", err, kept)
	}
	return fmt.Errorf("interrupted after %s (%s)%s; go on with: onnx-entropy train --resume %s",
		report.Plural(rep.Outer, "outer step", "outer steps"), report.Plural(rep.Evals, "gradient", "gradients"), kept, t.run.Dir)
}

// statisticsSamples is how many training samples the running statistics are estimated from.
const statisticsSamples = 10000

// write puts the trained model where it belongs and returns the paths of all files of the run.
func (t *training) write(rep *runner.Report, seconds float64) ([]string, error) {
	path := t.run.Path(report.TrainedName)
	if err := t.export(rep, path); err != nil {
		return nil, err
	}
	files := []string{path, t.run.Path(report.MetricsName), t.run.Path(report.ConfigName)}
	if best := t.run.Path(report.BestName); exists(best) {
		files = slices.Insert(files, 1, best)
	}
	r := result{Gradients: rep.Evals, Outer: rep.Outer, Loss: number(rep.Loss), Rollbacks: rep.Rollbacks, Seconds: math.Round(seconds*1e3) / 1e3, Out: t.Out, Pending: t.Out != ""}
	if rep.Test != nil {
		r.Test = t.text.evaluation(*rep.Test)
	}
	if t.tested != nil {
		r.Valid, r.Test = r.Test, t.tested
	}
	if err := t.run.WriteJSON(report.ResultName, r); err != nil {
		return nil, err
	}
	if t.Out != "" {
		if err := t.export(rep, t.Out); err != nil {
			return nil, fmt.Errorf("%w; the model is in %s", err, path)
		}
		r.Pending = false
		if err := t.run.WriteJSON(report.ResultName, r); err != nil {
			return nil, err
		}
		files = append([]string{t.Out}, files...)
	}
	return files, t.run.Close()
}

func (t *training) export(rep *runner.Report, path string) error {
	f, err := t.net.ExportFiles(rep.Weights, rep.Running, dataName(path), onnxload.ExportOptions{Same: t.Export == "same", Metadata: t.provenance(rep)})
	if err != nil {
		return err
	}
	if t.whitening != nil && t.whitening.Matrix != nil {
		if err := writeWhitening(whiteningPath(path), t.whitening); err != nil {
			return err
		}
	}
	return writeModel(path, f)
}

// provenance is what the trained file says about its training. It holds no time, path, host or number of
// threads, so that the same run gives the same bytes.
func (t *training) provenance(rep *runner.Report) map[string]string {
	meta := map[string]string{
		"onnx_entropy.version":              version,
		"onnx_entropy.optimizer":            t.Optimizer,
		"onnx_entropy.loss":                 t.loss,
		"onnx_entropy.batch":                fmt.Sprint(t.Batch),
		"onnx_entropy.seed":                 fmt.Sprint(t.Seed),
		"onnx_entropy.gradient_evaluations": fmt.Sprint(rep.Evals),
		"onnx_entropy.outer_steps":          fmt.Sprint(rep.Outer),
	}
	if !math.IsNaN(rep.Loss) {
		meta["onnx_entropy.training_loss"] = report.Number(rep.Loss)
	}
	for _, s := range t.settings(t.method) {
		meta["onnx_entropy."+snake(s.name)] = s.value
	}
	if t.LabelSmoothing != 0 {
		meta["onnx_entropy.label_smoothing"] = report.Number(t.LabelSmoothing)
	}
	t.recordTuning(meta)
	if t.model.output != "" {
		meta[metaOutput] = t.model.output
	}
	if t.Reinit != nil {
		meta["onnx_entropy.reinit"] = fmt.Sprint(*t.Reinit)
	}
	if len(t.Dropout) > 0 {
		meta["onnx_entropy.dropout"] = strings.Join(t.Dropout, " ")
	}
	if t.NoShuffle {
		meta["onnx_entropy.shuffle"] = "false"
	}
	for _, v := range t.sampled() {
		meta["onnx_entropy."+snake(v.name)] = v.value
	}
	if t.text != nil {
		t.text.record(meta)
	} else {
		maps.Copy(meta, t.inputs)
		if t.data.Train.Columns != nil {
			meta[metaTarget] = cmp.Or(t.Target, t.model.meta[metaTarget])
		}
		if s := t.data.Split; s.Train > 0 {
			meta[metaSplit] = numbers([]float64{s.Train, s.Valid, s.Test})
		}
	}
	return meta
}

// exists tells whether a path does.
func exists(path string) bool { _, err := os.Stat(path); return err == nil }
