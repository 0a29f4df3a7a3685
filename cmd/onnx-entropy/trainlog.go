package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"gorgonia.org/tensor"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/internal/report"
	"github.com/onnx-entropy/onnx-entropy/onnxload"
	"github.com/onnx-entropy/onnx-entropy/runner"
)

// introduce says what is trained on what, and what about the file may surprise.
func (t *training) introduce(e *env) {
	for _, w := range t.model.Warnings() {
		e.warn("%s: %s", t.model.label, w)
	}
	e.warnOf(t.model, t.step)
	if t.model.TrainingMode() {
		if t.Export == "same" {
			e.warn("%s came in training mode and keeps it: wherever the written file is run, it drops out and uses batch statistics.", t.model.label)
		} else {
			e.warn("%s came in training mode; the trained file is written for inference (--export same keeps the mode).", t.model.label)
		}
	}
	kind := "file"
	if t.Model == "" || embedded(t.Model) {
		kind = "embedded"
	}
	e.printf("Model      %s (%s), %s, %s -> %s", t.model.label, kind, report.Plural(t.net.NumWeights(), "weight", "weights"),
		samplesOf(t.net), report.Shape(t.net.Outputs[t.net.Output()].Shape()[1:]))
	t.introduceTuning(e)
	if t.text == nil {
		e.printf("Data       %s, %s%s", describe(t.data), t.stored, t.whitened())
	} else {
		e.printf("Text       %s", t.text.describe())
		t.introduceText(e)
	}
	var s []string
	for _, v := range t.settings(t.method) {
		if !v.plain() {
			s = append(s, v.name+" "+v.value)
		}
	}
	e.printf("Optimizer  %s: %s", t.Optimizer, strings.Join(s, ", "))
	perEpoch := float64(runner.Budget(t.source.Len(), t.Batch, 1))
	drawn := ""
	for _, v := range t.sampled() {
		drawn += ", " + v.name + " " + v.value
	}
	if t.asked < t.cfg.Evals/2 {
		e.warn("%s would be %s, and an outer step of %s takes %d: the run is as long as that; a smaller --batch makes an epoch of more gradients.",
			epochsOf(float64(t.asked)/perEpoch), report.Plural(t.asked, "gradient", "gradients"), t.Optimizer, t.method.OuterEvals())
	}
	e.printf("Run        %s = %s of %s on %s, loss %s, seed %d%s", epochsOf(float64(t.cfg.Evals)/perEpoch), report.Plural(t.cfg.Evals, "gradient", "gradients"),
		report.Plural(t.Batch, "sample", "samples"), report.Plural(t.threads, "thread", "threads"), t.loss, t.Seed, drawn)
}

func epochsOf(n float64) string {
	if n == 1 {
		return "1 epoch"
	}
	return fmt.Sprintf("%.4g epochs", n)
}

// describe says how many samples there are, and of what shape.
func describe(d *dataset.Data) string {
	s := fmt.Sprintf("%s training samples", report.Count(d.Train.Len()))
	if d.Valid != nil {
		s += fmt.Sprintf(", %s for validation", report.Count(d.Valid.Len()))
	}
	if d.Test != nil {
		s += fmt.Sprintf(" and %s test samples", report.Count(d.Test.Len()))
	} else {
		s += ", no test samples"
	}
	var shapes [][]int
	for _, in := range d.Train.Each() {
		shapes = append(shapes, in.Shape)
	}
	s += " of " + shapesOf(shapes)
	if d.Train.Classes > 0 {
		s += fmt.Sprintf(" in %s", report.Plural(d.Train.Classes, "class", "classes"))
	}
	return s + " (" + d.Train.Name + ")"
}

// samplesOf are the shapes of a network's samples.
func samplesOf(net *onnxload.Net) string {
	var shapes [][]int
	for _, in := range net.Inputs {
		shapes = append(shapes, in.Shape()[min(1, in.Dims()):])
	}
	return shapesOf(shapes)
}

// storedAs says how the samples become inputs.
func (m *model) storedAs(s *dataset.Set) string {
	var ways []string
	scaled := m.scaled(s)
	for _, in := range scaled {
		if t := transformOf(in); !slices.Contains(ways, t) {
			ways = append(ways, t)
		}
	}
	if len(s.Each()) > len(scaled) {
		ways = append(ways, "integers as they are")
	}
	return strings.Join(ways, ", ")
}

// transformOf says how stored values become inputs.
func transformOf(s *dataset.Set) string {
	t := s.Transform()
	scale := "times " + report.Number(t.Scale)
	switch t.Scale {
	case 1.0 / 255:
		scale = "scaled by 1/255"
	case 1:
		scale = "as they are"
	}
	if m := numbers(t.Mean); m != "0" {
		scale += ", minus " + m
	}
	if d := numbers(t.Std); d != "1" {
		scale += ", divided by " + d
	}
	return "values " + scale
}

// passedOver is the final Softmax, LogSoftmax or Sigmoid that the loss does without, else empty.
func (t *training) passedOver() string {
	y := t.net.Outputs[t.net.Output()]
	if t.loss == "bce" && runner.EndsInSigmoid(y) {
		return "Sigmoid"
	}
	if t.loss != "cross-entropy" || y.Dims() < 2 {
		return ""
	}
	if t.text != nil {
		return runner.EndsIn(y, y.Shape()[:y.Dims()-1])
	}
	return runner.EndsIn(y, append(tensor.Shape{y.Shape()[0]}, t.source.(*source).target...))
}

