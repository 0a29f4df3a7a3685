package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/onnx-entropy/onnx-entropy/internal/dataset"
	"github.com/onnx-entropy/onnx-entropy/internal/report"
)

// whitenFlags make samples comparable before they are fed.
type whitenFlags struct {
	GCN       bool     `group:"Data:" name:"gcn" help:"Global contrast normalisation: take each sample's mean off and divide by its standard deviation."`
	ZCA       *float64 `group:"Data:" name:"zca" placeholder:"EPS" help:"Whiten (ZCA, fitted on training samples) with EPS added to the eigenvalues of their covariance, such as 0.1."`
	Whitening string   `group:"Data:" placeholder:"FILE" help:"Take what --zca fits from FILE if it is there, else write it there: fitting takes half a minute for CIFAR-10."`
}

// Keys of the metadata by which a trained file remembers how its samples were made comparable.
const (
	metaGCN       = "onnx_entropy.gcn"
	metaZCA       = "onnx_entropy.zca"
	metaWhitening = "onnx_entropy.whitening" // SHA-256 of the file beside the model, see whiteningPath
)

// whiteningPath is where what ZCA has fitted lies beside a model: NAME.whitening.npy for NAME.onnx, the mean and the
// matrix, see dataset.Whitening. It is too large for metadata.
func whiteningPath(model string) string {
	return strings.TrimSuffix(model, ".onnx") + ".whitening.npy"
}

// recordedWhitening is what the model was trained with, nil if nothing.
func recordedWhitening(m *model) (*dataset.Whitening, error) {
	if m.meta[metaGCN] == "" && m.meta[metaZCA] == "" {
		return nil, nil
	}
	w := &dataset.Whitening{Contrast: m.meta[metaGCN] == "true"}
	if m.meta[metaZCA] == "" {
		return w, nil
	}
	var err error
	if w.Epsilon, err = strconv.ParseFloat(m.meta[metaZCA], 64); err != nil {
		return nil, fmt.Errorf("%s: its metadata %s is %q, which is no number", m.label, metaZCA, m.meta[metaZCA])
	}
	path := whiteningPath(m.label)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s was trained on whitened samples, and what they were whitened with is not beside it: %w; keep both files together", m.label, err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != m.meta[metaWhitening] {
		return nil, fmt.Errorf("%s is not what %s was trained with; keep both files of a run together", path, m.label)
	}
	fitted, err := dataset.ReadWhitening(path)
	if err != nil {
		return nil, err
	}
	w.Mean, w.Matrix = fitted.Mean, fitted.Matrix
	return w, nil
}

// whiten makes the samples of d comparable as the model recorded it, if they are stored as those that it was trained on.
func whiten(m *model, threads int, sets ...*dataset.Set) error {
	w, err := recordedWhitening(m)
	if err != nil || w == nil {
		return err
	}
	for _, s := range sets {
		if s == nil || m.meta[metaInput] != kindOf(s) || s.Inputs != nil || len(m.scaled(s)) == 0 {
			continue
		}
		if err := w.Apply(s, threads); err != nil {
			return err
		}
	}
	return nil
}

// whiten does what the flags say, else what the model records; saved is where an earlier part of the run left what it
// fitted.
func (t *training) whiten(saved string) (err error) {
	t.inputs = map[string]string{}
	record(t.inputs, t.model, t.data.Train)
	t.stored = t.model.storedAs(t.data.Train)
	w := &dataset.Whitening{Contrast: t.GCN}
	switch {
	case t.Whitening != "" && t.ZCA == nil:
		return usagef("--whitening has no effect without --zca")
	case t.ZCA != nil && !(*t.ZCA > 0):
		return usagef("--zca is %v; it must be above 0, 0.1 for example", *t.ZCA)
	case (t.ZCA != nil || t.GCN) && (t.data.Train.Inputs != nil || len(t.model.scaled(t.data.Train)) == 0):
		return usagef("--gcn and --zca are for a network of one input of floats, and %s takes %s", t.model.label, t.model.asks())
	case t.ZCA == nil && !t.GCN:
		if t.data.Train.Inputs != nil || len(t.model.scaled(t.data.Train)) == 0 {
			return nil
		}
		if w, err = recordedWhitening(t.model); w == nil || err != nil {
			return err
		}
	case t.ZCA != nil:
		if w, err = t.fitWhitening(saved); err != nil {
			return err
		}
	}
	t.whitening = w
	if w.Contrast {
		t.inputs[metaGCN] = "true"
	}
	if w.Matrix != nil {
		var b bytes.Buffer
		if err := w.Write(&b); err != nil {
			return err
		}
		sum := sha256.Sum256(b.Bytes())
		t.inputs[metaZCA], t.inputs[metaWhitening] = report.Number(w.Epsilon), hex.EncodeToString(sum[:])
	}
	for _, s := range []*dataset.Set{t.data.Train, t.data.Valid, t.data.Test} {
		if s == nil {
			continue
		}
		if err := w.Apply(s, t.Threads); err != nil {
			return err
		}
	}
	return nil
}

// fitWhitening reads what was fitted before, or fits.
func (t *training) fitWhitening(saved string) (*dataset.Whitening, error) {
	for _, path := range []string{saved, t.Whitening} {
		if path == "" || !exists(path) {
			continue
		}
		w, err := dataset.ReadWhitening(path)
		switch {
		case err != nil:
			return nil, err
		case float32(w.Epsilon) != float32(*t.ZCA) || w.Contrast != t.GCN:
			return nil, fmt.Errorf("%s was fitted with --zca %v and --gcn %v; name another file with --whitening, or take it away", path, float32(w.Epsilon), w.Contrast)
		case !w.Fitted(t.data.Train):
			return nil, fmt.Errorf("%s was fitted on other samples than those of %s; name another file with --whitening, or take it away", path, t.data.Train.Name)
		}
		w.Epsilon = *t.ZCA
		return w, nil
	}
	w, err := t.data.Train.FitWhitening(t.GCN, *t.ZCA, t.Threads)
	if err != nil || t.Whitening == "" {
		return w, err
	}
	return w, writeWhitening(t.Whitening, w)
}

func writeWhitening(path string, w *dataset.Whitening) error {
	var b bytes.Buffer
	if err := w.Write(&b); err != nil {
		return err
	}
	return report.WriteFile(path, b.Bytes())
}

// whitened says what was done to the samples, "" if nothing.
func (t *training) whitened() string {
	s := ""
	if t.whitening != nil && t.whitening.Contrast {
		s += ", contrast normalised"
	}
	if t.whitening != nil && t.whitening.Matrix != nil {
		s += fmt.Sprintf(", whitened (ZCA, %s)", report.Number(t.whitening.Epsilon))
	}
	return s
}