// A watch follows a run: it writes the log and shows the progress.
type watch struct {
	t        *training
	progress report.Progress
	start    time.Time
	before   float64 // seconds that the run took before it was resumed
	evals    uint64
	loss     float64 // mean of the last outer step; of the gradients so far before the first has ended
	err      error   // the first of the log
	gamma    bool    // whether that of --auto-gamma was told
}

// metrics is a line of metrics.jsonl.
type metrics struct {
	Outer uint64   `json:"outer"`
	Evals uint64   `json:"evals"`
	Epoch float64  `json:"epoch"`
	Loss  number   `json:"loss"`
	LR    float64  `json:"lr"` // of this outer step
	Gamma *float64 `json:"gamma,omitempty"`
	Rho   *float64 `json:"rho,omitempty"`
	// Statistics of Entropy-SGD; see optimizer.Stats.
	Distance  *float64    `json:"distance,omitempty"`
	Gradient  *float64    `json:"gradient,omitempty"`
	Cosine    *float64    `json:"cosine,omitempty"`
	Travelled *float64    `json:"travelled,omitempty"`
	Seconds   float64     `json:"seconds"` // since the start
	Test      *evaluation `json:"test,omitempty"`
	Valid     *evaluation `json:"valid,omitempty"` // in place of test, of data with a validation part
}

// seconds is how long the run has been training.
func (w *watch) seconds() float64 { return w.before + time.Since(w.start).Seconds() }

func (w *watch) rolledBack(err *runner.DivergedError) {
	w.progress.Line("warning: %s; going back", message(err))
}

// gradient moves the display on within an outer step.
func (w *watch) gradient(evals uint64, loss float64) {
	w.evals = evals
	if first := w.t.method.OuterEvals(); evals <= uint64(first) {
		w.loss += (loss - w.loss) / float64(evals)
	}
	if evals%uint64(w.t.method.OuterEvals()) != 0 { // observe follows the last of an outer step
		w.progress.Update(evals, float64(evals)/float64(runner.Budget(w.t.source.Len(), w.t.Batch, 1)), w.loss)
	}
}

func (w *watch) observe(p runner.Progress) {
	if p.Outer == 0 {
		return
	}
	w.loss = p.Loss
	m := metrics{Outer: p.Outer, Evals: p.Evals, Epoch: p.Epoch, Loss: number(p.Loss), Seconds: math.Round(w.seconds()*1e3) / 1e3}
	if st := p.Stats; st != nil {
		m.LR, m.Gamma, m.Rho = st.LR, known(st.Gamma), known(st.Rho)
		m.Distance, m.Gradient, m.Cosine, m.Travelled = known(st.Distance), known(st.Gradient), known(st.Cosine), known(st.Travelled)
	}
	what, test := "test", p.Test
	if test != nil {
		m.Test = w.t.text.evaluation(*test)
	}
	shown := m.Test
	if w.t.final != nil {
		what, m.Valid, m.Test = "valid", m.Test, nil
	}
	if err := w.t.run.Metrics(m); err != nil && w.err == nil {
		w.err = err
	}
	w.progress.Update(p.Evals, p.Epoch, p.Loss)
	if w.t.AutoGamma && !w.gamma && m.Gamma != nil && *m.Gamma != 0 {
		w.progress.Line("Gamma      %.4g in outer step %d, found by --auto-gamma", *m.Gamma, p.Outer)
		w.gamma = true
	}
	if p.Test != nil {
		w.progress.Line("%-5s epoch %.2f: %s", what, p.Epoch, shown)
	}
}

// conclude says what the run has come to.
func (t *training) conclude(e *env, rep *runner.Report, took time.Duration, files []string) {
	switch {
	case rep.Test == nil:
		e.printf("Trained    training loss %.4f; there are no test samples, so no error was measured", rep.Loss)
	case t.text != nil:
		e.printf("Trained    %s", t.textOutcome(rep))
	case t.tested == nil && math.IsNaN(rep.Test.Error):
		e.printf("Trained    %s loss %.4f on %s samples", t.part(), rep.Test.Loss, report.Count(rep.Test.Count))
	case t.tested != nil:
		e.printf("Trained    test %s (validation %s)", t.tested, evaluationOf(*rep.Test))
	default:
		part := t.part()
		e.printf("Trained    %s error %.2f %% on %s samples, %s loss %.4f", part, 100*rep.Test.Error, report.Count(rep.Test.Count), part, rep.Test.Loss)
	}
	e.printf("Spent      %s, %s, %s", report.Plural(rep.Evals, "gradient evaluation", "gradient evaluations"),
		report.Plural(rep.Outer, "outer step", "outer steps"), report.Duration(took))
	e.printf("Files      %s", strings.Join(files, "  "))
}

// part is what was measured during the run.
func (t *training) part() string {
	if t.data.Test == nil && t.data.Valid != nil {
		return "validation"
	}
	return "test"
}
